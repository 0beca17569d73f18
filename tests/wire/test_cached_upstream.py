"""A mounted alias behind the HTTP cache: what reaches the server, and what clients get."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http2 import http2
from tests.support.members import passing, served, settled
from tests.support.memory import Wire, wait_for
from tests.support.scripted import Peer, Request

FRESH = "Cache-Control: max-age=600"
STALE = "Cache-Control: max-age=0"


class Zoo:
    """A script: answers each request with its number, and what a test wants beside it.

    :ivar asked: in the order of their coming.
    """

    def __init__(self, *fields: str, status: str = "200 OK", body: bytes = b"", slow: bool = False) -> None:
        self.fields = fields
        self.status = status
        self.body = body
        self.asked: list[Request] = []
        self.open = not slow
        self.cut = ""

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.asked.append(request)
            body = self.body or b"number %d" % len(self.asked)
            while not self.open:
                await asyncio.sleep(0.005)
            if self.cut:
                if self.cut == "within":
                    await peer.say(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000\r\n\r\nsome")
                peer.reset()
                return
            if request.fields.get("if-none-match") == '"one"':
                await peer.say(b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=600\r\nX-News: yes\r\n\r\n")
            elif request.line.startswith("HEAD"):
                await peer.say("\r\n".join((f"HTTP/1.1 {self.status}", *self.fields, "Content-Length: 8\r\n\r\n")).encode())
            else:
                await peer.answer(body, *self.fields, status=self.status)


@contextlib.contextmanager
def behind(zoo: Zoo, **options: Any) -> Iterator[Wire]:
    """A worker with a cache in memory before a server."""
    options.setdefault("cachefs_memmax", 1 << 22)
    with served(zoo) as running, passing([f"127.0.0.1:{running[0].port}"], **options) as server:
        yield server


def stored(server: Wire, count: int = 1) -> None:
    cache = server.services.cache
    assert cache is not None
    wait_for(lambda: cache.stores.books.counts()["stored"] >= count)


def get(server: Wire, path: str = "/pets/cats", **fields: str) -> tuple[int, str, bytes]:
    status, got, body = server.get(path, **fields)
    return status, got.get("x-cache", ""), body


def test_what_is_fresh_is_asked_for_once() -> None:
    zoo = Zoo(FRESH, 'ETag: "one"', "Content-Type: text/x-cat")
    with behind(zoo) as server:
        assert get(server) == (200, "MISS", b"number 1")
        for _ in range(3):
            assert get(server) == (200, "HIT", b"number 1")
        status, fields, _ = server.get("/pets/cats")
        assert (fields["content-type"], fields["etag"]) == ("text/x-cat", '"one"')
        assert int(fields["age"]) < 30 and "content-length" in fields
        assert get(server, "/pets/cats?") == (200, "MISS", b"number 2")
        assert get(server, "/pets/dogs") == (200, "MISS", b"number 3")
    assert len(zoo.asked) == 3


def test_another_host_is_another_site() -> None:
    """What of a request reaches the server in other fields is part of what is asked for."""
    zoo = Zoo(FRESH)
    with behind(zoo, trusted_proxies=("unix",)) as server:
        bodies = [
            server.ask(f"GET /pets/ HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())[2]
            for host, more in (
                ("one", ""),
                ("two", ""),
                ("ONE", ""),
                ("one", "X-Forwarded-Proto: https\r\n"),
                ("one", "X-Forwarded-Host: two\r\n"),
                ("two", "X-Forwarded-Host: one\r\n"),
                ("one", "X-Forwarded-Port: 99\r\n"),
                ("one", "Forwarded: for=192.0.2.1;host=two\r\n"),
                ("one", "Forwarded: for=192.0.2.9;host=two\r\n"),
            )
        ]
    assert bodies == [b"number %d" % number for number in (1, 2, 1, 3, 4, 5, 6, 7, 7)]


@pytest.mark.parametrize(
    "kind", ["Cache-Control: private, max-age=9", "Cache-Control: no-store", f"Set-Cookie: a=1\r\n{FRESH}"]
)
def test_what_is_somebodys_own_is_asked_for_each_time(kind: str) -> None:
    zoo = Zoo(kind)
    with behind(zoo) as server:
        assert [get(server)[2] for _ in range(3)] == [b"number 1", b"number 2", b"number 3"]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Accept, forwarded", "traceparent"])
def test_what_depends_on_who_the_proxy_says_that_asks_is_asked_for_each_time(name: str) -> None:
    zoo = Zoo(FRESH, f"Vary: {name}")
    with behind(zoo) as server:
        assert [get(server)[2] for _ in range(2)] == [b"number 1", b"number 2"]


def test_who_shows_credentials_is_asked_for_himself() -> None:
    zoo = Zoo(FRESH)
    with behind(zoo) as server:
        assert get(server)[1] == "MISS"
        assert get(server, Authorization="Basic eDp5") == (200, "MISS", b"number 2")
        assert get(server, Authorization="Basic eDp6") == (200, "MISS", b"number 3")
        assert get(server) == (200, "HIT", b"number 1")


def test_a_body_of_a_get_is_in_no_key() -> None:
    zoo = Zoo(FRESH)
    with behind(zoo) as server:
        for number in (1, 2):
            body = server.ask(b"GET /pets/ HTTP/1.1\r\nHost: example\r\nContent-Length: 1\r\n\r\nx")[2]
            assert body == b"number %d" % number
        assert get(server, "/pets/")[2] == b"number 3"


def test_conditions_and_ranges_are_met_from_what_is_stored() -> None:
    zoo = Zoo(FRESH, 'ETag: "one"', body=b"0123456789")
    with behind(zoo) as server:
        get(server)
        assert get(server, If_None_Match='"one"') == (304, "HIT", b"")
        assert get(server, Range="bytes=2-4") == (206, "HIT", b"234")
        assert get(server, Range="bytes=99-") == (416, "HIT", b"")
        assert get(server, Range="bytes=2-4", If_Range='"two"') == (200, "HIT", b"0123456789")
        status, fields, body = server.ask(b"HEAD /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n")
        assert (status, fields["x-cache"], fields["content-length"], body) == (200, "HIT", "10", b"")
    assert len(zoo.asked) == 1


def test_parts_that_were_asked_for_are_not_stored_as_the_whole() -> None:
    zoo = Zoo(FRESH, "Content-Range: bytes 0-3/8", status="206 Partial Content", body=b"part")
    with behind(zoo) as server:
        assert get(server, Range="bytes=0-3") == (206, "MISS", b"part")
        assert get(server) == (206, "MISS", b"part")
    assert zoo.asked[0].fields["range"] == "bytes=0-3"


def test_who_has_a_copy_of_what_is_missing_fills_the_cache() -> None:
    """He is told so; the whole is asked for, and others get it."""
    zoo = Zoo(FRESH, 'ETag: "two"', "Content-Type: text/x-cat", body=b"meow" * 20_000)
    with behind(zoo) as server:
        status, fields, body = server.get("/pets/cats", If_None_Match='"one", "two"')
        assert (status, fields["x-cache"], fields["etag"], body) == (304, "MISS", '"two"', b"")
        assert fields["cache-control"] == "max-age=600" and "content-type" not in fields
        stored(server)
        assert get(server) == (200, "HIT", b"meow" * 20_000)
        assert get(server, If_None_Match='"two"') == (304, "HIT", b"")
        settled(server)
    assert [set(each.fields) & {"if-none-match"} for each in zoo.asked] == [set()]


def test_who_has_an_old_copy_of_what_is_missing_gets_the_whole() -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    zoo = Zoo(FRESH, f"Last-Modified: {date}")
    with behind(zoo) as server:
        assert get(server, "/pets/a", If_Modified_Since="Sun, 06 Nov 1994 08:49:36 GMT") == (200, "MISS", b"number 1")
        assert get(server, "/pets/a", If_Modified_Since=date) == (304, "HIT", b"")
        assert get(server, "/pets/b", If_Modified_Since=date) == (304, "MISS", b"")
        stored(server, 2)
        assert get(server, "/pets/b") == (200, "HIT", b"number 2")


def test_who_has_a_copy_of_what_cannot_be_stored_is_asked_for_himself_from_then_on() -> None:
    zoo = Zoo("Cache-Control: private, max-age=600", 'ETag: "two"', body=b"meow" * 100_000)
    with behind(zoo) as server:
        assert get(server, If_None_Match='"two"') == (304, "MISS", b"")
        settled(server)
        assert get(server, If_None_Match='"two"') == (200, "MISS", b"meow" * 100_000)
        assert get(server, Authorization="x", If_None_Match='"two"')[0] == 200
    assert [each.fields.get("if-none-match") for each in zoo.asked] == [None, '"two"', '"two"']


def test_those_who_have_copies_wait_for_the_first_as_others_do() -> None:
    zoo = Zoo(FRESH, 'ETag: "two"', slow=True)
    with behind(zoo) as server:
        asked = b"GET /pets/cats HTTP/1.1\r\nHost: example\r\n%s\r\n"
        clients = [server.connect() for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(asked % (b'If-None-Match: "two"\r\n' if number % 2 == 0 else b""))
        wait_for(lambda: zoo.asked and server.services.served == 4)
        zoo.open = True
        assert [client.response()[0] for client in clients] == [304, 200, 304, 200]
    assert len(zoo.asked) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error"])
def test_what_is_no_200_is_passed_on_to_who_has_a_copy(status: str) -> None:
    zoo = Zoo(FRESH, 'ETag: "two"', status=status)
    with behind(zoo) as server:
        assert get(server, If_None_Match='"two"') == (int(status[:3]), "MISS", b"number 1")


def test_what_is_stale_is_confirmed_and_the_clients_own_condition_met() -> None:
    zoo = Zoo(STALE, 'ETag: "one"')
    with behind(zoo) as server:
        get(server)
        status, fields, body = server.get("/pets/cats")
        assert (status, fields["x-cache"], fields["x-news"], body) == (200, "REVALIDATED", "yes", b"number 1")
        assert get(server) == (200, "HIT", b"number 1")
        assert get(server, Cache_Control="no-cache", If_None_Match='"one", "two"') == (304, "REVALIDATED", b"")
        assert get(server, Cache_Control="no-cache", If_None_Match='"two"') == (200, "REVALIDATED", b"number 1")
    assert [each.fields.get("if-none-match") for each in zoo.asked] == [None, '"one"', '"one"', '"one"']


def test_requests_for_one_missing_object_are_one() -> None:
    zoo = Zoo(FRESH, slow=True)
    with behind(zoo) as server:
        clients = [server.connect() for _ in range(10)]
        for client in clients:
            client.send(b"GET /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n")
        wait_for(lambda: len(zoo.asked) == 1 and len(server.services.connections) == 10)
        time.sleep(0.1)
        clients.pop().close()
        zoo.open = True
        assert {client.response()[2] for client in clients} == {b"number 1"}
        settled(server)
    assert len(zoo.asked) == 1


def test_of_those_who_waited_for_a_client_that_leaves_one_asks() -> None:
    zoo = Zoo(FRESH, slow=True)
    with behind(zoo) as server:
        first, *others = [server.connect() for _ in range(6)]
        first.send(b"GET /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n")
        wait_for(lambda: len(zoo.asked) == 1)
        for client in others:
            client.send(b"GET /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n")
        time.sleep(0.1)
        first.close()
        wait_for(lambda: len(zoo.asked) == 2)
        zoo.open = True
        assert {client.response()[2] for client in others} == {b"number 2"}
        settled(server)


def test_a_client_that_left_does_not_keep_others_from_waiting() -> None:
    zoo = Zoo(FRESH, slow=True)
    with behind(zoo) as server:
        first = server.connect()
        first.send(b"GET /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n")
        wait_for(lambda: len(zoo.asked) == 1)
        first.close()
        settled(server)
        clients = [server.connect() for _ in range(5)]
        for client in clients:
            client.send(b"GET /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n")
        wait_for(lambda: len(zoo.asked) == 2)
        time.sleep(0.1)
        zoo.open = True
        assert {client.response()[2] for client in clients} == {b"number 2"}
    assert len(zoo.asked) == 2


def test_stale_while_it_is_asked_for_anew() -> None:
    zoo = Zoo("Cache-Control: max-age=0, stale-while-revalidate=600")
    with behind(zoo) as server:
        get(server)
        assert get(server) == (200, "STALE", b"number 1")
        stored(server, 2)
        assert get(server) == (200, "STALE", b"number 2")
        stored(server, 3)
        settled(server)


@pytest.mark.parametrize("fault", ["answers", "leaves"])
def test_stale_if_the_server_fails(fault: str) -> None:
    zoo = Zoo("Cache-Control: max-age=0, stale-if-error=600")
    with behind(zoo) as server:
        get(server)
        if fault == "answers":
            zoo.status, zoo.fields = "503 Service Unavailable", ()
        else:
            zoo.cut = "before"
        assert get(server) == (200, "STALE", b"number 1")
        settled(server)


def test_a_long_excuse_of_the_server_is_not_waited_for() -> None:
    zoo = Zoo("Cache-Control: max-age=0, stale-if-error=600")
    with behind(zoo) as server:
        client = server.connect()
        asked = b"GET /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n"
        assert client.ask(asked)[2] == b"number 1"
        zoo.status, zoo.fields, zoo.body = "500 Internal Server Error", (), b"x" * 3_000_000
        for _ in range(3):
            assert client.ask(asked)[2] == b"number 1"
        settled(server)
        time.sleep(1.2)
        assert client.ask(asked)[2] == b"number 1", "the connection of the client lives on"


def test_half_an_answer_is_not_stored() -> None:
    zoo = Zoo(FRESH)
    with behind(zoo) as server:
        zoo.cut = "within"
        with pytest.raises(EOFError):
            server.get("/pets/cats")
        zoo.cut = ""
        assert get(server)[1:] == ("MISS", b"number 2")
        cache = server.services.cache
        assert cache is not None
        wait_for(lambda: cache.buffered == 0)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_change_makes_void_what_is_stored(method: str) -> None:
    zoo = Zoo(FRESH, "Content-Location: /dogs")
    with behind(zoo) as server:
        for path in ("/pets/cats", "/pets/dogs", "/pets/mice"):
            get(server, path)
        server.ask(f"{method} /pets/cats HTTP/1.1\r\nHost: example\r\nContent-Length: 0\r\n\r\n".encode())
        found = [get(server, path)[1] for path in ("/pets/cats", "/pets/dogs", "/pets/mice")]
        assert found == ["MISS", "MISS", "HIT"]


def test_a_change_that_failed_changes_nothing() -> None:
    zoo = Zoo(FRESH)
    with behind(zoo) as server:
        get(server)
        zoo.status = "403 Forbidden"
        server.ask(b"POST /pets/cats HTTP/1.1\r\nHost: example\r\nContent-Length: 0\r\n\r\n")
        assert get(server)[1] == "HIT"


def test_a_client_that_wants_nothing_but_what_is_stored() -> None:
    zoo = Zoo(FRESH)
    with behind(zoo) as server:
        assert server.get("/pets/cats", Cache_Control="only-if-cached")[0] == 504
        get(server)
        assert get(server, Cache_Control="only-if-cached")[:2] == (200, "HIT")


def test_a_location_is_stored_as_clients_get_it() -> None:
    zoo = Zoo(FRESH, "Location: /dogs", status="301 Moved Permanently")
    with behind(zoo) as server:
        found = [server.get("/pets/cats")[1]["location"] for _ in range(2)]
        assert found == ["/pets/dogs"] * 2
    assert len(zoo.asked) == 1


@pytest.mark.parametrize("tier", ["memory", "files"])
def test_a_large_answer(tier: str, tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096
    zoo = Zoo(FRESH, 'ETag: "one"', body=body)
    sizes = {"cachefs_memmax": 1 << 23} if tier == "memory" else {"cachefs_memmax": 0, "cachefs_diskmax": 1 << 24}
    with behind(zoo, **sizes, cachefs_path=str(tmp_path / "cache")) as server:
        assert get(server) == (200, "MISS", body)
        stored(server)
        assert get(server) == (200, "HIT", body)
        assert get(server, Range="bytes=1000-900000") == (206, "HIT", body[1000:900001])
        status, fields, got = server.ask(b"HEAD /pets/cats HTTP/1.1\r\nHost: example\r\n\r\n")
        assert (status, fields["content-length"], got) == (200, str(len(body)), b"")
    assert len(zoo.asked) == 1


def test_http2_clients_get_the_same() -> None:
    zoo = Zoo(FRESH, body=b"x" * 400_000)
    with behind(zoo) as server:
        get(server)
        stored(server)
        answer = http2(server).ask("/pets/cats")
    assert (answer.status, answer.fields["x-cache"], len(answer.body)) == (200, "HIT", 400_000)


def test_the_forward_proxy_has_a_space_of_its_own() -> None:
    """What a mount has stored is not served to who names the same URI to the proxy."""
    zoo = Zoo(FRESH)
    with served(zoo) as running:
        there = f"127.0.0.1:{running[0].port}"
        with passing([there], point="/", cachefs_memmax=1 << 20, forward_proxy=True, trusted_proxies=("unix",)) as server:
            asked = f"GET http://{there}/cats HTTP/1.1\r\nHost: {there}\r\n\r\n".encode()
            plain = f"GET /cats HTTP/1.1\r\nHost: {there}\r\n\r\n".encode()
            found = [(fields["x-cache"], body) for _, fields, body in map(server.ask, (plain, asked, plain, asked))]
            assert found == [("MISS", b"number 1"), ("MISS", b"number 2"), ("HIT", b"number 1"), ("HIT", b"number 2")]
