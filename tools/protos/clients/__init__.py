"""Generates the typed clients of the public package from the contract."""
