"""Measures Callboard on this machine. Each figure is compared with a floor from the same run (design 7 and 8)."""

import os

# The benchmark starts processes while channels are open. No fork uses gRPC before its exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
