"""The runner. Its slices, in order: attempts, connections and leases, then executors and sources."""
