"""Sending files off the loop, at the client's pace.

The kernel copies what it can from file to socket (sendfile(2)); the rest - a coded body, a body without a length, what a
slow client has to be waited for - is read and written in pieces.
"""

from __future__ import annotations

import errno
import io
import os
from typing import IO, Any

from skitai.exchange import Flow
from skitai.worker.services import Services

PIECE_BYTES = 262144

PASS_BYTES = 4 << 20
"""Most that the kernel is asked to copy at once: between two such calls a stop is noticed."""

WAIT_BYTES = 32768
"""Behind a client whose socket is full this much is written, to be told when it goes on."""


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
            piece_bytes = WAIT_BYTES if self._pass() else PIECE_BYTES
            while self._left:
                data = self._read(min(self._left, piece_bytes))
                self._advance(len(data))
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

    def _pass(self) -> bool:
        """Have the kernel copy as much as the client's socket takes; whether it could be asked to."""
        try:
            file = self._file.fileno()
        except (AttributeError, io.UnsupportedOperation):
            return False
        socket = self._exchange.lend_socket(self._left)
        if socket < 0:
            return False
        try:
            while self._left:
                taken = os.sendfile(socket, file, self._offset, min(self._left, PASS_BYTES))
                self._advance(taken)
                self._exchange.passed(taken)
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            # The socket is full, or its client gone, or the file system cannot: writing will tell.
        finally:
            os.close(socket)
        return True

    def _advance(self, size: int) -> None:
        if not size:
            raise ValueError("the file became shorter while it was sent")
        self._offset += size
        self._left -= size

    def _read(self, size: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), size, self._offset)
        except (AttributeError, io.UnsupportedOperation):  # no file of the system: it keeps its own position
            self._file.seek(self._offset)
            return self._file.read(size)
