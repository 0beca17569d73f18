"""TLS on the sockets of `net.polling`: the handshake within a time, reading as records come, writing from any thread.

OpenSSL works on the socket itself, without a buffer in between, and only in the loop's thread: it gives the interpreter lock
up at each call, and with app threads at work each of them would have to fight for it. What threads write is taken and
encrypted when the loop comes to it, all of it in one go.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from threading import get_ident
from typing import Any

from skitai.net.polling import READABLE, WRITABLE, Factory, Poller, SocketTransport

log = logging.getLogger("skitai.server")

QUEUE_BYTES = 65536
"""Taken of threads while the client takes nothing; about what a socket of the kernel would take."""

LEAVE_S = 30.0
"""A client has this long to take what is left when its connection closes."""

RECORD_BYTES = 16384
"""Longest plaintext of a record (RFC 8446, section 5.1); what one read gives at most."""

TOLD_AT_ONCE = 20
TOLD_S = 10.0
"""So many failed handshakes are logged one by one in such a time, of others their number: nobody shall fill a disk."""

PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 34\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS, not HTTP.\n"
)
"""For those who forgot the s."""


class Handshakes:
    """Those of a listener: begins TLS on the sockets that it accepts.

    :param longest_s: a handshake has so long.
    :param most: at once; beyond them the oldest gives way, so that those that stall keep nobody out.
    :ivar going: the oldest first.
    """

    def __init__(self, context: ssl.SSLContext, longest_s: float, most: int) -> None:
        self.longest_s = longest_s
        self.going: dict[TlsTransport, None] = {}
        self._context = context
        self._most = most
        self._told = 0
        self._told_since = -inf

    def serve(self, poller: Poller, sock: socket.socket, factory: Factory, peer: Any) -> None:
        """What `polling.Listener` makes transports with."""
        sock.setblocking(False)
        try:
            secure = self._context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except (OSError, ValueError):
            sock.close()  # the client has left already
            return
        if len(self.going) >= self._most:
            next(iter(self.going)).give_way()
        TlsTransport(poller, secure, factory, peer, self).begin()

    def failed(self, peer: Any, error: Exception, now: float) -> None:
        """Log why a handshake failed.

        :param now: monotonic time in seconds.
        """
        if now - self._told_since >= TOLD_S:
            if self._told > TOLD_AT_ONCE:
                log.info("TLS: %d more handshakes failed", self._told - TOLD_AT_ONCE)
            self._told_since, self._told = now, 0
        self._told += 1
        if self._told <= TOLD_AT_ONCE:
            said = (error.reason or "").replace("_", " ").lower() if isinstance(error, ssl.SSLError) else str(error)
            client = peer[0] if isinstance(peer, tuple) and peer else "a client"
            log.info("TLS handshake with %s: %s", client, said or "the client left")


class TlsTransport(SocketTransport):
    """A transport whose protocol is made when the handshake has succeeded."""

    __slots__ = (
        "_alarm",
        "_factory",
        "_given",
        "_given_bytes",
        "_handshakes",
        "_read_record",
        "_secure",
        "_spilled",
        "_taken_bytes",
        "_unwrapped",
        "_write_record",
    )

    def __init__(self, poller: Poller, sock: ssl.SSLSocket, factory: Factory, peer: Any, handshakes: Handshakes) -> None:
        super().__init__(poller, sock, None, peer)
        self._secure = sock
        self._factory = factory
        self._handshakes = handshakes
        self._alarm: asyncio.TimerHandle | None = None
        self._given: deque[bytes] = deque()
        self._given_bytes = 0  # by threads, ever
        self._taken_bytes = 0  # of these by the loop; each number has one writer, for none of them takes a lock
        self._spilled = False
        self._unwrapped = False
        self._read_record: Callable[[int, Any], int]
        self._write_record: Callable[[bytes | memoryview], int]

    def begin(self) -> None:
        self._handshakes.going[self] = None
        self._alarm = self._poller.loop.call_later(self._handshakes.longest_s, self._late)
        self._poller.register(self._fd, READABLE, self._greet)
        self._greet(READABLE)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._secure if name == "ssl_object" else super().get_extra_info(name, default)

    # The handshake

    def _greet(self, events: int) -> None:
        """Look at the first byte: plain HTTP begins with a letter, TLS does not (RFC 8446, section 5.1)."""
        if self._fd < 0:
            return
        try:
            first = socket.socket.recv(self._sock, 1, socket.MSG_PEEK)  # below TLS, as is what follows
            if first.isalpha():
                socket.socket.send(self._sock, PLAIN_HTTP)
                self._sock_read()  # or the answer would be lost to a reset
                self._refuse(ValueError("it was plain HTTP"))
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._refuse(error)
            return
        self._poller.rehandle(self._fd, self._shake)
        self._shake(events)

    def _shake(self, events: int) -> None:
        """Go on with the handshake, and begin to serve when it is done."""
        if self._fd < 0:
            return
        try:
            self._secure.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(READABLE)
        except ssl.SSLWantWriteError:
            self._watch(READABLE | WRITABLE)
        except (OSError, ValueError) as error:
            self._refuse(error)
        else:
            self._shaken()
            # The object within does the same, without two functions of Python's around each call.
            within: Any = getattr(self._secure, "_sslobj", None) or self._secure
            self._read_record, self._write_record = within.read, within.write
            self._watch(READABLE)
            self._poller.rehandle(self._fd, self._ready)
            self._protocol = self._factory()
            self._protocol.connection_made(self)
            self._ready(READABLE)

    def _shaken(self) -> None:
        """The handshake is over, however."""
        self._handshakes.going.pop(self, None)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _late(self) -> None:
        self._refuse(TimeoutError("it took too long"))

    def give_way(self) -> None:
        """Others want to begin."""
        self._refuse(TimeoutError("too many at once, and it was the oldest"))

    def _refuse(self, error: Exception) -> None:
        if self._fd >= 0:
            self._handshakes.failed(self._peer, error, self._poller.loop.time())
            self._lose(None)

    # Reading

    def _ready(self, events: int) -> None:
        """Hand over what has come. A whole record is asked for, so that OpenSSL keeps nothing that the poller cannot see."""
        if events & WRITABLE:
            if self._outgoing:
                self._flush()
            if not events & ~WRITABLE:
                return
        poller = self._poller
        while self._fd >= 0 and self._events & READABLE:
            if self._unwrapped:
                self._discard()
                return
            try:
                size = self._read_record(RECORD_BYTES, poller.buffer)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except ssl.SSLEOFError:
                self._lose(None)  # without a farewell: what came may have been cut
                return
            except ssl.SSLZeroReturnError:
                self._end()
                return
            except (OSError, ValueError) as error:
                self._lose(error if isinstance(error, OSError) else None)
                return
            if not size:
                self._end()
                return
            data = poller.view[:size].tobytes()
            more = size == RECORD_BYTES  # then there is probably another one; else the poller will say
            if poller.round:
                # App threads that this wakes would fight for the interpreter lock with the reading of the next sockets.
                poller.behind.append((self._deliver, data, more))
                return
            self._protocol.data_received(data)
            if not more:
                return

    def _deliver(self, data: bytes, more: bool) -> None:
        if self._fd >= 0:
            self._protocol.data_received(data)
            if more:
                self._ready(READABLE)

    def _end(self) -> None:
        if self._ended:
            self._lose(None)
        else:
            self._end_reading()

    def _discard(self) -> None:
        """We have said farewell: what the client still sends is nobody's."""
        if not self._sock_read():
            self._lose(None)
        elif self._protocol is not None:
            self._protocol.data_received(b"\0")  # only that something came matters

    def _sock_read(self) -> bool:
        """Read what there is, encrypted; False at the end."""
        size: int = self._poller.read(self._fd, self._poller.buffer, len(self._poller.view))
        return size != 0

    # Writing

    def send(self, descriptor: int, data: bytes) -> int:
        """Send without blocking, from any thread, one at a time; what was not taken has to be sent first thing afterwards.

        :returns: bytes taken.
        :raises OSError: the connection is broken.
        """
        poller = self._poller
        if get_ident() == poller.thread:
            self._take_given()
            return 0 if self._outgoing else self._encrypt(data)
        if self._size + self._given_bytes - self._taken_bytes > QUEUE_BYTES:
            return 0
        self._given_bytes += len(data)
        self._given.append(data)
        poller.waiting.append(self._take_given)
        if not poller.told:
            poller.tell()
        return len(data)

    def _take_given(self) -> None:
        """Send what threads gave; several small pieces as one record, for each costs a call of the system."""
        given = self._given
        if not given:
            return
        data = given.popleft()
        if given:
            pieces = [data]
            while given:
                pieces.append(given.popleft())
            data = b"".join(pieces)
        self._taken_bytes += len(data)
        if self._fd < 0:
            return
        if not self._outgoing:
            try:
                taken = self._encrypt(data)
            except OSError as error:
                self._lose(error)
                return
            if taken == len(data):
                return
            data = data[taken:]
            self._watch(self._events | WRITABLE)
        self._outgoing.append(data)
        self._size += len(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._spilled = True
        self._take_given()
        super().write(data)

    def get_write_buffer_size(self) -> int:
        return self._size + self._given_bytes - self._taken_bytes

    def _encrypt(self, data: bytes | memoryview) -> int:
        """Send what the socket takes; OpenSSL takes one record at a time.

        :returns: bytes taken.
        """
        taken = 0
        try:
            taken = self._write_record(data)
            while taken < len(data):
                taken += self._write_record(memoryview(data)[taken:])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return taken
        except ValueError as error:  # farewell was said, or the socket closed
            raise BrokenPipeError(str(error)) from error
        return taken

    def _transmit(self, data: bytes | memoryview) -> int:
        sent = self._encrypt(data)
        if not sent:
            raise BlockingIOError
        return sent

    def _flushed(self) -> None:
        if self._spilled:  # else nobody waits to hear of it
            self._spilled = False
            super()._flushed()

    # The end

    def _shut(self) -> None:
        self._farewell()
        self._unwrapped = True
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _farewell(self) -> None:
        """Say that nothing follows (RFC 8446, section 6.1), so that the client knows that it has everything."""
        with suppress(OSError, ValueError):
            self._secure.unwrap()

    def write_eof(self) -> None:
        self._take_given()
        super().write_eof()

    def _leave(self) -> None:
        if not self._unwrapped:
            self._farewell()
        super()._leave()

    def close(self) -> None:
        self._take_given()
        if self._closing or self._fd < 0:
            return
        if self._outgoing:
            self._alarm = self._poller.loop.call_later(LEAVE_S, self.abort)
        elif self._protocol is not None and not self._unwrapped:
            self._farewell()
        super().close()

    def _lose(self, error: OSError | None) -> None:
        self._shaken()
        super()._lose(error)
