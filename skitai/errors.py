"""Every error that Skitai raises on purpose, in one small tree.

The split that matters: an :class:`Answerable` error can still become a response and carries its status; an
:class:`Unanswerable` one cannot, because the client has gone or the response has begun. The rest belongs to start-up.
"""

from __future__ import annotations

from collections.abc import Sequence


class SkitaiError(Exception):
    """Root of the tree."""


class Answerable(SkitaiError):
    """A request failed and can still be answered.

    :param message: what was seen and what would have been right.
    :param status: HTTP status code (RFC 9110, section 15); each class brings its default.
    :param fields: extra response fields, for instance ``[("Allow", "GET, HEAD")]``.
    :cvar public: the client may read the message.
    """

    status = 500
    public = True

    def __init__(self, message: str = "", status: int | None = None, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        if status is not None:
            self.status = status


class BadRequest(Answerable):
    """The request breaks the protocol's grammar (RFC 9112)."""

    status = 400


class NotFound(Answerable):
    status = 404


class TooLarge(Answerable):
    """The body is larger than its limit."""

    status = 413


class HeadTooLarge(Answerable):
    """The request line or header section is larger than its limit (RFC 6585, section 5)."""

    status = 431


class Unavailable(Answerable):
    """Overload, shutdown, or an app that did not load."""

    status = 503


class Unreached(Answerable):
    """A server that the request is passed on to gave no answer; which one, and why, is none of the client's business."""

    status = 502
    public = False


class Unanswerable(SkitaiError):
    """Nothing can be answered any more."""


class Gone(Unanswerable):
    """The client has gone, or the response was already finished by somebody else."""


class StartError(SkitaiError):
    """The server cannot start: busy port, second start, missing file. The message is one clear line."""


class ConfigError(StartError):
    """Every fault that the configuration has, each with the source of its value.

    :param faults: one line each, for instance ``"--threads: -1 is below 0"``.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class LoadError(SkitaiError):
    """An app could not be loaded; the cause is chained."""
