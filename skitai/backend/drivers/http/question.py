"""A request on a connection that idled, which needs no task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from skitai.backend.drivers.http.incoming import INFINITE, Answer, Broken, Watch
from skitai.backend.drivers.http.origin import Connection, again
from skitai.backend.drivers.http.request import HttpRequest
from skitai.backend.drivers.http.result import HttpResult, check
from skitai.backend.errors import BackendError
from skitai.backend.seam import Asker

Made = HttpResult | asyncio.Future[HttpResult]
"""A result; where it takes some work that is done elsewhere, what it will be."""


class Question(Answer):
    """A request, and the answer on its way. Who asks ends it in time.

    :param make: makes a result of the answer.
    """

    __slots__ = ("_asker", "_make", "_request", "_used")

    def __init__(
        self,
        watch: Watch,
        connection: Connection,
        request: HttpRequest,
        most_bytes: int,
        make: Callable[[Question], Made],
        asker: Asker,
    ) -> None:
        super().__init__(watch, partial(check, request=request, most_bytes=most_bytes), most_bytes, INFINITE, False)
        self._used = connection.asked > 0
        self._request = request
        self._make = make
        self._asker: Asker | None = asker

    def _tell(self, error: BackendError | None) -> None:
        self.leave()
        if error is not None:
            self._fail(error)
            return
        try:
            made = self._make(self)
        except Exception as failed:  # noqa: BLE001 - content that cannot be unpacked, say: who asks is told
            self._fail(failed)
        else:
            if isinstance(made, asyncio.Future):
                made.add_done_callback(self._made)
            else:
                self._answer(made)

    def _made(self, made: asyncio.Future[HttpResult]) -> None:
        try:
            result = made.result()
        except Exception as failed:  # noqa: BLE001 - as above
            self._fail(failed)
        else:
            self._answer(result)

    def _answer(self, result: HttpResult) -> None:
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
