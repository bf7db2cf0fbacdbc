"""Writes the frames of Server-Sent Events."""

import orjson

from callboard.events.v1 import events_pb2
from libs.contract import writer_of

COMMENT_KEEPALIVE = b": keepalive\n\n"


def frames(batch: events_pb2.EventBatch) -> bytes:
    """Write a batch. In each frame `id` is the cursor, `event` the type, and `data` the event as JSON on one line."""
    write = writer_of(events_pb2.Event.DESCRIPTOR)
    return b"".join(
        b"id: %b\nevent: %b\ndata: %b\n\n"
        % (streamed.cursor.encode(), streamed.event.type.encode(), orjson.dumps(write(streamed.event)))
        for streamed in batch.events
    )


def bookmark(cursor: str) -> bytes:
    """Write a frame without an event, whose id clients resume from."""
    return b"id: %b\n\n" % cursor.encode()


def comment(text: str) -> bytes:
    """Write a comment, which clients ignore."""
    return b": %b\n\n" % text.encode()
