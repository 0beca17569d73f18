"""Events: what an app says to itself, and what it hears that others say.

Handlers are called in the order in which they were named, plain functions in the thread of the one that emits, coroutine
functions in the loop. An error in one is logged, and the next is called all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from skitai.log import journal
from skitai.saddle.broadcasts import broadcast
from skitai.saddle.current import was_of
from skitai.saddle.hooks import F, Hook, Step, Steps, around, is_async, place
from skitai.saddle.house import house

if TYPE_CHECKING:
    import asyncio

    from skitai.saddle.app import Saddle
    from skitai.saddle.context import Was

log = logging.getLogger("skitai.app")

app_starting = "app:starting"
"""The app's handlers get `wac`; nothing of the app has been called yet."""
app_started = "app:started"
app_restarting = "app:restarting"
"""New code is about to take over; handlers of the old app get `wac`."""
app_restarted = "app:restarted"
"""New code has taken over; handlers of the new app get `wac`."""
app_mounted = "app:mounted"
app_unmounting = "app:umounting"
request_starting = "request:started"
request_success = "request:success"
request_failed = "request:failed"
"""Handlers get `was` and `sys.exc_info()`."""
request_tearing_down = "request:teardown"
request_finished = "request:finished"
template_rendering = "template:rendering"
"""Handlers get `was`, the template and its parameters."""
template_rendered = "template:rendered"
"""Handlers get `was` and the text."""


class Events:
    """The handlers of an app, by event.

    :ivar own: of what the app emits.
    :ivar others: of what is broadcast.
    """

    __slots__ = ("others", "own")

    def __init__(self) -> None:
        self.own: dict[str, list[Hook]] = {}
        self.others: dict[str, list[Hook]] = {}


class Emitted:
    """An event that was emitted. Plain handlers have run; in the loop, ``await`` it for those that are coroutine
    functions."""

    __slots__ = ("_tasks",)

    def __init__(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._tasks = tasks

    def __await__(self) -> Generator[Any, None, None]:
        for task in self._tasks:
            yield from task.__await__()


class EventFacet:
    """The decorators and methods of `Saddle` for events."""

    def __init__(self) -> None:
        self._events = Events()

    def on(self, *events: str) -> Callable[[F], F]:
        """Call ``function(was, *args, **kwargs)`` for each of the events: what `emit` was given, or one of the server's own
        (``app_started``, ``request_failed`` ...), which come with what their descriptions say."""
        return _registrar(self._events.own, events, "on")

    def on_broadcast(self, *events: str) -> Callable[[F], F]:
        """Call ``function(was, *args, **kwargs)`` for each of the events that an app of any worker broadcasts.

        What comes from another worker comes with JSON types, and `was` has no request then. ``model-changed:NAME`` comes
        after each ``was.setlu(NAME)``.
        """
        return _registrar(self._events.others, events, "on_broadcast")

    on_signal = on_broadcast

    def emit(self: Saddle, event: str, *args: Any, **kwargs: Any) -> Emitted:  # type: ignore[misc]
        """Call the handlers of an event of this app, with `was` and these arguments."""
        hooks = self._events.own.get(event)
        return call_all(hooks, event, was_of(self), args, kwargs) if hooks else NOBODY

    def emit_after(self, event: str) -> Callable[[F], F]:
        """A decorator of handlers of requests and events: emit an event once the function has returned."""

        def decorate(function: F) -> F:
            async def job_in_loop(was: Was) -> None:
                await self.emit(event)  # type: ignore[misc]

            def job(was: Was) -> None:
                self.emit(event)  # type: ignore[misc]

            return around(function, after=[job_in_loop if is_async(function) else job])

        return decorate

    def broadcast_after(self, event: str) -> Callable[[F], F]:
        """A decorator of handlers of requests and events: broadcast an event once the function has returned."""
        return lambda function: around(function, after=[lambda was: broadcast(event)])


def _registrar(into: dict[str, list[Hook]], events: tuple[str, ...], name: str) -> Callable[[F], F]:
    if not events or not all(isinstance(event, str) and event for event in events):
        raise TypeError(f"@app.{name} takes names of events, and was given {', '.join(map(repr, events)) or 'none'}")

    def register(function: F) -> F:
        hook = Hook.of(function)
        for event in events:
            into.setdefault(event, []).append(hook)
        return function

    return register


def call_all(hooks: list[Hook], event: str, first: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Emitted:
    """Call handlers one after the other; errors are logged.

    :param first: `was` or `wac`.
    """
    tasks = []
    for hook in tuple(hooks):
        if hook.is_async:
            task = house.run(_attempt(hook, event, first, args, kwargs))
            if task is not None:
                tasks.append(task)
        else:
            try:
                hook.function(first, *args, **kwargs)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the handler's own, whatever it is
                complain(hook, event, error, first)
    return Emitted(tasks) if tasks else NOBODY


async def _attempt(hook: Hook, event: str, first: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        await hook.function(first, *args, **kwargs)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as in `call_all`
        complain(hook, event, error, first)


def emitted(was: Was, event: str, *args: Any) -> Steps:
    """Emit an event of the running request, as steps of it."""
    for hook in was.app._events.own.get(event, ()):
        try:
            yield Step(hook.is_async, hook.function, (was, *args))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as in `call_all`
            complain(hook, event, error, was)


def hear(app: Saddle, events: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call an app's handlers of what was broadcast, with the running request's `was` if there is one."""
    others = app._events.others
    for event in events:
        hooks = others.get(event)
        if hooks:
            call_all(hooks, event, was_of(app), args, kwargs)


def complain(hook: Hook, event: str, error: BaseException, first: Any = None) -> None:
    exchange = getattr(first, "exchange", None)
    txn = "/".join(exchange.txn) if exchange is not None else ""
    journal.traceback("app", error, txn, f"{place(hook.function)} failed on {event!r}")


NOBODY = Emitted([])
