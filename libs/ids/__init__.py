"""Ids, and the log partition that an id belongs to."""

from libs.ids.partition import PARTITIONS, partition_of
from libs.ids.uuid7 import uuid7

__all__ = ["PARTITIONS", "partition_of", "uuid7"]
