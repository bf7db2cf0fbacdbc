"""What the processes of services have in common: a database, the bus, background tasks, metrics and a gRPC server."""
