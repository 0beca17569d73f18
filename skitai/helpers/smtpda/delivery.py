"""One attempt to deliver one message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import time

from skitai.helpers.smtpda.dkim import Signer
from skitai.helpers.smtpda.session import Lost, Unreachable
from skitai.helpers.smtpda.sessions import Sessions
from skitai.ipc.envelope import Attempt, MailServer
from skitai.ipc.spool import Lease

NO_SERVER = "no mail server is configured: name one by enable_smtpda(), in [smtpda], or by set_smtp()"


class Abandoned(Exception):
    """The agent leaves before the message was sent: nothing has happened to it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    :param reached: whether the server could be reached; None when there is none to reach.
    """

    attempt: Attempt
    server: str = ""
    reached: bool | None = None


class Delivery:
    """Delivers messages.

    :param server: for those that name none.
    """

    def __init__(self, sessions: Sessions, server: MailServer | None, signer: Signer | None) -> None:
        self._sessions = sessions
        self._server = server
        self._signer = signer

    def attempt(self, lease: Lease, commit: Callable[[], None]) -> Outcome:
        """Try once to deliver a message to those who do not have it yet.

        :param commit: called when the message itself is about to go; may raise `Abandoned`.
        :raises Abandoned: what `commit` raised.
        """
        envelope, pending = lease.mail.envelope, lease.mail.pending
        server = envelope.server or self._server
        if server is None:
            return Outcome(Attempt(time(), deferred=dict.fromkeys(pending, NO_SERVER)))
        message, fresh = b"", False
        while True:
            try:
                session, used = self._sessions.take(server, lease.name.due_s, fresh=fresh)
            except Unreachable as error:
                failed = Attempt(time(), deferred=dict.fromkeys(pending, str(error)))
                return Outcome(failed, str(server), reached=False)
            try:
                message = message or self._signed(lease.message)
                result = session.deliver(envelope.sender, pending, message, envelope.utf8, commit)
            except Lost as error:
                if used and not error.begun:
                    fresh = True  # it had waited for too long; that is no failure of the message
                    continue
                return Outcome(Attempt(time(), deferred=dict.fromkeys(pending, str(error))), str(server), reached=True)
            finally:
                self._sessions.give(session)
            if used and result.closing:
                fresh = True  # it was good for so many messages; nor is that
                continue
            return Outcome(
                Attempt(time(), tuple(result.delivered), result.refused, result.deferred), str(server), reached=True
            )

    def _signed(self, message: bytes) -> bytes:
        return self._signer.sign(message) if self._signer else message
