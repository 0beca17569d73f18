"""Listening sockets: opened before the first worker is forked, inherited by every worker, handed on when the master
replaces itself by a new generation.

All are non-blocking and none survives an exec unless `Listener.hand_over` says so.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any

from skitai.config.sections.serving import Server, Tls
from skitai.errors import StartError
from skitai.net.address import Address, Tcp, Unix, parse

FIRST_SYSTEMD_DESCRIPTOR = 3
"""sd_listen_fds(3)"""

PLAIN = Tls()

SYSTEMD = "systemd:"
"""Begins the spec of a socket that the service manager opened."""


class Listener:
    """A listening socket.

    :ivar spec: the entry of the configuration that asked for it, by which a new generation finds it again.
    :ivar scheme: "http" or "https".
    :ivar file: (path, inode, change time in ns) of a Unix socket's file when we made it. Inodes are soon used again.
    """

    __slots__ = ("_place", "file", "scheme", "socket", "spec")

    def __init__(self, sock: socket.socket, spec: str, file: tuple[str, int, int] | None = None) -> None:
        self.socket = sock
        self._place = sock.getsockname()  # it has a name still when it is closed: a server that stops can say what it was
        self.spec = spec
        self.file = file
        self.scheme = "http"

    @property
    def port(self) -> int:
        """TCP port; 0 of a Unix socket."""
        return self._place[1] if isinstance(self._place, tuple) else 0

    @property
    def name(self) -> str:
        """The address for people: "http://127.0.0.1:5000" or "unix:/run/app.sock"."""
        return _name(self._place, self.scheme)

    def hand_over(self) -> dict[str, Any]:
        """Let the descriptor survive the next exec, and describe it (JSON types) for `adopt` on the other side."""
        self.socket.set_inheritable(True)
        return {"fd": self.socket.fileno(), "spec": self.spec, "file": self.file}

    @classmethod
    def adopt(cls, description: dict[str, Any]) -> Listener:
        """Take over what `hand_over` described, in the program that followed the exec.

        :raises StartError: the descriptor is no listening socket.
        """
        file = description["file"]
        return cls(_given(description["fd"], description["spec"]), description["spec"], tuple(file) if file else None)

    def close(self) -> None:
        """Close the descriptor of this process; others go on listening."""
        self.socket.close()

    def remove(self) -> None:
        """Close the descriptor and delete the file of a Unix socket that we made, unless it has been replaced since.

        Only for the one process that owns the address, at its end.
        """
        self.close()
        if self.file is None:
            return
        path, inode, changed_ns = self.file
        # Gone already, or in a folder where the user that we became may not delete: the next start replaces a dead file.
        with suppress(FileNotFoundError, PermissionError):
            found = os.lstat(path)
            if (found.st_ino, found.st_ctime_ns) == (inode, changed_ns):
                os.unlink(path)

    def __repr__(self) -> str:
        return f"<Listener {self.spec} fd={self.socket.fileno()}>"


def open_listeners(
    server: Server,
    inherited: Iterable[Listener] = (),
    environ: MutableMapping[str, str] = os.environ,
    tls: Tls = PLAIN,
) -> list[Listener]:
    """Listen where the configuration says.

    Sockets of a service manager (LISTEN_FDS, see sd_listen_fds(3)) take the place of what the configuration says; they
    belong to the first program that looks, so their variables are removed from `environ`.

    :param inherited: listeners of the generation before. Those that are still wanted are kept; the others are closed and
        their files removed once everything else has worked.
    :raises StartError: busy port, no permission, unknown address. What was opened is closed again and `inherited` is
        untouched, so that the caller can go on with it.
    """
    old = list(inherited)
    listeners = [each for each in old if each.spec.startswith(SYSTEMD)] or _from_service_manager(environ)
    try:
        for address in [] if listeners else _wanted(server, tls):
            for each in _open(address, server, _without(old, listeners)):
                listeners.append(each)  # one by one: what was opened before a failure must be closed
        for each in listeners:
            _listen(each, server.backlog)
            each.scheme = "https" if tls.certfile and each.port not in {0, tls.forward_port} else "http"
    except BaseException:
        for each in _without(listeners, old):
            each.remove()
        raise
    for each in _without(old, listeners):
        each.remove()
    return listeners


def _listen(listener: Listener, backlog: int) -> None:
    try:
        if listener.socket.family in (socket.AF_INET, socket.AF_INET6):
            # What is accepted has it from here on Linux. Without it a response of several writes waits for the client's
            # delayed acknowledgements: 40 ms for each.
            listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.socket.listen(backlog)
    except OSError as error:  # somebody else was quicker after we had bound, or a given socket is a connection
        raise StartError(f"cannot listen on {listener.spec}: {_reason(error)}") from error


def _without(these: list[Listener], those: list[Listener]) -> list[Listener]:
    sockets = {each.socket for each in those}
    return [each for each in these if each.socket not in sockets]


def _wanted(server: Server, tls: Tls) -> list[Address]:
    wanted: list[Address] = []
    if tls.forward_port:
        wanted.append(Tcp((tls.forward_address or server.address).strip("[]"), tls.forward_port))
    if not server.bind:
        return [Tcp(server.address.strip("[]"), server.port), *wanted]
    for text in server.bind:
        if (address := parse(text)) in wanted:
            raise StartError(f"cannot listen on {text} twice")
        wanted.append(address)
    return wanted


def _from_service_manager(environ: MutableMapping[str, str]) -> list[Listener]:
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    specs = [(FIRST_SYSTEMD_DESCRIPTOR + n, f"{SYSTEMD}{n}") for n in range(int(count))]
    return [Listener(_given(number, spec), spec) for number, spec in specs]


def _open(address: Address, server: Server, old: list[Listener]) -> Iterator[Listener]:
    """The listeners of one entry: kept from before, or new. A host name may have several addresses."""
    if kept := [each for each in old if each.spec == str(address)]:
        yield from kept
    elif isinstance(address, Tcp):
        yield from _open_tcp(address, old)
    elif isinstance(address, Unix):
        yield _open_unix(address, int(server.unix_mode, 8))
    else:
        yield Listener(_given(address.number, str(address)), str(address))


def _open_tcp(address: Tcp, old: list[Listener]) -> Iterator[Listener]:
    port = address.port
    found = 0
    places = _resolve(address)
    for number, (family, place) in enumerate(places, 1):
        place = (place[0], port, *place[2:])
        kept = [each for each in old if each.socket.family == family and each.socket.getsockname()[:2] == place[:2]]
        try:
            sock = kept[0].socket if kept else _bind_tcp(family, place)
        except OSError as error:
            # "localhost" often has an IPv6 address on machines without IPv6.
            absent = error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
            if absent and (found or number < len(places)):
                continue
            raise StartError(f"cannot listen on {_url(place)}: {_reason(error)}") from error
        found += 1
        port = sock.getsockname()[1]  # all addresses of a name share the free port that the first one got
        yield Listener(sock, str(address))


def _resolve(address: Tcp) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise StartError(f"cannot listen on {address}: unknown address {address.host!r}") from error
    return list(dict.fromkeys((int(family), place) for family, _, _, _, place in found))


def _bind_tcp(family: int, place: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier run that linger in TIME_WAIT do not block the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Whatever the system's default is: :: means IPv6 only, and 0.0.0.0 may be bound beside it.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(place)
    except BaseException:
        sock.close()
        raise
    return sock


def _open_unix(address: Unix, mode: int) -> Listener:
    path = address.path
    try:
        _clear(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # Nobody can connect before the mode is right: the file begins as ours alone.
            umask = os.umask(0o177)
            try:
                sock.bind(path)
            finally:
                os.umask(umask)
            os.chmod(path, mode)
            made = os.lstat(path)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        reason = "the path is too long for a Unix socket" if error.errno is None else _reason(error)
        raise StartError(f"cannot listen on {address}: {reason}") from error
    return Listener(sock, str(address), (path, made.st_ino, made.st_ctime_ns))


def _clear(path: str) -> None:
    """Delete the socket file that a dead server left behind."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StartError(f"cannot listen on unix:{path}: the path exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # somebody listens and is busy
    raise StartError(f"cannot listen on unix:{path}: another program listens there")


def _given(number: int, spec: str) -> socket.socket:
    """The listening socket behind a descriptor that this process was started with."""
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise StartError(f"cannot listen on {spec}: descriptor {number} is no open socket") from error
    place = sock.getsockname()
    bound = place[1] if isinstance(place, tuple) else place
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) != socket.SOCK_STREAM or not bound:
        sock.detach()
        raise StartError(f"cannot listen on {spec}: descriptor {number} is not a bound stream socket")
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is already in use"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "no permission (for ports below 1024: root or the capability CAP_NET_BIND_SERVICE)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return os.strerror(error.errno) if error.errno else str(error)


def _url(place: tuple[Any, ...], scheme: str = "http") -> str:
    return f"{scheme}://{Tcp(*place[:2])}"


def _name(place: Any, scheme: str) -> str:
    if isinstance(place, tuple):
        return _url(place, scheme)
    return str(Unix(place if isinstance(place, str) else place.decode("utf-8", "replace")))
