"""Private files: secrets and state that only their owner can read."""

from libs.private_files.files import create_private, kept_secret, make_folder, write_private

__all__ = ["create_private", "kept_secret", "make_folder", "write_private"]
