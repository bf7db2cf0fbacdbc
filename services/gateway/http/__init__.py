"""The HTTP server: connections, requests and responses."""
