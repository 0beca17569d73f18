"""What `was` has in every kind of app, whichever way it knows its request."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from skitai.exchange import Exchange
from skitai.log import journal
from skitai.was import host, report, services
from skitai.was.folders import private_folder
from skitai.was.verbs import Verbs

if TYPE_CHECKING:
    from skitai.was.mail import Email


class Members(Verbs):
    """Requests to back-ends, the log, the transaction ids, mail, and what concerns the server.

    Without a running request, all but the transaction ids work all the same.
    """

    __slots__ = ()

    @abstractmethod
    def running(self, name: str) -> Exchange:
        """The running request.

        :param name: what needs it, for the message.
        :raises RuntimeError: there is none.
        """

    @abstractmethod
    def _txn(self) -> str:
        """The transaction ids for a line of the log; "" outside of requests."""

    # The log

    def log(self, msg: object, category: str = "info", at: str = "app") -> None:
        """Write a line that carries the request's transaction ids.

        :param category: debug, info, warn, error, fail, fatal, or a word of one's own.
        :param at: "app" for app.log, "server" for server.log.
        """
        journal.log(at, category, str(msg), self._txn())

    def traceback(self, id: str = "", at: str = "app") -> None:
        """Write the exception that is being handled, with a row for each of its frames.

        :param id: to find the line by; the transaction ids by default.
        :raises RuntimeError: no exception is being handled.
        """
        error = sys.exception()
        if error is None:
            raise RuntimeError("was.traceback() has nothing to show: call it in an except block")
        journal.traceback(at, error, id or self._txn())

    # The transaction

    def txnid(self) -> str:
        """Global and local transaction id, "GTXN/LTXN"."""
        return "/".join(self.running("txnid()").txn)

    @property
    def gtxid(self) -> str:
        """The global transaction id: equal for all calls that one client's request leads to."""
        return self.running("gtxid").txn[0]

    @property
    def ltxid(self) -> str:
        """The local transaction id: where in that chain this request stands."""
        return self.running("ltxid").txn[1]

    # Mail

    def email(self, subject: str, snd: str, rcpt: str | Iterable[str]) -> Email:
        """A new message, to be written and sent; also outside of requests. See `skitai.was.mail.Email`.

        :param snd: who writes.
        :param rcpt: to whom: addresses with commas between them, or a list.
        """
        from skitai.was import mail  # most apps write none, and what it imports takes a while

        return mail.Email(subject, snd, rcpt)

    # The server

    def status(self, flt: str | Collection[str] | None = None, fancy: bool = True) -> str | dict[str, Any]:
        """What the server is and does.

        :param flt: names of the sections wanted: server, workers, mounts, options, last_updates, backends; all by
            default.
        :param fancy: an HTML page; otherwise a dictionary of JSON types.
        """
        wanted = [flt] if isinstance(flt, str) else list(flt or ())
        found = report.collect(host.worker("status()"), wanted)
        return report.page(found) if fancy else found

    def restart(self, timeout: float = 0) -> None:
        """Restart the server with new code when it has one worker, else this worker.

        :param timeout: in so many seconds.
        """
        _later(host.worker("restart()").restart, timeout)

    def shutdown(self, timeout: float = 0) -> None:
        """Stop the server when it has one worker, else this worker, which the server then replaces.

        :param timeout: in so many seconds.
        """
        _later(host.worker("shutdown()").shutdown, timeout)

    def setlu(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Say, to all workers, that what `name` stands for has just changed.

        :param args: for those who listen to the change.
        :raises KeyError: the name was not declared with `skitai.deflu`.
        """
        (host.times() or host.worker("setlu()").table).set(name, time.time())
        services.tell_update(name, *args, **kwargs)

    def getlu(self, *names: str) -> float:
        """When the newest of the names was last changed, in seconds since the epoch; never set: when the server started.

        :raises KeyError: a name was not declared with `skitai.deflu`.
        """
        return (host.times() or host.worker("getlu()").table).get(*names)

    @property
    def timestamp(self) -> int:
        """The time, in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    @property
    def uniqid(self) -> str:
        """20 letters and digits that nobody has seen before, and nobody can guess."""
        return os.urandom(10).hex()

    def gentemp(self) -> str:
        """A path where nothing is yet, in a folder that only this server's user may enter. The app deletes what it puts
        there."""
        return os.path.join(_temporary_folder(), os.urandom(16).hex())


def _later(job: Callable[[], None], delay_s: float) -> None:
    if delay_s <= 0:
        job()
        return
    timer = threading.Timer(delay_s, job)
    timer.daemon = True
    timer.start()


def _temporary_folder() -> str:
    try:
        base, name = host.worker("gentemp()").places.var, "temp"
    except RuntimeError:
        base, name = tempfile.gettempdir(), f"skitai-{os.geteuid()}"
    return private_folder(base, name)
