"""The runner. Its slices, in order: attempts, connections, leases, executors, sources."""
