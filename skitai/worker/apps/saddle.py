"""Saddle apps: plain functions run in the worker's threads, coroutine functions in its loop.

`saddle.call` says what happens to a request, step by step; here the steps are taken, and the outcome is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from skitai.config.tree import Mount
from skitai.errors import Answerable, NotFound, Unavailable
from skitai.exchange import BodyMode, Context, Head
from skitai.loading.app import Loaded
from skitai.saddle.app import Saddle
from skitai.saddle.call import Flow, Step, answer
from skitai.saddle.context import Was
from skitai.saddle.routing import Redirect, Route, below
from skitai.was.context import current

log = logging.getLogger("skitai.app")

Target = tuple[Route | None, dict[str, Any], Answerable | None]
"""Who answers a head: a route with the values of its URL, or an error."""


class SaddleApp:
    """Serves a Saddle app at a mount point.

    :ivar tasks: requests that are in the loop's hands.
    """

    body_mode = BodyMode.WHOLE
    in_threads = True

    def __init__(self, loaded: Loaded, mount: Mount) -> None:
        self.app: Saddle = loaded.app
        self.debug = loaded.debug
        self.limits = self.app.config
        self.tasks: set[asyncio.Task[None]] = set()
        self._mount = mount
        self._context: Context

    async def startup(self, context: Context) -> None:
        self._context = context
        self.app.basepath = self._mount.point
        self.submit = context.run_in_thread
        self.on_loop = context.on_loop
        self.threads = context.config.server.threads

    async def shutdown(self) -> None: ...

    def handle(self, exchange: Any) -> None:
        head = exchange.head
        try:
            target = head.forms[self]
        except KeyError:
            target = head.forms[self] = self._target(head)
        if type(target) is str:
            exchange.respond(Redirect.status(head.method), [("Location", target)])
            return
        route = target[0]
        call = Call(self, exchange, target)
        if route is not None and route.is_async:
            call.begin_in_loop()
        else:
            self.submit(call.begin)

    def _target(self, head: Head) -> Target | str:
        """Who answers a head; the address, percent-encoded, where that is another."""
        path = below(head.raw_path, self._mount.point)
        found = self.app._routes.find(path)
        if isinstance(found, Redirect):
            location = head.raw_path.removesuffix(path) + found.path
            return location + ("?" + head.query if head.query else "")
        if found is None:
            return None, {}, NotFound()
        try:
            route = found.pick(head.method, head.fields.text("content-type"))
        except Answerable as error:
            return None, {}, error
        return route, found.values, None


class Call:
    """One request, from its first step to the end of its response."""

    __slots__ = ("_driver", "_flow", "_target", "exchange")

    def __init__(self, driver: SaddleApp, exchange: Any, target: Target) -> None:
        self._driver = driver
        self._target = target
        self.exchange = exchange
        self._flow: Flow

    def begin(self) -> None:
        """Work on the request in this thread. Errors become answers; nothing is raised."""
        if self.exchange.take():
            self._open()
            self._advance(next, self._flow)

    def begin_in_loop(self) -> None:
        """Work on the request in the loop."""
        if self.exchange.take():
            self._open()
            self._task(self._advance_in_loop(next, self._flow))

    def _open(self) -> None:
        route, values, error = self._target
        self.exchange.context = was = Was(self._driver.app, self.exchange, route)
        self._flow = answer(was, values, error)

    def _advance(self, resume: Callable[..., Step], *args: Any) -> None:
        """Take the steps that may be taken in a thread, beginning with what `resume` gives."""
        token = current.set(self.exchange)
        flow = self._flow
        try:
            step = resume(*args)
            while not step.is_async:
                try:
                    result = step.function(*step.args, **step.kwargs)
                except BaseException as error:  # noqa: BLE001 - the flow decides what becomes of it
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
            self._driver.on_loop(self._go_on_in_loop, step)
        except StopIteration as end:
            self._send(end.value)
        except BaseException as error:  # noqa: BLE001 - sys.exit() too: no thread ends with a request
            self._fail(error)
        finally:
            current.reset(token)

    def _go_on_in_loop(self, step: Step) -> None:
        self._task(self._advance_in_loop(lambda: step))

    async def _advance_in_loop(self, resume: Callable[..., Step], *args: Any) -> None:
        """The same in the loop; plain functions go to a thread if there are any."""
        current.set(self.exchange)  # in this task's own context
        flow = self._flow
        try:
            step = resume(*args)
            while step.is_async or not self._driver.threads:
                try:
                    result = step.function(*step.args, **step.kwargs)
                    if step.is_async:
                        result = await result
                except BaseException as error:  # noqa: BLE001 - as in `_advance`
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
            self._driver.submit(self._advance, _given, step)
        except StopIteration as end:
            self._send(end.value)
        except asyncio.CancelledError:
            self._fail(Unavailable("the request was cancelled"))
        except BaseException as error:  # noqa: BLE001 - as in `_advance`
            self._fail(error)

    def _task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, name="request")
        self._driver.tasks.add(task)
        task.add_done_callback(self._driver.tasks.discard)

    def _send(self, outcome: Any) -> None:
        self.exchange.respond(outcome.status, outcome.fields, outcome.body, outcome.reason)
        self._end()

    def _fail(self, error: BaseException) -> None:
        self._end()
        self.exchange.fail(error)

    def _end(self) -> None:
        """Let go of what belongs to the request."""
        self.exchange.context = None


def _given(step: Step) -> Step:
    return step
