"""What an app wants called around its requests: hooks of every request, and guards of single handlers."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

log = logging.getLogger("skitai.app")

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


class Hook(NamedTuple):
    """A function of the app, and whether it is a coroutine function."""

    function: Function
    is_async: bool

    @classmethod
    def of(cls, function: Function) -> Hook:
        return cls(function, is_async(function))


NOTHING: dict[str, Any] = {}


class Step(NamedTuple):
    """A function that is to be called now."""

    is_async: bool
    function: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = NOTHING


Steps = Generator[Step, Any, Any]
"""What happens to a request, or a part of it, step by step (`saddle.call`)."""


class Hooks:
    """The hooks of an app; None where it has none."""

    __slots__ = ("before", "failed", "finish", "teardown")

    def __init__(self) -> None:
        self.before: Hook | None = None
        self.finish: Hook | None = None
        self.failed: Hook | None = None
        self.teardown: Hook | None = None


class HookFacet:
    """The decorators of `Saddle` for what runs around requests. Of each hook an app has one: the last that it names.

    Hooks may be coroutine functions.
    """

    def __init__(self) -> None:
        self._hooks = Hooks()

    def before_request(self, function: F) -> F:
        """Call ``function(was)`` before the handler. What it returns, other than None, is the response instead of the
        handler's."""
        return self._hook("before", function)

    def finish_request(self, function: F) -> F:
        """Call ``function(was)`` after a handler that raised nothing."""
        return self._hook("finish", function)

    def failed_request(self, function: F) -> F:
        """Call ``function(was, exc_info)`` when the handler, or what ran before it, raised an error.

        What it returns, other than None, is the response; otherwise the error is answered as if there were no hook.
        """
        return self._hook("failed", function)

    def teardown_request(self, function: F) -> F:
        """Call ``function(was)`` last, also after errors."""
        return self._hook("teardown", function)

    def run_before(self, *guards: Function) -> Callable[[F], F]:
        """A decorator of handlers: call each ``guard(was)`` first. What one returns, other than None, is the response, and
        neither the guards after it nor the handler are called."""
        return lambda function: around(function, before=guards)

    def run_after(self, *jobs: Function) -> Callable[[F], F]:
        """A decorator of handlers: call each ``job(was)`` afterwards; what they return is ignored."""
        return lambda function: around(function, after=jobs)

    def _hook(self, name: str, function: F) -> F:
        old: Hook | None = getattr(self._hooks, name)
        if old is not None and place(old.function) != place(function):
            log.warning("%s_request: %s takes the place of %s", name, place(function), place(old.function))
        setattr(self._hooks, name, Hook.of(function))
        return function


def is_async(function: Function) -> bool:
    """Whether calling `function` gives a coroutine."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def place(function: Function) -> str:
    """Where a function stands, for messages: "module.name"."""
    return f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"


class Layer(NamedTuple):
    """What `around` put around a function; a request takes it step by step.

    :ivar wrapper: the function that carries this, to be told from others that only copied its attributes.
    :ivar inner: the function itself, a coroutine function also if that is behind some decorator's wrapper.
    """

    wrapper: Function
    before: tuple[Hook, ...]
    inner: Hook
    after: tuple[Hook, ...]


LAYER = "saddle_layer"


def around(function: F, before: Iterable[Function] = (), after: Iterable[Function] = ()) -> F:
    """A handler with guards before it and jobs after it, all called with `was`.

    The arguments that a request is mapped to remain those of `function`. In a request each function runs where it belongs
    (`calling`). Called directly, all run where the caller is; if any is a coroutine function, so is the result.

    :raises TypeError: a guard or job cannot be called.
    """
    guards, jobs = tuple(before), tuple(after)
    others: tuple[Function, ...] = (*guards, *jobs)
    for each in others:
        if not callable(each):
            raise TypeError(f"{place(function)}: {each!r} is no function to call before or after it")

    @functools.wraps(function)
    async def call_async(was: Any, *args: Any, **kwargs: Any) -> Any:
        for guard in guards:
            content = await settled(guard(was))
            if content is not None:
                return content
        content = await settled(function(was, *args, **kwargs))
        for job in jobs:
            await settled(job(was))
        return content

    @functools.wraps(function)
    def call(was: Any, *args: Any, **kwargs: Any) -> Any:
        for guard in guards:
            content = guard(was)
            if content is not None:
                return content
        content = function(was, *args, **kwargs)
        for job in jobs:
            job(was)
        return content

    wrapper = call_async if is_async(function) or any(map(is_async, others)) else call
    inner = Hook(function, is_async(function) or is_async(inspect.unwrap(function)))
    setattr(wrapper, LAYER, Layer(wrapper, tuple(map(Hook.of, guards)), inner, tuple(map(Hook.of, jobs))))
    return wrapper  # type: ignore[return-value]


def is_guarded(function: Function) -> bool:
    """Whether `around` put something around a handler."""
    layer: Layer | None = getattr(function, LAYER, None)
    return layer is not None and layer.wrapper is function


def calling(function: Function, in_loop: bool, was: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Steps:
    """Call a handler as steps of a request, with all that `around` put around it.

    :param in_loop: it is a coroutine function, behind whatever is around it.
    """
    layer: Layer | None = getattr(function, LAYER, None)
    if layer is None or layer.wrapper is not function:
        return (yield Step(in_loop, function, (was, *args), kwargs))
    for guard in layer.before:
        content = yield from _stepped(guard, was)
        if content is not None:
            return content
    content = yield from calling(*layer.inner, was, args, kwargs)
    for job in layer.after:
        yield from _stepped(job, was)
    return content


def _stepped(hook: Hook, was: Any) -> Steps:
    result = yield Step(hook.is_async, hook.function, (was,))
    if not hook.is_async and inspect.isawaitable(result):  # a plain function handed a coroutine on
        result = yield Step(True, settled, (result,))
    return result


def handling(error: BaseException, steps: Steps) -> Steps:
    """The same steps, each called as in an ``except`` block: there `sys.exception` knows the error."""
    trace = error.__traceback__
    try:
        step = next(steps)
        while True:
            call = _call_handling_async if step.is_async else _call_handling
            try:
                result = yield Step(step.is_async, call, (error, trace, step))
            except BaseException as raised:  # noqa: BLE001 - the steps decide what becomes of it
                step = steps.throw(raised)
            else:
                step = steps.send(result)
    except StopIteration as end:
        return end.value


def _call_handling(error: BaseException, trace: TracebackType | None, step: Step) -> Any:
    try:
        raise error
    except BaseException:  # noqa: BLE001 - the one that has just been raised
        error.__traceback__ = trace  # without this function
        return step.function(*step.args, **step.kwargs)


async def _call_handling_async(error: BaseException, trace: TracebackType | None, step: Step) -> Any:
    try:
        raise error
    except BaseException:  # noqa: BLE001 - the one that has just been raised
        error.__traceback__ = trace  # without this function
        return await settled(step.function(*step.args, **step.kwargs))


async def settled(value: Any) -> Any:
    """The value, awaited if it can be."""
    return await value if inspect.isawaitable(value) else value
