"""The state of a server, as its master describes it, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_COLUMNS = ("", "pid", "state", "up", "requests", "connections", "threads", "queued", "CPU", "memory")


def lines(data: dict[str, Any]) -> Iterator[str]:
    """The lines of one server: who and where, then a row for each child."""
    yield f"{data['title']}: running, pid {data['pid']}, up {span(data['uptime_s'])}, generation {data['generation']}"
    for address in data["addresses"]:
        yield f"  listening on {address}"
    rows = [_COLUMNS, *(_row(child) for child in data["children"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        first, *others = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        yield f"  {row[0]:<{len(first)}}  {'  '.join(others)}"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def _row(child: dict[str, Any]) -> tuple[str, ...]:
    return (
        child["label"],
        str(child["pid"]),
        child["state"],
        span(child["uptime_s"]),
        str(child["requests"]),
        str(child["connections"]),
        str(child["busy_threads"]),
        str(child["queued"]),
        f"{child['cpu_percent']:.1f} %",
        f"{child['memory_bytes'] / (1 << 20):.1f} MiB",
    )
