"""nginx stands before the site, with the directives of the example."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

import psutil

from tests.conformance.conftest import APP, BIG, TEXT, Nginx, Visited
from tests.support.dialogue import eventually

Make = Callable[..., tuple[Visited, Nginx]]

VISITOR = ("127.0.0.9", 0)
FIELDS = {"Host": "www.example.com"}
VISITORS = 4


def connections(site: Visited) -> set[int]:
    """The ports from which the site's workers are connected."""
    return {
        connection.raddr.port
        for process in site.family()
        for connection in process.net_connections("tcp4")
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == site.port
    }


def who(client: HTTPConnection, **fields: str) -> dict[str, str]:
    """What the app sees of a visitor."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    client.request("GET", "/who", headers=FIELDS | named)
    said: dict[str, str] = json.load(client.getresponse())
    client.close()
    return said


def test_the_app_and_the_log_see_the_visitor_not_nginx(behind_nginx: Make) -> None:
    site, nginx = behind_nginx(trusted_proxies="127.0.0.1")
    plain = HTTPConnection("127.0.0.1", nginx.port, timeout=10, source_address=VISITOR)
    assert who(plain) == {"client": "127.0.0.9", "scheme": "http", "host": "www.example.com"}
    assert who(plain, X_Forwarded_For="198.51.100.7", X_Forwarded_Proto="https")["client"] == "127.0.0.9", "it lies"
    assert who(plain, X_Forwarded_Proto="https")["scheme"] == "http", "it lies"
    nobody_vouches = ssl._create_unverified_context()
    secure = HTTPSConnection("127.0.0.1", nginx.tls_port, timeout=10, source_address=VISITOR, context=nobody_vouches)
    assert who(secure) == {"client": "127.0.0.9", "scheme": "https", "host": "www.example.com"}
    lines = eventually(lambda: len(site.lines) == 4 and site.lines, "four lines")
    assert [line.split()[2] for line in lines] == ["127.0.0.9"] * 4
    assert nginx.complaints == []


def test_who_trusts_nobody_sees_nginx(behind_nginx: Make) -> None:
    site, nginx = behind_nginx()
    client = HTTPConnection("127.0.0.1", nginx.port, timeout=10, source_address=VISITOR)
    assert who(client, X_Forwarded_Proto="https") == {"client": "127.0.0.1", "scheme": "http", "host": "www.example.com"}
    lines = eventually(lambda: site.lines, "a line")
    assert lines[0].split()[2] == "127.0.0.1"


def test_bodies_pass_both_ways_over_kept_connections(behind_nginx: Make) -> None:
    site, nginx = behind_nginx(trusted_proxies="127.0.0.1")
    client = HTTPConnection("127.0.0.1", nginx.port, timeout=10)

    def ask(method: str, path: str, body: Any = None, **fields: str) -> bytes:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        client.request(method, path, body, headers=FIELDS | named)
        answer = client.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return content

    uploaded = {"sha256": hashlib.sha256(BIG).hexdigest(), "size": len(BIG)}
    used = set()
    for _ in range(3):
        assert json.loads(ask("POST", "/upload", BIG)) == uploaded
        assert json.loads(ask("PUT", "/upload", iter([BIG[:5], BIG[5:]]))) == uploaded, "in chunks"
        assert ask("GET", "/text").decode() == TEXT
        assert len(ask("GET", "/pieces")) == 2_000_000
        assert ask("GET", "/static/big.bin") == BIG, "served by nginx itself"
        used |= connections(site)
    client.close()
    assert len(used) == 1, "nginx keeps one connection to the site"
    lines = eventually(lambda: len(site.lines) == 12 and site.lines, "twelve lines, none for the static file")
    assert {line.split()[6] for line in lines} == {"1.1"}
    assert nginx.complaints == []


def test_a_reload_under_traffic_shows_no_visitor_an_error(behind_nginx: Make) -> None:
    """A request with a body is never sent twice by nginx, so a connection closed at the wrong moment would be a 502."""
    site, nginx = behind_nginx(trusted_proxies="127.0.0.1", workers=2)
    answers: Counter[tuple[int, str]] = Counter()
    enough = threading.Event()

    def visit() -> None:
        client = HTTPConnection("127.0.0.1", nginx.port, timeout=10)
        while not enough.is_set():
            for method, path, body in (("GET", "/version", None), ("POST", "/version", b"x" * 100)):
                client.request(method, path, body, headers=FIELDS)
                answer = client.getresponse()
                answers[answer.status, answer.read().decode()] += 1
        client.close()

    visitors = [threading.Thread(target=visit) for _ in range(VISITORS)]
    for each in visitors:
        each.start()
    try:
        time.sleep(0.5)
        for old, new in (("one", "two"), ("two", "three")):
            site.write_app(APP.replace('"one"', f'"{new}"'))
            assert answers[200, f'"{old}"']
            assert site.ask("reload").ok
            eventually(lambda new=new: answers[200, f'"{new}"'] > 100, f"version {new}")  # type: ignore[misc]
    finally:
        enough.set()
        for each in visitors:
            each.join(10)
    assert {status for status, _ in answers} == {200}, answers
    assert {said for _, said in answers} == {'"one"', '"two"', '"three"'}
    assert [line for line in nginx.complaints if re.search("upstream|connect", line)] == []
