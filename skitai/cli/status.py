"""The state of a server, as its master describes it, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_WORKERS = ("", "pid", "state", "up", "requests", "connections", "busy", "queued", "CPU", "memory")
_HELPERS = ("", "pid", "state", "up", "done", "failed", "running", "waiting", "CPU", "memory")
_COUNTS = {
    False: ("requests", "connections", "busy_threads", "queued"),
    True: ("done", "failed", "running", "waiting"),
}


def lines(data: Mapping[str, Any], state: str) -> Iterator[str]:
    """The lines of one server: who and where, then a row for each child, helpers below a heading of their own, and what is
    wrong.

    :param data: what the master answers to ``status``.
    :param state: what it is doing, for instance "running".
    """
    helpers = [child for child in data["children"] if child.get("helper")]
    workers = [child for child in data["children"] if not child.get("helper")]
    requests = f", {data['requests']} requests" if workers or not helpers else ""
    yield f"{data['title']}: {state}, pid {data['pid']}, up {span(data['uptime_s'])}{requests}"
    yield f"  {data['script']}, generation {data['generation']}, Skitai {data['version']}"
    for address in data["addresses"]:
        yield f"  listening on {address}"
    rows = []
    for heading, children in ((_WORKERS, workers), (_HELPERS, helpers)):
        if children or (heading is _WORKERS and not helpers):
            rows += [heading, *(_row(child) for child in children)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_WORKERS))]
    for name, *cells in rows:
        yield f"  {name:<{widths[0]}}  " + "  ".join(
            f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)
        )
    for child in workers:
        if child.get("asked"):
            yield (
                f"  {child['label']} has asked back-ends {child['asked']} times: {child['asking']} under way, "
                f"{child['unanswered']} without an answer, {child['backend_connections']} connections open"
            )
    for child in workers:
        if child.get("dropped"):
            yield f"  {child['label']} has dropped {child['dropped']} messages to workers that did not read them"


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


def _row(child: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        child["label"],
        str(child["pid"]),
        child["state"],
        span(child["uptime_s"]),
        *(str(child[name]) for name in _COUNTS[bool(child.get("helper"))]),
        f"{child['cpu_percent']:.1f} %",
        f"{child['memory_bytes'] / (1 << 20):.1f} MiB",
    )
