"""For whom requests to back-ends are made, and what every one of them may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from skitai.backend.backends import Backends, Target, UseCache
from skitai.backend.cluster import Cluster
from skitai.backend.result import Result
from skitai.backend.seam import Operation
from skitai.backend.task import Group, Task
from skitai.exchange import Exchange
from skitai.log.txn import hand_on
from skitai.was import process

if TYPE_CHECKING:
    from skitai.sql.entry import Maps

Mode = Literal["", "lb", "map"]
"""Whom to ask of an alias: whoever it is; one, and so it is said; all."""


class Caller:
    """For whom requests to back-ends are made.

    :param exchange: a client's request; None outside of requests.
    :param maps: templates of SQL, if the app has any.
    :ivar direct: a request that says nothing but what it asks may go to the back-ends without `ask`.
    """

    direct = True

    def __init__(self, exchange: Exchange | None, maps: Maps | None = None) -> None:
        self.exchange = exchange
        self.maps = maps

    @property
    def backends(self) -> Backends:
        return process.backends()

    def trace(self) -> tuple[tuple[str, str], int] | None:
        """What the next request hands on of the transaction ids, for `log.txn.hand_on`."""
        exchange = self.exchange
        if exchange is None:
            return None
        try:
            exchange.asked += 1
        except AttributeError:
            exchange.asked = 1
        return exchange.txn, exchange.asked

    def tracing(self) -> list[tuple[str, str]]:
        """The fields that hand the transaction ids on."""
        trace = self.trace()
        return [] if trace is None else hand_on(*trace)

    def ask(self, target: Target, mode: Mode, options: Options, operation: Operation) -> Task | Group:
        """Send a request on its way.

        :raises ValueError: `mode` asks all members, and there is no alias, or a callback, which would get one result.
        """
        if mode == "map":
            if options.callback is not None or options.id:
                raise ValueError("results of all members come together: without callback, and in no promise")
            if not isinstance(target, Cluster):
                raise ValueError(".map asks all members of an alias: '@NAME'")
            return self.backends.ask_all(target, operation, options.timeout, options.use_cache, options.meta, options.filter)
        then = options.then(self.exchange)
        given = (options.timeout, options.use_cache, options.meta, options.id, options.filter, then)
        return self.backends.ask(target, operation, *given)


@dataclass(frozen=True, slots=True)
class Options:
    """What every request may have.

    :ivar meta: for the caller; the result has it.
    :ivar use_cache: False for a fresh result; a time (`was.getlu`) for one that is not older.
    :ivar filter: gets the result, and returns what is to be its `data`.
    :ivar callback: a function that gets the result where handlers run, or ``(function, args)``, ``(function, kwargs)``,
        ``(function, args, kwargs)`` for more arguments.
    :ivar timeout: seconds.
    :ivar id: in a promise.
    """

    meta: dict[str, Any] | None = None
    use_cache: UseCache = True
    filter: Callable[[Result], Any] | None = None
    callback: Any = None
    timeout: float | None = None
    id: str = ""

    @classmethod
    def of(cls, rest: tuple[Any, ...], given: dict[str, Any]) -> tuple[Options, dict[str, Any]]:
        """The options among the last arguments of a call, and the others that have names.

        :param rest: values in the order of the fields above.
        :raises TypeError: too many of them, one twice, or one that is of no use.
        """
        if len(rest) > len(_NAMES):
            raise TypeError(f"too many arguments: behind {', '.join(_NAMES)} nothing comes")
        named = dict(zip(_NAMES, rest, strict=False))
        twice = named.keys() & given.keys()
        if twice:
            raise TypeError(f"{', '.join(sorted(twice))}: given twice")
        named |= given
        options = cls(**{name: named.pop(name) for name in _NAMES if name in named})
        options.check()
        return options, named

    def check(self) -> None:
        """:raises TypeError: a value is of no use."""
        if self.timeout is not None and not isinstance(self.timeout, (int, float)):
            raise TypeError(f"timeout is a number of seconds, not {self.timeout!r}")
        if not isinstance(self.use_cache, (int, float)):
            raise TypeError(f"use_cache is True, False, or a time such as was.getlu() gives, not {self.use_cache!r}")
        if self.meta is not None and not isinstance(self.meta, dict):
            raise TypeError(f"meta is a dictionary, not {self.meta!r}")

    def reading(self, read: Callable[[Result], Any]) -> Options:
        """With `read` making the data before the caller's own filter does."""
        own = self.filter

        def both(result: Result) -> Any:
            result.data = read(result)
            return result.data if own is None else own(result)

        return replace(self, filter=both)

    def then(self, exchange: Exchange | None) -> Callable[[Result], None] | None:
        """What follows the result, in the loop."""
        if self.callback is None:
            return None
        function, args, kwargs = split_callback(self.callback)

        def tell(result: Result) -> None:
            function(result, *args, **kwargs)

        if exchange is None:
            return tell
        resume = exchange.resume
        return lambda result: resume(tell, result)


_NAMES = tuple(each.name for each in fields(Options))

PLAIN = Options()
"""Of requests that say nothing."""


def split_callback(callback: Any) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Function, further arguments and further keywords of a callback.

    :raises TypeError: it is none.
    """
    parts = callback if isinstance(callback, tuple) else (callback,)
    function, *more = parts if parts else (None,)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for each in more:
        if isinstance(each, Mapping):
            kwargs |= each
        elif isinstance(each, (tuple, list)):
            args += tuple(each)
        else:
            function = None
    if not callable(function):
        raise TypeError("a callback is a function, or (function, args), (function, kwargs), (function, args, kwargs)")
    return function, args, kwargs
