"""`callboard keys`: creates, lists and revokes API keys."""
