"""The worker's clock: texts that change once a second, made once a second."""

from __future__ import annotations

import time

from skitai.http.dates import format_http_date


class Clock:
    """:param fields: what else every response carries, as on the wire.
    :ivar date: those, and the Date field with the empty line that ends a head (RFC 9110, section 6.6.1).
    :ivar pairs: the same as HTTP/2 has it, names and values.
    """

    __slots__ = ("_fields", "date", "pairs")

    def __init__(self, fields: str = "") -> None:
        self._fields = fields
        self.date = b""
        self.pairs: tuple[tuple[bytes, bytes], ...] = ()
        self.tick()

    def tick(self) -> None:
        self.date = f"{self._fields}Date: {format_http_date(time.time())}\r\n\r\n".encode("ascii")
        lines = self.date.split(b"\r\n")
        self.pairs = tuple((name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines if line))
