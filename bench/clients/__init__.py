"""Load generators beyond gRPC stubs."""
