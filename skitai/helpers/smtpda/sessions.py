"""Connections that are kept for the next message, for each server those that nobody uses now."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from time import monotonic, time

from skitai.helpers.smtpda.session import Dialling, Session, Unreachable
from skitai.ipc.envelope import MailServer

log = logging.getLogger("skitai.smtpda")

FORGET_S = 3600.0
"""After which nobody remembers that a server could not be reached."""


@dataclass(slots=True)
class _Kept:
    """What is known of a server.

    :ivar open: connections in use or idle.
    :ivar failure: why the last attempt to connect failed; "" when it did not.
    :ivar failed_s: when that was, Unix time.
    """

    idle: list[Session] = field(default_factory=list)
    open: int = 0
    failure: str = ""
    failed_s: float = 0
    warned: bool = False


class Sessions:
    """All connections of an agent; every method may be called from any thread.

    :param idle_s: how long a connection waits for another message.
    """

    def __init__(self, dialling: Dialling, idle_s: float) -> None:
        self._dialling = dialling
        self._idle_s = idle_s
        self._servers: dict[MailServer, _Kept] = {}
        self._lock = threading.Lock()

    def take(self, server: MailServer, due_s: float, *, fresh: bool = False) -> tuple[Session, bool]:
        """A connection for one message, and whether it has been used before.

        :param due_s: since when the message waits, Unix time. When the server could not be reached since then, and no
            connection is open, it is not asked again: what waited together fails together.
        :param fresh: a new one at any rate.
        :raises Unreachable: there is none to be had.
        """
        stale: list[Session] = []
        found: Session | None = None
        with self._lock:
            kept = self._servers.setdefault(server, _Kept())
            while kept.idle and not fresh and found is None:
                session = kept.idle.pop()
                if session.is_stale():
                    kept.open -= 1
                    stale.append(session)
                else:
                    found = session
            if found is None:
                if kept.failure and not kept.open and due_s <= kept.failed_s:
                    raise Unreachable(kept.failure)
                kept.open += 1
        for each in stale:
            each.usable = False
            each.close()
        return (found, True) if found is not None else (self._open(server, kept), False)

    def _open(self, server: MailServer, kept: _Kept) -> Session:
        try:
            session = Session.open(server, self._dialling)
        except BaseException as error:
            with self._lock:
                kept.open -= 1
                kept.failure, kept.failed_s = str(error), time()
            raise
        with self._lock:
            kept.failure = ""
            warn = bool(server.user) and not session.secured and not session.local and not kept.warned
            kept.warned |= warn
        if warn:
            log.warning("the password for %s goes over the network in the clear: the server offers no TLS", server)
        return session

    def give(self, session: Session) -> None:
        """A connection is not needed any more; it is kept if it can be used again."""
        with self._lock:
            kept = self._servers[session.server]
            if session.usable and self._idle_s:
                session.idle_since_s = monotonic()
                kept.idle.append(session)
                return
            kept.open -= 1
        session.close()

    def expired(self, everything: bool = False) -> list[Session]:
        """The connections that have waited long enough, for the caller to close.

        :param everything: all idle ones, and none is kept from now on.
        """
        oldest_s = monotonic() - self._idle_s
        gone: list[Session] = []
        with self._lock:
            if everything:
                self._idle_s = 0
            for kept in self._servers.values():
                out = [each for each in kept.idle if everything or each.idle_since_s < oldest_s]
                kept.idle = [each for each in kept.idle if each not in out]
                kept.open -= len(out)
                gone += out
            known = self._servers.items()
            self._servers = {server: kept for server, kept in known if kept.open or time() < kept.failed_s + FORGET_S}
        return gone

    @property
    def open(self) -> int:
        """Connections in use or idle."""
        with self._lock:
            return sum(kept.open for kept in self._servers.values())
