"""What kind of app an object is."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from skitai.config.targets import APP_KIND
from skitai.errors import LoadError

ASGI_PARAMETERS = ["scope", "receive", "send"]


def kind_of(app: Any) -> str:
    """Either "asgi" or "wsgi", or what the app itself says in its attribute `APP_KIND`.

    ASGI is a coroutine function of scope, receive and send, an object whose ``__call__`` is one, or a function that names
    its parameters so and returns the coroutine of another. Anything else that takes two arguments is WSGI (PEP 3333).

    :raises LoadError: the object is neither; the message says why and what to do.
    """
    own = getattr(app, APP_KIND, None)
    if isinstance(own, str) and not inspect.isclass(app):
        return own
    if not callable(app):
        raise LoadError(f"{app!r} is a {type(app).__name__}, not an app: nothing that can be called")
    called = _called(app)
    if inspect.iscoroutinefunction(called):
        if not _takes(app, 3):
            raise LoadError(f"{_name(app)} is a coroutine function, but does not take scope, receive and send")
        return "asgi"
    if inspect.isasyncgenfunction(called):
        raise LoadError(f"{_name(app)} is an asynchronous generator, neither WSGI nor ASGI")
    if _parameters(app)[:3] == ASGI_PARAMETERS:
        return "asgi"
    if _takes(app, 2):
        return "wsgi"
    if _takes(app, 0):
        raise LoadError(f"{_name(app)} takes no arguments: call it and mount the app that it returns")
    if _takes(app, 3):
        raise LoadError(f"{_name(app)} takes three arguments, but is no coroutine function: neither WSGI nor ASGI")
    raise LoadError(f"{_name(app)} takes neither the two arguments of WSGI nor the three of ASGI")


def is_django(app: Any) -> bool:
    """Whether an app is one of Django's handlers."""
    return any(kind.__module__.startswith("django.core.handlers.") for kind in type(app).__mro__)


def _called(app: Any) -> Any:
    """The function behind partials and ``__call__``."""
    while isinstance(app, functools.partial):
        app = app.func
    if inspect.isroutine(app) or inspect.isclass(app):
        return inspect.unwrap(app)  # the plain wrapper of a decorator returns the coroutine of what it wraps
    return type(app).__call__


def _signature(app: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(app)
    except (ValueError, TypeError):
        return None  # written in C, without a text signature


def _takes(app: Any, count: int) -> bool:
    """Whether an app can be called with `count` positional arguments; unknown signatures take everything."""
    signature = _signature(app)
    if signature is None:
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _parameters(app: Any) -> list[str]:
    signature = _signature(app)
    return list(signature.parameters) if signature else []


def _name(app: Any) -> str:
    return getattr(app, "__qualname__", None) or f"the {type(app).__name__}"
