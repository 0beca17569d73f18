"""Where sessions and message boxes of one request are kept: sealed cookies, a default one and others by name."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from skitai.saddle import values
from skitai.saddle.cookie import Cookie, Expires, Setting
from skitai.saddle.seal import Keyring, Keys, SealBroken, Secret, keys_of

_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")


class Shelf(NamedTuple):
    """What a request offers to keep things with.

    :ivar keys: gives the app's keys; raises ValueError where it has no securekey.
    :ivar keyring: the app's, of keys by name.
    :ivar address: of the client.
    :ivar secure: the client came by TLS, so that cookies may insist on it.
    :ivar clock: seconds since the epoch.
    :ivar memo: of the request's fields (`Fields.forms`): a client that sends the same cookies again is known by them.
    """

    cookie: Cookie
    keys: Callable[[], Keys]
    keyring: Keyring
    address: Callable[[], str]
    secure: bool = False
    clock: Callable[[], float] = time.time
    memo: dict[Any, Any] | None = None

    def place(
        self,
        kind: str,
        name: str | None = None,
        securekey: Secret | Sequence[Secret] | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        *,
        mounted: bool = False,
    ) -> Place:
        """A cookie of its own.

        :param kind: "sess" or "mbox".
        :param name: None for the default one.
        :param securekey: the app's by default.
        :param mounted: by default rather that with which the name was mounted last.
        :raises ValueError: an unfit name, or no key.
        """
        title = f"sdl{kind}_"
        if name is not None:
            if not _NAME.match(name):
                raise ValueError(f"{name!r} cannot be the name of a cookie: letters, digits, '_', '-' and '.' can")
            title += f"_{name.upper()}"
        if securekey is None:
            keys = (self.keyring.get(title) if mounted else None) or self.keys()
        else:
            keys = keys_of(securekey)
            if name is not None:
                self.keyring.add(title, keys)
        return Place(title, keys, path or "/", domain, secure or self.secure)


class Place(NamedTuple):
    """One sealed cookie."""

    title: str
    keys: Keys
    path: str
    domain: str | None
    secure: bool

    def read(self, shelf: Shelf) -> Any:
        """What the client brought; None when there is nothing, or nothing that verifies."""
        text = shelf.cookie.get(self.title)
        if not text:
            return None
        memo = shelf.memo if shelf.memo is not None else {}
        which = (self.title, text, self.keys)
        known = memo.get(which)
        if known is None:
            try:
                known = self.keys.sealer(self.title).unseal(text)
            except SealBroken:
                return None
            memo[which] = known
        return values.unpack(known)

    def write(self, cookie: Cookie, value: Any, expires: Expires) -> None:
        """Have the client keep a value.

        :raises ValueError: it is too large for a cookie.
        """
        self._put(cookie, self.keys.sealer(self.title).seal(value), expires)

    def remove(self, cookie: Cookie) -> None:
        """Have the client forget it."""
        self._put(cookie, "", "now")

    def _put(self, cookie: Cookie, value: str, expires: Expires) -> None:
        setting = Setting(self.title, value, expires, self.path, self.domain, self.secure, http_only=True, same_site="Lax")
        cookie.put(self.title, setting)


class Store(Protocol):
    """What one sealed cookie holds, for one request.

    :ivar address: of the client that changed it last; None while it is new.
    """

    address: str | None

    def __len__(self) -> int: ...

    def commit(self, shelf: Shelf) -> None:
        """Have the client keep what changed."""


S = TypeVar("S", bound=Store)


class Stores(ABC, Generic[S]):
    """A default store and others by name, of which one is meant at a time.

    :ivar kind: "sess" or "mbox".
    """

    kind = ""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._stores: dict[str | None, S] = {}
        self._name: str | None = None

    def source_verified(self) -> bool:
        """Whether the client has the address from which this was last changed; true where it is new."""
        address = self._store.address
        return address is None or address == self._shelf.address()

    def exists(self, name: str | None = None, securekey: Secret | Sequence[Secret] | None = None) -> bool:
        """Whether the client has something of this name that is still good.

        :param securekey: of what was not mounted in this request. By default the one that this worker mounted the name with
            last, else the app's.
        """
        store = self._stores.get(key_of(name))
        if store is None:
            store = self._read(self._shelf.place(self.kind, name, securekey, mounted=True))
        return len(store) > 0

    def commit(self) -> None:
        """Have the client keep what changed.

        :raises ValueError: it is too large for a cookie.
        """
        for store in self._stores.values():
            store.commit(self._shelf)

    @abstractmethod
    def _read(self, place: Place) -> S:
        """What the client keeps at a place."""

    def _changing(self) -> S:
        """The store that is meant, for a change.

        :raises RuntimeError: the response has begun.
        """
        self._shelf.cookie.see_open(f"was.{type(self).__name__.lower()}")
        return self._store

    @property
    def _store(self) -> S:
        """The store that is meant."""
        store = self._stores.get(self._name)
        if store is None:  # only the default one is not mounted first
            store = self._stores[self._name] = self._read(self._shelf.place(self.kind))
        return store


def key_of(name: str | None) -> str | None:
    """How stores know a name: its case does not matter."""
    return name.upper() if name is not None else None
