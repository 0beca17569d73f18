"""The verbs of `was` that ask back-ends.

::

    one, two = was.get("@members/list"), was.post("http://127.0.0.1:8000/", {"a": 1})
    return [one.getwait().data, two.getwait().data]

``was.get.lb("@members/...")`` asks one member of an alias, ``was.get.map("@members/...")`` all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, overload

from skitai.was.caller import Caller, Mode
from skitai.was.databases import any_database, database
from skitai.was.requests import grpc, http, remote, websocket


class Asking(Protocol):
    """Who has verbs, says for whom requests are made."""

    def _caller(self) -> Caller: ...


class Verb:
    """A name of `was` that makes requests, with ``.lb`` and ``.map``."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, was: None, owner: type) -> Verb: ...
    @overload
    def __get__(self, was: Asking, owner: type) -> Bound: ...
    def __get__(self, was: Asking | None, owner: type) -> Verb | Bound:
        return self if was is None else Bound(self._make, self.name, was._caller)


class Bound:
    """A verb of one `was`.

    :param caller: tells for whom requests are made, when they are.
    :ivar lb: the same, for one member of an alias.
    :ivar map: the same, for all members of an alias: results come by `getswait`.
    """

    __slots__ = ("_caller", "_make", "_mode", "_name")

    def __init__(self, make: Callable[..., Any], name: str, caller: Callable[[], Caller], mode: Mode = "") -> None:
        self._make = make
        self._name = name
        self._caller = caller
        self._mode: Mode = mode

    @property
    def lb(self) -> Bound:
        return Bound(self._make, self._name, self._caller, "lb")

    @property
    def map(self) -> Bound:
        return Bound(self._make, self._name, self._caller, "map")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._make(self._caller(), self._name, self._mode, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<was.{self._name}{'.' + self._mode if self._mode else ''}>"


class Verbs:
    """What asks back-ends, wherever `was` is."""

    __slots__ = ()

    @abstractmethod
    def _caller(self) -> Caller:
        """For whom."""

    get = Verb(http)
    getjson = Verb(http)
    getxml = Verb(http)
    post = Verb(http)
    postjson = Verb(http)
    postxml = Verb(http)
    put = Verb(http)
    putjson = Verb(http)
    putxml = Verb(http)
    patch = Verb(http)
    patchjson = Verb(http)
    patchxml = Verb(http)
    delete = Verb(http)
    deletejson = Verb(http)
    deletexml = Verb(http)
    head = Verb(http)
    options = Verb(http)
    trace = Verb(http)
    upload = Verb(http)

    ws = Verb(websocket)
    wss = Verb(websocket)

    rpc = Verb(remote)
    jsonrpc = Verb(remote)
    grpc = Verb(grpc)

    db = Verb(any_database)
    backend = Verb(database)
    postgresql = Verb(database)
    sqlite3 = Verb(database)
    redis = Verb(database)
    mongodb = Verb(database)


VERBS = frozenset(name for name, value in vars(Verbs).items() if isinstance(value, Verb))
"""The names of them."""
