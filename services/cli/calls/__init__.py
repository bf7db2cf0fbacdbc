"""`callboard call`: calls any method of the contract."""
