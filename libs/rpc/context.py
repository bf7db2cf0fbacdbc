"""The context of a call, as handlers see it."""

from typing import Any

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
