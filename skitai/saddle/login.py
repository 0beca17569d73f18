"""Who may call a handler, as the app itself decides: signed in, with permissions, of the staff, or by a test of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from skitai.errors import Answerable
from skitai.saddle.hooks import Function, around, is_async, place

F = TypeVar("F", bound=Function)


class Forbidden(Answerable):
    """The client is known and may not (RFC 9110, section 15.5.4)."""

    status = 403


class LoginFacet:
    """The decorators of `Saddle` for what its handlers demand of whoever calls them.

    The app names a handler for each demand. It is called first; if it returns None, what is decorated is called, otherwise
    what it returns is the response.
    """

    def __init__(self) -> None:
        self._guards: dict[str, Function] = {}

    def login_handler(self, function: F) -> F:
        """Let ``function(was)`` see to it that somebody has signed in."""
        return self._guard("login", function)

    def login_required(self, function: F) -> F:
        """Demand that somebody has signed in."""
        return self._demand("login", function)

    def permission_check_handler(self, function: F) -> F:
        """Let ``function(was, permissions)`` check for one of a list of permissions."""
        return self._guard("permission_check", function)

    permission_handler = permission_check_handler

    def permission_required(self, permissions: str | Sequence[str]) -> Callable[[F], F]:
        """Demand a permission.

        :param permissions: one, or several, which the app's handler gets as a list.
        """
        wanted = [permissions] if isinstance(permissions, str) else list(permissions)
        return lambda function: self._demand("permission_check", function, wanted)

    def staff_member_check_handler(self, function: F) -> F:
        """Let ``function(was)`` check for a member of the staff."""
        return self._guard("staff_member_check", function)

    def staff_member_required(self, function: F) -> F:
        """Demand a member of the staff."""
        return self._demand("staff_member_check", function)

    def testpass_required(self, test: Function) -> Callable[[F], F]:
        """Demand that ``test(was)`` returns None or True. False is answered with 403; anything else is the response."""

        def guard(was: Any) -> Any:
            return _verdict(test(was))

        async def guard_async(was: Any) -> Any:
            return _verdict(await test(was))

        return lambda function: around(function, before=[guard_async if is_async(test) else guard])

    def _guard(self, name: str, function: F) -> F:
        self._guards[name] = function
        return function

    def _demand(self, name: str, function: F, *args: Any) -> F:
        def guard(was: Any) -> Any:
            handler = self._guards.get(name)
            if handler is None:
                raise RuntimeError(f"{place(function)} needs a function that @app.{name}_handler decorates")
            return handler(was, *map(list, args))

        return around(function, before=[guard])


def _verdict(result: Any) -> Any:
    if result is False:
        raise Forbidden("this is not for you")
    return None if result is True else result
