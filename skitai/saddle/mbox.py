"""Message boxes: notes for the user that the next page shows, or pages for a while."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from skitai.saddle import values
from skitai.saddle.seal import Secret
from skitai.saddle.shelf import Place, Shelf, Stores, key_of


class Message(NamedTuple):
    """A message, unpacked in templates by position.

    :ivar created: seconds since the epoch.
    :ivar valid: seconds for which every page shows it; 0 for the next page only.
    :ivar extra: whatever else was said of it.
    """

    id: str
    category: str
    created: int
    valid: float
    msg: Any
    extra: dict[str, Any]


class _Store:
    """One box.

    :ivar address: from where it was last changed; None while it is new.
    :ivar is_known: the client brought it. What did not verify may be another app's, and is left alone.
    :ivar read: ids of messages that were shown and are not to be shown again.
    """

    def __init__(self, shelf: Shelf, place: Place) -> None:
        self.place = place
        self.changed = False
        self.address: str | None = None
        self.messages: list[Message] = []
        self.read: set[str] = set()
        kept = place.read(shelf)
        self.is_known = kept is not None
        if kept is not None:
            now = shelf.clock()
            self.address, rows = kept
            self.messages = [each for each in map(Message._make, rows) if not each.valid or now < each.created + each.valid]
            self.changed = len(self.messages) < len(rows)

    def __len__(self) -> int:
        return len(self.messages)

    def commit(self, shelf: Shelf) -> None:
        if not self.changed and not self.read:
            return
        left = [tuple(each) for each in self.messages if each.id not in self.read]
        if left:
            self.place.write(shelf.cookie, (shelf.address(), left), "never")
        elif self.is_known:
            self.place.remove(shelf.cookie)


class Mbox(Stores[_Store]):
    """`was.mbox`: messages to the user.

    One that is valid for 0 seconds goes once it was read and the request succeeded. What is still unread then waits in a
    cookie, so messages for later pages are to be few and short; those read in their own request may be of any size.
    """

    kind = "mbox"

    def send(self, msg: Any, category: str = "info", valid: float = 0, **extra: Any) -> str:
        """Leave a message.

        :param valid: seconds for which every page shows it; 0 for the next page only.
        :param extra: whatever else is to be known of it.
        :returns: its id.
        :raises TypeError: neither of JSON's types nor tuple, bytes, set, date, datetime or Decimal.
        :raises RuntimeError: the response has begun.
        """
        message = Message(secrets.token_hex(4), category, int(self._shelf.clock()), valid, msg, extra)
        values.pack(tuple(message))  # raises where the app's line is still on the stack
        store = self._changing()
        store.messages.append(message)
        store.changed = True
        return message.id

    push = send

    def get(self, key: str | None = None, value: Any = None) -> list[Message]:
        """Messages, the oldest first.

        :param key: a category; with a value, a name of what else is known of messages.
        """
        store = self._store
        found = list(filter(_matches(key, value), store.messages))
        store.read.update(each.id for each in found if not each.valid)
        return found

    def getv(self, key: str | None = None, value: Any = None) -> list[Message]:
        """What `get` gives, if `source_verified`; else none."""
        return self.get(key, value) if self.source_verified() else []

    def search(self, key: str, val: Any = None) -> list[str]:
        """The ids of messages, which remain unread; `key` and `val` as in `get`."""
        return [each.id for each in filter(_matches(key, val), self._store.messages)]

    def remove(self, message_id: str) -> None:
        """Forget a message, if it is there."""
        store = self._changing()
        left = [each for each in store.messages if each.id != message_id]
        store.changed = store.changed or len(left) < len(store.messages)
        store.messages = left

    def mount(
        self,
        name: str | None = None,
        securekey: Secret | Sequence[Secret] | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
    ) -> None:
        """Go on with the box of this name, in this request; the parameters are those of `Session.mount`."""
        self._name = key_of(name)
        if self._name not in self._stores:
            self._stores[self._name] = self._read(self._shelf.place(self.kind, name, securekey, path, domain, secure))

    def _read(self, place: Place) -> _Store:
        return _Store(self._shelf, place)

    def __repr__(self) -> str:
        return f"<Mbox {self._name or '(default)'}: {len(self._store.messages)} messages>"


def _matches(key: str | None, value: Any) -> Callable[[Message], bool]:
    if key is None:
        return lambda message: True
    if value is None:
        return lambda message: message.category == key
    return lambda message: message.extra.get(key) == value
