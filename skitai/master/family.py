"""The children as processes: starting them, hearing them, signalling them, burying them. What for is decided elsewhere."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from skitai.config.tree import Config
from skitai.ipc.bus import Bus
from skitai.ipc.link import Child, Link
from skitai.ipc.messages import Message
from skitai.ipc.scoreboard import ROWS, Row
from skitai.master.children import Children, Exit, Phase, Record
from skitai.master.estate import Estate
from skitai.master.program import Program
from skitai.master.signals import Signals
from skitai.master.spawn import fork

log = logging.getLogger("skitai.server")


class Family:
    """All children of this master, with their links and rows.

    :param config: handed to children; None when none will be started.
    :param release: in a child: closes what is the master's alone, beyond the estate and the links.
    """

    def __init__(self, estate: Estate, config: Config | None, signals: Signals, release: Callable[[], None]) -> None:
        self.children = Children()
        self._estate = estate
        self._config = config
        self._signals = signals
        self._release = release
        self._links: dict[int, Link] = {}

    def filenos(self) -> Iterator[int]:
        """Descriptors to watch for reading."""
        return (link.fileno() for link in self._links.values())

    def row(self, record: Record) -> Row | None:
        """A child's row of the scoreboard; None when this program cannot read it."""
        return self._estate.scoreboard.row(record.slot) if record.slot >= 0 else None

    def spawn(self, program: Program, generation: int, strict: bool, now: float) -> bool:
        """Start a child; False, and a line in the log, when the system has no room for it."""
        slot = self.children.free_slot(ROWS)
        if slot is None or self._config is None:
            raise RuntimeError(f"cannot start a {program.name}: all {ROWS} rows are taken, or there is no configuration")
        number = self.children.next_number(program.name)
        row = self._estate.scoreboard.row(slot)
        row.clear()
        row.generation, row.started_s = generation, now
        inboxes = self._estate.inboxes
        inboxes.empty(slot)
        ours, theirs = Link.pair()
        child = Child(
            self._config,
            [each.socket for each in self._estate.listeners],
            number,
            generation,
            row,
            self._estate.table,
            theirs,
            self._estate.places,
            Bus(inboxes, row),
            strict,
            self._estate.buckets,
        )
        child.cachefs = self._estate.cachefs
        try:
            pid = fork(program, child, self._estate.identity, self._signals, lambda: self._leave_to_child(ours, slot))
        except OSError as error:
            ours.close()
            log.critical("cannot start %s: %s", program.label(number), error.strerror)
            return False
        finally:
            theirs.close()
        row.pid = pid
        self._links[pid] = ours
        label, helper = program.label(number), program.helper
        self.children.started(Record(pid, program.name, number, label, generation, slot, now, strict=strict, helper=helper))
        return True

    def _leave_to_child(self, link: Link, slot: int) -> None:
        link.close()
        self._estate.inboxes.leave_to(slot)
        for each in self._links.values():
            each.close()
        self._estate.release()
        self._release()

    def messages(self) -> Iterator[tuple[Record, Message]]:
        """What the children have sent since the last call."""
        for pid in list(self._links):
            yield from self._hear(pid)

    def _hear(self, pid: int) -> list[tuple[Record, Message]]:
        messages, alive = self._links[pid].receive()
        if not alive:
            self._links.pop(pid).close()
        record = self.children.get(pid)
        return [(record, message) for message in messages] if record else []

    def last_words(self, pid: int) -> list[tuple[Record, Message]]:
        """What a child had sent before it left."""
        return self._hear(pid) if pid in self._links else []

    def bury(self, pid: int, code: int, now: float) -> Exit | None:
        """A process has ended; None when it was no child of ours."""
        if link := self._links.pop(pid, None):
            link.close()
        record = self.children.get(pid)
        if record and (row := self.row(record)):
            self._estate.scoreboard.left_requests += row.requests
            row.clear()
        return self.children.exited(pid, code, now)

    def tell(self, pid: int, number: signal.Signals, phase: Phase, deadline_s: float) -> None:
        """Send a signal that should end a child."""
        self.children.told(pid, phase, deadline_s)
        self.send(pid, number)

    def send(self, pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it cannot have been reaped, but a signal may come between
            os.kill(pid, number)

    def pass_on(self, number: signal.Signals) -> None:
        """Send a signal to all."""
        for record in self.children:
            self.send(record.pid, number)

    def hand_over(self) -> dict[str, Any]:
        """Let the links survive the next exec, and describe everything in JSON types."""
        links = {str(pid): link.hand_over() for pid, link in self._links.items()}
        return {"children": self.children.to_json(), "links": links}

    def keep(self) -> None:
        """The exec did not come about."""
        for link in self._links.values():
            link.socket.set_inheritable(False)

    def adopt(self, data: dict[str, Any], readable: bool) -> None:
        """Go on with the children of the program before the exec.

        :param readable: whether their rows can be read.
        """
        self.children = Children.from_json(data["children"])
        self._links = {int(pid): Link.adopt(fd) for pid, fd in data["links"].items()}
        if not readable:
            for record in self.children:
                record.slot = -1


def reaped() -> Iterator[tuple[int, int]]:
    """The processes that have ended: pid, and exit code or minus the signal's number."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)
