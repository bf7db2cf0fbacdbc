"""The clients' methods as `make protos` generates them, and the functions that read answers."""
