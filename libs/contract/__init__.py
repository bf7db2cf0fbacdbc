"""Compiles REST from the contract: JSON readers and writers, operations and their OpenAPI descriptions."""

from libs.contract.methods import Method, UnknownMethodError, all_methods, find_method, write_message, writer_of

__all__ = ["Method", "UnknownMethodError", "all_methods", "find_method", "write_message", "writer_of"]
