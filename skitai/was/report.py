"""`was.status`: what the server is and does, as plain values or as a page."""

from __future__ import annotations

import html
import os
import re
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import fields
from typing import Any

from skitai.cachefs.survey import survey
from skitai.config.mounted import AppFile, Folder, Mount, Upstream
from skitai.config.tree import SECTIONS
from skitai.ipc.scoreboard import Row
from skitai.version import __version__
from skitai.was import process
from skitai.was.host import WorkerServices

_SECRET = re.compile("pass|secret|key|token", re.IGNORECASE)

STYLE = (
    "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse;margin-bottom:2em}"
    "th,td{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}th{background:#eef}"
)


def collect(worker: WorkerServices, wanted: Collection[str] = ()) -> dict[str, Any]:
    """The sections "server", "workers", "mounts", "options", "last_updates", "backends" and "cachefs".

    :param wanted: names of sections; all when empty.
    :raises ValueError: an unknown name.
    """
    sections = {
        "server": _server,
        "workers": _workers,
        "mounts": _mounts,
        "options": _options,
        "last_updates": _updates,
        "backends": _backends,
        "cachefs": _cachefs,
    }
    if unknown := set(wanted) - sections.keys():
        raise ValueError(f"status has no section {', '.join(sorted(unknown))}; it has {', '.join(sections)}")
    return {name: make(worker) for name, make in sections.items() if not wanted or name in wanted}


def _server(worker: WorkerServices) -> dict[str, Any]:
    return {
        "title": worker.config.title,
        "script": worker.config.script,
        "version": __version__,
        "python": sys.version.partition(" ")[0],
        "platform": sys.platform,
        "generation": worker.generation,
        "worker": worker.number,
        "pid": os.getpid(),
        "threads": threading.active_count(),
        "modules": len(sys.modules),
        "folder": worker.places.var,
        "logs": worker.places.log,
    }


def _backends(worker: WorkerServices) -> dict[str, Any]:
    """Of this worker: connections by server, members by alias, results that are kept."""
    return process.backends().stats()


def _cachefs(worker: WorkerServices) -> dict[str, Any]:
    """Of all workers: the HTTP cache; {} where there is none."""
    return survey(worker.cachefs.stores()) if worker.cachefs is not None else {}


def _workers(worker: WorkerServices) -> list[dict[str, Any]]:
    now = time.monotonic()
    return [_worker(row, now) for row in worker.row.all()]


def _worker(row: Row, now: float) -> dict[str, Any]:
    return {
        "pid": row.pid,
        "generation": row.generation,
        "state": row.state.name.lower(),
        "uptime_s": round(now - row.started_s, 1),
        "requests": row.requests,
        "connections": row.connections,
        "busy_threads": row.busy_threads,
        "queued": row.queued,
        "dropped": row.dropped,
        "asked": row.asked,
        "unanswered": row.unanswered,
        "asking": row.asking,
        "backend_connections": row.backend_connections,
    }


def _mounts(worker: WorkerServices) -> list[dict[str, Any]]:
    return [{"point": each.point, "host": each.host, "target": _target(each)} for each in worker.config.mounts]


def _target(mount: Mount) -> str:
    if isinstance(mount.target, Folder):
        return mount.target.path
    if isinstance(mount.target, AppFile):
        return f"{mount.target.path}:{mount.app_name}"
    if isinstance(mount.target, Upstream):
        return f"@{mount.target.alias}"
    return f"{mount.target.script}:{mount.target.variable or '(object)'}"


def _options(worker: WorkerServices) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for section in SECTIONS:
        part = getattr(worker.config, section)
        for each in fields(part):
            value = getattr(part, each.name)
            values[each.name] = "***" if value and _SECRET.search(each.name) and isinstance(value, str) else value
    return values


def _updates(worker: WorkerServices) -> dict[str, float]:
    return {name: worker.table.get(name) for name in worker.table.names}


def page(report: dict[str, Any]) -> str:
    """A report as an HTML page; every value is escaped."""
    parts = [f"<h2>{html.escape(name)}</h2>{_table(value)}" for name, value in report.items()]
    title = html.escape(str(report.get("server", {}).get("title") or "Skitai"))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1>{''.join(parts)}</body></html>"
    )


def _table(value: Any) -> str:
    if isinstance(value, dict):
        rows = [f"<tr><th>{html.escape(str(name))}</th><td>{_cell(item)}</td></tr>" for name, item in value.items()]
    else:
        rows = [_row("th", value[0])] if value else ["<tr><td>none</td></tr>"]
        rows += [_row("td", each.values()) for each in value]
    return f"<table>{''.join(rows)}</table>"


def _row(tag: str, items: Collection[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_cell(item)}</{tag}>' for item in items)}</tr>"


def _cell(item: Any) -> str:
    return html.escape(", ".join(map(str, item)) if isinstance(item, tuple) else str(item))
