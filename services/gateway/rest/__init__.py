"""REST: the operations of the contract, and what is particular to some of them."""
