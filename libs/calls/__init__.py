"""What every list and every mutating call has in common: page tokens and fingerprints of requests."""

from libs.calls.fingerprint import fingerprint
from libs.calls.page_token import read_page_token, write_page_token

__all__ = ["fingerprint", "read_page_token", "write_page_token"]
