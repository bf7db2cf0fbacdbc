"""What can go wrong between a service and its broker."""


class BusError(Exception):
    """Any failure of the bus; callers that do not care which catch this one."""


class BusUnavailableError(BusError):
    """The broker cannot be reached, or did not answer in time.

    What was asked may have been done all the same: publish again with the same message id.
    """


class StreamMissingError(BusError):
    """No stream takes this subject, or there is none of this name: ensure it, then try again."""


class ConsumerMissingError(BusError):
    """The stream has no such consumer: ensure it, then try again."""


class BrokerRefusedError(BusError):
    """The broker understood and said no (a full stream, a setting that cannot be edited).

    `code` is the broker's `err_code`; decide by it and never by the text. 10077 is a stream that is full.
    """

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code
        self.description = description


class InvalidMessageError(BusError, ValueError):
    """A subject, name or id that would break the protocol, or a payload above the broker's limit."""
