"""Errors inside an app: its own handlers for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from skitai.config.pref import AttrDict
from skitai.http.dates import format_http_date
from skitai.http.status import phrase
from skitai.log.failures import Failure
from skitai.saddle.hooks import Function, Hook

if TYPE_CHECKING:
    from skitai.exchange import Head

F = TypeVar("F", bound=Function)


class Unsendable(ValueError):
    """What the app wants to send holds what no field of a response can: it would break the response (RFC 9110, section 5.5).

    :ivar signs: those that cannot be sent.
    """

    def __init__(self, message: str, signs: Iterable[str]) -> None:
        super().__init__(message)
        self.signs = frozenset(signs)


class ErrorHandlers:
    """By status, and one for all other statuses."""

    __slots__ = ("by_status", "default")

    def __init__(self) -> None:
        self.by_status: dict[int, Hook] = {}
        self.default: Hook | None = None

    def find(self, status: int) -> Hook | None:
        return self.by_status.get(status, self.default)


class ErrorFacet:
    """The decorators of `Saddle` for pages of one's own in place of the server's error pages.

    A handler is called with `was` and the error: a dictionary, whose keys are attributes too, of ``code`` (the status),
    ``message`` (the reason phrase), ``detail``, ``url``, ``time`` and ``traceback`` (None unless under debug). It returns
    what any handler may return; the status stays that of the error unless it sets another.
    """

    def __init__(self) -> None:
        self._errors = ErrorHandlers()

    def error_handler(self, code: int) -> Callable[[F], F]:
        """Use a function for responses of one error status."""

        def add(function: F) -> F:
            self.add_error_handler(code, function)
            return function

        return add

    errorhandler = error_handler

    def default_error_handler(self, function: F) -> F:
        """Use a function for all error statuses without a handler of their own."""
        self._errors.default = Hook.of(function)
        return function

    def add_error_handler(self, code: int, function: Function) -> None:
        """The same as `error_handler`, without a decorator.

        :param code: status from 400 to 599.
        :raises ValueError: another number.
        """
        if not isinstance(code, int) or not 400 <= code <= 599:
            raise ValueError(f"error_handler({code!r}): it should be a status from 400 to 599")
        self._errors.by_status[code] = Hook.of(function)


def shown(failure: Failure, head: Head) -> AttrDict:
    """A failure as error handlers get it."""
    return AttrDict(
        code=failure.status,
        message=failure.reason or phrase(failure.status),
        detail=failure.message,
        url=head.target,
        time=format_http_date(int(time.time())),
        traceback=failure.shown or None,
    )
