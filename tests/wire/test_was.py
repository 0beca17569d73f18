"""`was` as apps see it, in requests and outside."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import skitai.was as was_module
from skitai import was
from skitai.config.sections.running import Log
from skitai.ipc.bus import Bus
from skitai.ipc.inboxes import Inboxes
from skitai.ipc.lastupdate import Table
from skitai.ipc.link import Child, Link
from skitai.ipc.messages import Restart, Shutdown
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Scoreboard
from skitai.log import journal
from skitai.was import services
from tests.support.memory import make_config, mounted, wire


class Host:
    """A worker as far as `was` knows it, with the master's end of its link."""

    def __init__(self, folder: Path) -> None:
        board = Scoreboard.create()
        self.master, theirs = Link.pair()
        row, other = board.row(0), board.row(3)
        row.pid, row.requests, other.pid = os.getpid(), 17, 4711
        self.table = Table.create(["users", "photos"], started_s=100.0)
        config = make_config(title="skitai(site/app)", script="/srv/site/app.py", mounts=(mounted("/<x>", "/srv/files"),))
        self.child = Child(config, [], 7, 2, row, self.table, theirs, Places(str(folder)), Bus(Inboxes([]), row))
        self._theirs = theirs

    def messages(self) -> list[Any]:
        return self.master.receive()[0]

    def close(self) -> None:
        self.master.close()
        self._theirs.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    was_module.attach(host.child)
    yield host
    was_module.attach(None)
    host.close()


@pytest.fixture
def app_log(tmp_path: Path) -> Iterator[Path]:
    journal.setup(Log(), str(tmp_path), console=False)
    yield tmp_path / "app.log"
    journal.setup(Log(), None, console=False)


def answer(job: Any) -> Any:
    """A WSGI app that answers with what `job` returns."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = str(job()).encode()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    return app


def asked(job: Any, **fields: str) -> str:
    """What `job` returns in a request."""
    with wire(mounted("/", answer(job)), threads=2) as server:
        status, _, body = server.get(**fields)
        assert status == 200, body
        return body.decode()


# In a request


def test_a_request_has_transaction_ids() -> None:
    fields = {"X_Gtxn_Id": "g-1", "X_Ltxn_Id": "2001"}
    assert asked(lambda: (was.txnid(), was.gtxid, was.ltxid), **fields) == "('g-1/3001', 'g-1', '3001')"


def test_its_log_lines_carry_them(app_log: Path) -> None:
    def job() -> None:
        was.log("called %s")
        was.log("slow", "warn")
        was.log({"any": "object"}, "order")

    asked(job, X_Gtxn_Id="g-1")
    assert [line.split(" ", 2)[2] for line in app_log.read_text().splitlines()] == [
        "[info:g-1/1000] called %s",
        "[warn:g-1/1000] slow",
        "[order:g-1/1000] {'any': 'object'}",
    ]


def test_a_traceback_goes_to_the_log(app_log: Path) -> None:
    def job() -> None:
        try:
            raise LookupError("nothing")
        except LookupError:
            was.traceback()
            was.traceback("my-id")

    asked(job, X_Gtxn_Id="g-1")
    text = app_log.read_text()
    assert "[expt:g-1/1000] <class 'LookupError'> nothing\n  - " in text
    assert "[expt:my-id] <class 'LookupError'> nothing\n  - " in text


def test_a_wsgi_app_finds_its_environ() -> None:
    assert asked(lambda: was.env["PATH_INFO"]) == "/"


def test_what_is_set_on_was_is_seen_by_this_request_only() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        before = getattr(was, "name", "nobody")
        was.name = environ["QUERY_STRING"]
        after = was.name
        if environ["QUERY_STRING"] == "fail":
            raise RuntimeError
        return [f"{before} {after}".encode()]

    with wire(mounted("/", app), threads=1) as server:
        client = server.connect()
        for name in ("ann", "fail", "bob"):
            status, _, body = client.ask(f"GET /?{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (status, body) == (200, f"nobody {name}".encode()) or name == "fail"


def test_concurrent_requests_do_not_see_each_other() -> None:
    both = threading.Barrier(2, timeout=10)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        was.name = environ["QUERY_STRING"]
        both.wait()
        start_response("200 OK", [])
        return [was.name.encode()]

    with wire(mounted("/", app), threads=4) as server:
        one, two = server.connect(), server.connect()
        one.send(b"GET /?one HTTP/1.1\r\nHost: x\r\n\r\n")
        two.send(b"GET /?two HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (one.response()[2], two.response()[2]) == (b"one", b"two")


def test_attributes_come_and_go() -> None:
    def job() -> Any:
        was.colour = "red"
        seen = [was.colour, "colour" in dir(was), hasattr(was, "size")]
        del was.colour
        return [*seen, hasattr(was, "colour")]

    assert asked(job) == "['red', True, False, False]"


def test_an_asgi_app_and_its_tasks_have_it_too() -> None:
    async def deep() -> str:
        was.depth = "deep"
        return was.txnid()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        was.who = "asgi"
        txn = await asyncio.create_task(deep())
        with pytest.raises(RuntimeError, match="an app of another kind"):
            _ = was.env
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{txn} {was.who} {was.depth}".encode()})

    with wire(mounted("/", app), kind="asgi") as server:
        assert server.get(X_Gtxn_Id="g-1")[2] == b"g-1/1000 asgi deep"


def test_its_own_names_cannot_be_overwritten() -> None:
    def job() -> None:
        for name in ("log", "txnid", "env", "current", "services"):
            with pytest.raises(AttributeError, match=f"was.{name} is Skitai's own"):
                setattr(was, name, 1)

    asked(job)


@pytest.fixture
def offered() -> Iterator[list[Any]]:
    made: list[Any] = []

    def factory(exchange: Any) -> list[str]:
        made.append(exchange.head.target)
        return [exchange.head.target]

    services.register("basket", factory)
    yield made
    services.unregister("basket")


def test_services_of_other_rooms_are_made_once_for_a_request(offered: list[Any]) -> None:
    assert asked(lambda: (was.basket is was.basket, was.basket, "basket" in dir(was))) == "(True, ['/'], True)"
    assert offered == ["/"]
    with pytest.raises(ValueError, match="was.basket is taken"):
        services.register("basket", list)
    with pytest.raises(RuntimeError, match="was.basket belongs to a request"):
        _ = was.basket


def test_what_is_shared_is_there_with_and_without_a_request() -> None:
    engine = object()
    services.share("engine", engine)
    try:
        assert was.engine is engine
        assert "engine" in dir(was)
        with pytest.raises(ValueError, match="was.engine is taken"):
            services.register("engine", lambda exchange: None)

        def job() -> str:
            shared = was.engine is engine
            was.engine = "the request's own"
            return f"{shared} {was.engine}"

        assert asked(job) == "True the request's own"
        assert was.engine is engine
    finally:
        services.unshare("engine")
    with pytest.raises(AttributeError, match="was has no 'engine'"):
        _ = was.engine


# Outside of requests


def test_the_log_works_without_a_request(app_log: Path) -> None:
    was.log("starting")
    try:
        raise KeyError("k")
    except KeyError:
        was.traceback()
    lines = app_log.read_text().splitlines()
    assert lines[0].endswith(" [info] starting")
    assert " [expt] <class 'KeyError'> 'k'" in lines[1]


@pytest.mark.parametrize("name", ["gtxid", "ltxid", "env"])
def test_what_belongs_to_a_request_is_missing_and_says_so(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"was.{name} belongs to a request, and none is running here"):
        getattr(was, name)
    with pytest.raises(RuntimeError, match="none is running here"):
        was.txnid()
    with pytest.raises(RuntimeError, match="none is running here"):
        was.colour = "red"
    with pytest.raises(AttributeError, match="was has no 'colour', and no request is running here"):
        _ = was.colour


def test_a_traceback_needs_an_exception() -> None:
    with pytest.raises(RuntimeError, match="call it in an except block"):
        was.traceback()


def test_an_unknown_log_is_said() -> None:
    with pytest.raises(ValueError, match="there is no log 'reqest'"):
        was.log("x", at="reqest")


@pytest.mark.parametrize("name", ["status", "restart", "shutdown", "getlu"])
def test_what_needs_a_server_says_so(name: str) -> None:
    with pytest.raises(RuntimeError, match=rf"was.{name}\(\) needs a running server"):
        getattr(was, name)()


def test_both_ways_to_import_it_lead_to_the_same() -> None:
    from skitai.was import was as proxy

    def job() -> Any:
        proxy.colour = "red"
        return was.colour

    assert asked(job) == "red"
    assert was is was_module  # type: ignore[comparison-overlap]


# The server


def test_last_updates_are_seen_by_all(host: Host) -> None:
    heard: list[Any] = []
    services.on_update(lambda name, *args, **kwargs: heard.append((name, args, kwargs)))
    assert was.getlu("users") == 100.0
    was.setlu("users", 1, by="me")
    assert was.getlu("users", "photos") == host.table.get("users") > 100.0
    assert was.getlu("photos") == 100.0
    assert heard == [("users", (1,), {"by": "me"})]
    with pytest.raises(KeyError, match=r"skitai.deflu\('user'\)"):
        was.setlu("user")


def test_restart_and_shutdown_are_the_masters_business(host: Host) -> None:
    was.restart()
    was.shutdown()
    assert host.messages() == [Restart(), Shutdown()]


def test_they_may_be_asked_for_in_advance(host: Host) -> None:
    was.shutdown(0.01)
    assert host.messages() == []
    deadline = threading.Event()
    for _ in range(200):
        if messages := host.messages():
            break
        deadline.wait(0.01)
    assert messages == [Shutdown()]


def test_status_as_values(host: Host) -> None:
    status = was.status(fancy=False)
    assert isinstance(status, dict)
    assert status["server"]["title"] == "skitai(site/app)"
    assert [each["pid"] for each in status["workers"]] == [os.getpid(), 4711]
    assert (status["workers"][0]["requests"], status["workers"][0]["dropped"]) == (17, 0)
    assert status["mounts"] == [{"point": "/<x>", "host": "default", "target": "/srv/files"}]
    assert status["options"]["port"] == 5000
    assert status["last_updates"] == {"users": 100.0, "photos": 100.0}
    assert list(was.status("workers", fancy=False)) == ["workers"]
    with pytest.raises(ValueError, match="status has no section worker; it has server, workers"):
        was.status(["worker"])


def test_status_as_a_page(host: Host) -> None:
    page = was.status()
    assert isinstance(page, str)
    assert "<h1>skitai(site/app)</h1>" in page
    assert "/&lt;x&gt;" in page
    assert "/<x>" not in page


def test_temporary_names_are_fresh_and_private(host: Host, tmp_path: Path) -> None:
    one, two = Path(was.gentemp()), Path(was.gentemp())
    assert one != two
    assert not one.exists()
    assert one.parent == two.parent == tmp_path / "temp"
    assert one.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_not_used(host: Host, tmp_path: Path) -> None:
    (tmp_path / "temp").mkdir()
    (tmp_path / "temp").chmod(0o777)
    name = Path(was.gentemp())
    assert name.parent != tmp_path / "temp"
    assert name.parent.stat().st_mode & 0o777 == 0o700
    name.parent.rmdir()


def test_a_temporary_name_needs_no_server() -> None:
    assert os.path.isdir(os.path.dirname(was.gentemp()))


def test_times_and_names_for_things() -> None:
    assert abs(was.timestamp / 1000 - time.time()) < 5
    names = {was.uniqid for _ in range(100)}
    assert len(names) == 100 and all(len(name) == 20 and name.isalnum() for name in names)
