"""The Date field is of who wrote the answer (RFC 9110, section 6.6.1): ours stands where none came."""

from __future__ import annotations

import re

import pytest

from tests.support.http2 import http2
from tests.support.members import Noting, before
from tests.support.memory import Wire

OLD = "Sun, 06 Nov 1994 08:49:37 GMT"
FRESH = "Cache-Control: max-age=2147483647"
ASKED = b"%s /pets/ HTTP/1.1\r\nHost: zoo\r\nConnection: close\r\n\r\n"


def dates(server: Wire, method: bytes = b"GET") -> list[str]:
    """Those of an answer over HTTP/1."""
    client = server.connect()
    client.send(ASKED % method)
    head = client.read().partition(b"\r\n\r\n")[0].decode("latin-1")
    return re.findall(r"^date: (.*?)\r?$", head, re.MULTILINE | re.IGNORECASE)


def date_over_http2(server: Wire) -> str:
    client = http2(server)
    return client.ask("/pets/").fields["date"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_what_is_passed_on_keeps_its_date(method: bytes) -> None:
    with before(Noting(b"meow", f"Date: {OLD}")) as server:
        for _ in range(2):
            assert dates(server, method) == [OLD]
            assert date_over_http2(server) == OLD


def test_what_is_passed_on_in_pieces_keeps_its_date() -> None:
    with before(Noting(bytes(300_000), f"Date: {OLD}")) as server:
        assert dates(server) == [OLD]
        assert date_over_http2(server) == OLD


def test_what_is_stored_keeps_its_date() -> None:
    cats = Noting(b"meow", f"Date: {OLD}", FRESH, 'ETag: "one"')
    with before(cats, cachefs_memmax=1 << 20) as server:
        for _ in range(3):
            assert dates(server) == [OLD]
            assert date_over_http2(server) == OLD
        status, fields, _ = server.get("/pets/", If_None_Match='"one"')
        assert (status, fields["date"], fields["x-cache"]) == (304, OLD, "HIT")
    assert len(cats.asked) == 2, "one for each scheme's connection"


@pytest.mark.parametrize("date", [(), ("Date: yesterday",), (f"Date: {OLD}", f"Date: {OLD}")])
@pytest.mark.parametrize("cached", [False, True])
def test_what_comes_without_a_date_gets_one(date: tuple[str, ...], cached: bool) -> None:
    with before(Noting(b"meow", FRESH, *date), **({"cachefs_memmax": 1 << 20} if cached else {})) as server:
        for _ in range(2):
            (found,) = dates(server)
            assert re.fullmatch(r"\w{3}, \d\d \w{3} 20\d\d [\d:]{8} GMT", found)
            assert date_over_http2(server)[-12:-9] == found[-12:-9]
