"""What a run prints, as lines for the log, within bounds. No I/O."""

from __future__ import annotations

LINE_BYTES = 4096
"""A longer line is cut into several."""


class Output:
    """The lines of one run.

    :param limit_bytes: of the whole; what comes after is counted and thrown away.
    :ivar dropped_bytes: how much that was.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._left_bytes = limit_bytes
        self._rest = b""
        self.dropped_bytes = 0

    def feed(self, data: bytes) -> list[str]:
        """Take what was printed; the lines that are complete by now. Bytes that are not UTF-8 show as escapes."""
        kept = data[: self._left_bytes]
        self._left_bytes -= len(kept)
        self.dropped_bytes += len(data) - len(kept)
        *lines, rest = (self._rest + kept).split(b"\n")
        while len(rest) >= LINE_BYTES:
            lines.append(rest[:LINE_BYTES])
            rest = rest[LINE_BYTES:]
        self._rest = rest
        return [part for line in lines for part in _cut(line)]

    def end(self) -> list[str]:
        """The last line, if it was not ended."""
        rest, self._rest = self._rest, b""
        return _cut(rest) if rest else []


def _cut(line: bytes) -> list[str]:
    line = line.removesuffix(b"\r")
    parts = [line[at : at + LINE_BYTES] for at in range(0, len(line), LINE_BYTES)] or [b""]
    return [part.decode("utf-8", "backslashreplace") for part in parts]
