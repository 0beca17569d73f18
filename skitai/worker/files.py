"""Sending files: read off the loop in large pieces, at the client's pace.

No sendfile: uvloop has none, and under TLS it would not help; large reads and writes come within a tenth of it.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any

from skitai.exchange import Flow

if TYPE_CHECKING:
    from concurrent.futures import Future

    from skitai.worker.server import Services

PIECE_BYTES = 262144


class FileSender:
    """Sends a part of a file as the rest of a started response, then finishes it and closes the file."""

    __slots__ = ("_exchange", "_file", "_left", "_offset", "_services")

    def __init__(self, exchange: Any, services: Services, file: IO[bytes], offset: int, count: int) -> None:
        self._exchange = exchange
        self._services = services
        self._file = file
        self._offset = offset
        self._left = count

    def next(self) -> None:
        """Send the next piece; belongs to the loop."""
        if not self._left:
            self._file.close()
            self._exchange.finish()
            return
        future = self._services.disk.submit(self._read, min(self._left, PIECE_BYTES))
        future.add_done_callback(lambda done: self._services.on_loop(self._send, done))

    def _read(self, size: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), size, self._offset)
        except (AttributeError, OSError):  # not a file of the system: it keeps its own position
            self._file.seek(self._offset)
            return self._file.read(size)

    def _send(self, future: Future[bytes]) -> None:
        error = future.exception()
        data = b"" if error is not None else future.result()
        if not data:
            self._file.close()
            self._exchange.fail(error or OSError("the file became shorter while it was sent"))
            return
        self._offset += len(data)
        self._left -= len(data)
        flow = self._exchange.write(data)
        if flow is Flow.GONE:
            self._file.close()
        elif flow is Flow.WAIT:
            self._exchange.when_writable(self.next)
        else:
            self.next()
