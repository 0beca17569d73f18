"""nghttp2's tools meet a server: HTTP/2 by Upgrade, by prior knowledge and over TLS, pushes, and many streams at once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.test_tls import Server, write

SCRIPT = """
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)


@app.route("/page")
def page(was):
    was.response.hint_promise("/style.css")
    return f"page over {was.request.version}"


@app.route("/style.css")
def style(was):
    return was.response("200 OK", "the style", {"Content-Type": "text/css"})


@app.route("/upload")
def upload(was):
    return f"{len(was.request.body)} bytes"


if __name__ == "__main__":
    skitai.mount("/", app)
    SECURE
    skitai.run()
"""


class Visited(Server):
    """:ivar url: of the site."""

    def __init__(self, folder: Path, scheme: str) -> None:
        super().__init__(folder)
        self.url = f"{scheme}://localhost:{self.port}"


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Visited]:
    secure = request.param == "https"
    if secure:
        write(tmp_path, "server", "localhost", "127.0.0.1")
    line = 'skitai.enable_ssl("server.crt", "server.key")' if secure else ""
    (tmp_path / "app.py").write_text(SCRIPT.replace("SECURE", line))
    running = Visited(tmp_path, request.param)
    yield running
    running.stop()


def told(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def nghttp(*arguments: str) -> str:
    return told("nghttp", "--no-verify-peer", *arguments)


def test_a_page_and_what_it_pushes(server: Visited) -> None:
    said = nghttp("--verbose", f"{server.url}/page")
    assert "page over 2.0" in said
    assert "recv PUSH_PROMISE" in said
    assert ":path: /style.css" in said
    assert "the style" in said


def test_who_takes_no_pushes_is_told(server: Visited) -> None:
    said = nghttp("--verbose", "--no-push", f"{server.url}/page")
    assert "PUSH_PROMISE" not in said
    assert ":status: 103" in said
    assert "link: </style.css>; rel=preload; as=style" in said


@pytest.mark.parametrize("server", ["http"], indirect=True)
def test_by_upgrade(server: Visited) -> None:
    said = nghttp("--verbose", "--upgrade", "--no-push", f"{server.url}/page", f"{server.url}/style.css")
    assert "101 Switching Protocols" in said
    assert "page over 2.0" in said
    assert "the style" in said
    data = Path(server.folder, "data")
    data.write_bytes(b"x" * 300_000)
    assert nghttp("--upgrade", f"--data={data}", f"{server.url}/upload") == "300000 bytes"  # HEAD goes first


def test_an_upload_in_padded_frames(server: Visited) -> None:
    data = Path(server.folder, "data")
    data.write_bytes(b"x" * 1_000_000)
    assert nghttp("--padding=100", f"--data={data}", f"{server.url}/upload") == "1000000 bytes"


def test_many_streams_at_once(server: Visited) -> None:
    said = told("h2load", "-n", "3000", "-c", "4", "-m", "50", f"{server.url}/style.css")
    done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
    assert done is not None, said
    assert done.groups() == ("3000", "0", "0")
