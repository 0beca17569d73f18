"""One request in an app, from its route to its outcome.

What happens is written once, as a generator of steps: each step is a function of the app to call. Who runs it calls plain
functions in a thread and coroutine functions in the loop, and sends what they return, or throws what they raise, back in.
So nothing here knows of threads and loops, and a request may go from one to the other and back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from skitai.errors import Answerable, BadRequest, Unanswerable
from skitai.http import pages
from skitai.log.failures import Failure, describe
from skitai.saddle import cors, errors, events
from skitai.saddle.args import Bound
from skitai.saddle.auth import authorized
from skitai.saddle.context import Was
from skitai.saddle.errors import Unsendable
from skitai.saddle.events import emitted
from skitai.saddle.hooks import Hook, Step, Steps, calling, handling
from skitai.saddle.results import Outcome, outcome
from skitai.saddle.routing import Route, UnsupportedType
from skitai.saddle.rpc import Service


def answer(was: Was, error: Answerable | None = None, *, before_body: bool = False) -> Steps:
    """Answer a request. Errors of the app become outcomes.

    :param error: why there is no route.
    :param before_body: see who asks, and no more; those who may are answered when the body has come.
    :returns: the outcome; None where it waits for the body.
    :raises Unanswerable: nobody waits for it.
    """
    extra: list[tuple[str, str]] = []
    try:
        exchange = was.running("response")
        extra = cors.fields(was.app, was.route, exchange.head, exchange.peer.scheme)
        scheme = was.app._scheme(was.route)
        if scheme is not None:
            yield from authorized(was, scheme)
        if before_body:
            return None
        if error is None:
            content = yield from handled(was, lambda: _routed(was))
            if isinstance(content, Answerable):
                made = yield from page_for(was, content)
                extra = was.committed(extra)
            else:
                kept = was.committed(extra)  # first, for it may fail, and an outcome may hold an open file
                made = outcome(content, was.response, was.request)
                extra = kept
        else:  # not raised, for other requests have the same one
            made = yield from page_for(was, error)
    except Unanswerable:
        raise
    except Exception as failed:  # noqa: BLE001 - the app's own, whatever it is
        was.response.clear()
        made = yield from handling(failed, page_for(was, _blamed(was, failed)))
    return made._replace(fields=(*made.fields, *extra)) if extra else made


def _routed(was: Was) -> Steps:
    route = was.route
    assert route is not None  # else there was an error
    return route.answer(was, _called) if isinstance(route, Service) else _called(was, route)


def handled(was: Was, handler: Callable[[], Steps]) -> Steps:
    """Call the hooks and the handler; what the response is to be made of.

    :param handler: gives the steps that call it.
    """
    hooks = was.app._hooks
    heard = was.app._events.own
    if heard:
        yield from emitted(was, events.request_starting)
    try:
        try:
            if hooks.before is not None:
                content = yield _step(hooks.before, was)
                if content is not None:
                    return content
            content = yield from handler()
        except Exception as error:
            content = yield from handling(error, _failed(was, sys.exc_info()))
            if content is None:
                raise
        else:
            if heard:
                yield from emitted(was, events.request_success)
            if hooks.finish is not None:
                yield _step(hooks.finish, was)
    finally:
        try:
            if heard:
                yield from emitted(was, events.request_tearing_down)
            if hooks.teardown is not None:
                yield _step(hooks.teardown, was)
        finally:
            if heard:
                yield from emitted(was, events.request_finished)
    return content


def _failed(was: Was, exc_info: Any) -> Steps:
    """What the app makes of an error: contents, or None if nothing."""
    hook = was.app._hooks.failed
    if was.app._events.own:
        yield from emitted(was, events.request_failed, exc_info)
    return (yield _step(hook, was, exc_info)) if hook is not None else None


def _called(was: Was, route: Route) -> Steps:
    """Call the route's function with its arguments."""
    if was.request.head.length:
        bound = yield Step(False, bind, (was, route))  # reading a body may take long
    else:
        bound = bind(was, route)
    content = yield from calling(route.function, route.is_async, was, bound.args, bound.kwargs)
    if content is None:
        raise TypeError(f"{route.name}() returned None; return '' for an empty response")
    return content


def bind(was: Was, route: Route) -> Bound:
    """Find the arguments of the route's function.

    :raises BadArgument: they do not fit.
    :raises BadRequest: the body should hold some, and is malformed.
    :raises UnsupportedType: it should hold some, and is of a type that cannot.
    """
    binder = route.binder
    request = was.request
    body: Mapping[str, Any] | None = None
    fault: Answerable | None = None
    if request.head.length and binder.reads_body:
        body = request.mapping()
        if body is None and request.get_content_length():
            fault = _unfit(request)
    return binder.bind(was.values, request.query, body, fault)


def _unfit(request: Any) -> Answerable:
    """Why a body has no names and values."""
    if request.is_json:
        return BadRequest(f"the body is a JSON {type(request.json()).__name__}; an object is wanted")
    kind = request.get_content_type() or "unknown type"
    return UnsupportedType(f"a body of {kind} holds no arguments; a form or a JSON object is wanted")


def _blamed(was: Was, error: Exception) -> Exception:
    """What becomes of an error: the client's own, where the app only passes on what came and cannot be sent."""
    if isinstance(error, Unsendable):
        try:
            args = was.request.args
        except Answerable:  # there are none that could be read
            return error
        for name, value in args.items():
            for each in value if isinstance(value, list) else (value,):
                if isinstance(each, str) and not error.signs.isdisjoint(each):
                    return BadRequest(f"argument {name!r}: it holds signs that cannot stand where it belongs")
    return error


def page_for(was: Was, error: Exception) -> Steps:
    """The outcome of an error: the app's own page for it, or the server's."""
    exchange = was.running("response")
    failure = describe(exchange, error)
    handler = was.app._errors.find(failure.status)
    if handler is not None:
        response = was.response
        response.status_code, response.reason = failure.status, failure.reason
        response.fields = response.beside_content()
        try:
            content = yield _step(handler, was, errors.shown(failure, exchange.head))
            made = outcome(content, response, was.request)
            return made._replace(fields=(*made.fields, *failure.fields))
        except Unanswerable:
            raise
        except Exception as broken:  # noqa: BLE001 - as in `answer`
            failure = describe(exchange, broken)
    return _page(was, failure)


def _page(was: Was, failure: Failure) -> Outcome:
    """The server's own page for an error."""
    accept = was.running("response").head.fields.text("accept")
    content_type, body = pages.render(failure.status, failure.message, accept, failure.shown or None)
    fields = [("Content-Type", content_type), ("Cache-Control", "no-store"), *was.response.beside_content(), *failure.fields]
    return Outcome(failure.status, failure.reason, fields, body)


def _step(hook: Hook, *args: Any) -> Step:
    return Step(hook.is_async, hook.function, args)
