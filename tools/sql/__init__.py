"""The SQL that comes from Python's tables of states and codes, and the checks of all SQL."""
