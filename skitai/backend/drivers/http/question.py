"""A request on a connection that idled, which needs no task."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from skitai.backend.drivers.http.cached import Came
from skitai.backend.drivers.http.incoming import INFINITE, Answer, Broken, Watch
from skitai.backend.drivers.http.origin import again
from skitai.backend.drivers.http.request import HttpRequest
from skitai.backend.drivers.http.result import HttpResult, check
from skitai.backend.errors import BackendError
from skitai.backend.seam import Asker
from skitai.config.aliases import Member
from skitai.protocols.http1.answer import AnswerHead

Made = HttpResult | asyncio.Future[HttpResult]
"""A result; where it takes some work that is done elsewhere, what it will be."""


class Making(Protocol):
    """What makes results: the driver."""

    def made(self, request: HttpRequest, most_bytes: int, member: Member, came: Came) -> Made: ...

    @property
    def watch(self) -> Watch: ...


class Question(Answer):
    """A request, and the answer on its way. Who asks ends it in time.

    :param used: the connection had carried others before.
    """

    __slots__ = ("_asker", "_driver", "_member", "_request", "_used")

    def __init__(
        self, driver: Making, member: Member, request: HttpRequest, most_bytes: int, used: bool, asker: Asker
    ) -> None:
        wanted = partial(check, request=request, most_bytes=most_bytes)
        super().__init__(driver.watch, wanted, most_bytes, INFINITE, False)
        self._driver = driver
        self._member = member
        self._request = request
        self._used = used
        self._asker: Asker | None = asker

    def whole(self, head: AnswerHead, body: bytes) -> None:
        """The answer is here, all at once."""
        if self._request.accept or len(body) > self._most_bytes:
            super().whole(head, body)
            return
        self.head = head
        self.pieces.append(body)
        self.ended = self._told = True
        self._tell(None)

    def _tell(self, error: BackendError | None) -> None:
        self.leave()
        if error is not None:
            self._fail(error)
            return
        try:
            made = self._driver.made(self._request, self._most_bytes, self._member, self)
        except Exception as failed:  # noqa: BLE001 - content that cannot be unpacked, say: who asks is told
            self._fail(failed)
        else:
            if isinstance(made, asyncio.Future):
                made.add_done_callback(self._made)
                return
            asker, self._asker = self._asker, None
            if asker is not None:
                asker.answered(made)

    def _made(self, made: asyncio.Future[HttpResult]) -> None:
        try:
            result = made.result()
        except Exception as failed:  # noqa: BLE001 - as above
            self._fail(failed)
        else:
            asker, self._asker = self._asker, None
            if asker is not None:
                asker.answered(result)

    def _fail(self, error: Exception) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.failed(error, isinstance(error, Broken) and again(error, self._request, self._used))

    def cancel(self) -> None:
        """See `seam.Begun`."""
        self._asker = None
        self.leave()
