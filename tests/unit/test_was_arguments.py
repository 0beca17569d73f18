"""What a handler may say wrong when it asks a back-end, and what it is told then, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from skitai.backend.cluster import Cluster
from skitai.config.aliases import Alias, Member
from skitai.config.tree import Config
from skitai.was import process, was

URL = "http://127.0.0.1:1/"


@pytest.fixture(autouse=True)
def own_backends() -> Iterator[None]:
    yield
    process.close()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: was.get(None), "a URL, or @alias/path, is text, not None"),
        (lambda: was.ws(5, "hi"), "a URL, or @alias/path, is text, not 5"),
        (lambda: was.rpc(None).add(1), "a URL, or @alias/path, is text, not None"),
        (lambda: was.redis(6379), "a server, or @alias, is text, not 6379"),
        (lambda: was.get(URL, timeout="5"), "timeout is a number of seconds, not '5'"),
        (lambda: was.redis("127.0.0.1", timeout="5"), "timeout is a number of seconds, not '5'"),
        (lambda: was.get(URL, use_cache="users"), "use_cache is True, False, or a time .* not 'users'"),
        (lambda: was.get(URL, use_cache=None), "use_cache is True, False, or a time .* not None"),
        (lambda: was.get(URL, meta="mine"), "meta is a dictionary, not 'mine'"),
        (lambda: was.get(URL, tiemout=3), "requests over HTTP have no argument tiemout"),
        (lambda: was.postgresql("127.0.0.1", tiemout=3), r"was.postgresql\(\) has no argument tiemout"),
        (lambda: was.ws("ws://127.0.0.1:1/", "hi", tiemout=3), r"was.ws\(\) has no argument tiemout"),
        (lambda: was.get(URL, None, None, None, {}, meta={}), "meta: given twice"),
        (lambda: was.get(URL, callback=3), "a callback is a function"),
    ],
)
def test_what_means_nothing_is_named(wrong: Callable[[], Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        wrong()


def test_what_an_alias_knows_is_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    alias = Alias("db", "redis", (Member("redis", "127.0.0.1", 1),))
    monkeypatch.setattr(process._process, "config", replace(Config(), aliases=(alias,)))
    with pytest.raises(TypeError, match="@db knows its database and user"):
        was.backend("@db", "other")
    with pytest.raises(TypeError, match="@db knows its database and user"):
        was.redis("@db", auth=("user", "password"))


def test_of_an_alias_of_mongodb_any_database_can_be_asked() -> None:
    cluster = Cluster(Alias("db", "mongodb", (Member("mongodb", "127.0.0.1", 1, database="one"),)), 1)
    other = cluster.of_database("two")
    assert (other.members[0].database, other.members[0].host, other.alias.name) == ("two", "127.0.0.1", "db/two")
    assert cluster.of_database("two") is other
    assert cluster.members[0].database == "one"


def test_a_status_that_is_none_is_refused_whatever_comes() -> None:
    task = was.get(URL)
    with pytest.raises(ValueError, match="'Bad Gateway' is no status of an error"):
        task.getwait_or_throw("Bad Gateway")
