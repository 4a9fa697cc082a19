"""Settings from the environment or `.env`, one frozen block per concern."""
