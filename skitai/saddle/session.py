"""Sessions: what an app remembers of a client, kept by the client, sealed."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from skitai.saddle import values
from skitai.saddle.seal import Secret
from skitai.saddle.shelf import Place, Shelf, Stores, key_of

TIMEOUT_S = 1200.0

_UNCHANGING = frozenset({str, int, float, bool, type(None), bytes, date, datetime, Decimal})


class _Store:
    """One session.

    :ivar expiry: seconds since the epoch.
    :ivar address: from where it was last changed; None while it is new.
    :ivar came: its values as text, as the client brought them, where they may change in place; else None.
    :ivar is_known: the client brought it. What did not verify may be another app's, and is left alone.
    """

    def __init__(self, shelf: Shelf, place: Place, timeout_s: float) -> None:
        self.place = place
        self.timeout_s = timeout_s
        self.changed = False
        self.expiry = 0.0
        self.address: str | None = None
        self.came: str | None = None
        self.items: dict[str, Any] = {}
        kept = place.read(shelf)
        self.is_known = kept is not None
        if kept is not None and kept[0] > shelf.clock():
            self.expiry, self.address, self.items = kept
            if not all(type(each) in _UNCHANGING for each in self.items.values()):
                self.came = values.pack(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def touch(self, now: float) -> None:
        """Something changed: live on for the timeout, if that is longer than what is left."""
        self.changed = True
        self.expiry = max(self.expiry, now + self.timeout_s)

    def commit(self, shelf: Shelf) -> None:
        now = shelf.clock()
        if not self.changed:
            if self.came is None or self.came == values.pack(self.items):
                return
            self.touch(now)  # a list in it, say, got one more
        if not self.items or self.expiry <= now:
            if self.is_known:
                self.place.remove(shelf.cookie)
            return
        kept = (self.expiry, shelf.address(), self.items)
        self.place.write(shelf.cookie, kept, max(1.0, self.expiry - now))


class Session(Stores[_Store], MutableMapping[str, Any]):
    """`was.session`: a dictionary that outlives requests.

    Changing it prolongs it by the timeout, reading does not. It is written when the request succeeds; what changes it after
    the response has begun raises RuntimeError.
    """

    kind = "sess"

    def __init__(self, shelf: Shelf, timeout_s: float | None = None) -> None:
        super().__init__(shelf)
        self._timeout_s = TIMEOUT_S if timeout_s is None else float(timeout_s)

    # The dictionary

    def __getitem__(self, key: str) -> Any:
        return self._store.items[key]

    def __setitem__(self, key: str, val: Any) -> None:
        if type(key) is not str:
            raise TypeError(f"the keys of a session are str; {key!r} is not")
        values.pack(val)  # raises where the app's line is still on the stack
        store = self._changing()
        store.items[key] = val
        store.touch(self._shelf.clock())

    def __delitem__(self, key: str) -> None:
        store = self._changing()
        del store.items[key]
        store.touch(self._shelf.clock())

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.items)

    def __len__(self) -> int:
        return len(self._store.items)

    def __repr__(self) -> str:
        return f"<Session {self._name or '(default)'}: {' '.join(self._store.items)}>"

    def set(self, key: str, val: Any) -> None:
        """Remember a value.

        :raises TypeError: neither of JSON's types nor tuple, bytes, set, date, datetime or Decimal.
        """
        self[key] = val

    def remove(self, key: str) -> None:
        """Forget a value, if it is there."""
        if key in self:
            del self[key]

    def clear(self) -> None:
        """Forget all values."""
        store = self._changing()
        if store.items:
            store.items.clear()
            store.touch(self._shelf.clock())

    def has_key(self, key: str) -> bool:
        """Whether there is such a value."""
        return key in self

    # Whose it is

    def getv(self, key: str, default: Any = None) -> Any:
        """The value, if `source_verified`."""
        return self.get(key, default) if self.source_verified() else default

    # How long it lives

    def touch(self) -> None:
        """Prolong it by the timeout."""
        self._changing().touch(self._shelf.clock())

    def prolong(self, timeout: float) -> None:
        """Let it live for `timeout` seconds at least."""
        store = self._changing()
        store.expiry = max(store.expiry, self._shelf.clock() + float(timeout))
        store.changed = True

    def set_expiry(self, timeout: float) -> None:
        """Let it end in `timeout` seconds. Later changes prolong it only where their timeout reaches further."""
        store = self._changing()
        store.expiry = self._shelf.clock() + float(timeout)
        store.changed = True

    def expire(self) -> None:
        """End it now, with all its values."""
        store = self._changing()
        store.items.clear()
        store.expiry = 0.0
        store.changed = True

    # Others by name

    def mount(
        self,
        name: str | None = None,
        securekey: Secret | Sequence[Secret] | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
        session_timeout: float | None = None,
    ) -> None:
        """Go on with the session of this name, in this request; it is made if there is none.

        :param name: None for the default one.
        :param securekey: its secret; the app's by default.
        :param path: where clients send it; everywhere by default.
        :param http_only: taken for what it meant once: scripts never see sessions.
        :param session_timeout: seconds; the app's by default.
        :raises ValueError: an unfit name, or no key.
        """
        self._name = key_of(name)
        if self._name not in self._stores:
            place = self._shelf.place(self.kind, name, securekey, path, domain, secure)
            timeout_s = self._timeout_s if session_timeout is None else float(session_timeout)
            self._stores[self._name] = _Store(self._shelf, place, timeout_s)

    def _read(self, place: Place) -> _Store:
        return _Store(self._shelf, place, self._timeout_s)
