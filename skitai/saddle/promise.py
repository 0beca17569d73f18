"""A response that is made while back-ends answer: ``return was.promise(handler)``.

::

    def handler(promise, response):
        promise[response.id] = response.text
        if promise.fulfilled():
            promise.settle(promise.render("page.html"))

    @app.route("/page")
    def page(was):
        promise = was.promise(handler, title="Both")
        promise.get("one", "@members/one")
        promise.get("two", "@members/two")
        return promise

No thread waits meanwhile. The handler is called once for each answer, one after the other, where the app's functions run; a
coroutine function in the loop.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.backend.result import Result
from skitai.backend.task import Group, Task
from skitai.saddle.house import house
from skitai.was.caller import Caller, Mode, Options
from skitai.was.context import current
from skitai.was.verbs import VERBS, Bound, Verb, Verbs

if TYPE_CHECKING:
    from skitai.backend.backends import Target
    from skitai.backend.seam import Operation
    from skitai.exchange import Exchange
    from skitai.sql.entry import Maps

log = logging.getLogger("skitai.app")

Handler = Callable[["Promise", Result], Any]


class Rendered(str):
    """Text of a template, which others do not escape. Joined with other text it is text like any."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


class Promise:
    """The response to a request, of which pieces are sent as back-ends answer.

    Its verbs are those of `was`, with a name for the request in front: ``promise.get("name", url)``,
    ``promise.backend("name", "@db").execute(...)``. Whatever else `was` has, it has, too.

    :param was: of the request.
    :param handler: called as ``handler(promise, result)``, where ``result.id`` is the name.
    :param prolog: sent before everything else.
    :param epilog: sent behind everything else.
    :param values: what ``promise[name]`` is to begin with.
    """

    def __init__(
        self, was: Any, handler: Handler, prolog: str | bytes | None, epilog: str | bytes | None, values: dict[str, Any]
    ) -> None:
        self._was = was
        self._handler = handler
        self._epilog = epilog
        self._caller = _Caller(was.running("promise"), was._caller().maps, self)
        self._values = values
        self._pieces: deque[str | bytes] = deque([prolog] if prolog else [])
        self._more: Callable[[], Any] | None = None
        self._early: list[Result] = []
        self._tasks: list[Task] = []
        self._heard = 0
        self._settled = self._rejected = self._returned = False
        self._error: BaseException | None = None
        self._turn: asyncio.Lock | None = None

    # Requests

    def __getattr__(self, name: str) -> Any:
        if name in VERBS:
            verb: Verb = vars(Verbs)[name]
            return _Named(Bound(verb._make, name, lambda: self._caller))
        return getattr(self._was, name)

    def _began(self, task: Task) -> None:
        self._tasks.append(task)

    def _come(self, result: Result) -> None:
        """An answer is there. In the loop's thread of the back-ends."""
        if not self._returned:
            self._early.append(result)  # whoever makes the requests has not made all of them yet
        elif inspect.iscoroutinefunction(self._handler):
            house.run(self._hear_in_loop(result))
        else:
            self._caller.resume(self._hear, result)

    def _hear(self, result: Result) -> None:
        if self._over:
            return
        self._heard += 1
        try:
            self._handler(self, result)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            self._fail(error)
        else:
            self._check()

    async def _hear_in_loop(self, result: Result) -> None:
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            if self._over:
                return
            self._heard += 1
            current.set(self._caller.exchange)
            try:
                await self._handler(self, result)
            except BaseException as error:  # noqa: BLE001 - as in `_hear`
                self._fail(error)
            else:
                self._check()

    def _check(self) -> None:
        """Nothing will come any more, and nobody has said what the end is: that it ends at all is better than nothing."""
        if self._returned and not self._over and self._heard == len(self._tasks):
            log.warning(
                "a promise was not settled when all its requests were answered",
                extra={"txn": "/".join(self._caller.running.txn)},
            )
            self.settle()

    # What was said so far

    def __len__(self) -> int:
        """Requests that were made."""
        return len(self._tasks)

    def __bool__(self) -> bool:
        return True

    def pending(self) -> bool:
        """Whether answers are still to come."""
        return self._heard < len(self._tasks)

    def fulfilled(self) -> bool:
        """Whether all answers have come."""
        return not self.pending()

    def settled(self) -> bool:
        """Whether `settle` was called."""
        return self._settled

    def rejected(self) -> bool:
        """Whether `reject` was called: answers that come now are ignored."""
        return self._rejected

    @property
    def _over(self) -> bool:
        return self._settled or self._rejected

    # Values

    def set(self, name: str, data: Any) -> None:
        """Remember a value for `render`; as ``promise[name] = data``."""
        self._values[name] = data

    def __setitem__(self, name: str, data: Any) -> None:
        self._values[name] = data

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __delitem__(self, name: str) -> None:
        del self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def render(self, template: str, values: Mapping[str, Any] | None = None, /, **more: Any) -> str:
        """The text of a template. In another template it stands as it is: it is escaped already.

        :param values: names for it, here or as keywords; without any, those of the promise.
        """
        if values is None and not more:
            return Rendered(self._was.render(template, self._values))
        return Rendered(self._was.render(template, values, **more))

    # The response

    def send(self, data: Any) -> None:
        """Send a piece of the response.

        :raises RuntimeError: it is complete already.
        """
        if self._over:
            raise RuntimeError("the promise is settled: nothing can follow")
        self._put(data)

    def settle(self, data: Any = None) -> None:
        """Complete the response.

        :param data: its last piece: text, bytes, or what `was.response.API` makes.
        :raises RuntimeError: it is complete already.
        """
        self._end(data)
        self._settled = True
        self._wake()

    def reject(self, data: Any = None) -> None:
        """Complete the response, and ignore whatever answers are still to come."""
        self._end(data)
        self._rejected = True
        self._wake()

    def _end(self, data: Any) -> None:
        if self._over:
            raise RuntimeError("the promise is settled already")
        if data is not None:
            self._put(data)
        if self._epilog:
            self._put(self._epilog)

    def _put(self, data: Any) -> None:
        piece = data if isinstance(data, (str, bytes)) else self._was.tojson(data)
        if piece:
            self._pieces.append(piece)
            self._wake()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self._rejected = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None:
            self._more()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The pieces, as they come. In the worker's loop; the client's pace is kept by whoever takes them."""
        came = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._more = partial(loop.call_soon_threadsafe, came.set)
        self._returned = True
        early, self._early = self._early, []
        for result in early:
            self._come(result)
        self._check()
        try:
            while True:
                came.clear()
                while self._pieces:
                    yield self._pieces.popleft()
                if self._over and not self._pieces:
                    break
                if not self._pieces:
                    await came.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._rejected = self._rejected or not self._settled
            self._more = None
            for task in self._tasks:
                task.give_up()  # of those that are done nothing changes


class _Caller(Caller):
    """Makes requests whose answers come to a promise."""

    direct = False

    def __init__(self, exchange: Exchange, maps: Maps | None, promise: Promise) -> None:
        super().__init__(exchange, maps)
        self.running = exchange
        self.resume = exchange.resume
        self._promise = promise

    def ask(self, target: Target, mode: Mode, options: Options, operation: Operation) -> Task | Group:
        """:raises ValueError: the answer is to go elsewhere."""
        if options.callback is not None:
            raise ValueError("the answers of a promise's requests come to its handler: a callback is not for promises")
        promise = self._promise
        task = self.backends.ask(
            target,
            operation,
            options.timeout,
            options.use_cache,
            options.meta,
            options.id,
            options.filter,
            promise._come,
        )
        promise._began(task)
        return task


class _Named:
    """A verb whose first argument is the name of the request."""

    __slots__ = ("_bound",)

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    @property
    def lb(self) -> _Named:
        return _Named(self._bound.lb)

    @property
    def map(self) -> NoReturn:
        """:raises ValueError: results of all members come together."""
        raise ValueError("a promise has one answer for each request: .map is not for promises")

    def __call__(self, reqid: str | None, *args: Any, **kwargs: Any) -> Any:
        return self._bound(*args, id=reqid or "", **kwargs)


class PromiseFacet:
    """`was.promise`."""

    def promise(
        self, handler: Handler, prolog: str | bytes | None = None, epilog: str | bytes | None = None, **values: Any
    ) -> Promise:
        """A response that is made while back-ends answer; to be returned.

        :param handler: ``handler(promise, result)``, called for each answer.
        :param prolog: sent before everything else.
        :param epilog: sent behind everything else.
        :param values: what ``promise[name]`` is to begin with.
        """
        if not callable(handler):
            raise TypeError(f"a promise wants a function that takes the promise and a result, not {handler!r:.80}")
        return Promise(self, handler, prolog, epilog, values)
