"""A site of static files beside an app, served by real workers."""

from __future__ import annotations

import os
import socket
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from skitai.testing import launch

pytestmark = pytest.mark.process

BIG = os.urandom(3_000_000)

SCRIPT = """\
import skitai

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app " + environ["PATH_INFO"].encode()]

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.mount("/", "static")
    skitai.mount("/uploads", "uploads")
    skitai.set_max_age("/", 300)
    skitai.set_max_age("/js", 0)
    skitai.set_max_age("/uploads/images", 3600)
    skitai.run(workers=2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "app.py").write_text(textwrap.dedent(SCRIPT))
    for name, content in {
        "secret.txt": b"secret",
        "static/index.html": b"<h1>home</h1>",
        "static/js/app.js": b"let a = 1;" * 500,
        "static/.env": b"secret",
        "uploads/big.bin": BIG,
        "uploads/images/a.png": b"png",
        "uploads/docs/index.html": b"docs",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Any]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with launch(str(folder / "app.py"), port=port) as site:
        yield site


def raw(site: Any, request: bytes) -> bytes:
    """The whole answer to raw bytes."""
    port = int(site.get("/").url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


def test_files_come_before_the_app_and_what_is_no_file_goes_to_it(site: Any) -> None:
    assert site.get("/").text == "<h1>home</h1>"
    assert site.get("/js/app.js").text.startswith("let a")
    assert site.get("/nothing").text == "app /nothing"
    assert site.post("/", data="x").text == "app /"


def test_the_longest_mount_point_wins(site: Any) -> None:
    assert site.get("/uploads/docs/").text == "docs"
    assert site.get("/uploads/js/app.js").text == "app /uploads/js/app.js"
    redirected = site.get("/uploads/docs?a=1", allow_redirects=False)
    assert (redirected.status_code, redirected.headers["Location"]) == (308, "/uploads/docs/?a=1")


def test_ages_go_by_the_longest_prefix(site: Any) -> None:
    assert site.get("/").headers["Cache-Control"] == "max-age=300"
    assert "Cache-Control" not in site.get("/js/app.js").headers
    assert site.get("/uploads/big.bin").headers["Cache-Control"] == "max-age=300"
    assert site.get("/uploads/images/a.png").headers["Cache-Control"] == "max-age=3600"


def test_a_download_is_resumed_whichever_worker_answers(site: Any) -> None:
    tag = site.get("/uploads/big.bin").headers["ETag"]

    def part(start: int) -> bytes:
        fields = {"Range": f"bytes={start}-{start + 299_999}", "If-Range": tag, "Connection": "close"}
        answer = site.get("/uploads/big.bin", headers=fields)
        assert answer.status_code == 206
        return answer.content

    with ThreadPoolExecutor(4) as pool:
        assert b"".join(pool.map(part, range(0, len(BIG), 300_000))) == BIG


def test_what_a_client_has_is_not_sent_again(site: Any) -> None:
    first = site.get("/js/app.js", headers={"Accept-Encoding": "gzip"})
    assert first.headers["Content-Encoding"] == "gzip"
    again = site.get("/js/app.js", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/uploads/../../secret.txt",
        "/uploads/..%5c..%5csecret.txt",
    ]
    + ["/.env", "/%2eenv", "//secret.txt", "/uploads//../secret.txt", "/%252e%252e/secret.txt"],
)
def test_nothing_outside_is_ever_sent(site: Any, target: str) -> None:
    answer = raw(site, f"GET {target} HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n".encode("ascii"))
    assert answer.startswith(b"HTTP/1.1 ")
    assert b"\r\n\r\nsecret" not in answer


def test_a_new_file_is_served_within_a_second(site: Any, folder: Path) -> None:
    assert site.get("/new.txt").text == "app /new.txt"
    (folder / "static/new.txt").write_bytes(b"new")
    deadline = time.monotonic() + 5
    while site.get("/new.txt").text != "new":
        assert time.monotonic() < deadline
        time.sleep(0.1)
