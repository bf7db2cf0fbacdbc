"""Load generators that need more than gRPC stubs."""
