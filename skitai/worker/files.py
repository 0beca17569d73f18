"""Sending files: read off the loop in large pieces, at the client's pace.

No sendfile: uvloop has none, and under TLS it would not help; large reads and writes come within a tenth of it.
"""

from __future__ import annotations

import io
import os
from typing import IO, Any

from skitai.exchange import Flow
from skitai.worker.services import Services

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
        """Go on in a thread for files, as long as the client takes what is written."""
        self._services.disk.submit(self._send)

    def _send(self) -> None:
        exchange = self._exchange
        try:
            while self._left:
                data = self._read(min(self._left, PIECE_BYTES))
                if not data:
                    raise OSError("the file became shorter while it was sent")
                self._offset += len(data)
                self._left -= len(data)
                flow = exchange.write(data)
                if flow is Flow.WAIT and self._left:
                    exchange.when_writable(self.next)
                    return
                if flow is Flow.GONE:
                    self._left = 0
            self._file.close()
            exchange.finish()
        except (OSError, ValueError) as error:
            self._file.close()
            exchange.fail(error)

    def _read(self, size: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), size, self._offset)
        except (AttributeError, io.UnsupportedOperation):  # no file of the system: it keeps its own position
            self._file.seek(self._offset)
            return self._file.read(size)
