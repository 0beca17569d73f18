"""The Saddle apps that this process serves, by virtual host and by the name of their file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle

_mounted: dict[str, dict[str, Saddle]] = {}


def register(host: str, name: str, app: Saddle) -> None:
    """Let the other apps of a host find an app; of two with one name, they find the one that was mounted first.

    :param host: as the mount says it.
    :param name: of the app's file, without its folder and ``.py``.
    """
    _mounted.setdefault(host, {}).setdefault(name, app)


def replace(host: str, old: Saddle, new: Saddle) -> None:
    """Let them find a reloaded app."""
    apps = _mounted.get(host, {})
    for name, app in apps.items():
        if app is old:
            apps[name] = new


def unregister(host: str, app: Saddle) -> None:
    """Take an app out."""
    apps = _mounted.get(host, {})
    for name in [each for each, known in apps.items() if known is app]:
        del apps[name]


class Apps(Mapping[str, "Saddle"]):
    """The apps of one host: ``was.apps["search"]`` is that of ``search.py``."""

    def __init__(self, app: object) -> None:
        """:param app: one of them."""
        self._apps = next((apps for apps in _mounted.values() if any(each is app for each in apps.values())), {})

    def __getitem__(self, name: str) -> Saddle:
        return self._apps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._apps)

    def __len__(self) -> int:
        return len(self._apps)

    def __repr__(self) -> str:
        return f"<Apps {', '.join(self)}>"
