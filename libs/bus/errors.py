"""Errors of the bus."""


class BusError(Exception):
    """Any failure of the bus."""


class BusUnavailableError(BusError):
    """The broker cannot be reached, or did not answer in time.

    The broker may still have done what was requested. To retry a publish, use the same message id.
    """


class StreamMissingError(BusError):
    """No stream has this name or takes this subject. Ensure the stream, then retry."""


class ConsumerMissingError(BusError):
    """The stream has no consumer of this name. Ensure the consumer, then retry."""


class BrokerRefusedError(BusError):
    """The broker rejected a request, for example because a stream is full or a setting cannot be changed.

    `code` is the broker's `err_code`. Decide by the code, never by the text. 10077 means that the stream is full.
    """

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code
        self.description = description


class InvalidMessageError(BusError, ValueError):
    """A subject, name or id would break the protocol, or a payload is above the broker's limit."""
