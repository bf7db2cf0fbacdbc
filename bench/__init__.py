"""Measures Callboard on this machine, each figure beside its floor, taken in the same run (design 7 and 8)."""

import os

# Processes are started while channels are open; no fork uses gRPC before its exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
