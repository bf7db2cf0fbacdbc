"""Callboard's public package: the contract's generated code and clients for it."""
