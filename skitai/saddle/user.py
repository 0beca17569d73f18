"""`was.user`: who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skitai.saddle.request import Request


class User:
    """Somebody who signed in by HTTP authentication.

    What is known of the user are attributes, too, if it is a dictionary; those that are unknown are None.

    :ivar info: what the app knows of the user: what came with the password, or the claims of a token.
    """

    __slots__ = ("info", "name", "realm")

    def __init__(self, name: str, realm: str = "", info: Any = None) -> None:
        self.name = name
        self.realm = realm
        self.info = info

    @property
    def username(self) -> str:
        """The same as `name`."""
        return self.name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.info.get(name) if isinstance(self.info, Mapping) else None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<User {self.name}>"


def sign_in(request: Request, user: User) -> None:
    """Let a request be this user's, in the request log, too."""
    request.user = user
    request.exchange.user = user.name


def sign_out(request: Request) -> None:
    """Let a request be nobody's."""
    request.user = request.claim = None
    request.exchange.user = ""
