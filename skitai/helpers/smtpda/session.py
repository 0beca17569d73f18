"""One connection to a mail server: greeted, secured, logged in, then used for one message after the other.

On top of `smtplib`, which knows how to greet, secure and log in. The transaction itself is ours, because `smtplib` waits for
an answer to each command (with PIPELINING, RFC 2920, they go out together) and does not tell recipients apart.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from skitai.errors import SkitaiError
from skitai.ipc.envelope import MailServer, whole_lines

FINAL_S = 600.0
"""A server may take this long to say whether it has taken a message (RFC 5321, section 4.5.3.2.6): whoever hangs up earlier
sends it twice."""

BATCH = 100
"""Commands that go out together; more could fill both directions, and then nobody reads."""

_QUIT_S = 2.0
_READY, _LOGGED_IN, _GO_AHEAD, _CLOSING = 220, 235, 354, 421
_LAST_WORDS = (_CLOSING, -1)
"""After these nothing can be asked: the server closes, or does not speak SMTP."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Unreachable(SkitaiError):
    """A server does not answer, not as it should, or not to us; the message says why. Another time it may."""


class Lost(SkitaiError):
    """The connection was lost during a transaction.

    :param reason: in one line.
    :param begun: the message itself was on its way, so that the server may have taken it.
    """

    def __init__(self, reason: str, begun: bool) -> None:
        super().__init__(reason)
        self.begun = begun


@dataclass(frozen=True, slots=True)
class Dialling:
    """How connections are made.

    :param helo: our name; "" for what the system calls this host.
    :param timeout_s: for connecting, and for each answer.
    :param context: of TLS.
    """

    helo: str
    timeout_s: float
    context: ssl.SSLContext


@dataclass(slots=True)
class Result:
    """What a server said of each recipient, and of the message: "CODE text"."""

    delivered: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    deferred: dict[str, str] = field(default_factory=dict)

    @property
    def closing(self) -> bool:
        """The server has said nothing but that it closes this connection."""
        whys = self.deferred.values()
        return not self.delivered and not self.refused and all(why.startswith(f"{_CLOSING} ") for why in whys)

    def add(self, recipients: Sequence[str], reply: Reply) -> None:
        for each in recipients:
            if reply.good:
                self.delivered.append(each)
            elif reply.final:
                self.refused[each] = str(reply)
            else:
                self.deferred[each] = str(reply)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer (RFC 5321, section 4.2)."""

    code: int
    text: str

    @property
    def good(self) -> bool:
        return 200 <= self.code < 300

    @property
    def final(self) -> bool:
        return 500 <= self.code < 600

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.code > 0 else f"an answer that is none: {self.text}"


class Session:
    """An open connection.

    :ivar server: whose.
    :ivar usable: for another message.
    :ivar idle_since_s: since when it waits for one, monotonic; its owner's.
    """

    def __init__(self, smtp: smtplib.SMTP, server: MailServer) -> None:
        self._smtp = smtp
        self._timeout_s = smtp.timeout
        self._begun = False
        self.server = server
        self.usable = True
        self.idle_since_s = 0.0

    @classmethod
    def open(cls, server: MailServer, dialling: Dialling) -> Session:
        """Connect, greet, secure, log in.

        :raises Unreachable: one of that did not work.
        """
        try:
            smtp = _connect(server, dialling)
            try:
                smtp.ehlo_or_helo_if_needed()
                _secure(smtp, server, dialling.context)
                if server.user:
                    _log_in(smtp, server)
            except BaseException:
                smtp.close()
                raise
        except (OSError, ValueError) as error:  # ValueError: a host name that is none
            raise Unreachable(f"{server}: {explain(error)}") from error
        return cls(smtp, server)

    @property
    def secured(self) -> bool:
        """TLS is on."""
        return isinstance(self._smtp.sock, ssl.SSLSocket)

    @property
    def local(self) -> bool:
        """Nothing leaves this machine."""
        return _is_local(self._smtp)

    def is_stale(self) -> bool:
        """Whether the server has hung up on this idle connection, or said something that nobody asked for."""
        sock = self._smtp.sock
        if sock is None:
            return True
        sock.settimeout(0)
        try:
            sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        finally:
            sock.settimeout(self._timeout_s)
        return True

    def deliver(
        self, sender: str, recipients: Sequence[str], message: bytes, utf8: bool, commit: Callable[[], None]
    ) -> Result:
        """Hand over a message.

        :param sender: "" for a bounce.
        :param utf8: an address or header needs SMTPUTF8 (RFC 6531).
        :param commit: called when the message itself is about to go; what it raises ends the transaction before that.
        :raises Lost: the connection broke.
        """
        self._begun = False
        result = Result()
        if obstacle := self._obstacle(sender, recipients, len(message), utf8):
            result.add(recipients, obstacle)
            return result
        usable, self.usable = self.usable, False  # until the transaction has come to a good end
        try:
            self.usable = self._transact(sender, recipients, message, utf8, commit, result) and usable
        except OSError as error:  # those of smtplib are, too
            raise Lost(f"{self.server}: {explain(error)}", self._begun) from error
        return result

    def close(self) -> None:
        """Take leave, and hang up."""
        with suppress(OSError):
            if self._smtp.sock is not None and self.usable:
                self._smtp.sock.settimeout(_QUIT_S)
                self._smtp.quit()
        self._smtp.close()

    def _obstacle(self, sender: str, recipients: Sequence[str], size: int, utf8: bool) -> Reply | None:
        """Why the server need not even be asked."""
        limit = self._smtp.esmtp_features.get("size", "")
        if limit.isdecimal() and 0 < int(limit) < size:
            return Reply(552, f"the message has {size} bytes, and {self.server} takes {limit}")
        if utf8 and not self._offers("smtputf8"):
            return Reply(553, f"an address is not in ASCII, and {self.server} does not offer SMTPUTF8")
        for each in (sender, *recipients):
            if _CONTROL.search(each) or not (utf8 or each.isascii()):
                return Reply(553, f"{each!r} is no address")
        return None

    def _transact(
        self,
        sender: str,
        recipients: Sequence[str],
        message: bytes,
        utf8: bool,
        commit: Callable[[], None],
        result: Result,
    ) -> bool:
        """One mail transaction (RFC 5321, section 3.3); whether the connection can be used for another."""
        commands = [
            f"MAIL FROM:<{sender}>{self._options(message, utf8)}",
            *(f"RCPT TO:<{each}>" for each in recipients),
            "DATA",
        ]
        together = self._offers("pipelining")
        replies = self._ask_together(commands) if together else self._ask_in_turn(commands)
        mail, answers = replies[0], replies[1 : 1 + len(recipients)]
        data = replies[-1] if len(replies) == len(commands) else None
        accepted: list[str] = []
        if not mail.good:
            result.add(recipients, mail)
        else:
            for recipient, answer in zip(recipients, answers, strict=True):
                if answer.good:
                    accepted.append(recipient)
                else:
                    result.add([recipient], answer)
        if data is not None and data.code == _GO_AHEAD:
            if accepted:
                commit()
            final = self._send(message if accepted else b"")
            replies.append(final)
            result.add(accepted, final)
        else:
            if accepted:
                result.add(accepted, data if data is not None and not data.good else Reply(-1, "to DATA"))
            return not _are_last(replies) and self._reset()
        return not _are_last(replies)

    def _reset(self) -> bool:
        """Give a transaction up; whether the connection can be used for another. Its answers stand in any case."""
        try:
            return self._ask("RSET").good
        except OSError:
            return False

    def _options(self, message: bytes, utf8: bool) -> str:
        options = ""
        if self._offers("size"):
            options += f" SIZE={len(message)}"
        if self._offers("8bitmime") and not message.isascii():
            options += " BODY=8BITMIME"
        return options + (" SMTPUTF8" if utf8 else "")

    def _ask_together(self, commands: Sequence[str]) -> list[Reply]:
        replies: list[Reply] = []
        for batch in _batches(commands):
            self._smtp.send("".join(f"{each}\r\n" for each in batch).encode())
            replies += [self._reply() for _ in batch]
        return replies

    def _ask_in_turn(self, commands: Sequence[str]) -> list[Reply]:
        """The same one by one; ends when nothing can come of it any more."""
        mail, *recipients, data = commands
        replies = [self._ask(mail)]
        if replies[0].good:
            replies += [self._ask(each) for each in recipients]
            if any(each.good for each in replies[1:]):
                replies.append(self._ask(data))
        return replies

    def _ask(self, command: str) -> Reply:
        self._smtp.send(f"{command}\r\n".encode())
        return self._reply()

    def _send(self, message: bytes) -> Reply:
        """Send the message itself, and hear whether it was taken."""
        sock = self._smtp.sock
        if sock is not None:
            sock.settimeout(max(FINAL_S, self._timeout_s))
        self._begun = bool(message)
        self._smtp.send(dotted(message))
        reply = self._reply()
        if sock is not None:
            sock.settimeout(self._timeout_s)
        return reply

    def _reply(self) -> Reply:
        code, text = self._smtp.getreply()
        return Reply(code, " ".join(text.decode("utf-8", "replace").split()))

    def _offers(self, extension: str) -> bool:
        return extension in self._smtp.esmtp_features

    def __repr__(self) -> str:
        return f"<Session {self.server} {'TLS' if self.secured else 'plain'} {'usable' if self.usable else 'used up'}>"


def dotted(message: bytes) -> bytes:
    """A message as it follows DATA: whole lines, a dot doubled that begins one, and the end (RFC 5321, section 4.5.2)."""
    message = whole_lines(message)
    if message.startswith(b"."):
        message = b"." + message
    message = message.replace(b"\r\n.", b"\r\n..")
    return message + (b".\r\n" if message.endswith(b"\r\n") or not message else b"\r\n.\r\n")


def explain(error: Exception) -> str:
    """What went wrong, in a line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"{error.smtp_code} {' '.join(text.split())}"
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__


@cache
def own_name() -> str:
    """What this host greets with."""
    name = socket.getfqdn()
    return name if "." in name else "[127.0.0.1]"


def _connect(server: MailServer, dialling: Dialling) -> smtplib.SMTP:
    name = dialling.helo or own_name()
    if server.ssl:
        return smtplib.SMTP_SSL(server.host, server.port, name, timeout=dialling.timeout_s, context=dialling.context)
    return smtplib.SMTP(server.host, server.port, name, timeout=dialling.timeout_s)


def _secure(smtp: smtplib.SMTP, server: MailServer, context: ssl.SSLContext) -> None:
    """Change to TLS where that is wanted. On this very machine, where there is nothing to protect, only when demanded."""
    offered = smtp.has_extn("starttls")
    if server.ssl or server.starttls == "never" or (server.starttls == "auto" and (not offered or _is_local(smtp))):
        return
    if not offered:
        raise smtplib.SMTPNotSupportedError("it does not offer STARTTLS")
    code, text = smtp.starttls(context=context)
    if code != _READY:
        raise smtplib.SMTPResponseException(code, text)
    smtp.ehlo_or_helo_if_needed()


def _log_in(smtp: smtplib.SMTP, server: MailServer) -> None:
    if not smtp.has_extn("auth"):
        raise smtplib.SMTPNotSupportedError("it does not offer AUTH")
    if (server.user + server.password).isascii():
        smtp.login(server.user, server.password)
        return
    # smtplib knows ASCII alone (RFC 4616 has UTF-8).
    token = base64.b64encode(f"\0{server.user}\0{server.password}".encode()).decode("ascii")
    code, text = smtp.docmd("AUTH", f"PLAIN {token}")
    if code != _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, text)


def _is_local(smtp: smtplib.SMTP) -> bool:
    return smtp.sock is not None and ipaddress.ip_address(smtp.sock.getpeername()[0].partition("%")[0]).is_loopback


def _are_last(replies: Sequence[Reply]) -> bool:
    return any(each.code in _LAST_WORDS for each in replies)


def _batches(commands: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(commands)
    while batch := list(islice(rest, BATCH)):
        yield batch
