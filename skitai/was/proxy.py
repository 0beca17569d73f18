"""`was`: the services of the running request, for every kind of app.

There is one `was` for the whole process. Which request it speaks for follows from the code that runs, by a context
variable: nothing of one request, set in it by whomever, is seen in another, and tasks that a request starts belong to it.
Threads that an app starts by itself do not; there `was` is as outside of requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from skitai.exchange import Exchange
from skitai.was import services
from skitai.was.caller import Caller
from skitai.was.context import current
from skitai.was.members import Members

if TYPE_CHECKING:
    from skitai.sql import SQL


class Was(Members):
    """What ``from skitai import was`` gives.

    Attributes that an app sets are the request's, and gone with it. Without a running request, `log` and `traceback` work
    all the same, as do those that concern the server; the rest raises RuntimeError and says what is missing.
    """

    __slots__ = ()

    def running(self, name: str) -> Exchange:
        return _exchange(name)

    def _caller(self) -> Caller:
        exchange = current.get()
        if exchange is not None and exchange.context is not None:
            made: Caller = exchange.context._caller()
            return made
        return Caller(exchange)

    def _txn(self) -> str:
        exchange = current.get()
        return "/".join(exchange.txn) if exchange is not None else ""

    # SQL

    @property
    def sql(self) -> SQL:
        """Begins statements: for PostgreSQL; in requests of a Saddle app as it has set up, with its templates."""
        exchange = current.get()
        if exchange is not None and exchange.context is not None:
            made: SQL = exchange.context.sql
            return made
        from skitai.sql import SQL  # most apps write none

        return SQL()

    # The request

    @property
    def env(self) -> dict[str, Any]:
        """The WSGI environ of the running request."""
        exchange = _exchange("env")
        if exchange.context is not None:
            return dict(exchange.context.env)
        try:
            environ: dict[str, Any] = exchange.environ
        except AttributeError:
            raise RuntimeError("was.env is a WSGI environ, and this request goes to an app of another kind") from None
        return environ

    def __getattr__(self, name: str) -> Any:
        exchange = current.get()
        if exchange is not None:
            if exchange.context is not None:
                return getattr(exchange.context, name)
            state = _state(exchange)
            if name in state:
                return state[name]
        if name in services.shared:
            return services.shared[name]
        factory = services.factory(name)
        if factory is None:
            raise AttributeError(f"was has no {name!r}{'' if exchange is not None else ', and no request is running here'}")
        if exchange is None:
            raise _no_request(name)
        made = state[name] = factory(exchange)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise AttributeError(f"was.{name} is Skitai's own")
        exchange = _exchange(name)
        if exchange.context is not None:
            setattr(exchange.context, name, value)
        else:
            _state(exchange)[name] = value

    def __delattr__(self, name: str) -> None:
        exchange = _exchange(name)
        if exchange.context is not None:
            delattr(exchange.context, name)
            return
        try:
            del _state(exchange)[name]
        except KeyError:
            raise AttributeError(f"was has no {name!r}") from None

    def __dir__(self) -> list[str]:
        exchange = current.get()
        own: Iterable[str] = ()
        if exchange is not None:
            own = _state(exchange) if exchange.context is None else dir(exchange.context)
        return sorted({*super().__dir__(), *services.names(), *own})

    def __repr__(self) -> str:
        exchange = current.get()
        return f"<was {exchange!r}>" if exchange is not None else "<was, no request>"


def _exchange(name: str) -> Exchange:
    exchange = current.get()
    if exchange is None:
        raise _no_request(name)
    return exchange


def _no_request(name: str) -> RuntimeError:
    return RuntimeError(
        f"was.{name} belongs to a request, and none is running here (a thread of the app's own, or code at import)"
    )


def _state(exchange: Exchange) -> dict[str, Any]:
    """What was set on `was` for a request."""
    try:
        return exchange.was
    except AttributeError:
        exchange.was = {}
        return exchange.was


was = Was()
