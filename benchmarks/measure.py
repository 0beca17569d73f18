"""One measurement of one server: for each kind of case a function from a contender to figures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load, talk
from benchmarks.cases import STREAM_BYTES, Case
from benchmarks.contenders import ROOT, Contender
from benchmarks.load import Load
from benchmarks.processes import (
    LOAD_CORE,
    SERVER_CORE,
    Absent,
    Running,
    core_busy_s,
    cpu_s,
    pinned,
    tree_memory,
    worker_memory,
)

WARM_S = 1.0
MB = 1e6
IDLE_CONNECTIONS = 10_000
RELOADS, RELOAD_GAP_S, RELOAD_WATCH_S = 2, 3.0, 24.0


@dataclass(frozen=True)
class Sample:
    """Figures of one pass; those that a kind of case does not have are 0.

    :ivar others: part of the server's core that others used meanwhile (0 to 1): how far to trust the pass.
    """

    cost_us: float = 0
    rate: float = 0
    p50_us: float = 0
    p99_us: float = 0
    errors: int = 0
    worker_mb: float = 0
    tree_mb: float = 0
    others: float = 0
    held: int = 0
    stall_ms: float = 0
    quiet_stall_ms: float = 0
    workers: int = 0
    note: str = ""


def check(port: int, wanted: Load) -> None:
    """All servers give the same answer, or the comparison means nothing.

    :raises Absent: this one does not.
    """
    if wanted.talk:
        answer = talk.asked(port, wanted.path)
        if answer != talk.ANSWERED:
            raise Absent(f"answered {answer[:60]!r}")
        return
    if wanted.calls:
        from benchmarks import calls  # with grpcio, which others do not need

        said = calls.asked(port, wanted.path)
        if said != calls.ANSWERED:
            raise Absent(f"answered {said[:60]!r}")
        return
    connection = load.connect(port, wanted)
    try:
        brought = load.cookie(port, wanted)
        fields = {"Cookie": brought} if brought else {}
        connection.request("POST" if wanted.body_bytes else "GET", wanted.first, b"x" * wanted.body_bytes or None, fields)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    right = len(body) == wanted.answer if isinstance(wanted.answer, int) else body == wanted.answer
    if response.status != 200 or not right:
        raise Absent(f"answered {response.status} with {len(body)} bytes: {body[:60]!r}")


def under_load(server: Running, case: Case, seconds: float, folder: Path) -> Sample:
    check(server.port, case.load)
    load.apply(case.load, server.port, WARM_S, folder)
    own, core, clock = cpu_s(server.pid), core_busy_s(SERVER_CORE), time.monotonic()
    result = load.apply(case.load, server.port, seconds, folder)
    own, core, clock = cpu_s(server.pid) - own, core_busy_s(SERVER_CORE) - core, time.monotonic() - clock
    if not result.requests:
        raise Absent(f"answered nothing under load ({result.errors} errors)")
    return Sample(
        cost_us=own / result.requests * 1e6,
        rate=result.requests / result.seconds,
        p50_us=result.p50_us,
        p99_us=result.p99_us,
        errors=result.errors,
        worker_mb=worker_memory(server.pid) / MB,
        tree_mb=tree_memory(server.pid) / MB,
        others=max(0.0, (core - own) / clock),
    )


def idle_connections(server: Running, case: Case, seconds: float, folder: Path) -> Sample:
    """Memory that connections cost which do nothing: the difference to none, in the whole tree."""
    check(server.port, case.load)
    before = tree_memory(server.pid)
    command = pinned(LOAD_CORE, [sys.executable, "-m", "benchmarks.hold", str(server.port), str(IDLE_CONNECTIONS)])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as client:
        try:
            assert client.stdin and client.stdout
            opened = json.loads(client.stdout.readline())
            time.sleep(1)
            after, worker = tree_memory(server.pid), worker_memory(server.pid)
            client.stdin.write("\n")
            client.stdin.flush()
            held = json.loads(client.stdout.readline())["held"]
        finally:
            client.kill()
    note = f"only {opened['opened']} opened: {opened['refused']}" if opened["refused"] else ""
    return Sample(tree_mb=(after - before) / MB, worker_mb=worker / MB, held=held, note=note)


def idle_worker(server: Running, case: Case, seconds: float, folder: Path) -> Sample:
    check(server.port, case.load)
    time.sleep(1)
    return Sample(worker_mb=worker_memory(server.pid) / MB, tree_mb=tree_memory(server.pid) / MB)


def reloads(server: Running, case: Case, seconds: float, folder: Path) -> Sample:
    command = pinned(LOAD_CORE, [sys.executable, "-m", "benchmarks.reload", str(server.port), str(RELOAD_WATCH_S)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as client:
        try:
            for _ in range(RELOADS):
                time.sleep(RELOAD_GAP_S)
                server.process.send_signal(signal.SIGHUP)
            printed = client.communicate(timeout=RELOAD_WATCH_S + 30)[0]
        finally:
            client.kill()
    seen = json.loads(printed)
    return Sample(
        errors=len(seen["errors"]),
        stall_ms=seen["stall_s"] * 1e3,
        quiet_stall_ms=seen["quiet_stall_s"] * 1e3,
        workers=len(seen["workers"]),
        rate=seen["requests"] / RELOAD_WATCH_S,
        note="; ".join([f"longest: {seen['stalled']}", *sorted(set(seen["errors"]))])[:250],
    )


def stream(server: Running, case: Case, seconds: float, folder: Path) -> Sample:
    """One large answer: what it costs, and by how much the tree grows meanwhile."""
    words = [str(server.port), case.load.path, *([str(server.behind)] if case.kind == "tunnel" else [])]
    command = pinned(LOAD_CORE, [sys.executable, "-m", "benchmarks.download", *words])
    before, own, most = tree_memory(server.pid), cpu_s(server.pid), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as client:
        try:
            while client.poll() is None:
                most = max(most, tree_memory(server.pid))
                time.sleep(0.05)
            assert client.stdout
            printed = client.stdout.read()
        finally:
            client.kill()
    taken = json.loads(printed) if printed else {"bytes": 0}
    if taken["bytes"] != STREAM_BYTES:
        raise Absent(f"{taken['bytes']} bytes came")
    own = cpu_s(server.pid) - own
    return Sample(
        cost_us=own / STREAM_BYTES * MB * 1e6,
        rate=STREAM_BYTES / MB / taken["seconds"],
        tree_mb=(most - before) / MB,
        worker_mb=worker_memory(server.pid) / MB,
    )


KINDS = {
    "load": under_load,
    "stream": stream,
    "tunnel": stream,
    "idle": idle_connections,
    "memory": idle_worker,
    "reload": reloads,
}


def measure(case: Case, contender: Contender, seconds: float, folder: Path) -> Sample:
    """Start a contender, measure it once, end it.

    :raises Absent: it cannot run here, or does not do what the case asks; says why.
    """
    with contender.start(folder) as server:
        return KINDS[case.kind](server, case, seconds, folder)
