"""Clients of a Saddle app of two workers: who they are, and what they keep, holds at either."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import pytest

from skitai.http import authorization as http
from skitai.testing import launch
from skitai.testing.launch import Launch
from tests.support.visitor import digest

pytestmark = pytest.mark.process

SCRIPT = """
import os
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)
app.securekey = "a long random text that nobody can guess"
app.users = {"hans": "open sesame"}

@app.route("/basic", authenticate="basic")
def basic(was):
    return was.user.name

@app.route("/digest", authenticate=True)
def digest(was):
    return f"{was.user.name} {os.getpid()}"

@app.route("/count")
def count(was):
    was.session["count"] = was.session.get("count", 0) + 1
    return f"{was.session['count']} {os.getpid()}"

@app.route("/pid")
def pid(was):
    return str(os.getpid())

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(workers=2, threads=2)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Launch]:
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    with launch(script, port=0) as engine:
        pids: set[str] = set()
        for _ in tries(lambda: len(pids) == 2):
            pids.add(engine.get("/pid").text)
        yield engine


def tries(enough: Callable[[], bool]) -> Iterator[int]:
    """Count from 1 until it is enough, ten times at least: which worker answers is not ours to say."""
    deadline = time.monotonic() + 15
    for number in count(1):
        yield number
        if number >= 10 and enough():
            return
        assert time.monotonic() < deadline, "only one worker answered"


def ask(site: Launch, field: str = "") -> tuple[int, str, list[str]]:
    """Ask for "/digest" on a connection of its own: status, body, and what the server wants to know."""
    client = HTTPConnection("127.0.0.1", site.port, timeout=10)
    with closing(client):
        client.request("GET", "/digest", headers={"Authorization": field} if field else {})
        answer = client.getresponse()
        return answer.status, answer.read().decode(), answer.headers.get_all("WWW-Authenticate", [])


def test_a_digest_is_good_at_either_worker_and_once(site: Launch) -> None:
    status, _, (offered, _) = ask(site)
    assert status == 401
    challenge = http.parameters(http.split(offered)[1])
    assert challenge
    answered: dict[str, int] = {}
    for uses in tries(lambda: len(answered) == 2):
        field = digest(challenge, "hans", "open sesame", "/digest", uses)
        answers = [ask(site, field) for _ in range(3)]
        assert [status for status, *_ in answers] == [200, 401, 401]
        answered[answers[0][1]] = uses


def test_a_session_goes_from_worker_to_worker(site: Launch) -> None:
    pids: set[str] = set()
    for number in tries(lambda: len(pids) == 2):
        counted, pid = site.get("/count").text.split()
        assert int(counted) == number
        pids.add(pid)


def test_basic(site: Launch) -> None:
    assert site.get("/basic", auth=("hans", "open sesame")).text == "hans"
    assert site.get("/basic", auth=("hans", "sesame")).status_code == 401


def test_what_is_not_needed_is_not_imported() -> None:
    code = "import sys, skitai.saddle; print(*({'jwt', 'cryptography'} & {each.partition('.')[0] for each in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=30)
    assert done.stdout.strip() == b""
