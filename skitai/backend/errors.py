"""Why a back-end gave no answer, with the codes that results carry in place of an HTTP status."""

from __future__ import annotations

from enum import IntEnum

from skitai.errors import SkitaiError


class Code(IntEnum):
    """`Result.status_code` where no answer of the back-end says it; above all that HTTP has."""

    REFUSED = 701
    """No connection, or it broke."""
    SLOW = 702
    """Connecting, sending or receiving stood still for too long."""
    NO_HOST = 704
    """The name has no address."""
    SHUTDOWN = 705
    """The worker leaves."""
    PROTOCOL = 707
    """What came is not what the protocol says."""
    TLS = 713
    """No trust: a wrong name or certificate, or no common version."""
    UNACCEPTABLE = 718
    """Content of a type that was not asked for."""
    TOO_LARGE = 719
    """More content than was asked for."""
    TIMEOUT = 730
    """The deadline of the request has passed."""
    FAILED = 731
    """The request could not be made: something in it is wrong."""


class BackendError(SkitaiError):
    """A back-end gave no answer.

    :param code: what results say.
    :param sent: whether the back-end may have begun to work: then only what may be repeated is asked of another one.
    """

    def __init__(self, code: Code, message: str, sent: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.sent = sent


class TimedOut(BackendError):
    """The deadline has passed."""

    def __init__(self, message: str = "Timeout", sent: bool = True) -> None:
        super().__init__(Code.TIMEOUT, message, sent)


class Failed(SkitaiError):
    """The back-end answered, and said no: an HTTP status of 400 or above, an error of the database.

    :ivar status_code: as of its result.
    """

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code
