"""Sending an iterator's pieces at the client's pace, from threads.

A client that reads slowly parks the iterator, not the thread: it goes on in any thread once the client has taken what was
written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from skitai.exchange import Flow
from skitai.was.context import current


class Pump(ABC):
    """A call whose response may be an iterator. Subclasses say what becomes of a piece, and of the end.

    :ivar exchange: the request and its response.
    """

    __slots__ = ("_pieces", "_submit", "exchange")

    exchange: Any
    _pieces: Iterator[Any]
    _submit: Callable[[Callable[[], None]], None]

    @abstractmethod
    def _put(self, piece: bytes) -> Flow:
        """Send a piece, which is not empty; `Flow.GONE` when no other is wanted."""

    @abstractmethod
    def _complete(self) -> None:
        """All pieces are sent."""

    @abstractmethod
    def _end(self) -> None:
        """Let go of everything; called once the response is complete or has failed."""

    def _pump(self) -> None:
        """Send what the iterator yields until it ends or the client is slow."""
        for piece in self._pieces:
            if type(piece) is not bytes:
                piece = as_bytes(piece)
            if not piece:
                continue
            flow = self._put(piece)
            if flow is Flow.WAIT:
                self.exchange.when_writable(self._resume)
                return
            if flow is Flow.GONE:
                self._end()
                return
        self._complete()
        self._end()

    def _resume(self) -> None:
        self._submit(self._go_on)

    def _go_on(self) -> None:
        """Take a parked iterator up again, in whatever thread is free."""
        current.set(self.exchange)
        try:
            if self.exchange.gone:
                self._end()
            else:
                self._pump()
        except BaseException as error:  # noqa: BLE001 - the app's errors, sys.exit() too, become answers
            self._fail(error)
        finally:
            current.set(None)

    def _fail(self, error: BaseException) -> None:
        """The response ends with an error."""
        self._end()
        self.exchange.fail(error)


def as_bytes(data: Any) -> bytes:
    """A piece of a body; str is taken as UTF-8, although PEP 3333 wants bytes.

    :raises TypeError: neither.
    """
    if isinstance(data, str):
        return data.encode("utf-8")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"the app's body has a {type(data).__name__}; bytes are wanted")
