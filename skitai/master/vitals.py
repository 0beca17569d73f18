"""Readings of the children: heartbeats from the scoreboard, CPU and memory from the operating system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from skitai.ipc.scoreboard import Row, State
from skitai.master.children import Children, Record
from skitai.master.policy import Rules, Vital

SAMPLE_S = 5.0
"""Between two readings of memory, and of CPU where no critical point asks for another interval."""


@dataclass(slots=True)
class _Gauge:
    """One child's process and its last reading."""

    process: psutil.Process
    read_s: float
    cpu_seconds: float
    cpu_percent: float = 0
    cpu_high: int = 0
    memory_bytes: int = 0


class Vitals:
    """Takes the readings, at most once per interval and child.

    :param row: finds a child's row of the scoreboard; None for a child whose rows this program cannot read.
    :param interval_s: between two readings; 0 for what the rules say.
    """

    def __init__(self, row: Callable[[Record], Row | None], interval_s: float = 0) -> None:
        self._row = row
        self._interval_s = interval_s
        self._gauges: dict[int, _Gauge] = {}

    def read(self, children: Children, now: float, rules: Rules) -> dict[int, Vital]:
        """The readings of every child, by pid."""
        interval_s = self._interval_s or (rules.cpu_interval_s if rules.cpu_percent else SAMPLE_S)
        for pid in self._gauges.keys() - {record.pid for record in children}:
            del self._gauges[pid]
        vitals: dict[int, Vital] = {}
        for record in children:
            gauge = self._gauge(record)
            if gauge and now - gauge.read_s >= interval_s:
                _sample(gauge, now, rules.cpu_percent)
            vitals[record.pid] = self._vital(record, gauge)
        return vitals

    def _gauge(self, record: Record) -> _Gauge | None:
        if record.pid not in self._gauges:
            try:
                process = psutil.Process(record.pid)
                memory_bytes = process.memory_info().rss
            except psutil.Error:
                return None  # it has left; the supervisor will hear of it
            self._gauges[record.pid] = _Gauge(process, record.started_s, 0.0, memory_bytes=memory_bytes)
        return self._gauges[record.pid]

    def _vital(self, record: Record, gauge: _Gauge | None) -> Vital:
        row = self._row(record)
        # Engines of others need not beat. A helper does: when it hangs before its first beat, it is stuck all the same.
        first_s = record.ready_s if record.helper else 0
        return Vital(
            loop_beat_s=row.loop_beat_s or first_s if row else 0,
            pool_beat_s=row.pool_beat_s if row else 0,
            busy_threads=row.busy_threads if row else 0,
            requests=row.requests if row else 0,
            cpu_percent=gauge.cpu_percent if gauge else 0,
            cpu_high=gauge.cpu_high if gauge else 0,
            memory_bytes=gauge.memory_bytes if gauge else 0,
            retiring=row.state is State.RETIRING if row else False,
        )


def _sample(gauge: _Gauge, now: float, critical_percent: float) -> None:
    try:
        cpu_seconds = _cpu_seconds(gauge.process)
        gauge.memory_bytes = gauge.process.memory_info().rss
    except psutil.Error:
        return  # it has left; the supervisor will hear of it
    gauge.cpu_percent = 100 * (cpu_seconds - gauge.cpu_seconds) / (now - gauge.read_s)
    gauge.cpu_high = gauge.cpu_high + 1 if critical_percent and gauge.cpu_percent >= critical_percent else 0
    gauge.read_s, gauge.cpu_seconds = now, cpu_seconds


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
