"""Pure functions between REST JSON and the contract's messages."""
