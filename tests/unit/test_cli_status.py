"""The state of a server in lines."""

from __future__ import annotations

import pytest

from skitai.cli.status import lines, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90061, "1 d 1 h"),
        (86400 * 400, "400 d 0 h"),
    ],
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_server_and_its_workers() -> None:
    child = {
        "state": "serving",
        "uptime_s": 61,
        "requests": 12,
        "connections": 3,
        "busy_threads": 1,
        "queued": 0,
        "cpu_percent": 2.25,
        "memory_bytes": 38 << 20,
    }
    asked = {"asked": 12, "asking": 1, "unanswered": 2, "backend_connections": 3}
    data = {
        "title": "skitai(site/app)",
        "pid": 100,
        "uptime_s": 7200,
        "requests": 50,
        "script": "/srv/site/app.py",
        "generation": 2,
        "version": "1.0",
        "addresses": ["127.0.0.1:5000", "unix:/run/site"],
        "children": [
            child | {"label": "worker #9", "pid": 1, "dropped": 7, "asked": 0},
            child | {"label": "worker #10", "pid": 22, "requests": 3456} | asked,
        ],
    }
    assert list(lines(data, "running")) == [
        "skitai(site/app): running, pid 100, up 2 h 0 min, 50 requests",
        "  /srv/site/app.py, generation 2, Skitai 1.0",
        "  listening on 127.0.0.1:5000",
        "  listening on unix:/run/site",
        "              pid    state         up  requests  connections  busy  queued    CPU    memory",
        "  worker #9     1  serving  1 min 1 s        12            3     1       0  2.2 %  38.0 MiB",
        "  worker #10   22  serving  1 min 1 s      3456            3     1       0  2.2 %  38.0 MiB",
        "  worker #10 has asked back-ends 12 times: 1 under way, 2 without an answer, 3 connections open",
        "  worker #9 has dropped 7 messages to workers that did not read them",
    ]


def test_helpers_stand_below_a_heading_of_their_own_with_their_counts() -> None:
    child = {"state": "serving", "uptime_s": 5, "cpu_percent": 0, "memory_bytes": 8 << 20}
    worker = child | {"label": "worker #0", "pid": 7, "requests": 12, "connections": 3, "busy_threads": 1, "queued": 0}
    smtpda = child | {"label": "smtpda", "pid": 8, "helper": True, "done": 40, "failed": 2, "running": 1, "waiting": 13}
    data = {
        "title": "skitai(site/app)",
        "pid": 6,
        "uptime_s": 5,
        "requests": 12,
        "script": "/srv/site/app.py",
        "generation": 1,
        "version": "1.0",
        "addresses": [],
        "children": [smtpda, worker],
    }
    assert list(lines(data, "serving"))[2:] == [
        "             pid    state   up  requests  connections     busy   queued    CPU   memory",
        "  worker #0    7  serving  5 s        12            3        1        0  0.0 %  8.0 MiB",
        "             pid    state   up      done       failed  running  waiting    CPU   memory",
        "  smtpda       8  serving  5 s        40            2        1       13  0.0 %  8.0 MiB",
    ]
    alone = list(lines(data | {"title": "skitai-smtpda", "children": [smtpda]}, "serving"))
    assert alone[0] == "skitai-smtpda: serving, pid 6, up 5 s"
    assert [line.split()[0] for line in alone[2:]] == ["pid", "smtpda"]
