"""Answers that are kept in files alone: sent from there, whole, in parts or not at all."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.cachefs.folder import LOCK
from tests.support.http2 import http2
from tests.support.members import passing, served
from tests.support.memory import Wire, wait_for
from tests.support.scripted import open_descriptors
from tests.wire.test_cached_upstream import FRESH, Zoo, stored

LARGE = random.Random(5).randbytes(1_200_000)


@contextlib.contextmanager
def keeping(talk: Any, tmp_path: Path, **options: Any) -> Iterator[Wire]:
    """A worker with a cache in files before a server; that one's answer is stored."""
    options = {"cachefs_diskmax": 1 << 24, "cachefs_path": str(tmp_path / "cache"), **options}
    with served(talk) as running, passing([f"127.0.0.1:{running[0].port}"], **options) as server:
        assert server.get("/pets/")[1]["x-cache"] == "MISS"
        stored(server)
        yield server


def the_file(tmp_path: Path) -> Path:
    (file,) = (each for each in (tmp_path / "cache").rglob("*") if each.is_file() and each.name != LOCK)
    return file


@pytest.fixture
def cats() -> Zoo:
    return Zoo(FRESH, 'ETag: "one"', "Content-Type: text/x-cat", body=LARGE)


def test_what_is_large_is_sent_from_its_file(cats: Zoo, tmp_path: Path) -> None:
    with keeping(cats, tmp_path) as server:
        before = open_descriptors()
        for _ in range(3):
            status, fields, body = server.get("/pets/")
            assert (status, fields["x-cache"], fields["content-length"]) == (200, "HIT", "1200000")
            assert body == LARGE
        assert server.ask(b"HEAD /pets/ HTTP/1.1\r\nHost: example\r\n\r\n")[1]["content-length"] == "1200000"
        assert server.services.cache is not None
        assert server.services.cache.stores.books.counts()["disk_hits"] == 4
        for client in server.clients:
            client.close()
        wait_for(lambda: not server.services.connections and open_descriptors() <= before)
    assert len(cats.asked) == 1


def test_parts_of_what_is_large(cats: Zoo, tmp_path: Path) -> None:
    with keeping(cats, tmp_path) as server:
        status, fields, body = server.get("/pets/", Range="bytes=600000-600009")
        assert (status, body) == (206, LARGE[600_000:600_010])
        assert fields["content-range"] == "bytes 600000-600009/1200000"
        assert server.get("/pets/", Range="bytes=-500000")[2] == LARGE[-500_000:]
        status, fields, body = server.get("/pets/", Range="bytes=0-2,700000-1000000")
        assert status == 206 and fields["content-type"].startswith("multipart/byteranges")
        assert LARGE[700_000:1_000_001] in body and int(fields["content-length"]) == len(body)
        status, fields, _ = server.get("/pets/", Range="bytes=1200000-")
        assert (status, fields["content-range"]) == (416, "bytes */1200000")
        assert server.get("/pets/", If_None_Match='"one"')[0] == 304
    assert len(cats.asked) == 1


def test_what_is_large_over_http2(cats: Zoo, tmp_path: Path) -> None:
    with keeping(cats, tmp_path) as server:
        client = http2(server)
        for _ in range(2):
            answer = client.ask("/pets/")
            assert (answer.fields["x-cache"], answer.body) == ("HIT", LARGE)


def test_what_is_replaced_is_sent_to_the_end(tmp_path: Path) -> None:
    """To a client that reads nothing for now."""
    zoo = Zoo(FRESH, body=LARGE)
    with keeping(zoo, tmp_path) as server:
        slow = server.connect()
        slow.send(b"GET /pets/ HTTP/1.1\r\nHost: example\r\n\r\n")
        assert server.get("/pets/")[2] == LARGE
        zoo.body = b"others" * 100_000
        assert server.get("/pets/", Cache_Control="no-cache")[1]["x-cache"] == "MISS"
        stored(server, 2)
        assert server.get("/pets/")[2] == b"others" * 100_000
        assert slow.response()[2] == LARGE


@pytest.mark.parametrize("size", [100, 1_200_000])
@pytest.mark.parametrize("fault", ["shorter", "another byte", "another byte at the end", "gone"])
@pytest.mark.parametrize("served_before", [False, True])
def test_what_is_damaged_is_asked_for_anew(fault: str, size: int, served_before: bool, tmp_path: Path) -> None:
    zoo = Zoo(FRESH, body=LARGE[:size])
    with keeping(zoo, tmp_path) as server:
        if served_before:
            assert server.get("/pets/")[2] == LARGE[:size]
        file = the_file(tmp_path)
        data = bytearray(file.read_bytes())
        match fault:
            case "shorter":
                file.write_bytes(data[:-1])
            case "gone":
                file.unlink()
            case _:
                data[-1 if "end" in fault else -(size // 2)] ^= 1
                file.write_bytes(data)
        status, fields, body = server.get("/pets/")
        assert (status, fields["x-cache"], body) == (200, "MISS", LARGE[:size])
        stored(server, 2)
        assert server.get("/pets/")[1]["x-cache"] == "HIT"
    assert len(zoo.asked) == 2


def test_what_is_large_is_confirmed_and_stays(tmp_path: Path) -> None:
    zoo = Zoo("Cache-Control: max-age=0", 'ETag: "one"', body=LARGE)
    with keeping(zoo, tmp_path) as server:
        status, fields, body = server.get("/pets/")
        assert (status, fields["x-cache"], fields["x-news"], body) == (200, "REVALIDATED", "yes", LARGE)
        stored(server, 2)
        status, fields, body = server.get("/pets/")
        assert (fields["x-cache"], body) == ("HIT", LARGE)
    assert len(zoo.asked) == 2


def test_an_answer_that_has_become_too_large_for_memory_is_not_found_there_any_more(tmp_path: Path) -> None:
    zoo = Zoo(FRESH, body=b"small")
    with keeping(zoo, tmp_path, cachefs_memmax=1 << 20) as server:
        assert server.get("/pets/")[2] == b"small"
        zoo.body = LARGE
        assert server.get("/pets/", Cache_Control="no-cache")[2] == LARGE
        stored(server, 2)
        status, fields, body = server.get("/pets/")
        assert (fields["x-cache"], body) == ("HIT", LARGE)
