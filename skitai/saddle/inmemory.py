"""What carries a request to an app in memory, in place of a worker: an exchange, its body, and a loop."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes, urlsplit

from skitai.backend.backends import Backends
from skitai.config.mounted import Mount
from skitai.config.tree import Config
from skitai.exchange import Peer
from skitai.http.head import Fields, Head
from skitai.log.txn import Transactions
from skitai.was import host, process
from skitai.was.context import current

if TYPE_CHECKING:
    from skitai.cachefs.cache import Cache
    from skitai.exchange import Exchange

_transactions = Transactions()


class MemoryBody:
    """A body that is at hand."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self) -> IO[bytes]:
        return io.BytesIO(self._data)

    def lost(self) -> None:
        self._data = b""

    @property
    def size(self) -> int:
        return len(self._data)


@dataclass(slots=True)
class Place:
    """Where the app is mounted, as `exchange.app` tells."""

    mount: Mount
    debug: bool
    trouble: str = ""


class MemoryExchange:
    """As much of `skitai.exchange.Exchange` as an app sees. Nobody sends anything: the client takes the outcome itself."""

    gone = False

    def __init__(self, head: Head, body: bytes, place: Place, peer: Peer) -> None:
        self.head = head
        self.peer = peer
        self.body = MemoryBody(body)
        self.app = place
        self.user = ""
        self.received = len(body)
        self.taken = True
        self.context: Any = None
        self._serial = _transactions.next()
        self._turn = asyncio.Lock()

    @property
    def txn(self) -> tuple[str, str]:
        return _transactions.ids(self._serial, self.head.fields)

    def resume(self, job: Callable[..., None], *args: Any) -> None:
        """As a worker's: one job after the other, in a thread."""
        loop.spawn(self._resumed(job, args))

    async def _resumed(self, job: Callable[..., None], args: tuple[Any, ...]) -> None:
        async with self._turn:
            current.set(cast("Exchange", self))  # in the task's own context, which the thread gets as well
            await asyncio.to_thread(job, *args)


def head_of(method: str, url: str, fields: dict[str, str], length: int) -> Head:
    """The head of a request.

    :raises ValueError: a control character in it, or a space in the URL.
    """
    place = urlsplit(url)
    raw_path = place.path or "/"
    target = raw_path + (f"?{place.query}" if place.query else "")
    if not (target.isascii() and target.isprintable()) or " " in target:
        raise ValueError(f"{url!r} is no URL: it should be percent-encoded")
    pairs = [("host", place.netloc), *((name.lower(), value) for name, value in fields.items())]
    for name, value in pairs:
        if any(sign in name + value for sign in "\r\n\0"):
            raise ValueError(f"control character in the field {name}: {value!r}")
    path = unquote_to_bytes(raw_path).decode("latin-1")
    host = (place.hostname or "").lower()
    section = Fields([(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])
    return Head(method, target, "origin", path, raw_path, place.query, host, "1.1", section, length=length)


class MemoryTimes:
    """When things were last changed, whatever their names."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._started_s = time.time()

    def set(self, name: str, now_s: float) -> None:
        self._times[name] = now_s

    def get(self, *names: str) -> float:
        return max((self._times.get(name, self._started_s) for name in names), default=self._started_s)


class Loop:
    """An event loop in a thread of its own, which all clients of this process share, as the apps of a worker do."""

    def __init__(self) -> None:
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._backends: Backends
        self._tasks: set[Future[Any]] = set()
        self.config = Config()
        self.cache = None

    def enter(self) -> None:
        """One client more."""
        self._users += 1
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="skitai-client", daemon=True)
            self._thread.start()
            host.lend(MemoryTimes())
            self.config = process.said()
            self._backends = process.lend(self, more=process.said_aliases)

    def leave(self) -> None:
        """One client less; with the last one it ends."""
        self._users -= 1
        if self._users == 0 and self._loop is not None and self._thread is not None:
            self.run(self._backends.close())
            process.take_back(self._backends)
            self.run(self._loop.shutdown_asyncgens())
            self.run(self._loop.shutdown_default_executor())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            host.lend(None)
            self._loop = self._thread = None

    def run(self, work: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> Any:
        """Run a coroutine in the loop and wait for it.

        :raises TimeoutError: it takes longer; it is cancelled then.
        :raises BaseException: what it raises.
        """
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have a coroutine run in the loop."""
        task = asyncio.run_coroutine_threadsafe(work, self.loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # As `backend.seam.Home`

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    def on_loop(self, job: Callable[..., Any], *args: Any) -> None:
        self.loop.call_soon_threadsafe(job, *args)

    def in_loop(self) -> bool:
        return threading.current_thread() is self._thread

    def waiting(self) -> AbstractContextManager[None]:
        return nullcontext()


loop = Loop()


class MemoryWorker:
    """As much of `skitai.exchange.Context` as an app uses."""

    number = 0
    leave_by = inf
    cache: Cache | None = None

    def __init__(self) -> None:
        self.config = Config()

    def run_in_thread(self, job: Callable[[], None]) -> None:
        job()

    def on_loop(self, job: Callable[..., None], *args: Any) -> None:
        loop.on_loop(job, *args)
