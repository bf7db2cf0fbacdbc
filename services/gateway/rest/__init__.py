"""REST: the operations of the contract, and the exceptions that some of them need."""
