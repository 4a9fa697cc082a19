"""The feed: what changes, told once to everybody who listens (server-sent events)."""
