"""`skitai.launch`: a script as a real server, asked by its client."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from skitai.errors import StartError
from skitai.testing import launch
from skitai.testing.launch import Launch

pytestmark = pytest.mark.process

SCRIPT = """
import skitai
from flask import Flask, jsonify, redirect, request

print("a line of the script")
app = Flask(__name__)

@app.route("/")
def index():
    return "<b>welcome</b>"

@app.route("/v1/user/<id>", methods=["GET", "DELETE", "PUT", "PATCH"])
def user(id):
    return jsonify(id=id, method=request.method, args=request.args, body=request.get_json(silent=True), tags=[{"n": 1}])

@app.route("/v1/user", methods=["POST"])
def add():
    return jsonify(request.get_json()), 201

@app.route("/v1/photo", methods=["POST"])
def photo():
    file = request.files["file"]
    return jsonify(name=file.filename, size=len(file.read()), form=request.form)

@app.route("/form", methods=["POST"])
def form():
    return jsonify(request.form.to_dict(flat=False))

@app.route("/raw", methods=["POST", "PUT", "PATCH"])
def raw():
    return request.get_data(), 200, {"X-Type": request.content_type or ""}

@app.route("/login")
def login():
    answer = redirect("/whoami")
    answer.set_cookie("user", "ann")
    return answer

@app.route("/whoami")
def whoami():
    auth = request.authorization
    return request.cookies.get("user", "nobody") + (f" {auth.username}:{auth.password}" if auth else "")

@app.route("/old", methods=["POST"])
def old():
    return redirect("/raw", code=307)

@app.route("/empty")
def empty():
    return "", 204

@app.route("/fail")
def fail():
    return jsonify(reason="teapot"), 418

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(address="192.0.2.1", port=1)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("launch") / "site.py"
    path.write_text(SCRIPT)
    return str(path)


@pytest.fixture(scope="module")
def engine(script: str) -> Iterator[Launch]:
    with launch(script, port=0) as engine:
        yield engine


def test_a_page(engine: Launch) -> None:
    response = engine.get("/")
    assert (response.status_code, response.text, response.ok) == (200, "<b>welcome</b>", True)
    assert response.headers["content-type"].startswith("text/html")
    assert response.data == "<b>welcome</b>"
    assert engine.get("/none").status_code == 404
    assert engine.get(f"http://127.0.0.1:{engine.port}/").content == b"<b>welcome</b>"


def test_head_and_options(engine: Launch) -> None:
    assert engine.head("/").content == b""
    assert "GET" in engine.options("/").headers["Allow"]


def test_an_attribute_path(engine: Launch) -> None:
    data = engine.v1.user("434").get(lang="en").data
    assert (data.id, data.method, data.args.lang, data.tags[0].n) == ("434", "GET", "en", 1)
    assert engine.v1.user("434").delete().data.method == "DELETE"
    assert engine.v1.user("434").put({"a": 1}).data.body.a == 1
    assert engine.v1.user("434").patch({"a": [2]}, dry="1").data.args.dry == "1"
    response = engine.v1.user.post({"name": "Hans Roh"})
    assert (response.status_code, response.data.name) == (201, "Hans Roh")
    assert engine.empty.get().data is None


def test_an_upload(engine: Launch, tmp_path: Path) -> None:
    photo = tmp_path / "my photo.jpg"
    photo.write_bytes(b"x" * 100_000)
    with photo.open("rb") as file:
        data = engine.v1.photo.upload({"file": file, "title": "me"}).data
    assert (data.name, data.size, data.form.title) == ("my photo.jpg", 100_000, "me")
    assert engine.upload("/v1/photo", {"file": ("a.txt", io.BytesIO(b"12"))}).json()["size"] == 2


def test_a_failure_on_an_attribute_path_is_an_assertion_error(engine: Launch) -> None:
    with pytest.raises(AssertionError, match=r"GET http://.*/fail: 418 .*teapot"):
        engine.fail.get()
    assert engine.get("/fail").status_code == 418


@pytest.mark.parametrize(
    ("body", "kind", "content"),
    [
        ({"data": "héllo"}, "text/plain; charset=utf-8", "héllo".encode()),
        ({"data": b"\0\1"}, "", b"\0\1"),
        ({"data": io.BytesIO(b"file")}, "", b"file"),
        ({"json": [1, {"a": None}]}, "application/json", b'[1, {"a": null}]'),
        ({}, "", b""),
    ],
)
def test_bodies(engine: Launch, body: dict[str, Any], kind: str, content: bytes) -> None:
    response = engine.post("/raw", **body)
    assert (response.headers["X-Type"], response.content) == (kind, content)


def test_forms_and_queries(engine: Launch) -> None:
    assert engine.post("/form", {"a": "1", "b": ["2", "3"]}).json() == {"a": ["1"], "b": ["2", "3"]}
    assert engine.get("/v1/user/1?x=0", params={"y": [1, 2]}).json()["args"] == {"x": "0", "y": "1"}


def test_cookies_are_kept_and_redirects_followed(script: str, engine: Launch) -> None:
    with launch(script, port=0) as other:
        assert other.get("/whoami").text == "nobody"
        first = other.get("/login", allow_redirects=False)
        assert (first.status_code, first.headers["Location"]) == (302, "/whoami")
        assert other.get("/login").text == "ann"
        assert other.get("/whoami").text == "ann"
        assert other.post("/old", b"kept").content == b"kept"
        assert other.get("/whoami", auth=("u", "p")).text == "ann u:p"
    assert engine.get("/whoami").text == "nobody"


def test_it_is_stopped_at_the_end_of_its_block(script: str) -> None:
    with launch(script, port=0) as engine:
        port = engine.port
        assert "a line of the script" in engine.output
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_busy_port_is_an_error(script: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} is in use by another program"), launch(script, port=port):
            pass


def test_a_script_that_fails_shows_what_it_wrote(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("print('so far so good')\nraise LookupError('no luck')\n")
    with pytest.raises(StartError) as caught:
        launch(broken, port=0).get("/")
    message = str(caught.value)
    assert message.startswith(f"{broken} ended with exit code 1")
    assert "so far so good" in message
    assert "LookupError: no luck" in message


def test_without_a_block_it_starts_at_its_first_use_and_stops_with_the_interpreter(script: str, tmp_path: Path) -> None:
    program = dedent(
        f"""
        from skitai.testing import launch
        with __import__("socket").socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        one, two = launch({script!r}, port), launch({script!r}, port)
        print(repr(one).endswith("not running>"))
        print(one.get("/").text, two.get("/").text)
        print(port)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    first, pages, port = done.stdout.splitlines()
    assert (first, pages) == ("True", "<b>welcome</b> <b>welcome</b>")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_loud_servers_write_to_the_terminal(script: str, capfd: pytest.CaptureFixture[str]) -> None:
    with launch(script, port=0, silent=False) as engine:
        engine.get("/")
        assert engine.output == ""
    assert "GET /" in "".join(capfd.readouterr())
