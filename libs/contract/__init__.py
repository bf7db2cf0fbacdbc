"""REST's JSON, compiled from the contract: readers of requests, writers of responses, operations and their document."""

from libs.contract.methods import Method, UnknownMethodError, all_methods, find_method, write_message, writer_of

__all__ = ["Method", "UnknownMethodError", "all_methods", "find_method", "write_message", "writer_of"]
