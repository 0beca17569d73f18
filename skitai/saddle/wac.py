"""`wac`: what the apps of one worker share. Hooks outside of requests get it, and register what every `was` has then."""

from __future__ import annotations

import os
from typing import Any

from skitai.config.tree import Config
from skitai.errors import StartError
from skitai.log import journal
from skitai.log.rotation import FREQUENCIES, mark
from skitai.log.rotation import PERIODS as RESERVED
from skitai.saddle.context import Was
from skitai.was import gateway, host, services
from skitai.was import was as general


class Logger:
    """A log to write to: call it, or its `log`."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self.name = name
        self._prefix = prefix

    def log(self, msg: object, category: str = "info") -> None:
        """Write a line.

        :param category: debug, info, warn, error, fail, fatal, or a word of one's own.
        """
        journal.log(self.name, category, f"{self._prefix}{msg}")

    __call__ = log

    def trace(self, name: str = "") -> None:
        """Write the exception that is being handled, with a row for each of its frames.

        :param name: to find the line by.
        """
        general.traceback(name, self.name)

    def __repr__(self) -> str:
        return f"<Logger {self.name}>"


class Loggers:
    """`wac.logger`: the logs."""

    def __init__(self) -> None:
        self._made: set[str] = set()

    def get(self, name: str = "app") -> Logger:
        """A log that is there: "app", "server", or one that was made.

        :raises ValueError: there is none of this name.
        """
        journal.find(name)
        return Logger(name)

    def make_logger(self, prefix: str, freq: str = "daily") -> Logger:
        """A log of the app's own, ``PREFIX.log`` beside the others; without log files it goes where app.log goes.

        :param freq: "daily", "weekly" or "monthly": when a new file begins.
        :raises ValueError: no other word, and a name that is no file's or is taken.
        """
        if freq not in FREQUENCIES:
            raise ValueError(f"a log begins a new file {', '.join(FREQUENCIES)}, not {freq!r}")
        if not prefix.replace("-", "").replace("_", "").isalnum() or prefix in RESERVED:
            raise ValueError(
                f"{prefix!r} cannot be the name of a log: letters, digits, - and _, and none of the server's own"
            )
        worker = host.attached()
        if worker is None:
            return Logger("app", f"[{prefix}] ")
        places = worker.places
        try:
            if prefix not in self._made:  # else threads may be writing to it
                journal.join(prefix, places.log or None, console=places.console)
                self._made.add(prefix)
            if places.log:
                mark(places.log, prefix, freq)
        except (StartError, OSError) as error:
            journal.app.warning("the log %r goes to app.log: %s", prefix, error)
            return Logger("app", f"[{prefix}] ")
        return Logger(prefix)


class Wac:
    """What the apps of this worker share.

    Registered objects are attributes of this and of every `was` of the worker, whatever the app.

    :ivar logger: see `Loggers`.
    """

    def __init__(self) -> None:
        self.logger = Loggers()

    def register(self, name: str, value: Any) -> None:
        """Let every `was` have an object.

        :raises AttributeError: the name is taken, or none that an attribute can have.
        """
        if name in _OWN or hasattr(Wac, name) or hasattr(Was, name) or hasattr(type(general), name):
            raise AttributeError(f"was.{name} is Skitai's own")
        try:
            services.share(name, value)
        except ValueError as error:
            raise AttributeError(str(error)) from None

    def unregister(self, name: str) -> None:
        """Take an object back; nothing happens when there is none."""
        services.unshare(name)

    @property
    def handler(self) -> gateway.Handler:
        """The gateway: `Handler.set_auth_handler` says who decides about tokens."""
        return gateway.handler

    @property
    def config(self) -> Config:
        """The server's configuration, as it is in effect; it cannot be changed."""
        worker = host.attached()
        return worker.config if worker is not None else Config()

    @property
    def numthreads(self) -> int:
        """Threads of this worker for requests; 0 when they run in the loop."""
        return self.config.server.threads

    def __getattr__(self, name: str) -> Any:
        try:
            return services.shared[name]
        except KeyError:
            raise AttributeError(f"wac has no {name!r}: nothing is registered by that name") from None

    def __repr__(self) -> str:
        return f"<wac {' '.join(services.shared)}".rstrip() + f" pid={os.getpid()}>"


_OWN = {"logger"}.union(*(kind.__dict__.get("__annotations__", ()) for kind in Was.__mro__))
"""Attributes that only instances have."""

wac = Wac()
