"""How an ASGI app learns that its client has gone."""

from __future__ import annotations

from skitai.errors import Gone


class Disconnected(Gone, OSError):
    """Raised by `send` when nobody will get what is sent (ASGI, HTTP version 2.4, "Disconnected Client")."""


def follows_disconnect(error: BaseException | None) -> bool:
    """Whether an app's error only says that its client has gone: our own, or one raised on account of it."""
    while error is not None:
        if isinstance(error, Disconnected):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(map(follows_disconnect, error.exceptions))
        error = error.__cause__ or error.__context__
    return False
