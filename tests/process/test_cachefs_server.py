"""A server with the HTTP cache: its workers share it, a reload and a new start keep it, the command shows and clears it."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

import skitai
from tests.support.ports import free_port

pytestmark = pytest.mark.process

APP = """
import os, skitai
from skitai.saddle import Saddle

app = Saddle(__name__)
counts = {}


@app.route("/page/<name>")
def page(was, name):
    counts[name] = counts.get(name, 0) + 1
    was.response["Cache-Control"] = "max-age=600"
    return f"{name} {os.getpid()} {counts[name]}"


@app.route("/mine")
def mine(was):
    was.response["Cache-Control"] = "max-age=600"
    was.response["Set-Cookie"] = "a=1"
    return os.urandom(8).hex()


@app.route("/asked/<name>")
def asked(was, name):
    fresh = was.request.args.get("fresh")
    use_cache = float(was.request.args.get("since") or 0) or not fresh
    result = was.get(f"http://127.0.0.1:PORT/page/{name}", use_cache=use_cache).getwait(10)
    return {"text": result.text, "cache": result.headers["X-Cache"], "pid": os.getpid()}


if __name__ == "__main__":
    skitai.alias("@here", skitai.PROTO_HTTP, ["127.0.0.1:PORT"])
    skitai.enable_cachefs(memmax="4M", diskmax="8M")
    skitai.mount("/", app)
    skitai.mount("/here", "@here")
    skitai.run(port=PORT, workers=4, varpath=VAR, file_logging=False)
"""


class Shop:
    """The server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.script = folder / "app.py"
        text = textwrap.dedent(APP).replace("PORT", str(self.port)).replace("VAR", repr(str(folder / "var")))
        self.script.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(self.script)], cwd=self.folder, stdout=subprocess.DEVNULL)
        self.until(self._answers)

    def _answers(self) -> bool:
        try:
            return self.get("/page/ready")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not done():
            assert time.monotonic() < end
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, str, str]:
        """Status, X-Cache and body, over a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("X-Cache", ""), answer.read().decode()
        finally:
            connection.close()

    def command(self, *words: str) -> str:
        command = [sys.executable, "-m", "skitai", "cache", *words, "--varpath", str(self.folder / "var")]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def hit(self, path: str) -> str:
        """What the cache has for a path, which has been asked for."""
        status, label, body = self.get(path)
        assert (status, label) == (200, "HIT")
        return body


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def name() -> str:
    """Of a page that nobody has asked for yet."""
    return secrets.token_hex(4)


def test_what_one_worker_stores_is_a_hit_in_all(shop: Shop, name: str) -> None:
    first = shop.get(f"/here/page/{name}")
    assert first[1] == "MISS"
    assert {shop.hit(f"/here/page/{name}") for _ in range(20)} == {first[2]}


def test_what_is_somebodys_own_is_never_stored(shop: Shop) -> None:
    assert len({shop.get("/here/mine")[2] for _ in range(10)}) == 10


def test_requests_of_handlers(shop: Shop, name: str) -> None:
    def ask(query: str = "") -> Any:
        return json.loads(shop.get(f"/asked/{name}{query}")[2])

    first = ask()
    assert first["cache"] == "MISS"
    workers = {first["pid"]}
    with ThreadPoolExecutor(8) as threads:
        while len(workers) < 2:  # who is free takes a connection, so it may be the same one many times
            for found in threads.map(ask, [""] * 32):
                assert (found["text"], found["cache"]) == (first["text"], "HIT")
                workers.add(found["pid"])
    fresh = ask("?fresh=1")
    assert fresh["cache"] == "MISS" and fresh["text"] != first["text"]
    since = time.time()
    assert ask(f"?since={since - 3600}")["cache"] == "HIT"
    newer = ask(f"?since={since}")
    assert newer["cache"] == "MISS" and newer["text"] != fresh["text"], "what was stored before will not do"


def test_the_command_shows_and_clears(shop: Shop) -> None:
    for name in ("a1", "a2", "b1"):
        shop.get(f"/here/page/{name}")
        shop.hit(f"/here/page/{name}")
    said = shop.command("app.py")
    memory = re.search(r"memory +(\d+) answers, [\d.]+ (?:bytes|KiB) of 4.0 MiB, (\d+) hits", said)
    assert memory and int(memory[1]) >= 3 and int(memory[2]) >= 3, said
    assert re.search(r"disk +\d+ answers, [\d.]+ KiB of 8.0 MiB, \d+ hits in .*cachefs", said), said
    prefix = f"http://127.0.0.1:{shop.port}/here/page/a"
    assert re.search(": [2-4] answers removed", shop.command("clear", "app.py", prefix))
    assert [shop.get(f"/here/page/{name}")[1] for name in ("a1", "a2", "b1")] == ["MISS", "MISS", "HIT"]
    assert "answers removed" in shop.command("clear")
    assert shop.get("/here/page/b1")[1] == "MISS"


def test_a_reload_and_a_new_start(shop: Shop) -> None:
    body = shop.get("/here/page/kept")[2]
    command = [sys.executable, "-m", "skitai", "reload", "app.py", "--varpath", str(shop.folder / "var")]
    subprocess.run(command, cwd=shop.folder, check=True, capture_output=True, timeout=60)
    assert shop.hit("/here/page/kept") == body
    shop.script.write_text(shop.script.read_text().replace('diskmax="8M"', 'diskmax="64M"'))
    subprocess.run(command, cwd=shop.folder, check=True, capture_output=True, timeout=60)
    assert shop.hit("/here/page/kept") == body
    assert shop.get("/here/page/more")[1] == "MISS"
    shop.until(lambda: bool(re.search(r"disk +\d+ answers, [\d.]+ KiB of 64.0 MiB", shop.command("app.py"))))
    shop.stop()
    assert "this is what its next start finds" in shop.command("app.py")
    shop.start()
    assert {shop.hit("/here/page/kept") for _ in range(10)} == {body}


def test_another_server_does_not_get_the_folder(shop: Shop, tmp_path: Path) -> None:
    script = tmp_path / "other.py"
    script.write_text(
        "import skitai\n"
        f"skitai.enable_cachefs(diskmax='8M', path={str(shop.folder / 'var' / 'cachefs')!r})\n"
        f"skitai.mount('/', {str(tmp_path)!r})\n"
        f"skitai.run(port={free_port()}, varpath={str(tmp_path / 'var')!r})\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.search(r"cannot use the cache folder .*: another server uses it, pid \d+", done.stderr), done.stderr


def test_sizes_are_bytes(tmp_path: Path) -> None:
    script = tmp_path / "small.py"
    script.write_text(
        f"import skitai\nskitai.enable_cachefs(100, 200)\nskitai.mount('/', {str(tmp_path)!r})\nskitai.run()\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert "small.py:2: cachefs_memmax: 100 bytes are too few" in done.stderr.replace("set_", ""), done.stderr
    assert skitai.enable_cachefs.__doc__
