"""Readings of a real process: this one."""

from __future__ import annotations

import os
import time

from skitai.ipc.scoreboard import Row, Scoreboard
from skitai.master.children import Children, Record
from skitai.master.policy import Rules, Vital
from skitai.master.vitals import Vitals


def me(pid: int = 0, *, helper: bool = False) -> Children:
    children = Children()
    started_s = time.monotonic() - 1000
    children.started(Record(pid or os.getpid(), "worker", 0, "worker #0", 1, 0, started_s, helper=helper))
    return children


def test_heartbeats_come_from_the_scoreboard_and_memory_from_the_system() -> None:
    row = Scoreboard.create().row(0)
    row.loop_beat_s, row.pool_beat_s, row.busy_threads, row.requests = 1.5, 2.5, 3, 4

    vital = Vitals(lambda record: row).read(me(), time.monotonic(), Rules())[os.getpid()]

    assert (vital.loop_beat_s, vital.pool_beat_s, vital.busy_threads, vital.requests) == (1.5, 2.5, 3, 4)
    assert vital.memory_bytes > 5_000_000
    assert 0 < vital.cpu_percent < 100  # the whole life's average at first


def test_a_helper_has_beaten_when_it_is_ready_and_others_need_not_beat() -> None:
    row = Scoreboard.create().row(0)

    def beat_s(children: Children, row: Row | None) -> float:
        children.ready(os.getpid(), 7.5)
        return Vitals(lambda record: row).read(children, time.monotonic(), Rules())[os.getpid()].loop_beat_s

    assert beat_s(me(), row) == 0
    assert beat_s(me(helper=True), row) == 7.5
    assert beat_s(me(helper=True), None) == 0  # what it writes, this program cannot read
    row.loop_beat_s = 9
    assert beat_s(me(helper=True), row) == 9


def test_readings_above_the_critical_point_are_counted_in_a_row_and_once_an_interval() -> None:
    rules = Rules(cpu_percent=50, cpu_interval_s=0.02)
    vitals = Vitals(lambda record: None)
    children = me()
    now = time.monotonic()

    def reading(after_s: float, busy: bool = False) -> int:
        end_s = time.process_time() + (0.05 if busy else 0)
        while time.process_time() < end_s:
            pass
        return vitals.read(children, now + after_s, rules)[os.getpid()].cpu_high

    assert reading(0) == 0
    assert reading(0.03, busy=True) == 1
    assert reading(0.04, busy=True) == 1  # too soon
    assert reading(0.08, busy=True) == 2
    assert reading(60) == 0


def test_a_process_that_has_gone_has_no_readings() -> None:
    gone = 1 << 30  # beyond the largest pid

    assert Vitals(lambda record: None).read(me(gone), time.monotonic(), Rules())[gone] == Vital()
    assert Vitals(lambda record: None).read(Children(), time.monotonic(), Rules()) == {}
