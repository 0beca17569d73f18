"""`was` inside a Saddle app: the request that runs, and all that belongs to it.

Members are made when they are first used. What is not here comes from the general `was` that every kind of app has. Hooks
outside of requests get the same class without a request: its members then raise RuntimeError.
"""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from skitai.was import services
from skitai.was import was as general

if TYPE_CHECKING:
    from skitai.exchange import Exchange
    from skitai.saddle.app import Saddle


class Globals(SimpleNamespace):
    """`was.g`: whatever the app sets on it, for one request."""

    def get(self, name: str, default: Any = None) -> Any:
        return self.__dict__.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__


class Context:
    """What `was` is built on.

    :ivar app: the app that answers.
    :ivar exchange: the request and its response; None outside of requests.
    :ivar route: of the request; None outside of requests and where no route was found.
    """

    app: Saddle
    exchange: Exchange | None
    route: Any

    def __init__(self, app: Saddle, exchange: Exchange | None = None, route: Any = None) -> None:
        self.app = app
        self.exchange = exchange
        self.route = route

    @cached_property
    def g(self) -> Globals:
        """An empty object for the app's own things, kept for this request."""
        return Globals()

    def running(self, name: str) -> Exchange:
        """The exchange.

        :param name: what needs it, for the message.
        :raises RuntimeError: there is no request.
        """
        if self.exchange is None:
            raise RuntimeError(f"was.{name} belongs to a request, and none is running here (a hook outside of requests)")
        return self.exchange

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(general), name):
            return getattr(general, name)
        factory = services.factory(name)
        if factory is None:
            raise AttributeError(f"was has no {name!r}")
        made = factory(self.running(name))
        setattr(self, name, made)
        return made

    def __repr__(self) -> str:
        return f"<was {self.exchange!r}>" if self.exchange is not None else "<was, no request>"


class Was(Context):
    """What handlers, hooks and templates get as `was`."""
