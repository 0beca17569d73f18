"""Sockets read through one epoll of our own, below any asyncio loop.

An event loop's transports enter the interpreter once for each readable socket, giving the interpreter lock up in between;
with app threads waiting for that lock, each request pays for a fight. Here one callback of the loop takes all that is
readable, keeps the lock, and reads without blocking into one buffer: the app threads run when the loop waits. What a
protocol sees is asyncio's: `connection_made`, `data_received`, `eof_received`, `connection_lost`, and a transport.

Only for stream sockets on Linux; elsewhere the loop's own transports serve. TLS is a transport on top (`net.secure`).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

AVAILABLE = hasattr(select, "epoll") and hasattr(socket, "MSG_DONTWAIT")

BUFFER_BYTES = 262144
EVENTS = 256
ACCEPTS = 16
"""Connections accepted in one go, so that the other workers get some of a burst."""

PASSING = (errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EPROTO)
"""What may go wrong with one connection while it is accepted; the next one is not concerned."""

INTERNET = (socket.AF_INET, socket.AF_INET6)

if AVAILABLE:
    READABLE = select.EPOLLIN | select.EPOLLRDHUP
    WRITABLE = select.EPOLLOUT

Factory = Callable[[], asyncio.Protocol]
Serve = Callable[["Poller", socket.socket, Factory, Any], object]
"""Makes the transport of an accepted socket: `SocketTransport`, or what has the same arguments."""


class Poller:
    """The sockets of one loop.

    :ivar thread: the loop's.
    :ivar waiting: what is to be called in it; from any thread, which then asks it to (`tell`) unless it is `told`.
    :ivar told: the loop will come to what waits.
    :ivar round: sockets are being read, one after the other.
    :ivar behind: what was read, and who is to be called with it when all of them have been.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self.buffer = ctypes.create_string_buffer(BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        # Keeps the interpreter lock: sockets do not block. No `argtypes`, no `use_errno`: each doubles the cost of a call.
        library = ctypes.PyDLL(None)
        self.read, self.write = library.read, library.write
        self.thread = threading.get_ident()
        self.waiting: deque[Callable[[], None]] = deque()
        self.told = False
        self.round = False
        self.behind: deque[tuple[Callable[[bytes, bool], None], bytes, bool]] = deque()
        loop.add_reader(self._epoll.fileno(), self._ready)

    def tell(self) -> None:
        """Have the loop call what is `waiting`; from any thread. Unless it is `told`: so many jobs are one wake-up."""
        self.told = True
        self.loop.call_soon_threadsafe(self._run_waiting)

    def _run_waiting(self) -> None:
        self.told = False  # first, so that a job that comes meanwhile asks for another turn
        waiting = self.waiting
        while waiting:
            waiting.popleft()()

    def close(self) -> None:
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def register(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def rehandle(self, fd: int, handler: Callable[[int], None]) -> None:
        """Have events of a socket handled by somebody else from now on."""
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _ready(self) -> None:
        handlers = self._handlers
        self.round = True
        try:
            for fd, events in self._epoll.poll(0, EVENTS):
                handler = handlers.get(fd)
                if handler is not None:  # forgotten by the handler of an earlier event
                    handler(events)
        finally:
            self.round = False
        while self.behind:
            receiver, data, more = self.behind.popleft()
            receiver(data, more)


class Listener:
    """Accepts on one listening socket.

    :param sock: owned from now on, closed by `close`.
    :param failed: called with the error when accepting fails, for want of descriptors or memory, say.
    :param serve: makes the transports.
    """

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        factory: Factory,
        failed: Callable[[OSError], object],
        serve: Serve | None = None,
    ) -> None:
        self._poller = poller
        self._failed = failed
        self._serve = serve or serve_plain
        self._sock = sock
        self._factory = factory
        sock.setblocking(False)
        # Exclusive: of the workers that wait on this socket, one is woken for a connection, not all.
        poller.register(sock.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE, self._accept)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._poller.forget(self._sock.fileno())
            self._sock.close()

    def _accept(self, events: int) -> None:
        for _ in range(ACCEPTS):
            if self._sock.fileno() < 0:
                return
            try:
                sock, peer = self._sock.accept()
            except OSError as error:
                if error.errno not in PASSING:
                    self._failed(error)
                return
            self._serve(self._poller, sock, self._factory, peer)


def serve_plain(poller: Poller, sock: socket.socket, factory: Factory, peer: Any) -> None:
    SocketTransport(poller, sock, factory(), peer).begin()


class SocketTransport(asyncio.Transport):
    """A transport over an accepted socket, which it owns."""

    __slots__ = (
        "_closing",
        "_ended",
        "_eof_wanted",
        "_events",
        "_fd",
        "_outgoing",
        "_peer",
        "_poller",
        "_protocol",
        "_size",
        "_sock",
    )

    def __init__(self, poller: Poller, sock: socket.socket, protocol: asyncio.Protocol | None, peer: Any = None) -> None:
        super().__init__()
        sock.setblocking(False)
        self._poller = poller
        self._sock = sock
        self._fd = sock.fileno()
        self._peer = peer
        self._protocol: Any = protocol
        self._outgoing: deque[bytes | memoryview] = deque()
        self._size = 0
        self._closing = False
        self._eof_wanted = False
        self._ended = False
        self._events = READABLE

    def begin(self) -> None:
        """Tell the protocol, and read."""
        self._protocol.connection_made(self)
        if not self._closing:
            self._poller.register(self._fd, READABLE, self._ready)

    def __repr__(self) -> str:
        return f"<SocketTransport fd={self._fd} {'closing' if self._closing else 'open'} outgoing={self._size}>"

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        match name:
            case "socket":
                return self._sock
            case "peername":
                return self._peer
            case "sockname":
                return self._sock.getsockname()
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol go on."""
        self._protocol = protocol

    # Reading

    def _ready(self, events: int) -> None:
        if events & WRITABLE and self._outgoing:
            self._flush()
            if self._fd < 0:
                return
        if events & ~WRITABLE:
            poller = self._poller
            size = poller.read(self._fd, poller.buffer, BUFFER_BYTES)
            if size > 0:
                self._protocol.data_received(poller.view[:size].tobytes())
            else:
                self._read_again(size < 0)

    def _read_again(self, failed: bool) -> None:
        """The fast read brought nothing; this one says why.

        :param failed: it brought an error, which the system tells but once: an end that follows is none.
        """
        try:
            data = self._sock.recv(BUFFER_BYTES)
        except (BlockingIOError, InterruptedError):
            if not self._events & READABLE:
                self._lose(None)  # hung up while reading is paused: nothing can be read or written any more
        except OSError as error:
            self._lose(error)
        else:
            if data:
                self._protocol.data_received(data)
            elif failed:
                self._lose(ConnectionResetError(errno.ECONNRESET, "the other side broke off"))
            elif not self._ended:
                self._end_reading()
            else:
                self._lose(None)  # hung up on both sides

    def _end_reading(self) -> None:
        """The client ended its side; it may still read ours."""
        self._ended = True
        self._watch(self._events & ~READABLE)
        if not self._protocol.eof_received():
            self.close()

    def is_reading(self) -> bool:
        return bool(self._events & READABLE)

    def pause_reading(self) -> None:
        self._watch(self._events & ~READABLE)

    def resume_reading(self) -> None:
        if not self._ended:
            self._watch(self._events | READABLE)

    def _watch(self, events: int) -> None:
        if events != self._events and self._fd >= 0:
            self._events = events
            self._poller.modify(self._fd, events)

    # Writing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The protocol is told when everything is written, whatever the limits."""

    def get_write_buffer_size(self) -> int:
        return self._size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._fd < 0 or not data:
            return
        self._outgoing.append(bytes(data))
        self._size += len(data)
        self._flush()

    def _flush(self) -> None:
        outgoing = self._outgoing
        while outgoing:
            data = outgoing[0]
            try:
                sent = self._transmit(data)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._lose(error)
                return
            self._size -= sent
            if sent < len(data):
                outgoing[0] = memoryview(data)[sent:]  # a copy for each piece would be quadratic
                break
            outgoing.popleft()
        if outgoing:
            self._watch(self._events | WRITABLE)
            return
        self._watch(self._events & ~WRITABLE)
        if self._eof_wanted:
            self._shut()
        if self._closing:
            self._leave()
        else:
            self._flushed()

    def _leave(self) -> None:
        """Everything is sent before the end."""
        self._lose(None)

    def _flushed(self) -> None:
        """Everything is sent."""
        self._poller.loop.call_soon(self._written)

    def _transmit(self, data: bytes | memoryview) -> int:
        """Send what the socket takes now.

        :raises BlockingIOError: nothing.
        """
        return self._sock.send(data)

    def _written(self) -> None:
        if not self._outgoing and self._fd >= 0:
            self._protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._eof_wanted = True
        if not self._outgoing:
            self._shut()

    def _shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lose(error)

    # The end

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if self._outgoing:
                self._watch(self._events & ~READABLE)
            else:
                self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        """Stop at once; the protocol hears of it in the next turn, and the descriptor stays open until it has."""
        if self._fd < 0:
            return
        self._closing = True
        self._poller.forget(self._fd)
        self._fd = -1
        self._outgoing.clear()
        self._size = 0
        self._poller.loop.call_soon(self._lost, error)

    def _lost(self, error: OSError | None) -> None:
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(error)
        finally:
            self._sock.close()
            self._protocol = None


def reset_at_close(transport: Any) -> None:
    """Have the other side see a reset, not an end, when the transport of a TCP connection is aborted (tcp(7), SO_LINGER)."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in INTERNET:
        with suppress(OSError):  # it is closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
