"""Writes the public package's typed clients from the contract."""
