"""Runtime preferences: attribute dictionaries that a script hands to an app when it mounts it."""

from __future__ import annotations

from typing import Any


class AttrDict(dict[str, Any]):
    """A dictionary whose string keys are attributes too.

    Reading a missing attribute raises AttributeError; ``get`` and ``[]`` behave as in any dictionary.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None


class Preference(AttrDict):
    """What `skitai.pref()` returns: attributes that override the app's, and ``.config``, items that override its config.

    ``pref.max_client_body_size = n`` (bytes) sets the limits of post bodies, multipart bodies and single files at once.
    """

    def __init__(self, *args: Any, **items: Any) -> None:
        super().__init__(*args, **items)
        self.setdefault("config", AttrDict())

    @property
    def overrides(self) -> dict[str, Any]:
        """The attributes to set on the app: everything but ``config``."""
        return {name: value for name, value in self.items() if name != "config"}
