"""A WebSocket connection in an app, as steps (`saddle.call`): its handshake, its events, its messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from skitai.errors import Answerable, Unanswerable
from skitai.protocols.websocket.names import WS_EVT_INIT, WS_EVT_OPEN, WS_GROUPCHAT, WS_MSG_TEXT
from skitai.saddle import cors
from skitai.saddle.args import Argument
from skitai.saddle.auth import Unauthorized, authorized
from skitai.saddle.call import page_for
from skitai.saddle.context import Was
from skitai.saddle.convert import Unfit
from skitai.saddle.hooks import Step, Steps, calling, handling, is_async
from skitai.saddle.results import outcome
from skitai.saddle.routing import Route
from skitai.saddle.rpc import Service
from skitai.saddle.user import sign_in
from skitai.saddle.websocket import PLAN
from skitai.was.websocket import Plan, Undecodable, WebSocket


class Forbidden(Answerable):
    """Nobody is asked for credentials in a handshake: browsers have no way to."""

    status = 403


class Opened(NamedTuple):
    """What became of a handshake that the app takes.

    :ivar message: the argument that messages become.
    :ivar args: the positional arguments behind it.
    :ivar kwargs: the others, from URL and query.
    :ivar user: who signed in by the credentials in the handshake.
    """

    plan: Plan
    socket: WebSocket
    message: Argument
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    user: Any = None

    def arguments(self, message: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """Arguments of the handler for a message."""
        if self.message.positional:
            return (message, *self.args), self.kwargs
        return self.args, {**self.kwargs, self.message.name: message}

    def heard(self, content: str | bytes) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """Arguments of the handler for what the client has sent.

        :raises Undecodable: it is not what the app can hear.
        """
        plan, message = self.plan, self.message
        value = content if plan.encoding == WS_MSG_TEXT else self.socket.decoded(content)
        if message.convert is not None:
            try:
                value = message.convert(value)
            except Unfit as error:
                raise Undecodable(f"the message does not fit: {error}") from error
        return self.arguments(value)


def message_of(route: Route) -> Argument | None:
    """The argument of a handler that messages become; None when it takes none."""
    return next((each for each in route.binder.arguments if each.name not in route.rule.names), None)


def takes_messages(route: Route | None) -> bool:
    """Whether a route may take WebSocket connections."""
    return route is not None and not isinstance(route, Service) and message_of(route) is not None


def opening(was: Was) -> Steps:
    """Answer a handshake.

    :returns: `Opened`, or an outcome that refuses it.
    """
    route = was.route
    assert route is not None
    try:
        exchange = was.running("websocket")
        cors.fields(was.app, route, exchange.head, exchange.peer.scheme)
        yield from _admitted(was)
        hooks = was.app._hooks
        if hooks.before is not None:
            content = yield Step(hooks.before.is_async, hooks.before.function, (was,))
            if content is not None:
                return outcome(content, was.response, was.request)
        return (yield from _configured(was, route))
    except Unanswerable:
        raise
    except Exception as failed:  # noqa: BLE001 - the app's own, whatever it is
        was.response.clear()
        return (yield from handling(failed, page_for(was, failed)))


def _admitted(was: Was) -> Steps:
    scheme = was.app._scheme(was.route)
    if scheme is None:
        return
    try:
        yield from authorized(was, scheme)
    except Unauthorized as error:
        raise Forbidden(error.message) from error


def _configured(was: Was, route: Route) -> Steps:
    argument = message_of(route)
    assert argument is not None
    bound = route.binder.without(argument.name).call(was.values, (), was.request.query)
    plan: Plan | None = getattr(route.function, PLAN, None)
    opened = Opened(plan or Plan(), WebSocket(), argument, bound.args, bound.kwargs)
    if plan is None:
        was._ws_event = WS_EVT_INIT
        was._ws = opened.socket
        args, kwargs = opened.arguments("")
        yield from calling(route.function, route.is_async, was, args, kwargs)
        plan = was._ws_plan
        if plan is None:
            raise RuntimeError(f"{route.name}() did not call was.wsconfig() in the handshake of a WebSocket connection")
    room = ""
    if plan.spec == WS_GROUPCHAT:
        named = [each.name for each in route.binder.arguments if each.name != argument.name]
        place = next((bound.kwargs[name] for name in named if name in bound.kwargs), "")
        room = f"{was.app.basepath}{route.name}:{place}"
    opened.socket.settle(plan, room)
    return opened._replace(plan=plan, user=was.user if was.admitted else None)


def enter(was: Was, opened: Opened, event: str | None) -> None:
    """Let `was` be that of an event, or of a message."""
    was._ws, was._ws_event = opened.socket, event
    if opened.user is not None:
        sign_in(was.request, opened.user)


def event(was: Was, opened: Opened, name: str) -> Steps:
    """Tell the app that a connection has begun or ended; what it wants to send."""
    enter(was, opened, name)
    plan, route = opened.plan, was.route
    assert route is not None
    if plan.declared:
        function = plan.onopen if name == WS_EVT_OPEN else plan.onclose
        return (yield Step(is_async(function), function, (was,))) if function is not None else None
    args, kwargs = opened.arguments("")
    return (yield from calling(route.function, route.is_async, was, args, kwargs))


def message(was: Was, opened: Opened, content: str | bytes) -> Steps:
    """Let the app hear a message; what it wants to send.

    :raises Undecodable: it is not what the app can hear.
    """
    enter(was, opened, None)
    route = was.route
    assert route is not None
    args, kwargs = opened.heard(content)
    return (yield from calling(route.function, route.is_async, was, args, kwargs))
