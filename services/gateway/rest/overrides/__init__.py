"""The operations that need more than the contract describes."""
