"""What came of a request to a back-end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from skitai.backend.errors import BackendError, Code, Failed, TimedOut
from skitai.config.aliases import Member


class Status(IntEnum):
    """How far a request has come."""

    BEGUN = 0
    TIMED_OUT = 1
    FAILED = 2
    DONE = 3


class Result:
    """What came of one request. Drivers make their own kinds of it, with more attributes.

    :ivar status: a number of `Status`; 3 whatever it was that the back-end answered.
    :ivar status_code: of HTTP; of databases 200, or 500 for their errors; a number of `errors.Code` where no answer came.
    :ivar reason: the same in words.
    :ivar data: the value: what JSON, a remote call or a query has returned; else as `content`. None where nothing came.
    :ivar content: what came, as it came: bytes, or the database's own value.
    :ivar method: the verb, in lower case.
    :ivar id: by what name a promise knows the request; "" for others.
    :ivar member: who answered.
    :ivar error: the exception that it ended with.
    :ivar is_cached: it was kept from an earlier request.
    :ivar asked: when the back-end was asked, in seconds since the epoch: what has changed since is not in it.
    :ivar came: the same before a filter made its data: what others who ask the same get. None without a filter.
    """

    status = int(Status.DONE)  # plain numbers, as handlers print them
    status_code = 200
    reason = "OK"
    data: Any = None
    content: Any = None
    error: BaseException | None = None
    method = ""
    id = ""
    member: Member | None = None
    is_cached = False
    asked = 0.0
    came: Result | None = None
    keep: Callable[[Result, float], None] | None = None
    _meta: dict[str, Any] | None = None

    def __init__(
        self,
        status_code: int = 200,
        reason: str = "OK",
        data: Any = None,
        content: Any = None,
        status: Status = Status.DONE,
        error: BaseException | None = None,
    ) -> None:
        self.status = int(status)
        self.status_code = int(status_code)
        self.reason = reason
        self.data = data
        self.content = content
        self.error = error

    @property
    def meta(self) -> dict[str, Any]:
        """What the caller has given to the request."""
        if self._meta is None:
            self._meta = {}
        return self._meta

    @meta.setter
    def meta(self, value: dict[str, Any]) -> None:
        self._meta = value

    @property
    def code(self) -> int:
        """As `status_code`."""
        return self.status_code

    @property
    def msg(self) -> str:
        """As `reason`."""
        return self.reason

    @property
    def node(self) -> tuple[str, int] | None:
        """Address and port of who answered."""
        return self.member.node if self.member is not None else None

    @property
    def server(self) -> str:
        """The same as text."""
        return f"{self.member.host}:{self.member.port}" if self.member is not None else ""

    @property
    def is_normal(self) -> bool:
        """Whether an answer came."""
        return self.status == Status.DONE

    def reraise(self) -> None:
        """Raise what went wrong; nothing when all went well.

        :raises BackendError: no answer came.
        :raises Failed: the answer is an HTTP status from 300, or a database's error (whose exception is the cause).
        """
        if self.status != Status.DONE or self.status_code >= 300:
            raise self.exception()

    raise_for_status = reraise

    def exception(self) -> BaseException:
        """What `reraise` would raise."""
        if isinstance(self.error, BackendError):
            return self.error
        failed = Failed(self.status_code, f"{self.status_code} {self.reason}")
        failed.__cause__ = self.error
        return failed

    def cache(self, timeout: float = 300) -> Result:
        """Keep this result for equal requests.

        Ignored where the request failed, or is none that can be recognised again.

        :param timeout: seconds; 0 forgets what is kept.
        """
        if self.status == Status.DONE and self.keep is not None:
            self.keep(self if self.came is None else self.came, timeout)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status_code} {self.reason}>"


def failure(error: BaseException) -> Result:
    """The result of a request that ended with an error."""
    if isinstance(error, BackendError):
        bare(error)
    if isinstance(error, TimedOut):
        return Result(error.code, "Timeout", status=Status.TIMED_OUT, error=error)
    if isinstance(error, BackendError):
        return Result(error.code, error.message, status=Status.FAILED, error=error)
    return Result(Code.FAILED, f"{type(error).__name__}: {error}", status=Status.FAILED, error=error)


def bare(error: BaseException) -> None:
    """Let go of the frames that an error of ours, or of a database, has passed: they hold the request, which would hold
    itself through its result."""
    passed: BaseException | None = error
    while passed is not None:
        passed.__traceback__ = None
        passed = passed.__cause__ or passed.__context__


class Results(Sequence[Result]):
    """What came of a request to all members of a cluster, in their order."""

    def __init__(self, results: Sequence[Result], keep: Callable[[float], None] | None = None) -> None:
        self.results = list(results)
        self._keep = keep

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    @property
    def status(self) -> list[int]:
        return [each.status for each in self.results]

    @property
    def status_code(self) -> list[int]:
        return [each.status_code for each in self.results]

    @property
    def data(self) -> list[Any]:
        return [each.data for each in self.results]

    def reraise(self) -> None:
        """Raise what went wrong with the first that failed."""
        for each in self.results:
            each.reraise()

    raise_for_status = reraise

    def cache(self, timeout: float = 300) -> Results:
        """As `Result.cache`, when all members have answered."""
        if self._keep is not None and all(each.is_normal for each in self.results):
            self._keep(timeout)
        return self
