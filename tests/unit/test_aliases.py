"""Aliases of back-ends and the ways of writing a server."""

from __future__ import annotations

import os
from ipaddress import ip_network
from typing import Any

import pytest

from skitai.config.aliases import Alias, Means, Member, alias, member


def made(*servers: str, name: str = "@db", kind: str = "*postgresql", **options: Any) -> Alias:
    role, source = options.pop("role", ""), options.pop("source", "")
    return alias(name, kind, servers, role, source, Means(**options), os.path.abspath)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s1.example.com", ("s1.example.com", 5432, "", "", "", 1)),
        ("s1.example.com:6000", ("s1.example.com", 6000, "", "", "", 1)),
        ("postgres:1234@172.30.0.1:5432/test 20", ("172.30.0.1", 5432, "postgres", "1234", "test", 20)),
        ("s1:5432/mydb/user/passwd", ("s1", 5432, "user", "passwd", "mydb", 1)),
        ("s1/mydb/user/passwd 10", ("s1", 5432, "user", "passwd", "mydb", 10)),
        ("s1:5432/mydb", ("s1", 5432, "", "", "mydb", 1)),
        ("us%40er:p%40ss%2F%3A@s1/mydb", ("s1", 5432, "us@er", "p@ss/:", "mydb", 1)),
        ("s1/mydb/us%40er/p%20ss", ("s1", 5432, "us@er", "p ss", "mydb", 1)),
        ("user@s1", ("s1", 5432, "user", "", "", 1)),
        ("[::1]:6000/mydb 3", ("::1", 6000, "", "", "mydb", 3)),
        ("[fe80::1]", ("fe80::1", 5432, "", "", "", 1)),
    ],
)
def test_a_server_is_written_in_two_ways(text: str, parts: tuple[Any, ...]) -> None:
    found = member("postgresql", text)
    assert (found.host, found.port, found.user, found.password, found.database, found.weight) == parts


@pytest.mark.parametrize("text", ["", "a b c", "s1:port", "s1:70000", "s1:0", "u:p@s1/a/b", "s1/db/u/p/more", "[::1", "::1"])
def test_what_is_no_server_is_said_without_its_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        member("postgresql", text)
    with pytest.raises(ValueError) as said:
        member("postgresql", "user:secret@s1:port")
    assert "secret" not in str(said.value)
    with pytest.raises(ValueError) as said:
        member("postgresql", "s1:port/db/user/secret")
    assert "secret" not in str(said.value)


def test_the_password_is_not_in_what_a_member_shows() -> None:
    assert "secret" not in repr(member("redis", "user:secret@s1"))


def test_every_kind_has_its_port_and_some_speak_tls() -> None:
    assert made("s1", kind="http").members[0] == Member("http", "s1", 80)
    assert made("s1", kind="https").members[0] == Member("https", "s1", 443, secure=True)
    assert made("s1", kind="wss").members[0].secure
    assert made("s1", kind="*redis", ssl=True).members[0] == Member("redis", "s1", 6379, secure=True)
    assert not made("s1", kind="https", ssl_verify=False).members[0].verify


def test_a_server_of_sqlite_is_a_file() -> None:
    one, two = made("/var/tmp/db 1", "data/db2 7", kind="*sqlite3").members
    assert (one.host, one.weight) == ("/var/tmp/db", 1)
    assert (two.host, two.weight) == (os.path.abspath("data/db2"), 7)


def test_an_alias_says_who_may_come_and_from_where() -> None:
    found = made("s1", kind="http", role="admin", source="172.30.1.0/24, 192.168.1/24,2001:db8::/32,10.1.2.3")
    assert found.name == "db"
    assert found.role == "admin"
    assert found.source == (
        ip_network("172.30.1.0/24"),
        ip_network("192.168.1.0/24"),
        ip_network("2001:db8::/32"),
        ip_network("10.1.2.3/32"),
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "@no name"}, "no name for an alias"),
        ({"kind": "*oracle"}, "no kind of back-end"),
        ({"source": "10.0.0/33"}, "no range of addresses"),
    ],
)
def test_what_is_wrong_with_an_alias_is_said(options: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made("s1", **options)


def test_an_alias_without_servers_is_none() -> None:
    with pytest.raises(ValueError, match="no servers"):
        made()


def test_an_alias_says_how_its_servers_are_reached() -> None:
    found = made("s1", "s2 3", kind="https", connections=5, proxy="http://me:pw@p:3128", http2=False, timeout=2.5)
    assert found.timeout == 2.5
    assert [(each.connections, each.proxy, each.http2) for each in found.members] == [(5, "http://me:pw@p:3128", False)] * 2


@pytest.mark.parametrize(
    ("kind", "means", "said"),
    [
        ("http", {"connections": -1}, "1 or more"),
        ("sqlite3", {"connections": 1}, "SQLite has one"),
        ("http", {"timeout": 0}, "more than 0 seconds"),
        ("redis", {"proxy": "http://p:3128"}, "not of redis"),
        ("wss", {"http2": True}, "not of wss"),
        ("https", {"proxy": "https://p:3128"}, "should be http://"),
        ("https", {"proxy": "p:3128"}, "should be http://"),
        ("https", {"proxy": "http://me:secret@p:port"}, "should be http://"),
    ],
)
def test_what_an_alias_cannot_want(kind: str, means: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        made("s1", kind=kind, **means)
    assert "secret" not in str(raised.value)
