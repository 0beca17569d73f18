"""What other rooms hang on `was`: objects that are the same for all requests of the process, and those that a factory makes
when a request first asks for ``was.NAME``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skitai.exchange import Exchange

Factory = Callable[[Exchange], Any]
Listener = Callable[..., None]

_factories: dict[str, Factory] = {}
_listeners: list[Listener] = []

shared: dict[str, Any] = {}
"""Objects that ``was.NAME`` is, with or without a request."""


def register(name: str, factory: Factory) -> None:
    """Offer ``was.NAME``.

    :param factory: called once for each request that asks, with its exchange.
    :raises ValueError: the name is taken.
    """
    _check(name)
    _factories[name] = factory


def unregister(name: str) -> None:
    """Take ``was.NAME`` back."""
    _factories.pop(name, None)


def factory(name: str) -> Factory | None:
    """What makes ``was.NAME``."""
    return _factories.get(name)


def share(name: str, value: Any) -> None:
    """Let ``was.NAME`` be an object.

    :raises ValueError: the name is taken.
    """
    _check(name)
    shared[name] = value


def unshare(name: str) -> None:
    """Take an object back."""
    shared.pop(name, None)


def names() -> list[str]:
    """All names on offer."""
    return sorted(_factories.keys() | shared.keys())


def _check(name: str) -> None:
    if name in _factories or name in shared:
        raise ValueError(f"was.{name} is taken")
    if name.startswith("_") or not name.isidentifier():
        raise ValueError(f"was.{name} cannot be offered: it is private, or no name")


def on_update(listener: Listener) -> None:
    """Have ``listener(name, *args, **kwargs)`` called in this process for each `was.setlu`."""
    _listeners.append(listener)


def tell_update(name: str, *args: Any, **kwargs: Any) -> None:
    """Call the listeners of `on_update`."""
    for listener in _listeners:
        listener(name, *args, **kwargs)
