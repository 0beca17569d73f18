"""The scoreboard: one row for each child, written by the child and read by the master.

A row is a fixed set of named slots; times are `time.monotonic()`, which all processes of a machine share.
"""

from __future__ import annotations

import enum
from typing import Any, overload

from skitai.ipc.memory import Memory

LAYOUT = 2
"""Number of the layout below. A program that follows an exec reads rows of its own layout only."""

ROWS = 1024
ROW_SLOTS = 20
_LAYOUT_SLOT = 0
_LEFT_REQUESTS_SLOT = 1


class State(enum.IntEnum):
    """What a child says of itself."""

    BOOTING = 0
    SERVING = 1
    RETIRING = 2
    STOPPING = 3


class _Int:
    """A slot that holds a whole number."""

    __slots__ = ("offset",)

    def __init__(self, offset: int) -> None:
        self.offset = offset

    @overload
    def __get__(self, row: None, owner: Any) -> _Int: ...
    @overload
    def __get__(self, row: Row, owner: Any) -> int: ...
    def __get__(self, row: Row | None, owner: Any) -> int | _Int:
        return self if row is None else row.ints[row.base + self.offset]

    def __set__(self, row: Row, value: int) -> None:
        row.ints[row.base + self.offset] = value


class _Float:
    """A slot that holds a time in seconds."""

    __slots__ = ("offset",)

    def __init__(self, offset: int) -> None:
        self.offset = offset

    @overload
    def __get__(self, row: None, owner: Any) -> _Float: ...
    @overload
    def __get__(self, row: Row, owner: Any) -> float: ...
    def __get__(self, row: Row | None, owner: Any) -> float | _Float:
        return self if row is None else row.floats[row.base + self.offset]

    def __set__(self, row: Row, value: float) -> None:
        row.floats[row.base + self.offset] = value


class Row:
    """One child's row.

    :ivar loop_beat_s: when the event loop last turned; 0 for a child that does not beat.
    :ivar pool_beat_s: when the thread pool last made progress or had a thread free.
    :ivar requests: answered since the child started.
    :ivar connections: open now.
    :ivar busy_threads: threads that run an app now.
    :ivar queued: requests that wait for a thread.
    :ivar inbox: the mark of the child while it reads its inbox (see `bus`), else 0.
    :ivar dropped: messages to other children for which these had no room.
    :ivar done: of a helper: messages delivered, or runs of jobs that ended well, since it started.
    :ivar failed: of a helper: messages given up, or runs that failed.
    :ivar running: of a helper: deliveries or runs under way.
    :ivar waiting: of a helper: messages in the spool, or jobs.
    :ivar asked: requests to back-ends since the child started.
    :ivar unanswered: of these, without an answer.
    :ivar asking: of these, under way now.
    :ivar backend_connections: to back-ends, open now.
    """

    __slots__ = ("base", "floats", "index", "ints")

    pid = _Int(0)
    generation = _Int(1)
    started_s = _Float(3)
    loop_beat_s = _Float(4)
    pool_beat_s = _Float(5)
    requests = _Int(6)
    connections = _Int(7)
    busy_threads = _Int(8)
    queued = _Int(9)
    inbox = _Int(10)
    dropped = _Int(11)
    done = _Int(12)
    failed = _Int(13)
    running = _Int(14)
    waiting = _Int(15)
    asked = _Int(16)
    unanswered = _Int(17)
    asking = _Int(18)
    backend_connections = _Int(19)
    _state = _Int(2)

    def __init__(self, memory: Memory | Row, index: int) -> None:
        self.index = index
        self.ints: memoryview[int] = memory.ints
        self.floats: memoryview[float] = memory.floats
        self.base = (index + 1) * ROW_SLOTS

    @property
    def state(self) -> State:
        return State(self._state)

    @state.setter
    def state(self, value: State) -> None:
        self._state = value

    def all(self) -> list[Row]:
        """Every row in use, of this child and the others."""
        return [row for row in (Row(self, index) for index in range(ROWS)) if row.pid]

    def clear(self) -> None:
        for slot in range(self.base, self.base + ROW_SLOTS):
            self.ints[slot] = 0

    def __repr__(self) -> str:
        return f"<Row {self.index} pid={self.pid} {self.state.name} requests={self.requests} connections={self.connections}>"


class Scoreboard:
    """All rows, and the number of requests that children answered before they left."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    @classmethod
    def create(cls) -> Scoreboard:
        memory = Memory.create("scoreboard", (ROWS + 1) * ROW_SLOTS)
        memory.ints[_LAYOUT_SLOT] = LAYOUT
        return cls(memory)

    @classmethod
    def adopt(cls, fd: int) -> Scoreboard | None:
        """The scoreboard of the program before the exec; None when it has another layout."""
        memory = Memory.adopt(fd, (ROWS + 1) * ROW_SLOTS)
        return cls(memory) if memory.ints[_LAYOUT_SLOT] == LAYOUT else None

    @property
    def left_requests(self) -> int:
        """Requests of the children that have left. Only the master writes it."""
        return self.memory.ints[_LEFT_REQUESTS_SLOT]

    @left_requests.setter
    def left_requests(self, value: int) -> None:
        self.memory.ints[_LEFT_REQUESTS_SLOT] = value

    def row(self, index: int) -> Row:
        """:raises IndexError: beyond the last row."""
        if not 0 <= index < ROWS:
            raise IndexError(f"the scoreboard has {ROWS} rows, there is no row {index}")
        return Row(self.memory, index)
