"""An app behind the gateway: who may pass is decided at the head of a request, before its body is taken."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import weakref
from collections.abc import Callable, Coroutine
from functools import cache, partial
from typing import Any

from skitai.cachefs.asked import Asked
from skitai.config.aliases import Alias
from skitai.config.tree import Config
from skitai.errors import Answerable
from skitai.exchange import BodyMode, Exchange
from skitai.lib.jwt import InvalidToken, Key, check_times
from skitai.was.context import current
from skitai.was.gateway import GatewayRequest, User, handler
from skitai.worker.apps.tasks import start
from skitai.worker.gateway import decisions
from skitai.worker.gateway.decisions import Holder
from skitai.worker.gateway.rates import Limiter

log = logging.getLogger("skitai.app")

GoOn = Callable[[Any], None]

NO_HANDLER = "no app has set a handler for tokens (wac.handler.set_auth_handler), and this is no JSON Web Token of ours"


@cache
def key_of(secret: str) -> Key | None:
    """What JSON Web Tokens are verified with; None where they are not.

    :raises ValueError: a PEM that holds no public key.
    """
    return Key(secret) if secret else None


class Guarded:
    """An app that only those reach who may.

    :param app: takes bodies as they come (`BodyMode.STREAM`), so that none has come when its `handle` is called.
    :param alias: what it leads to.
    """

    body_mode = BodyMode.STREAM

    def __init__(self, app: Any, alias: Alias, config: Config) -> None:
        if app.body_mode is not BodyMode.STREAM:
            raise TypeError(f"{app!r} wants whole bodies, which would be received from anybody")
        self.app = app
        self.limits: dict[str, Any] = getattr(app, "limits", {})
        self.debug = bool(getattr(app, "debug", False))
        self.in_threads = config.server.threads > 0  # where an authorizer runs
        for verb in ("upgrade", "call"):
            if hasattr(app, verb):
                setattr(self, verb, partial(self._admit, getattr(app, verb)))
        for name in ("call_mode", "call_limit"):
            if hasattr(app, name):
                setattr(self, name, getattr(app, name))
        self._alias = alias
        self._roles = decisions.split_roles(alias.role)
        self._options = config.gateway
        self._limiter = Limiter(config.rates, by_address=not config.gateway.gateway_auth)
        self._key = key_of(config.gateway.gateway_secret) if config.gateway.gateway_auth else None
        self._changes_head = bool(self._options.gateway_user_field or self._options.gateway_hide_token)
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Guarded {self.app!r}>"

    async def startup(self, context: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.on_loop = context.on_loop
        self._limiter.open(context.buckets)
        await self.app.startup(context)

    async def shutdown(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.app.shutdown()

    def handle(self, exchange: Exchange) -> None:
        self._admit(self.app.handle, exchange)

    def _admit(self, go_on: GoOn, exchange: Exchange) -> None:
        """Let a request pass, refuse it, or have it wait for its authorizer. In the loop.

        :raises Answerable: it may not pass.
        """
        options, head = self._options, exchange.head
        realm = options.gateway_realm
        self._limiter.check_address(exchange.peer.client)
        if not options.gateway_auth:
            go_on(exchange)
            return
        if not options.gateway_preflight and decisions.is_preflight(head):
            self._check_source(exchange)
            self._pass(exchange, "", go_on)
            return
        token = decisions.bearer(head.fields)
        if token is None:
            raise decisions.wanted(realm)
        if not token:
            raise decisions.refused(realm, "the token is malformed")
        self._check_source(exchange)
        if self._key is not None and decisions.is_jwt(token):
            claims = self._claims(exchange, token, self._key)
            decide = getattr(handler.auth_handler, "handle_claim", None)
            if decide is None:
                self.enter(exchange, decisions.of_claims(claims), token, go_on)
                return
        else:
            claims = None
            decide = getattr(handler.auth_handler, "handle_token", None)
            if decide is None:
                log.warning("%s %s: %s", head.method, head.path, NO_HANDLER, extra={"txn": exchange.txn})
                raise decisions.refused(realm, "the token is not known")
        request = Pending(self, exchange, token, claims, go_on)
        request.ask(decide)

    def _check_source(self, exchange: Exchange) -> None:
        if not decisions.within(exchange.peer.client, self._alias.source):
            raise decisions.forbidden(self._options.gateway_realm, "not from this address")

    def _claims(self, exchange: Exchange, token: str, key: Key) -> dict[str, Any]:
        """What a JSON Web Token says; its signature is looked at once for all requests that carry the same bytes."""
        forms = exchange.head.fields.forms
        claims: dict[str, Any] | None = forms.get(key)  # type: ignore[call-overload]
        try:
            if claims is None:
                claims = forms[key] = key.verified(token)  # type: ignore[index]
            check_times(claims, time.time())
        except InvalidToken as error:
            raise decisions.refused(self._options.gateway_realm, str(error)) from None
        return dict(claims)

    def enter(self, exchange: Exchange, found: Holder | None, token: str, go_on: GoOn) -> None:
        """Let somebody pass whose token is good, if the alias is for such. In the loop.

        :param found: whom the token stands for; None when it is not good.
        :raises Answerable: it may not pass.
        """
        realm = self._options.gateway_realm
        if found is None:
            raise decisions.refused(realm, "the token is not known, has expired, or names no roles")
        if not decisions.has_role(found.roles, self._roles):
            raise decisions.forbidden(realm, "not with the roles of this token", self._alias.role)
        self._limiter.check_token(token)
        exchange.user = found.name
        self._pass(exchange, found.name, go_on)

    def _pass(self, exchange: Exchange, user: str, go_on: GoOn) -> None:
        if self._changes_head:
            head = exchange.head
            form = self, user
            changed = head.forms.get(form)
            if changed is None:
                options = self._options
                changed = decisions.passed_on(head, user, options.gateway_user_field, options.gateway_hide_token)
                head.forms[form] = changed
                if options.gateway_hide_token:  # a cache is to see that the answer is for who has a token
                    terms = Asked(head.method, b"", changed.fields).terms
                    terms.authorized, terms.plain = True, False
            exchange.head = changed
        go_on(exchange)

    @property
    def realm(self) -> str:
        return self._options.gateway_realm

    @property
    def alias(self) -> str:
        return self._alias.name

    @property
    def wait_s(self) -> float:
        return self._options.gateway_wait_s

    def hold(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work on a decision in the loop."""
        task = start(work, self.loop)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return task


class Pending(GatewayRequest):
    """A request that waits for its authorizer. What is not said otherwise belongs to the loop."""

    def __init__(self, guard: Guarded, exchange: Exchange, token: str, claims: dict[str, Any] | None, go_on: GoOn) -> None:
        super().__init__(exchange, token, claims, guard.alias)
        self._guard = guard
        self._go_on = go_on
        self._open = [True]  # whoever takes it out has decided: two threads cannot both
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def ask(self, decide: Callable[..., Any]) -> None:
        """Have the authorizer decide: a coroutine function in the loop, a plain function in a thread if there are any."""
        if not self.exchange.take():
            return
        self._timer = self._guard.loop.call_later(self._guard.wait_s, self._late)
        self.exchange.when_gone(partial(leave, weakref.ref(self)))  # weakly, for this refers to the exchange
        if inspect.iscoroutinefunction(decide):
            self._begin(decide(handler, self))
        else:
            self.exchange.resume(self._call, decide)

    def _call(self, decide: Callable[..., Any]) -> None:
        """In a thread, or in the loop where there are none."""
        try:
            result = decide(handler, self)
        except BaseException as error:  # noqa: BLE001 - sys.exit() too: no thread ends with a request
            self._failed(error)
            return
        if inspect.iscoroutine(result):
            self._guard.on_loop(self._begin, result)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._guard.hold(self._work(work))
        if not task.done():
            self._task = task

    async def _work(self, work: Coroutine[Any, Any, Any]) -> None:
        current.set(self.exchange)  # in this task's own context
        try:
            await work
        except asyncio.CancelledError:
            if self._open:
                self._failed(Answerable("the authorizer was cancelled", status=503))
        except BaseException as error:  # noqa: BLE001 - as in `_call`
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """The authorizer has a fault of its own; in any thread. When it has decided before, that counts."""
        if self._close():
            self.exchange.fail(error)
            self._guard.on_loop(self._stop_waiting)
        else:
            log.error("%r", self, exc_info=error, extra={"txn": self.exchange.txn})

    def decide(self, username: object, roles: object) -> None:
        if not self._close():
            return
        found = decisions.holder(username, roles)
        if found is not None:
            self.user = User(found.name, found.roles, self._guard.realm)
        self._guard.on_loop(self._decided, found)

    def _decided(self, found: Holder | None) -> None:
        self._stop_waiting()
        exchange = self.exchange
        if not exchange.take():
            return
        try:
            self._guard.enter(exchange, found, self.token, self._go_on)
        except Exception as error:  # noqa: BLE001 - the boundary, as in the pipeline
            exchange.fail(error)

    def _close(self) -> bool:
        """Nobody may decide any more; whether it was still open."""
        try:
            return self._open.pop()
        except IndexError:
            return False

    def _late(self) -> None:
        self._timer = None
        if self._close() and self.exchange.take():
            self.exchange.fail(Answerable(f"the authorizer has not decided within {self._guard.wait_s:g} s", status=504))
        self._cancel()

    def gone(self) -> None:
        """The client has left; or it sends no more and may be listening yet: then it is answered, if that comes soon."""
        if not self.exchange.gone:
            return
        self._close()
        self._stop_waiting()
        self._cancel()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None


def leave(pending: weakref.ref[Pending]) -> None:
    """The client has left; it may be that nobody waits for its authorizer any more."""
    found = pending()
    if found is not None:
        found.gone()
