"""The form of a file in the mail spool, without input and output: its name, its envelope, its record of attempts.

A file is one message::

    {"skitai_mail": 1, "sender": "a@example.com", "recipients": [...], "size": 1234, "crc32": ..., ...}   one line
    From: a@example.com ...                                                     `size` bytes, RFC 5322 with CRLF
    {"at_s": 1700000000.0, "delivered": [...], "refused": {...}, "deferred": {...}}    a line for each attempt

What came of an attempt is added at the end, so nothing that is there is ever written again. A last line without its end was
cut by a crash and does not count. The name carries what has to be known of thousands of files at once::

    1700000000000-02-5f2c7d10-0123456789abcdef0123456789abcdef.mail
    due (ms)      attempts, lane (whose server), identity
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from skitai.errors import SkitaiError

SUFFIX = ".mail"
FORMAT = 1
DEFAULT_LANE = "00000000"
"""Of messages that name no server."""

STARTTLS = ("auto", "always", "never")
SMTP_PORT, SMTPS_PORT = 25, 465

_BREAK = re.compile(r"[\0\r\n]")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_NAME = re.compile(r"(\d{13})-(\d{2,6})-([0-9a-f]{8})-([0-9a-f]{32})" + re.escape(SUFFIX), re.ASCII)
_SERVER = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?")


class CorruptMail(SkitaiError):
    """A file in the spool is no message of ours, or not a whole one."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server that takes mail, and how to speak to it.

    :param ssl: TLS from the first byte (RFC 8314).
    :param starttls: change to TLS after connecting: "auto" (where offered), "always" or "never".
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    ssl: bool = False
    starttls: str = "auto"

    @classmethod
    def parse(cls, text: str, user: str = "", password: str = "", ssl: bool = False, starttls: str = "auto") -> MailServer:
        """Read ``HOST``, ``HOST:PORT``, ``[IPV6]`` or ``[IPV6]:PORT``; the port is 25 by default, 465 with `ssl`.

        :raises ValueError: it is none of these, or `starttls` no word of `STARTTLS`.
        """
        match = _SERVER.fullmatch(text)
        port = int((match and match["port"]) or (SMTPS_PORT if ssl else SMTP_PORT))
        if not match or not 0 < port <= 65535:
            raise ValueError(f"{text!r} is no mail server: it should be HOST, HOST:PORT or [IPV6]:PORT")
        if starttls not in STARTTLS:
            raise ValueError(f"starttls is {starttls!r}: it should be one of {', '.join(STARTTLS)}")
        return cls(match["ipv6"] or match["host"], port, user, password, ssl, starttls)

    @property
    def lane(self) -> str:
        """8 hexadecimal digits that stand for this server: what waits for one does not wait for another."""
        text = f"{self.host}\n{self.port}\n{self.user}\n{self.ssl}\n{self.starttls}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """The name of a file in the spool.

    :param due_ms: when it is to be delivered, Unix time; in the folder of undelivered mail: when it was put there.
    :param attempts: made so far.
    :param lane: `MailServer.lane`, or `DEFAULT_LANE`.
    :param identity: 32 hexadecimal digits, for good.
    """

    due_ms: int
    attempts: int
    lane: str
    identity: str

    @classmethod
    def parse(cls, text: str) -> Name | None:
        """The name, or None for a file that has another kind of name."""
        match = _NAME.fullmatch(text)
        return cls(int(match[1]), int(match[2]), match[3], match[4]) if match else None

    @property
    def due_s(self) -> float:
        return self.due_ms / 1000

    def __str__(self) -> str:
        return f"{self.due_ms:013d}-{self.attempts:02d}-{self.lane}-{self.identity}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SMTP has to know of a message.

    :param sender: the address that errors go to; "" for none, as bounces have it.
    :param recipients: addresses, at least one.
    :param server: None for the agent's own.
    :param made_s: when it was put into the spool, Unix time.
    :param message_id: for people and logs.
    :param utf8: an address needs a server that speaks SMTPUTF8 (RFC 6531).
    """

    sender: str
    recipients: tuple[str, ...]
    server: MailServer | None = None
    made_s: float = 0
    message_id: str = ""
    utf8: bool = False

    @property
    def lane(self) -> str:
        return self.server.lane if self.server else DEFAULT_LANE


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt.

    :param at_s: when, Unix time.
    :param delivered: recipients whose server has taken the message.
    :param refused: what the server said of those it will never take it for, by recipient.
    :param deferred: what it said, or what happened, to those that may be tried again.
    """

    at_s: float
    delivered: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    deferred: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mail:
    """An envelope and what has come of it so far."""

    envelope: Envelope
    attempts: tuple[Attempt, ...] = ()

    def after(self, attempt: Attempt) -> Mail:
        """The same with one attempt more."""
        return replace(self, attempts=(*self.attempts, attempt))

    @property
    def pending(self) -> tuple[str, ...]:
        """Recipients that neither have it nor were refused."""
        settled = {each for attempt in self.attempts for each in (*attempt.delivered, *attempt.refused)}
        return tuple(each for each in self.envelope.recipients if each not in settled)

    @property
    def refused(self) -> dict[str, str]:
        """Why, by recipient, for those that will never get it."""
        return {recipient: why for attempt in self.attempts for recipient, why in attempt.refused.items()}

    @property
    def reason(self) -> str:
        """What the last attempt that did not succeed met with, in a line; "" when there was none."""
        whys = (why for each in reversed(self.attempts) for why in (*each.refused.values(), *each.deferred.values()))
        return next(whys, "")


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a file, read.

    :param offset: of the message in the file.
    """

    envelope: Envelope
    offset: int
    size: int
    crc32: int

    @property
    def end(self) -> int:
        """Where the message ends and the record of attempts begins."""
        return self.offset + self.size

    def check(self, message: bytes) -> None:
        """:raises CorruptMail: these are not the bytes that were put there."""
        if len(message) != self.size:
            raise CorruptMail(f"has {len(message)} of the {self.size} bytes of its message")
        if zlib.crc32(message) != self.crc32:
            raise CorruptMail("has another message than the one that was put there")


def whole_lines(message: bytes) -> bytes:
    """The message with every line ended by CRLF, as mail wants it: nothing in it can be taken for its end by anybody."""
    ends = message.count(b"\r\n")
    if message.count(b"\n") == ends and message.count(b"\r") == ends:
        return message
    return _LINE_END.sub(b"\r\n", message)


def encode_head(envelope: Envelope, message: bytes) -> bytes:
    """The first line of the file of a message."""
    server = envelope.server
    fields = {
        "skitai_mail": FORMAT,
        "sender": envelope.sender,
        "recipients": list(envelope.recipients),
        "server": [server.host, server.port, server.user, server.password, server.ssl, server.starttls] if server else None,
        "made_s": envelope.made_s,
        "message_id": envelope.message_id,
        "utf8": envelope.utf8,
        "size": len(message),
        "crc32": zlib.crc32(message),
    }
    return _line(fields)


def decode_head(line: bytes) -> Head:
    """Read the first line of a file.

    :raises CorruptMail: it is none.
    """
    if not line.endswith(b"\n"):
        raise CorruptMail("does not begin with an envelope")
    fields = _object(line)
    if fields.get("skitai_mail") != FORMAT:
        raise CorruptMail("does not begin with an envelope of this format")
    try:
        envelope = Envelope(
            sender=_address(fields["sender"]),
            recipients=tuple(map(_address, fields["recipients"])),
            server=_server(fields["server"]),
            made_s=float(fields["made_s"]),
            message_id=_text(fields["message_id"]),
            utf8=bool(fields["utf8"]),
        )
        head = Head(envelope, len(line), int(fields["size"]), int(fields["crc32"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptMail(f"has an envelope that cannot be read: {error!r}") from error
    if not envelope.recipients or head.size < 0:
        raise CorruptMail("has an envelope without recipients")
    return head


def encode_attempt(attempt: Attempt) -> bytes:
    """A line of the record."""
    fields: dict[str, Any] = {"at_s": attempt.at_s}
    if attempt.delivered:
        fields["delivered"] = list(attempt.delivered)
    if attempt.refused:
        fields["refused"] = dict(attempt.refused)
    if attempt.deferred:
        fields["deferred"] = dict(attempt.deferred)
    return _line(fields)


def decode_attempts(record: bytes) -> tuple[tuple[Attempt, ...], int]:
    """Read the record of attempts.

    :returns: the attempts, and how many bytes of `record` they take; the rest was cut by a crash.
    """
    attempts: list[Attempt] = []
    good = 0
    for line in record.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                break
            attempts.append(_attempt(_object(line)))
        except (CorruptMail, KeyError, TypeError, ValueError, OverflowError):
            break
        good += len(line)
    return tuple(attempts), good


def _attempt(fields: dict[str, Any]) -> Attempt:
    return Attempt(
        float(fields["at_s"]),
        tuple(map(_text, fields.get("delivered", ()))),
        _reasons(fields.get("refused", {})),
        _reasons(fields.get("deferred", {})),
    )


def _reasons(fields: Mapping[str, Any]) -> dict[str, str]:
    return {_text(recipient): _text(why) for recipient, why in fields.items()}


def _server(fields: Sequence[Any] | None) -> MailServer | None:
    if fields is None:
        return None
    host, port, user, password, ssl, starttls = fields
    return MailServer(_text(host), int(port), _text(user), _text(password), bool(ssl), _text(starttls))


def _address(value: object) -> str:
    """An address that can be said in a line of SMTP."""
    address = _text(value)
    if _BREAK.search(address):
        raise ValueError(f"{address!r} holds a control character")
    return address


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise CorruptMail("does not begin with an envelope")
    return fields
