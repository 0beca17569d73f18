"""The process that `was` lives in: what a worker lets its apps use of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from skitai.config.tree import Config
from skitai.ipc.bus import Bus
from skitai.ipc.lastupdate import Table
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Row

if TYPE_CHECKING:
    from skitai.cachefs.host import Host


class WorkerServices(Protocol):
    """A worker, as `ipc.link.Child` is one.

    :ivar number: of the worker, as in its title.
    :ivar row: its row of the scoreboard.
    :ivar table: the last-update table.
    :ivar places: the server's own folders.
    :ivar bus: the way to the other workers.
    :ivar cachefs: the HTTP cache; None where none is configured.
    """

    config: Config
    number: int
    generation: int
    row: Row
    table: Table
    places: Places
    bus: Bus
    cachefs: Host | None

    def restart(self) -> None:
        """Ask for new code: of the whole server when this is its only worker, else of this worker."""

    def shutdown(self) -> None:
        """Ask to stop the server when this is its only worker, else to replace this worker."""


class Times(Protocol):
    """When named things were last changed, as `ipc.lastupdate.Table` knows."""

    def set(self, name: str, now_s: float) -> None: ...

    def get(self, *names: str) -> float: ...


class _Host:
    """Holds what was attached."""

    def __init__(self) -> None:
        self.worker: WorkerServices | None = None
        self.times: Times | None = None


_host = _Host()


def attach(worker: WorkerServices | None) -> None:
    """Tell `was` which worker it lives in. The worker calls this once, before it loads its apps."""
    _host.worker = worker


def attached() -> WorkerServices | None:
    """The worker that was attached, None in a process that is no worker."""
    return _host.worker


def lend(times: Times | None) -> None:
    """Have the times of changes kept, in a process that is no worker and plays one."""
    _host.times = times


def times() -> Times | None:
    """Of the worker, or of who plays one; None in a process where there is neither."""
    return _host.times if _host.worker is None else _host.worker.table


_DEFAULTS = Config()


def config() -> Config:
    """The worker's configuration; the defaults in a process that is no worker."""
    return _DEFAULTS if _host.worker is None else _host.worker.config


def worker(name: str) -> WorkerServices:
    """The worker that was attached.

    :param name: what is asked of it, for the message.
    :raises RuntimeError: this process is no worker.
    """
    if _host.worker is None:
        raise RuntimeError(f"was.{name} needs a running server, and this process is none of its workers")
    return _host.worker
