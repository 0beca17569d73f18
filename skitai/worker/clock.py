"""The worker's clock: texts that change once a second, made once a second."""

from __future__ import annotations

import time

from skitai.http.dates import format_http_date


class Clock:
    """:ivar date: the Date field with the empty line that ends a head (RFC 9110, section 6.6.1)."""

    __slots__ = ("date",)

    def __init__(self) -> None:
        self.date = b""
        self.tick()

    def tick(self) -> None:
        self.date = f"Date: {format_http_date(time.time())}\r\n\r\n".encode("ascii")
