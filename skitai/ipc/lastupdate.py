"""The last-update table: when named things, database tables say, were last changed, in every worker alike.

The names are fixed before the first fork; a new generation may add some. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skitai.ipc.memory import Memory

_STARTED_SLOT = 0
_SPARE_SLOTS = 1024


class Table:
    """Names and their times.

    :param names: every name that may be asked for, each once.
    :param memory: slot 0 holds the server's start time, slot 1+n the time of ``places[n]``.
    :param places: every name that ever had a slot, so that generations agree on the slots; by default `names`.
    """

    __slots__ = ("_slots", "memory", "names", "places")

    def __init__(self, names: Sequence[str], memory: Memory, places: Sequence[str] = ()) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.places = tuple(dict.fromkeys((*places, *self.names)))
        self.memory = memory
        slots = {name: slot for slot, name in enumerate(self.places, _STARTED_SLOT + 1)}
        self._slots = {name: slots[name] for name in self.names}

    @classmethod
    def create(cls, names: Sequence[str], started_s: float) -> Table:
        memory = Memory.create("lastupdate", _room(names))
        memory.floats[_STARTED_SLOT] = started_s
        return cls(names, memory)

    @classmethod
    def adopt(cls, fd: int, names: Sequence[str], places: Sequence[str]) -> Table:
        """The table of the program before the exec, with the times that it holds.

        :param places: what `places` was there.
        """
        return cls(names, Memory.adopt(fd, _room((*places, *names))), places)

    def set(self, name: str, now_s: float) -> None:
        """Say that `name` has just changed.

        :raises KeyError: a name that was not declared.
        """
        self.memory.floats[self._slot(name)] = now_s

    def get(self, *names: str) -> float:
        """The newest time of the names; the server's start time for those never set, and for no names.

        :raises KeyError: a name that was not declared.
        """
        floats = self.memory.floats
        started_s = floats[_STARTED_SLOT]
        return max((floats[self._slot(name)] or started_s for name in names), default=started_s)

    def _slot(self, name: str) -> int:
        try:
            return self._slots[name]
        except KeyError:
            known = ", ".join(self.names) or "none"
            raise KeyError(
                f"{name!r} is not declared: call skitai.deflu({name!r}) before run() (declared: {known})"
            ) from None

    def __repr__(self) -> str:
        return f"<Table {' '.join(self.names)}>"


def _room(names: Iterable[str]) -> int:
    return 1 + len(set(names)) + _SPARE_SLOTS
