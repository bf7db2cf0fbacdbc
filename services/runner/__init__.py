"""The runner. Its slices, in the order in which they may import: attempts, connections, executors, sources."""
