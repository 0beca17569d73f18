"""The worker's clock: texts that change once a second, made once a second."""

from __future__ import annotations

import time

from skitai.http.dates import format_http_date


class Clock:
    """:param fields: what else every response carries, as on the wire.
    :ivar date: those, and the Date field with the empty line that ends a head (RFC 9110, section 6.6.1).
    """

    __slots__ = ("_fields", "date")

    def __init__(self, fields: str = "") -> None:
        self._fields = fields
        self.date = b""
        self.tick()

    def tick(self) -> None:
        self.date = f"{self._fields}Date: {format_http_date(time.time())}\r\n\r\n".encode("ascii")
