"""Load generators that need more than the calls of the public client."""
