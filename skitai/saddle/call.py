"""One request in an app, from its route to its outcome.

What happens is written once, as a generator of steps: each step is a function of the app to call. Who runs it calls plain
functions in a thread and coroutine functions in the loop, and sends what they return, or throws what they raise, back in.
So nothing here knows of threads and loops, and a request may go from one to the other and back.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from skitai.errors import Answerable, Unanswerable
from skitai.http import pages
from skitai.log.failures import Failure, describe
from skitai.saddle import errors
from skitai.saddle.context import Was
from skitai.saddle.hooks import Function, Hook

NOTHING: dict[str, Any] = {}


class Step(NamedTuple):
    """A function of the app that is to be called now."""

    is_async: bool
    function: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = NOTHING


Flow = Generator[Step, Any, Any]


def answer(was: Was, values: Mapping[str, Any], error: Answerable | None = None) -> Flow:
    """Answer a request. Errors of the app become outcomes.

    :param values: of the route's URL parameters.
    :param error: why there is no route.
    :returns: the outcome.
    :raises Unanswerable: nobody waits for it.
    """
    try:
        if error is not None:
            raise error
        content = yield from _handled(was, values)
        return _outcome(was, content)
    except Unanswerable:
        raise
    except Exception as failed:  # noqa: BLE001 - the app's own, whatever it is
        return (yield from _failure(was, failed))


def _handled(was: Was, values: Mapping[str, Any]) -> Flow:
    """Call the hooks and the handler; what the response is to be made of."""
    hooks = was.app._hooks
    try:
        try:
            if hooks.before is not None:
                content = yield _step(hooks.before, was)
                if content is not None:
                    return content
            route = was.route
            bound = route.binder.bind(values, {}, None)
            content = yield Step(route.is_async, route.function, (was, *bound.args), bound.kwargs)
            if content is None:
                raise TypeError(f"{route.name}() returned None; return '' for an empty response")
        except Exception:
            if hooks.failed is None:
                raise
            content = yield _step(hooks.failed, was, sys.exc_info())
            if content is None:
                raise
        else:
            if hooks.finish is not None:
                yield _step(hooks.finish, was)
    finally:
        if hooks.teardown is not None:
            yield _step(hooks.teardown, was)
    return content


def _failure(was: Was, error: Exception) -> Flow:
    """The outcome of an error: the app's own page for it, or the server's."""
    exchange = was.running("response")
    failure = describe(exchange, error)
    handler = was.app._errors.find(failure.status)
    if handler is not None:
        try:
            content = yield _step(handler, was, errors.shown(failure, exchange.head))
            return _outcome(was, content)._replace(status=failure.status)
        except Unanswerable:
            raise
        except Exception as broken:  # noqa: BLE001 - as in `answer`
            failure = describe(exchange, broken)
    return _page(was, failure)


def _step(hook: Hook, *args: Any) -> Step:
    return Step(hook.is_async, hook.function, args)


class Outcome(NamedTuple):
    """A response as it will be sent."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    reason: str = ""


def _outcome(was: Was, content: Any) -> Outcome:
    if not isinstance(content, str | bytes):
        raise TypeError(f"{was.route.name}() returned a {type(content).__name__}; text or bytes are wanted")
    body = content.encode() if isinstance(content, str) else content
    return Outcome(200, [("Content-Type", "text/html; charset=utf-8")], body)


def _page(was: Was, failure: Failure) -> Outcome:
    """The server's own page for an error."""
    accept = was.running("response").head.fields.text("accept")
    content_type, body = pages.render(failure.status, failure.message, accept, failure.shown or None)
    fields = [("Content-Type", content_type), ("Cache-Control", "no-store"), *failure.fields]
    return Outcome(failure.status, fields, body, failure.reason)
