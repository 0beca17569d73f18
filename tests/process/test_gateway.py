"""The gateway in a real server of several workers, which count together what clients ask for."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from skitai.lib.jwt import gen_token
from tests.support.dialogue import ROOT, Served
from tests.support.upstream import Upstream, upstream

pytestmark = pytest.mark.process

KEY = "8fa06210-e109-11e6-934f-001b216d6e71"
WORKERS = 3
LIMIT = 25

SCRIPT = """
import time

import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)


class Authorizer:
    def __init__(self):
        self.tokens = {{"12345678-1234-123456": ("hansroh", ["user", "admin"], 0), "old": ("old", ["admin"], 1)}}

    def handle_token(self, handler, request):
        username, roles, expires = self.tokens[request.token]
        if expires and expires < time.time():
            handler.continue_request(request)
        else:
            handler.continue_request(request, username, roles)

    def handle_claim(self, handler, request):
        claim = request.claim
        handler.continue_request(request, claim.get("user"), claim.get("roles"))


@app.before_mount
def before_mount(wac):
    wac.handler.set_auth_handler(Authorizer())


@app.route("/")
def index(was):
    return "everybody's"


if __name__ == "__main__":
    skitai.alias("@members", "http", "{members}", role="admin", source="127.0.0.1,::1")
    skitai.alias("@far", "http", "{members}", source="172.30.1.0/24")
    skitai.alias("@photos", skitai.DB_SQLITE3, ["one.db", "two.db"])
    skitai.mount("/", app)
    skitai.mount("/members", "@members")
    skitai.mount("/far", "@far")
    skitai.mount("/photos", "@photos")
    skitai.enable_gateway(True, "{key}", "here")
    skitai.run({options})
"""


class Gateway(Served):
    def script(self, before: str, options: str) -> str:
        return SCRIPT.format(members=before, key=KEY, options=options)

    def fetch(self, path: str, token: str = "", method: str = "GET") -> tuple[int, HTTPResponse, bytes]:
        """On a connection of its own, so that any worker may get it."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=30)
        client.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = client.getresponse()
        body = response.read()
        client.close()
        return response.status, response, body


@pytest.fixture(scope="module")
def members() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, members: Upstream) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    for name in ("one", "two"):
        connection = sqlite3.connect(folder / f"{name}.db")
        connection.executescript(f"CREATE TABLE who (id INTEGER PRIMARY KEY, name); INSERT INTO who VALUES (1, '{name}')")
        connection.close()
    made = Gateway(folder, engine="auto", workers=WORKERS, rate_limit=LIMIT, rate_period_s=36000, boot_s=60, keep_alive=5)
    made.write_script(members.place)
    made.start()
    yield made
    made.stop()


def token(user: str, *roles: str) -> str:
    return gen_token(KEY, {"user": user, "roles": roles})


def test_who_comes_in(server: Gateway, members: Upstream) -> None:
    assert server.fetch("/")[2] == b"everybody's"
    before = len(members.asked)
    status, told, _ = server.fetch("/members/a")
    assert (status, told.headers["WWW-Authenticate"]) == (401, 'Bearer realm="here"')
    for bad in ("old", "a.b.c", token("hans", "admin")[:-1]):
        status, told, _ = server.fetch("/members/a", bad)
        assert status == 401, bad
        assert 'error="invalid_token"' in told.headers["WWW-Authenticate"]
    status, told, _ = server.fetch("/members/a", token("hans", "user"))
    assert status == 403
    assert 'error="insufficient_scope"' in told.headers["WWW-Authenticate"]
    assert server.fetch("/far/a", token("hans", "user"))[0] == 403
    assert server.fetch("/members/a", "unknown")[0] == 500
    server.hears_that("KeyError")
    assert len(members.asked) == before
    assert server.fetch("/members/a", "12345678-1234-123456")[0] == 200
    assert server.fetch("/members/a", token("Hans Roh", "admin"))[0] == 200


def test_databases(server: Gateway) -> None:
    assert server.fetch("/photos/")[0] == 401
    reader = token("reader", "user")
    names = {server.fetch("/photos/who/1", reader)[2] for _ in range(12)}
    assert len(names) == 2  # the members take turns, in each worker
    assert server.fetch("/photos/who/1", reader, "DELETE")[0] == 405


RACE = """
import os, time
from skitai.ipc.buckets import Buckets

buckets = Buckets.create()
ends = []
for _ in range(4):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        allowed = sum(buckets.take("one", time.monotonic(), 1e4, 1000).allowed for _ in range(2000))
        os.write(theirs, b"%d" % allowed)
        os._exit(0)
    ends.append(ours)
print(sum(int(os.read(end, 20)) for end in ends))
"""


def test_processes_that_do_nothing_else_hardly_miscount() -> None:
    passed = int(subprocess.run([sys.executable, "-c", RACE], cwd=ROOT, check=True, capture_output=True).stdout)
    assert 1000 <= passed <= 1500


def test_all_workers_count_together_and_a_reload_forgets_nothing(server: Gateway) -> None:
    greedy = token("greedy", "admin")
    with ThreadPoolExecutor(8) as clients:
        statuses = Counter(clients.map(lambda _: server.fetch("/members/a", greedy)[0], range(3 * LIMIT)))
    assert set(statuses) == {200, 429}
    assert LIMIT <= statuses[200] <= LIMIT + 2 * WORKERS
    status, told, _ = server.fetch("/members/a", greedy)
    assert (status, told.headers["RateLimit-Remaining"]) == (429, "0")
    assert int(told.headers["Retry-After"]) > 1
    assert server.fetch("/members/a", token("modest", "admin"))[0] == 200
    heard = server.said.count("is ready")
    server.signal(signal.SIGHUP)
    server.hears_that("is ready$", within_s=60, times=heard + WORKERS)
    assert server.fetch("/members/a", greedy)[0] == 429
