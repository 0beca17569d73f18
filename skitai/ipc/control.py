"""The control socket: how the command line speaks to a running master.

A Unix socket ``control`` in the var folder, 0600; only its owner and root are heard. One JSON line goes in,
``{"verb": "reload", ...}``; JSON lines come out, ``{"progress": "..."}`` any number of times and one outcome
``{"ok": true, "text": "...", ...}``, after which the connection is closed.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from skitai.errors import SkitaiError, StartError

NAME = "control"
VERBS = ("status", "reload", "stop", "reopen", "workers")

_LINE_BYTES = 4096  # longest request
_PATIENCE_S = 5.0  # from connecting to the end of the request
_CONVERSATIONS = 32  # at once
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


class NotRunning(SkitaiError):
    """Nobody answers on the control socket."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""

    verb: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended.

    :param text: one line for people.
    :param data: what else came, by name.
    """

    ok: bool
    text: str
    data: dict[str, Any] = field(default_factory=dict)


class Conversation:
    """One client, seen from the server. Nothing here blocks: a client that does not read is dropped."""

    __slots__ = ("_buffer", "_since_s", "_socket", "request")

    def __init__(self, sock: socket.socket, request: Request | None = None) -> None:
        self._socket = sock
        self._buffer = b""
        self._since_s = time.monotonic()
        self.request = request

    @classmethod
    def adopt(cls, fd: int, verb: str) -> Conversation:
        """A client of the program before the exec who still waits for an outcome."""
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        sock.setblocking(False)
        return cls(sock, Request(verb, {}))

    def hand_over(self) -> int:
        """Let it survive the next exec; its descriptor, -1 when it is over."""
        if self.fileno() >= 0:
            self._socket.set_inheritable(True)
        return self.fileno()

    def fileno(self) -> int:
        """-1 once it is over."""
        return self._socket.fileno()

    def expired(self, now: float) -> bool:
        """It has not said in time what it wants."""
        return self.request is None and now - self._since_s > _PATIENCE_S

    def receive(self) -> Request | None:
        """The request, once, when its line is complete. A client that leaves or talks nonsense is answered and closed."""
        try:
            data = self._socket.recv(_LINE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            self.close()
            return None
        if not data or self.request:
            # The end, or chatter after the request; in both cases there is nobody to wait for any more.
            self.close()
            return None
        self._buffer += data
        line, newline, _ = self._buffer.partition(b"\n")
        if newline:
            self.request = self._parse(line)
        elif len(self._buffer) > _LINE_BYTES:
            self.finish(False, f"a request has at most {_LINE_BYTES} bytes")
        return self.request

    def _parse(self, line: bytes) -> Request | None:
        try:
            arguments = json.loads(line)
            verb = arguments.pop("verb")
        except (ValueError, AttributeError, KeyError, TypeError):
            self.finish(False, 'a request is one line such as {"verb": "status"}')
            return None
        if verb not in VERBS:
            self.finish(False, f"unknown verb {verb!r}: it should be one of {', '.join(VERBS)}")
            return None
        return Request(verb, arguments)

    def progress(self, text: str) -> None:
        self._send({"progress": text})

    def finish(self, ok: bool, text: str, **data: Any) -> None:
        """Say how it ended, and close."""
        self._send({"ok": ok, "text": text, **data})
        self.close()

    def close(self) -> None:
        self._socket.close()

    def _send(self, answer: dict[str, Any]) -> None:
        if self.fileno() < 0:
            return
        data = json.dumps(answer).encode() + b"\n"
        try:
            sent = self._socket.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            self.close()


class ControlServer:
    """The master's side, for a poll loop: watch `fileno`, then `accept`."""

    __slots__ = ("_socket", "folder")

    def __init__(self, sock: socket.socket, folder: str) -> None:
        self._socket = sock
        self.folder = folder

    @classmethod
    def listen(cls, folder: str) -> ControlServer:
        """Make the socket in a var folder whose pid file we hold: what lies there is a dead server's.

        :raises StartError:
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, NAME))
            umask = os.umask(0o177)
            try:
                with _address(folder) as address:
                    sock.bind(address)
            finally:
                os.umask(umask)
            sock.listen(_CONVERSATIONS)
        except OSError as error:
            sock.close()
            raise StartError(f"cannot make the control socket in {folder}: {os.strerror(error.errno or 0)}") from error
        sock.setblocking(False)
        return cls(sock, folder)

    @classmethod
    def adopt(cls, fd: int, folder: str) -> ControlServer:
        """The socket of the program before the exec."""
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        sock.setblocking(False)
        return cls(sock, folder)

    def hand_over(self) -> int:
        self._socket.set_inheritable(True)
        return self._socket.fileno()

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self, open_conversations: int = 0) -> Conversation | None:
        """A new client, if there is one and we may listen to him."""
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return None  # he has gone again, or descriptors have run out
        sock.setblocking(False)
        conversation = Conversation(sock)
        if _peer_uid(sock) not in (0, os.geteuid()):
            conversation.finish(False, "only the server's user and root may control it")
            return None
        if open_conversations >= _CONVERSATIONS:
            conversation.finish(False, "too many clients at once")
            return None
        return conversation

    def close(self) -> None:
        """Close it in a child; the master goes on listening."""
        self._socket.close()

    def remove(self) -> None:
        """Close it and delete its file."""
        self.close()
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, NAME))


def call(folder: str, verb: str, *, timeout_s: float | None = None, **arguments: Any) -> Iterator[str | Outcome]:
    """Ask the server of a var folder for something: lines of progress come out, and then the outcome.

    :param timeout_s: how long to wait for each answer; None waits as long as the server lives.
    :raises NotRunning: nobody listens there, or the server left or fell silent before it gave an outcome.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            with _address(folder) as address:
                sock.connect(address)
        except PermissionError:
            raise NotRunning(f"no permission to control the server in {folder}") from None
        except OSError as error:
            raise NotRunning(f"no server is running in {folder}") from error
        if _peer_uid(sock) not in (0, os.geteuid()) and os.geteuid() != 0:
            raise NotRunning(f"the control socket in {folder} belongs to another user")
        try:
            sock.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if "ok" in answer:
                        yield Outcome(answer.pop("ok"), answer.pop("text"), answer)
                        return
                    yield str(answer["progress"])
        except TimeoutError:
            raise NotRunning(f"the server in {folder} does not answer") from None
        except OSError as error:
            raise NotRunning(f"the server in {folder} has gone") from error
    raise NotRunning(f"the server in {folder} has gone")


def ask(
    folder: str,
    verb: str,
    *,
    on_progress: Callable[[str], object] = lambda text: None,
    timeout_s: float | None = None,
    **arguments: Any,
) -> Outcome:
    """The same as `call`, for those who want the outcome."""
    for answer in call(folder, verb, timeout_s=timeout_s, **arguments):
        if isinstance(answer, Outcome):
            return answer
        on_progress(answer)
    raise NotRunning(f"the server in {folder} has gone")


@contextmanager
def _address(folder: str) -> Iterator[str]:
    """The socket's address. A Unix socket's path has at most 107 bytes, so a long folder is named by its descriptor."""
    path = os.path.join(folder, NAME)
    if len(os.fsencode(path)) < 100:
        yield path
        return
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)


def _peer_uid(sock: socket.socket) -> int:
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)
