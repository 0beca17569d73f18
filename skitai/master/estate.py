"""What the master owns and hands on to itself when it replaces its program by new code: sockets, files, shared memory."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from skitai.cachefs.host import Host
from skitai.config.sections.running import Log
from skitai.ipc import rundir
from skitai.ipc.buckets import Buckets
from skitai.ipc.control import ControlServer
from skitai.ipc.inboxes import Inboxes
from skitai.ipc.lastupdate import Table
from skitai.ipc.pidfile import PidFile
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Scoreboard
from skitai.master.spawn import Identity
from skitai.net.listen import Listener

log = logging.getLogger("skitai.server")


@dataclass(frozen=True, slots=True)
class Origin:
    """How the server was started, so that it can be started anew.

    :param script: absolute path.
    :param arguments: its command line.
    :param folder: the working directory at that time.
    :param title: "skitai(dir/script)".
    :param terminal: standard input was a terminal.
    :param daemon: in the background; standard streams go to the log.
    :param helper: "smtpda" or "cron" when that runs alone; the script then is its configuration file.
    """

    script: str
    arguments: tuple[str, ...]
    folder: str
    title: str
    terminal: bool = False
    daemon: bool = False
    helper: str = ""


@dataclass(slots=True)
class Estate:
    """Everything that outlives the program.

    :ivar started_s: start of the server, monotonic.
    :ivar identity: whom children become.
    :ivar log_options: for a program that has no configuration of its own.
    :ivar cachefs: the HTTP cache; None where none is configured.
    :ivar buckets: how much clients may still ask for.
    """

    origin: Origin
    places: Places
    pidfile: PidFile
    control: ControlServer
    scoreboard: Scoreboard
    table: Table
    inboxes: Inboxes
    listeners: list[Listener]
    identity: Identity | None = None
    log_options: Log = field(default_factory=Log)
    started_s: float = field(default_factory=time.monotonic)
    cachefs: Host | None = None
    buckets: Buckets = field(default_factory=Buckets.create)

    @property
    def addresses(self) -> list[str]:
        return [each.name for each in self.listeners]

    def hand_over(self) -> dict[str, Any]:
        """Let everything survive the next exec, and describe it in JSON types for `adopt`."""
        origin, places, options = self.origin, self.places, self.log_options
        return {
            "origin": [*astuple(origin)],
            "places": [places.var, places.log, places.console, places.spool, places.home],
            "identity": astuple(self.identity) if self.identity else None,
            "log": [options.verbose, options.log_keep],
            "pidfile": [self.pidfile.path, self.pidfile.hand_over()],
            "control": self.control.hand_over(),
            "scoreboard": self.scoreboard.memory.hand_over(),
            "table": [self.table.memory.hand_over(), list(self.table.names), list(self.table.places)],
            "inboxes": self.inboxes.hand_over(),
            "listeners": [each.hand_over() for each in self.listeners],
            "started_s": self.started_s,
            "cachefs": self.cachefs.hand_over() if self.cachefs else None,
            "buckets": self.buckets.memory.hand_over(),
        }

    def keep(self) -> None:
        """The exec did not come about: other programs that are started must not get what is ours."""
        for fd in (
            self.pidfile.fd,
            self.control.fileno(),
            self.scoreboard.memory.fd,
            self.table.memory.fd,
            self.buckets.memory.fd,
            *(each.socket.fileno() for each in self.listeners),
        ):
            os.set_inheritable(fd, False)
        self.inboxes.keep()
        if self.cachefs is not None:
            self.cachefs.keep()

    @classmethod
    def adopt(cls, data: Mapping[str, Any], names: Sequence[str] | None = None) -> tuple[Estate, bool]:
        """What the program before the exec handed over.

        :param names: of the last-update table now; None for those it had.
        :returns: the estate, and whether the rows of its children can be read.
        """
        script, arguments, *others = data["origin"]
        fd, old_names, places = data["table"]
        scoreboard = Scoreboard.adopt(data["scoreboard"])
        inboxes = Inboxes.adopt(data["inboxes"])
        if scoreboard is None:  # the old children's rows are not ours, so their inboxes are not either
            inboxes = inboxes.replace()
        verbose, log_keep = data["log"]
        estate = cls(
            origin=Origin(script, tuple(arguments), *others),
            places=Places(*data["places"]),
            pidfile=PidFile.adopt(*data["pidfile"]),
            control=ControlServer.adopt(data["control"], data["places"][0]),
            scoreboard=scoreboard or Scoreboard.create(),
            table=Table.adopt(fd, old_names if names is None else names, places),
            inboxes=inboxes,
            listeners=[Listener.adopt(each) for each in data["listeners"]],
            identity=Identity(*data["identity"]) if data["identity"] else None,
            log_options=Log(verbose=verbose, log_keep=log_keep),
            started_s=data["started_s"],
            cachefs=Host.adopt(data.get("cachefs")),
            buckets=Buckets.adopt(data["buckets"]),
        )
        return estate, scoreboard is not None

    def release(self) -> None:
        """In a child: close what is the master's alone. Listeners and shared memory are the child's too."""
        self.control.close()
        self.pidfile.close()

    def give_logs(self) -> None:
        """Let children that became another user open the log files, which were made anew as ours."""
        if not self.identity or not self.places.log:
            return
        try:
            rundir.give_logs(self.places.log, self.identity.uid, self.identity.gid)
        except OSError as error:
            name = self.identity.name
            log.error("workers that are %r cannot write logs: %s: %s", name, error.filename, error.strerror)

    def stop_listening(self) -> None:
        """Refuse new connections from now on: nobody will take them."""
        for each in self.listeners:
            each.remove()

    def remove(self) -> None:
        """Leave no trace; the last thing that a server does."""
        self.stop_listening()
        self.control.remove()
        rundir.forget_var_folder(self.origin.script, self.places.var)
        self.pidfile.release()
