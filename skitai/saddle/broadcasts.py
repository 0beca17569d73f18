"""Broadcasts: events for all Saddle apps of all workers.

The apps of the own worker hear them at once, in the thread of the one that broadcasts, with the arguments themselves. The
other workers get them over the bus as JSON, and their apps hear them one after the other, in a thread.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from os import PathLike, fspath
from time import monotonic
from typing import TYPE_CHECKING, Any

import orjson

from skitai.was import host, services

if TYPE_CHECKING:
    from skitai.exchange import Context
    from skitai.ipc.bus import Bus
    from skitai.ipc.parcels import Message
    from skitai.saddle.app import Saddle

log = logging.getLogger("skitai.app")

TOPIC = "saddle.event"
MOST_WAITING = 1000
TURN_S = 0.02
"""So long a thread tells of broadcasts before it lets requests in."""

Hear = Callable[[tuple[str, ...], tuple[Any, ...], dict[str, Any]], None]
"""Tells an app of events, with their arguments."""

_audience: dict[Saddle, Hear] = {}
"""The apps that are mounted in this worker."""

_senders: list[Bus] = []
"""Of a process that has no apps, and is heard by those of the workers all the same."""


def join(app: Saddle, hear: Hear) -> None:
    """An app hears broadcasts from now on."""
    _audience[app] = hear


def leave(app: Saddle) -> None:
    """An app hears no more."""
    _audience.pop(app, None)


def send_only(bus: Bus) -> None:
    """Let a process that has no apps of its own, a job say, broadcast to those of the workers.

    :param bus: closed when the process has nothing more to say.
    """
    bus.open_to_send()
    _senders.append(bus)
    services.share("broadcast", broadcast)


def broadcast(event: str, *args: Any, **kwargs: Any) -> None:
    """Tell all apps of all workers of an event.

    :raises TypeError: there are other workers, and an argument has no JSON form.
    :raises ValueError: there are, and the arguments are too large for the bus.
    """
    _publish((event,), args, kwargs)


def _publish(events: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    worker = host.attached()
    if worker is not None:
        _send(worker, events, args, kwargs)
    for hear in tuple(_audience.values()):
        hear(events, args, kwargs)


def _send(worker: host.WorkerServices, events: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        payload = dumps(events, args, kwargs)
    except TypeError as error:
        # Where there is one worker, another is there during a reload only, and nobody should have to think of that.
        if worker.config.server.workers > 1:
            raise TypeError(f"broadcast {events[0]!r} cannot go to other workers: {error}") from error
        return
    try:
        worker.bus.send(TOPIC, payload)
    except OSError as error:
        log.error("broadcast %r does not reach other workers: %s", events[0], error)


def dumps(events: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """A broadcast as other workers get it.

    :raises TypeError: something has no JSON form.
    """
    return orjson.dumps([events, args, kwargs], _plain, orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    """Values beyond JSON's that have an obvious form; orjson knows dates, times, UUIDs, enums and dataclasses itself."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, PathLike):
        return fspath(value)
    raise TypeError


def _on_update(name: str, *args: Any, **kwargs: Any) -> None:
    """After `was.setlu`, of whatever kind of app."""
    if _audience or _senders:
        _publish((f"model-changed:{name}", name), args, kwargs)


services.on_update(_on_update)


class BroadcastFacet:
    """The members of `Was` for events."""

    def broadcast(self, event: str, *args: Any, **kwargs: Any) -> None:
        """Tell all apps of all workers of an event; see `Saddle.on_broadcast`.

        The apps of this worker hear it before this returns, with these arguments. In other workers they get JSON types:
        tuples and sets come as lists, dates as text.

        :raises TypeError: there are other workers, and an argument has no JSON form.
        :raises ValueError: there are, and the arguments are too large: more than 64 MiB.
        """
        broadcast(event, *args, **kwargs)

    def emit(self, event: str, *args: Any, **kwargs: Any) -> None:
        """Superseded.

        :raises AttributeError: always; it says by what.
        """
        raise AttributeError("was.emit() is superseded: app.emit() is for one app, was.broadcast() for all")


class Receiver:
    """Lets the apps of this worker hear what other workers broadcast, in order, in one thread at a time.

    When more waits than `MOST_WAITING`, the bus is left alone until the apps have caught up.
    """

    def __init__(self, context: Context, bus: Bus) -> None:
        self._context = context
        self._bus = bus
        self._waiting: deque[bytes] = deque()
        self._busy = False
        self._held = False

    def open(self) -> None:
        self._bus.subscribe(TOPIC, self._take)

    def close(self) -> None:
        self._bus.unsubscribe(TOPIC)

    def _take(self, message: Message) -> None:
        self._waiting.append(message.payload)
        if len(self._waiting) >= MOST_WAITING and not self._held:
            self._held = True
            self._bus.pause()
        if not self._busy:
            self._busy = True
            self._context.run_in_thread(self._work)

    def _work(self) -> None:
        """Tell some; others want the thread, too."""
        try:
            ends = monotonic() + TURN_S
            while self._waiting and monotonic() < ends:
                events, args, kwargs = orjson.loads(self._waiting.popleft())
                for hear in tuple(_audience.values()):
                    hear(tuple(events), tuple(args), kwargs)
        except Exception:
            log.exception("a broadcast of another worker could not be told")
        finally:
            self._context.on_loop(self._go_on)

    def _go_on(self) -> None:
        if self._held and len(self._waiting) < MOST_WAITING // 2:
            self._held = False
            self._bus.resume()
        if self._waiting:
            self._context.run_in_thread(self._work)
        else:
            self._busy = False
