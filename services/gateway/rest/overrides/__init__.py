"""What is particular to some operations, beside what the contract says of them."""
