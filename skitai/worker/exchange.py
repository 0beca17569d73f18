"""What the exchanges of all protocols have in common: phases, the coding of complete responses, files, errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from skitai.exchange import Flow, Head
from skitai.worker import files
from skitai.worker.strand import Strand

OPEN, STARTED, FINISHED = range(3)

CLIENT_GONE = 499
"""Logged, never sent, when the client left before there was a status (nginx's number for it)."""

Pairs = Sequence[tuple[Any, Any]]


class Answering(Strand):
    """The part of `skitai.exchange.Exchange` that is the same for every protocol."""

    __slots__ = ("fields", "status")

    crowded = False

    head: Head
    serial: int
    status: int
    fields: Pairs

    @property
    def txn(self) -> tuple[str, str]:
        ids: tuple[str, str] = self.connection.services.transactions.ids(self.serial, self.head.fields)
        return ids

    def held_back(self, job: Callable[[], None]) -> bool:
        """No: of HTTP/1 one response waits at most."""
        return False

    def receive_body(self) -> None:
        self.connection.services.on_loop(self.connection.receive_held_body, self)

    @abstractmethod
    def start(self, status: int, fields: Pairs, reason: str = "") -> bool: ...

    @abstractmethod
    def write(self, data: bytes) -> Flow: ...

    @abstractmethod
    def finish(self, trailers: Iterable[tuple[Any, Any]] = ()) -> bool: ...

    def respond_off_loop(self, status: int, fields: Pairs, body: bytes, reason: str = "") -> bool:
        """Claim the response now, and code its large body in another thread."""
        if not self.start(status, fields, reason):
            return False
        self.connection.services.disk.submit(self._write_and_finish, body)
        return True

    def _write_and_finish(self, body: bytes) -> None:
        self.write(body)
        self.finish()

    def send_file(self, file: IO[bytes], offset: int, count: int) -> None:
        files.FileSender(self, self.connection.services, file, offset, count).next()

    def push(self, uri: str, fields: Pairs = ()) -> bool:
        """Nothing: only HTTP/2 knows how."""
        return False

    def abandon(self) -> None:
        """Give the request the status of one whose client did not wait for the end of its response."""
        if not hasattr(self, "status"):
            self.status, self.fields = CLIENT_GONE, ()
