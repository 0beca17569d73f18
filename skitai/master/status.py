"""What `status` answers: the server and its children in plain values."""

from __future__ import annotations

import os
from typing import Any

from skitai.ipc.scoreboard import Row
from skitai.master.children import Children, Record, oldest_first
from skitai.master.estate import Estate
from skitai.master.policy import Plan, Vital
from skitai.version import __version__


def describe(
    estate: Estate, children: Children, plan: Plan, vitals: dict[int, Vital], rows: dict[int, Row], state: str, now: float
) -> dict[str, Any]:
    """The server's state in JSON types; times in seconds, sizes in bytes.

    :param rows: the scoreboard's, by pid, of those that can be read.
    :param state: what the server is doing, in a word or a line.
    """
    answered = estate.scoreboard.left_requests + sum(row.requests for row in rows.values())
    return {
        "pid": os.getpid(),
        "title": estate.origin.title,
        "script": estate.origin.script,
        "version": __version__,
        "state": state,
        "generation": plan.oldest,
        "uptime_s": now - estate.started_s,
        "addresses": estate.addresses,
        "var": estate.places.var,
        "log": estate.places.log,
        "wanted": plan.counts,
        "cachefs": estate.cachefs.describe() if estate.cachefs else None,
        "requests": answered,
        "children": [
            _child(record, vitals.get(record.pid, Vital()), rows.get(record.pid), now) for record in oldest_first(children)
        ],
    }


def _child(record: Record, vital: Vital, row: Row | None, now: float) -> dict[str, Any]:
    return {
        "label": record.label,
        "pid": record.pid,
        "program": record.program,
        "number": record.number,
        "generation": record.generation,
        "state": record.phase.value,
        "condemned": record.condemned,
        "uptime_s": now - record.started_s,
        "requests": vital.requests,
        "connections": row.connections if row else 0,
        "busy_threads": vital.busy_threads,
        "queued": row.queued if row else 0,
        "dropped": row.dropped if row else 0,
        "cpu_percent": round(vital.cpu_percent, 1),
        "memory_bytes": vital.memory_bytes,
        "helper": record.helper,
        "done": row.done if row else 0,
        "failed": row.failed if row else 0,
        "running": row.running if row else 0,
        "waiting": row.waiting if row else 0,
        "asked": row.asked if row else 0,
        "unanswered": row.unanswered if row else 0,
        "asking": row.asking if row else 0,
        "backend_connections": row.backend_connections if row else 0,
    }
