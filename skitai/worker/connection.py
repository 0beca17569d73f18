"""What all connections share, whatever protocol they speak: the descriptor, and writing to it from any thread.

The one lock guards the descriptor, the phase of the response and the order of the bytes. A thread writes to the socket only
while it holds the lock, without blocking, and only when nothing waits; what the kernel does not take goes to the loop. Only
the loop closes, and sets the descriptor to -1 under the lock before it does, so that no thread ever writes to a descriptor
that means another connection by now.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
import threading
from abc import abstractmethod
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

from skitai.exchange import Fields, Peer
from skitai.http import forwarded
from skitai.http.forwarded import Trusted
from skitai.worker.services import Services

MOST_CLIENTS = 256
"""Clients remembered of one connection from a proxy."""

LINGER_S = 2.0
"""A connection closed with unread input listens until the client has sent nothing for so long, or the client would lose our
answer to a reset."""

LINGER_LONGEST_S = 30.0
"""But it listens no longer than this, however long the client goes on sending."""


class Connection(asyncio.Protocol):
    """One client connection.

    :ivar due: on the monotonic clock: when `overdue` has something to decide; `inf` for never.
    :ivar clock: ends the heads of responses.
    :ivar plain: what is written goes to the socket as it is.
    :ivar send: writes to the socket without blocking; from any thread that holds the lock.
    :ivar proxied: the peer is a trusted proxy, which says who the client is.
    :ivar spilled: bytes wait for the client, in the transport or on their way to it.
    :ivar closing: no further request is read.
    """

    __slots__ = (
        "__weakref__",
        "_drained_jobs",
        "_flow_left",
        "_flow_since",
        "_handed",
        "_linger_end",
        "clock",
        "closing",
        "due",
        "fd",
        "lock",
        "opened",
        "peer",
        "plain",
        "proxied",
        "send",
        "services",
        "spilled",
        "transport",
    )

    def __init__(self, services: Services) -> None:
        self.services = services
        self.lock = threading.Lock()
        self.fd = -1
        self.spilled = False
        self.closing = False
        self._handed = 0
        self._linger_end = 0.0
        self._drained_jobs: list[Callable[[], None]] = []
        self._flow_left = 0
        self._flow_since = inf

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(0)
        sock = transport.get_extra_info("socket")
        self.fd = sock.fileno()
        self.peer = make_peer(sock.family, transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
        secure = transport.get_extra_info("ssl_object")
        self.plain = secure is None
        if secure is None:
            self.send = self.services.send
            self.clock = self.services.clock
        else:
            self.peer.scheme = "https"
            self.peer.certificate = secure.getpeercert() or None
            self.send = getattr(transport, "send", nothing)
            self.clock = self.services.secure_clock
        self.proxied = bool(self.services.trusted) and self.peer.client in self.services.trusted
        self.opened = monotonic()
        self.due = self.opened + self.services.config.timeouts.first_byte_s
        self.services.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        with self.lock:
            self.fd = -1
            jobs, self._drained_jobs = self._drained_jobs, []
        self.services.connections.discard(self)
        self.lost()
        for job in jobs:
            job()

    @abstractmethod
    def lost(self) -> None:
        """The connection is gone; tell whoever works for it."""

    @abstractmethod
    def overdue(self, now: float) -> None:
        """`due` has passed."""

    @abstractmethod
    def check(self, now: float) -> None:
        """Once a second: refuse a body that comes too slowly, see that the connection ends at its age."""

    @abstractmethod
    def retire(self) -> None:
        """No further request after the one that is being answered; an idle client may linger."""

    @abstractmethod
    def stop(self) -> None:
        """Like `retire`, but an idle connection closes at once."""

    @abstractmethod
    def drained(self) -> None:
        """Everything written has been taken."""

    def put(self, data: bytes) -> None:
        """Send; the caller holds the lock. Never blocks; what is not taken at once follows through the loop."""
        if self.fd < 0 or not data:
            return
        if not self.spilled:
            try:
                taken = self.send(self.fd, data)
            except OSError:
                self.fd = -1  # nobody writes any more; the loop closes
                self.services.on_loop(self.transport.abort)
                return
            if taken == len(data):
                return
            data = data[taken:]
            self.spilled = True
        self._handed += 1
        self.services.on_loop(self._spill, data)

    def _spill(self, data: bytes) -> None:
        with self.lock:
            self._handed -= 1
            if self.fd < 0:
                return
        self._flow_left += len(data)
        self.transport.write(data)
        if not self.transport.get_write_buffer_size():
            self.resume_writing()

    def pause_writing(self) -> None:
        """The transport says so at every spilled byte; `spilled` knows it already."""

    def resume_writing(self) -> None:
        with self.lock:
            if self._handed:
                return
            self.spilled = False
            jobs, self._drained_jobs = self._drained_jobs, []
        self._flow_since = inf
        self.drained()
        for job in jobs:
            job()

    def when_drained(self, job: Callable[[], None]) -> None:
        """Call `job` in the loop once nothing waits for the client any more; also when the connection is lost."""
        with self.lock:
            if self.spilled and self.fd >= 0:
                self._drained_jobs.append(job)
                return
        self.services.on_loop(job)

    def check_flow(self, now: float) -> None:
        """A client that takes too little of what waits for it, for too long, is let go."""
        timeouts = self.services.config.timeouts
        left = self.transport.get_write_buffer_size() + unsent(self.fd)
        waited = now - self._flow_since
        taken = self._flow_left - left  # `_flow_left` has grown by what was written meanwhile
        if waited < 0 or taken >= max(waited, 1) * timeouts.rate_bytes:
            self._flow_since, self._flow_left = now, left
        elif waited > (timeouts.rate_grace_s if taken > 0 else timeouts.request_timeout):
            self.abort()

    def finish_closing(self) -> None:
        """Close once everything is sent; belongs to the loop."""
        self.closing = True
        if self.spilled:
            self.when_drained(self.finish_closing)
        elif self.fd >= 0:
            self.transport.close()

    def linger(self) -> None:
        """Close, but let the client read our answer although it is still sending: half-close, then discard."""
        self.closing = True
        if self.fd < 0:
            return
        if self.transport.can_write_eof():
            now = monotonic()
            self._linger_end = now + LINGER_LONGEST_S
            self.due = now + LINGER_S
            self.transport.write_eof()
            self.transport.resume_reading()
        else:
            self.finish_closing()

    @property
    def lingering(self) -> bool:
        return self._linger_end > 0

    def still_sending(self) -> None:
        """Input came that nobody will read."""
        if self.lingering:
            self.due = min(monotonic() + LINGER_S, self._linger_end)

    def abort(self) -> None:
        """Cut the connection; belongs to the loop."""
        self.closing = True
        if self.fd >= 0:
            self.transport.abort()


def nothing(descriptor: int, data: bytes) -> int:
    """Takes nothing, so that all of it goes to a transport that has its own way of writing."""
    return 0


def unsent(descriptor: int) -> int:
    """Bytes in the kernel that the client's side has not taken yet (tcp(7), SIOCOUTQ), as far as the system tells.

    Without them a slow client would seem to stand still: the kernel asks for more only when much of its buffer is free.
    """
    try:
        waiting: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    except (OSError, ValueError):
        return 0
    return waiting


def make_peer(family: int, sockname: Any, peername: Any) -> Peer:
    """The two ends of an accepted socket. An early reset leaves no peer name: then the client is unknown ("")."""
    if family == socket.AF_UNIX:
        return Peer("", 0, sockname if isinstance(sockname, str) else "", 0)
    client, client_port = peername[:2] if peername else ("", 0)
    server, server_port = sockname[:2] if sockname else ("", 0)
    return Peer(unmapped(client), client_port, unmapped(server), server_port)


def vouched_for(proxy: Peer, fields: Fields, trusted: Trusted) -> Peer:
    """The two ends of a request as a trusted proxy tells them, kept with the proxy for the next request of that client."""
    forwarded_for, scheme = fields.text("x-forwarded-for"), fields.text("x-forwarded-proto").lower()
    if not forwarded_for and not scheme:
        return proxy
    peer: Peer | None = proxy.forms.get((forwarded_for, scheme))
    if peer is None:
        address = forwarded.client(proxy.client, forwarded_for, trusted)
        scheme = scheme if scheme in ("http", "https") else proxy.scheme
        peer = Peer(address, 0 if address != proxy.client else proxy.client_port, proxy.server, proxy.server_port, scheme)
        peer.proxy = proxy
        if len(proxy.forms) >= MOST_CLIENTS:
            proxy.forms.clear()
        proxy.forms[forwarded_for, scheme] = peer
    return peer


def unmapped(address: str) -> str:
    """An IPv4 address that arrived on an IPv6 socket, as IPv4 (RFC 4291, section 2.5.5.2)."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address
