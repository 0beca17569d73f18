"""The worker's clock: texts that change once a second, made once a second."""

from __future__ import annotations

import time

from skitai.http.dates import format_http_date


class Clock:
    """:param fields: what else every response carries, as on the wire.
    :ivar date: those, and the Date field with the empty line that ends a head (RFC 9110, section 6.6.1).
    :ivar pairs: the same as HTTP/2 has it, names and values.
    :ivar end: for a head that has a Date already: those fields, and the empty line.
    :ivar end_pairs: the same as HTTP/2 has it.
    """

    __slots__ = ("_fields", "date", "end", "end_pairs", "pairs")

    def __init__(self, fields: str = "") -> None:
        self._fields = fields
        self.end = f"{fields}\r\n".encode("ascii")
        self.end_pairs = _pairs(self.end)
        self.date = b""
        self.pairs = self.end_pairs
        self.tick()

    def tick(self) -> None:
        self.date = f"{self._fields}Date: {format_http_date(time.time())}\r\n\r\n".encode("ascii")
        self.pairs = _pairs(self.date)


def _pairs(lines: bytes) -> tuple[tuple[bytes, bytes], ...]:
    parts = (line.partition(b": ") for line in lines.split(b"\r\n") if line)
    return tuple((name.lower(), value) for name, _, value in parts)
