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
from collections.abc import Iterable
from typing import Any

from skitai.http.head import Head
from skitai.log.txn import Transactions

LINES_KEPT = 20_000
"""Lines kept while they cannot be written (a full disk), before the oldest are dropped."""

UNSAFE = re.compile(r'[\x00-\x20"\\\x7f-\xff]')
UNSAFE_QUOTED = re.compile(r'[\x00-\x1f"\\\x7f]')


Entry = tuple[float, str, Head, int, int, int, int, str, int, float, float, Iterable[tuple[Any, Any]]]
"""What is known of a request when its line is queued, a plain tuple because one is made for every request:

the time it ended (seconds since the epoch); address of the client; its head; bytes of its body; status; bytes of the
response with its head; its serial in this worker (`Transactions`); user or ""; connections of the worker; seconds until the
response was complete; seconds until the client's side had taken it; the response's fields.
"""


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
        self._worker = worker
        self._path = path
        self._console = console
        self._text = self._json_line if as_json else self._line
        self._endings = tuple(each[1:] for each in off if each.startswith("*"))
        self._beginnings = tuple(each.rstrip("*") for each in off if not each.startswith("*"))
        self._pending: deque[Entry] = deque()
        self._unwritten: deque[bytes] = deque()
        self._second, self._stamp = 0, ""
        self._troubled = False
        self._file = -1
        self.add = self._pending.append if path or console else ignore
        """Queue an `Entry`."""

    def open(self) -> None:
        """Open the file, or open it again after it was renamed.

        :raises OSError: the file cannot be written; the old one stays open.
        """
        if self._path:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self.flush()
            self._file, old = file, self._file
            if old >= 0:
                os.close(old)

    def close(self) -> None:
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def flush(self) -> None:
        """Write what is queued."""
        pending = self._pending
        if not pending and not self._unwritten:
            return
        lines = []
        while pending:
            line = self._text(pending.popleft())
            if line:
                lines.append(line)
        data = "".join(lines).encode("latin-1", "backslashreplace")
        if self._console and data:
            self._show(data)
        if self._file >= 0:
            if self._unwritten:
                self._unwritten.append(data)
                data = b"".join(self._unwritten)
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
                sys.stderr.write(f"request log {self._path}: {error.strerror}; lines are kept for later\n")
            self._troubled = True
            kept = data[written:].splitlines(keepends=True)[-LINES_KEPT:]
            self._unwritten = deque(kept)
            return
        self._troubled = False
        self._unwritten.clear()

    def _line(self, record: Entry) -> str:
        ended, client, head, received, status, sent, serial, user, connections, handling, sending, *_ = record
        forms = head.forms.get("log") or self._forms(head)
        if forms is OFF:
            return ""
        second = int(ended)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y.%m.%d %H:%M:%S", time.localtime(second))
        txn = self.transactions.ids(serial, head.fields)
        return (
            f"{self._stamp} {client or '-'} {forms[0]} {received} {status} {sent} {txn[0]} {txn[1]} "
            f"{quoted(user) if user else '-'} {forms[1]} {self._worker} {connections} "
            f"{handling * 1000:.0f} {sending * 1000:.0f}\n"
        )

    def _forms(self, head: Head) -> tuple[str, str]:
        """The two parts of a line that depend on the head alone, or OFF; kept on the head."""
        if self.is_off(head.raw_path):
            head.forms["log"] = OFF
            return OFF
        fields = head.fields
        forwarded = fields.text("x-forwarded-for")
        forms = (
            f"{escaped(fields.text('host')) or '-'} {head.method} {escaped(head.target)} {head.version}",
            f"{masked_token(fields.text('authorization'))} {quoted(fields.text('referer'))} "
            f"{quoted(fields.text('user-agent'))} {escaped(forwarded.replace(' ', '')) or '-'}",
        )
        head.forms["log"] = forms
        return forms

    def _json_line(self, record: Entry) -> str:
        ended, client, head, received, status, sent, serial, user, connections, handling, sending, answer = record
        fields = head.fields
        if self.is_off(head.raw_path):
            return ""
        txn = self.transactions.ids(serial, fields)
        local = time.localtime(ended)
        content_type = next((str(value) for name, value in answer if name in CONTENT_TYPE), "")
        line = {
            "time": time.strftime(f"%Y-%m-%dT%H:%M:%S.{int(ended % 1 * 1000):03d}%z", local),
            "client": client,
            "host": fields.text("host"),
            "method": head.method,
            "uri": head.target,
            "version": head.version,
            "received": received,
            "status": status,
            "sent": sent,
            "content_type": content_type,
            "gtxid": txn[0],
            "ltxid": txn[1],
            "user": user,
            "token": masked_token(fields.text("authorization")),
            "referer": fields.text("referer"),
            "user_agent": fields.text("user-agent"),
            "forwarded_for": fields.text("x-forwarded-for"),
            "worker": self._worker,
            "connections": connections,
            "handling_ms": round(handling * 1000, 1),
            "sending_ms": round(sending * 1000, 1),
        }
        return json.dumps(line, separators=(",", ":")) + "\n"

    def is_off(self, path: str) -> bool:
        """Whether requests of this path are not logged."""
        if path == "/":
            return False
        return bool(
            (self._endings and path.endswith(self._endings)) or (self._beginnings and path.startswith(self._beginnings))
        )


OFF = ("", "")

CONTENT_TYPE = ("Content-Type", "content-type", b"content-type", b"Content-Type")


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
    if scheme.lower() != "bearer" or not token:
        return "-"
    return escaped(token[:4] + "***")
