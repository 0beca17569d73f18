"""The request log: one line a request, gathered and written once per turn of the worker's loop.

Items, separated by blanks: date, time, client address, Host or -, method, target, version, request body bytes, status,
response bytes, global id, local id, user, bearer token (masked), referer, user agent, X-Forwarded-For, worker, connections,
milliseconds of handling, milliseconds of sending. Values of the client are escaped and quoted where the table says so.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from skitai.http.head import Head
from skitai.log.appendfile import FLAGS, MODE, complain
from skitai.log.localtime import local
from skitai.log.txn import FIRST, Transactions

LINES_KEPT = 20_000
"""Lines kept while they cannot be written (a full disk), before the oldest are dropped."""

RETRY_S = 1.0
"""Then writing is tried again: not at every line, for that would slow the requests down."""

UNSAFE = re.compile(r'[\x00-\x20"\\\x7f-\xff]')
UNSAFE_QUOTED = re.compile(r'[\x00-\x1f"\\\x7f]')


class Peer(Protocol):
    client: str


class Answered(Protocol):
    """What is known of a request that was answered: the exchange that carried it.

    :ivar peer: whoever asked.
    :ivar received: bytes of its body.
    :ivar sent: bytes of its response, head included.
    :ivar serial: its serial in this worker (`Transactions`).
    :ivar began: when its head, or its whole body, was there, on the monotonic clock.
    :ivar fields: of the response.
    """

    head: Head
    received: int
    status: int
    serial: int
    user: str
    began: float

    @property
    def sent(self) -> int: ...
    @property
    def fields(self) -> Iterable[tuple[Any, Any]]: ...
    @property
    def peer(self) -> Peer: ...


Entry = tuple[Answered, float, float]
"""A request, when its response was complete, and when the client's side had taken it (both on the monotonic clock). A plain
tuple, because one is made for every request; all else is looked up when the line is written."""


class RequestLog:
    """Queue and writer of the request log of one worker.

    `add` may be called from any thread; everything else belongs to the loop's.

    :ivar transactions: gives the requests their ids.
    :param path: the file; "" for none.
    :param console: write to standard output as well.
    :param off: paths that are not logged: ``"*.css"`` ends with, anything else begins with. "/" itself is always logged.
    :param worker: "W0", "W1", ...; "M" for the master.
    """

    def __init__(
        self,
        worker: str,
        path: str = "",
        console: bool = False,
        *,
        as_json: bool = False,
        off: tuple[str, ...] = (),
    ) -> None:
        self.transactions = Transactions()
        self._prefix = self.transactions.prefix
        self._worker = worker
        self._path = path
        self._console = console
        self._text = self._json_line if as_json else self._line
        self._endings = tuple(each[1:] for each in off if each.startswith("*"))
        self._beginnings = tuple(each.rstrip("*") for each in off if not each.startswith("*"))
        self._pending: deque[Entry] = deque()
        self._unwritten: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._second, self._stamp = 0, ""
        self._troubled = False
        self._next_try_s = 0.0
        self._epoch = 0.0
        self._open = 0
        self._file = -1
        self.connections: Callable[[], int] = int
        """Says how many connections there are."""
        self.add = self._pending.append if path or console else ignore
        """Queue an `Entry`."""

    def open(self) -> None:
        """Open the file, or open it again after it was renamed.

        :raises OSError: the file cannot be written; the old one stays open.
        """
        if self._path:
            file = os.open(self._path, FLAGS, MODE)
            self._next_try_s = 0.0
            self.flush()
            self._file, old = file, self._file
            if old >= 0:
                os.close(old)

    def close(self) -> None:
        self._next_try_s = 0.0
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def flush(self) -> None:
        """Write what is queued."""
        pending = self._pending
        if not pending and not self._unwritten:
            return
        self._epoch = time.time() - time.monotonic()
        self._open = self.connections()
        text = self._text
        lines = []
        while pending:
            lines.append(text(pending.popleft()))
        data = "".join(lines).encode("latin-1", "backslashreplace")
        if self._console and data:
            self._show(data)
        if self._file >= 0:
            if self._unwritten:
                if time.monotonic() < self._next_try_s:
                    self._keep(data)
                    return
                data = b"".join((*self._unwritten, data))
            self._write(data)

    @staticmethod
    def _show(data: bytes) -> None:
        try:
            sys.stdout.flush()
            os.write(1, data)
        except (OSError, ValueError):
            return  # nobody looks at the console any more; the file, where there is one, has the line

    def _write(self, data: bytes) -> None:
        """One write for all lines, so that lines of several workers never mix."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            if not self._troubled:
                complain(f"cannot write to {self._path}: {error.strerror}; lines are kept for later")
            self._troubled = True
            self._next_try_s = time.monotonic() + RETRY_S
            self._unwritten.clear()
            self._keep(data[written:])
            return
        self._troubled = False
        self._unwritten.clear()

    def _keep(self, data: bytes) -> None:
        """Keep lines for later; the oldest are dropped when there are too many."""
        self._unwritten.extend(data.splitlines(keepends=True))

    def _line(self, entry: Entry) -> str:
        request, ended, taken = entry
        head = request.head
        forms = head.forms.get("log") or self._forms(head)
        if forms is OFF:
            return ""
        before, after, ids = forms
        second = int(ended + self._epoch)
        if second != self._second:
            self._second, self._stamp = second, f"{local(second):%Y.%m.%d %H:%M:%S}"
        user = request.user
        fields = request.fields
        note = "" if type(fields) is list or type(fields) is tuple else getattr(fields, "note", "")  # most have none
        return (
            f"{self._stamp} {request.peer.client or '-'} {before} {request.received} {request.status} {request.sent} "
            f"{ids or f'{self._prefix}{request.serial} {FIRST}'} {quoted(user) if user else '-'} {after} {self._open} "
            f"{int((ended - request.began) * 1000 + 0.5)} {0 if taken is ended else int((taken - ended) * 1000 + 0.5)}"
            f"{note and ' ' + note}\n"
        )

    def _forms(self, head: Head) -> tuple[str, str, str]:
        """The parts of a line that depend on the head alone, or OFF; kept on the head."""
        if self.is_off(head.raw_path):
            head.forms["log"] = OFF
            return OFF
        fields = head.fields
        handed = self.transactions.handed(fields)
        forwarded = fields.text("x-forwarded-for")
        forms = (
            f"{escaped(fields.text('host')) or '-'} {head.method} {escaped(head.target)} {head.version}",
            f"{masked_token(fields.text('authorization'))} {quoted(fields.text('referer'))} "
            f"{quoted(fields.text('user-agent'))} {escaped(forwarded.replace(' ', '')) or '-'} {self._worker}",
            " ".join(handed) if handed else "",
        )
        head.forms["log"] = forms
        return forms

    def _json_line(self, entry: Entry) -> str:
        request, ended, taken = entry
        head, fields = request.head, request.head.fields
        if self.is_off(head.raw_path):
            return ""
        txn = self.transactions.ids(request.serial, fields)
        moment = local(ended + self._epoch)
        line = {
            "time": moment.strftime(f"%Y-%m-%dT%H:%M:%S.{moment.microsecond // 1000:03d}%z"),
            "client": request.peer.client,
            "host": fields.text("host"),
            "method": head.method,
            "uri": head.target,
            "version": head.version,
            "received": request.received,
            "status": request.status,
            "sent": request.sent,
            "content_type": content_type(request.fields),
            "gtxid": txn[0],
            "ltxid": txn[1],
            "user": request.user,
            "token": masked_token(fields.text("authorization")),
            "referer": fields.text("referer"),
            "user_agent": fields.text("user-agent"),
            "forwarded_for": fields.text("x-forwarded-for"),
            "worker": self._worker,
            "connections": self._open,
            "handling_ms": round((ended - request.began) * 1000, 1),
            "sending_ms": round((taken - ended) * 1000, 1),
        }
        if note := getattr(request.fields, "note", ""):
            line["note"] = note
        return json.dumps(line, separators=(",", ":")) + "\n"

    def is_off(self, path: str) -> bool:
        """Whether requests of this path are not logged."""
        if path == "/":
            return False
        return bool(
            (self._endings and path.endswith(self._endings)) or (self._beginnings and path.startswith(self._beginnings))
        )


LINE = "%s %s %s %d %d %d %s %s %s %d %.0f %.0f\n"

OFF = ("", "", "")

LONG_TOKEN = 16
"""Of shorter tokens, four characters would give too much away."""


def content_type(fields: Iterable[tuple[Any, Any]]) -> str:
    """The media type of a response; "" when it names none."""
    for name, value in fields:
        if name.lower() in ("content-type", b"content-type"):
            return value if isinstance(value, str) else str(value, "latin-1")
    return ""


def ignore(record: Entry) -> None:
    """Takes the place of `add` where no request log is wanted."""


def escaped(value: str) -> str:
    """A client's value as one word: no blank, quote or control character can forge items or lines."""
    return UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", value)


def quoted(value: str) -> str:
    """A client's value in double quotes, or - when empty."""
    if not value:
        return "-"
    return '"' + UNSAFE_QUOTED.sub(lambda match: f"\\x{ord(match[0]):02x}", value) + '"'


def masked_token(authorization: str) -> str:
    """The bearer token of an Authorization value, recognisable but of no use to a reader of logs; - for others."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return "-"
    return escaped(token[:4] if len(token) >= LONG_TOKEN else "") + "***"
