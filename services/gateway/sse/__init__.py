"""Streams of events, as Server-Sent Events."""
