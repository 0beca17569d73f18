"""What an app keeps for itself in one worker, and its locks."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, MutableMapping
from functools import cached_property
from typing import Any

from skitai.ipc.locks import ProcessLock
from skitai.was import host


class Storage(MutableMapping[str, Any]):
    """`app.storage`: whatever the app wants to find again, in this worker and until the app is loaded anew.

    Each call is safe from any thread; what belongs together takes `app.lock`.
    """

    def __init__(self) -> None:
        self._items: dict[str, Any] = {}

    def set(self, name: str, value: Any) -> None:
        """Keep a value."""
        self._items[name] = value

    def remove(self, name: str) -> None:
        """Forget a value, if it is there."""
        self._items.pop(name, None)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._items[name] = value

    def __delitem__(self, name: str) -> None:
        del self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"<Storage {', '.join(self._items)}>"


class StorageFacet:
    """The members of `Saddle` that keep things.

    :ivar storage: see `Storage`.
    :ivar lock: for the threads of this worker; may be taken again by the thread that has it.
    """

    home: str
    name: str

    def __init__(self) -> None:
        self.storage = Storage()
        self.lock = threading.RLock()

    @cached_property
    def plock(self) -> ProcessLock:
        """A lock for the threads of all workers; may be taken again by the thread that has it. It ends with its holder.

        In a process that is no worker, it is for the threads of this process.
        """
        worker = host.attached()
        key = zlib.crc32(f"{self.home}\0{self.name}".encode("utf-8", "surrogateescape"))
        return ProcessLock(worker.table.memory.fd if worker is not None else -1, key)
