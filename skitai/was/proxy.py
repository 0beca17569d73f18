"""`was`: the services of the running request, for every kind of app.

There is one `was` for the whole process. Which request it speaks for follows from the code that runs, by a context
variable: nothing of one request, set in it by whomever, is seen in another, and tasks that a request starts belong to it.
Threads that an app starts by itself do not; there `was` is as outside of requests.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from skitai.exchange import Exchange
from skitai.log import journal
from skitai.was import host, report, services
from skitai.was.context import current
from skitai.was.folders import private_folder

if TYPE_CHECKING:
    from skitai.was.mail import Email


class Was:
    """What ``from skitai import was`` gives.

    Attributes that an app sets are the request's, and gone with it. Without a running request, `log` and `traceback` work
    all the same, as do those that concern the server; the rest raises RuntimeError and says what is missing.
    """

    __slots__ = ()

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

    def _txn(self) -> str:
        exchange = current.get()
        return "/".join(exchange.txn) if exchange is not None else ""

    # The request

    def txnid(self) -> str:
        """Global and local transaction id, "GTXN/LTXN"."""
        return "/".join(_exchange("txnid()").txn)

    @property
    def gtxid(self) -> str:
        """The global transaction id: equal for all calls that one client's request leads to."""
        return _exchange("gtxid").txn[0]

    @property
    def ltxid(self) -> str:
        """The local transaction id: where in that chain this request stands."""
        return _exchange("ltxid").txn[1]

    @property
    def env(self) -> dict[str, Any]:
        """The WSGI environ of the running request."""
        try:
            environ: dict[str, Any] = _exchange("env").environ
        except AttributeError:
            raise RuntimeError("was.env is a WSGI environ, and this request goes to an app of another kind") from None
        return environ

    def __getattr__(self, name: str) -> Any:
        if name in services.shared:
            return services.shared[name]
        exchange = current.get()
        if exchange is not None:
            if exchange.context is not None:
                return getattr(exchange.context, name)
            state = _state(exchange)
            if name in state:
                return state[name]
        factory = services.factory(name)
        if factory is None:
            raise AttributeError(f"was has no {name!r}{'' if exchange is not None else ', and no request is running here'}")
        if exchange is None:
            raise _no_request(name)
        made = state[name] = factory(exchange)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise AttributeError(f"was.{name} is Skitai's own")
        exchange = _exchange(name)
        if exchange.context is not None:
            setattr(exchange.context, name, value)
        else:
            _state(exchange)[name] = value

    def __delattr__(self, name: str) -> None:
        exchange = _exchange(name)
        if exchange.context is not None:
            delattr(exchange.context, name)
            return
        try:
            del _state(exchange)[name]
        except KeyError:
            raise AttributeError(f"was has no {name!r}") from None

    def __dir__(self) -> list[str]:
        exchange = current.get()
        own: Iterable[str] = ()
        if exchange is not None:
            own = _state(exchange) if exchange.context is None else dir(exchange.context)
        return sorted({*super().__dir__(), *services.names(), *own})

    def __repr__(self) -> str:
        exchange = current.get()
        return f"<was {exchange!r}>" if exchange is not None else "<was, no request>"

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

        :param flt: names of the sections wanted: server, workers, mounts, options, last_updates; all by default.
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
        host.worker("setlu()").table.set(name, time.time())
        services.tell_update(name, *args, **kwargs)

    def getlu(self, *names: str) -> float:
        """When the newest of the names was last changed, in seconds since the epoch; never set: when the server started.

        :raises KeyError: a name was not declared with `skitai.deflu`.
        """
        return host.worker("getlu()").table.get(*names)

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


def _exchange(name: str) -> Exchange:
    exchange = current.get()
    if exchange is None:
        raise _no_request(name)
    return exchange


def _no_request(name: str) -> RuntimeError:
    return RuntimeError(
        f"was.{name} belongs to a request, and none is running here (a thread of the app's own, or code at import)"
    )


def _state(exchange: Exchange) -> dict[str, Any]:
    """What was set on `was` for a request."""
    try:
        return exchange.was
    except AttributeError:
        exchange.was = {}
        return exchange.was


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


was = Was()
