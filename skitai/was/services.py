"""What other rooms hang on `was`: ``was.NAME`` is made by a factory when a request first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skitai.exchange import Exchange

Factory = Callable[[Exchange], Any]
Listener = Callable[..., None]

_factories: dict[str, Factory] = {}
_listeners: list[Listener] = []


def register(name: str, factory: Factory) -> None:
    """Offer ``was.NAME``.

    :param factory: called once for each request that asks, with its exchange.
    :raises ValueError: the name is taken.
    """
    if name in _factories or name.startswith("_"):
        raise ValueError(f"was.{name} is taken" if name in _factories else f"was.{name} cannot be offered: it is private")
    _factories[name] = factory


def unregister(name: str) -> None:
    """Take ``was.NAME`` back."""
    _factories.pop(name, None)


def factory(name: str) -> Factory | None:
    """What makes ``was.NAME``."""
    return _factories.get(name)


def names() -> list[str]:
    """All names on offer."""
    return sorted(_factories)


def on_update(listener: Listener) -> None:
    """Have ``listener(name, *args, **kwargs)`` called in this process for each `was.setlu`."""
    _listeners.append(listener)


def tell_update(name: str, *args: Any, **kwargs: Any) -> None:
    """Call the listeners of `on_update`."""
    for listener in _listeners:
        listener(name, *args, **kwargs)
