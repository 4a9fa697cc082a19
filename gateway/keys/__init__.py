"""`gateway keys`: creates, lists and revokes API keys."""
