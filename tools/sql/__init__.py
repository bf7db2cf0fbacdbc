"""Generates SQL from Python's tables of states and codes, and checks all SQL."""
