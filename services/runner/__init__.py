"""The runner. None of its slices may import another: attempts, connections, leases."""
