"""Engines: how a worker's event loop is made and how it listens. asyncio's interface is what all of them offer.

Found by name: the table below, then the entry points of the group ``skitai.engines``, each of which loads a class with the
two methods of `Engine`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, NamedTuple, Protocol

from skitai.errors import StartError

TABLE = {
    "asyncio": "skitai.worker.engines.stdlib:AsyncioEngine",
    "uvloop": "skitai.worker.engines.uvloop:UvloopEngine",
}
GROUP = "skitai.engines"


class Closable(Protocol):
    def close(self) -> None: ...


class Secure(NamedTuple):
    """How connections of a listener speak TLS.

    :ivar handshake_s: longest handshake.
    :ivar handshakes: at once; an engine that cannot count them may take more.
    """

    context: ssl.SSLContext
    handshake_s: float
    handshakes: int


class Engine(Protocol):
    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make a loop and set it as the thread's."""

    async def listen(
        self,
        factory: Callable[[], asyncio.Protocol],
        sock: socket.socket,
        backlog: int,
        failed: Callable[[OSError], object],
        tls: Secure | None = None,
    ) -> Closable:
        """Accept on a listening socket, which belongs to what is returned.

        :param backlog: of the socket; asyncio listens again with its own otherwise, and shrinks the shared queue.
        :param failed: called with the error when accepting fails. Loops that accept by themselves tell their exception
            handler instead.
        :param tls: speak TLS.
        """

    async def adopt(self, factory: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
        """Serve a connection that somebody else accepted."""

    def close(self) -> None:
        """Give back what `listen` and `adopt` needed."""


def check(name: str) -> None:
    """See that there is an engine of that name, without loading it.

    :raises StartError: there is none.
    """
    known = ["auto", *TABLE, *(entry.name for entry in entry_points(group=GROUP))]
    if name not in known:
        raise StartError(f"no engine is named {name!r}; there are {', '.join(known)}")


def find(name: str, load_object: Callable[[str], Any]) -> Engine:
    """The engine of that name.

    :param load_object: the importer of "module:attribute".
    :raises StartError: there is none.
    """
    check(name)
    if name == "auto":
        try:
            return find("uvloop", load_object)
        except ImportError:
            return find("asyncio", load_object)
    dotted = TABLE.get(name)
    if dotted is not None:
        engine: Engine = load_object(dotted)()
        return engine
    entry = next(each for each in entry_points(group=GROUP) if each.name == name)
    return entry.load()()  # type: ignore[no-any-return]
