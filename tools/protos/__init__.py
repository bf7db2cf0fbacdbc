"""Generates code and data from the contract, and checks the contract and the generated files."""
