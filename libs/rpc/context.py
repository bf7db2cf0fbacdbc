"""The context of a call, as servicers see it."""

from typing import Any

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
