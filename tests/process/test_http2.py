"""HTTP/2 in a real server, with clients of others: curl and httpx, over TLS, with prior knowledge and by Upgrade."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process.test_tls import APP, Server, write
from tests.process.test_tls_attacks import worker
from tests.support.http2 import Http2Client
from tests.support.memory import Client
from tests.support.websocket import Http2Socket, close

pytestmark = pytest.mark.process

CURL = shutil.which("curl") or ""
LARGE = b"0123456789" * 1_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "server", "localhost", "127.0.0.1")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/large.bin").write_bytes(bytes(range(250)) * 40_000)
    (tmp_path / "app.py").write_text(APP)
    plain = APP.replace('    skitai.enable_ssl("server.crt", "server.key")\n', "")
    assert plain != APP
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/app.py").write_text(plain)
    (tmp_path / "plain/files").symlink_to(tmp_path / "files")
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Any]:
    started: list[Server] = []

    def begin(*options: str, secure: bool = True) -> Server:
        started.append(Server(folder if secure else folder / "plain", *options))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.stop()
        elif each.process.stdout is not None:
            each._reader.join()
            each.process.stdout.close()


def visitor(server: Server) -> httpx.Client:
    return httpx.Client(http2=True, verify=server.context(), base_url=f"https://localhost:{server.port}", timeout=20)


def curl(*arguments: str) -> bytes:
    done = subprocess.run([CURL, "-sS", "--max-time", "20", *arguments], check=False, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
@pytest.mark.parametrize("threads", ["4", "0"])
def test_requests_and_responses_of_all_sizes(start: Any, engine: str, threads: str) -> None:
    server = start("--engine", engine, "--threads", threads)
    with visitor(server) as client:
        answer = client.get("/")
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
        assert answer.text.startswith("https - ")
        assert client.get("/large").content == LARGE
        assert client.get("/pieces").content == b"x" * 5_000_000
        assert client.get("/files/large.bin").content == bytes(range(250)) * 40_000
        body = os.urandom(3_000_000)
        assert client.post("/", content=body).text.split()[2:] == [hashlib.md5(body).hexdigest(), "3000000"]
        assert client.get("/nothing/here", headers={"x": "y" * 9000}).status_code == 431
    server.logs("GET /pieces 2.0")


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
def test_many_requests_at_once_get_their_own_answers(start: Any, engine: str) -> None:
    server = start("--threads", "8", "--engine", engine)
    bodies = [b"%d " % number * (number * 10) for number in range(1, 61)]

    async def ask() -> list[str]:
        # In tasks: threads that share a connection read and write one TLS object at once, which OpenSSL does not bear.
        place = f"https://localhost:{server.port}"
        async with httpx.AsyncClient(http2=True, verify=server.context(), base_url=place, timeout=20) as client:
            answers = await asyncio.gather(*(client.post("/", content=body) for body in bodies))
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        return [answer.text.split()[2] for answer in answers]

    assert asyncio.run(ask()) == [hashlib.md5(body).hexdigest() for body in bodies]


def test_http_1_is_still_spoken(start: Any) -> None:
    server = start()
    assert server.ask()[0] == 200
    context = server.context()
    context.set_alpn_protocols(["http/1.1"])
    with server.connect(context) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        assert server.ask(sock=sock)[0] == 200


def test_what_was_agreed_on_is_spoken(start: Any) -> None:
    server = start()
    context = server.context()
    context.set_alpn_protocols(["h2"])
    with server.connect(context) as sock:
        assert sock.selected_alpn_protocol() == "h2"
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while data := sock.recv(65536):
            said += data
    assert b"no HTTP/2 preface" in said
    assert b"HTTP/1.1" not in said


@pytest.mark.skipif(not CURL, reason="curl is missing; make conformance sees to it")
def test_curl_over_tls(start: Any, folder: Path) -> None:
    server = start()
    place = f"https://localhost:{server.port}"
    options = ("--http2", "--cacert", str(folder / "server.crt"))
    assert curl(*options, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", place) == b"2 200"
    assert curl(*options, f"{place}/large") == LARGE
    body = folder / "body"
    body.write_bytes(os.urandom(2_000_000))
    said = curl(*options, "--data-binary", f"@{body}", place)
    assert said.split()[2] == hashlib.md5(body.read_bytes()).hexdigest().encode()
    several = curl(*options, "--parallel", *(f"{place}/?{number}" for number in range(20)))
    assert several.count(b"https - ") == 20


@pytest.mark.skipif(not CURL, reason="curl is missing; make conformance sees to it")
def test_curl_with_prior_knowledge(start: Any) -> None:
    server = start(secure=False)
    place = f"http://127.0.0.1:{server.port}"
    assert curl("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", place) == b"2 200"
    assert curl("--http2-prior-knowledge", f"{place}/large") == LARGE
    assert curl("--http2-prior-knowledge", f"{place}/files/large.bin") == bytes(range(250)) * 40_000
    assert curl(place).startswith(b"http - ")


@pytest.mark.skipif(not CURL, reason="curl is missing; make conformance sees to it")
def test_curl_by_upgrade(start: Any) -> None:
    server = start(secure=False)
    place = f"http://127.0.0.1:{server.port}"
    told = ("-o", "/dev/null", "-w", "%{http_version} %{http_code} ")
    assert curl("--http2", *told, place, *told, f"{place}/pieces") == b"2 200 2 200 "
    assert curl("--http2", f"{place}/large") == LARGE
    assert curl("--http2", "--data-binary", "a body", place).endswith(b" 6")
    assert curl("--http2", "-H", "X-Forwarded-For: 10.0.0.1", *told, place) == b"1.1 200 "


@pytest.mark.skipif(not CURL, reason="curl is missing; make conformance sees to it")
def test_http2_can_be_turned_off(start: Any, folder: Path) -> None:
    server = start("--no-http2")
    told = ("-o", "/dev/null", "-w", "%{http_version} %{http_code} ")
    assert curl("--http2", *told, "--cacert", str(folder / "server.crt"), f"https://localhost:{server.port}") == b"1.1 200 "
    plain = start("--no-http2", secure=False)
    assert curl("--http2", *told, f"http://127.0.0.1:{plain.port}") == b"1.1 200 "


def test_windows_kept_shut_cost_little(start: Any) -> None:
    server = start(secure=False)
    place = f"http://127.0.0.1:{server.port}"
    clients = []
    assert httpx.get(place).status_code == 200
    before = worker(server).memory_info().rss
    for _ in range(4):
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        clients.append(Http2Client(Client(sock), acknowledge=False))
        clients[-1].h2.update_settings({4: 0})
        clients[-1].flush()
    for client in clients:
        for _ in range(50):
            client.begin("/large")  # 10 MB each, 2 GB in all
    for client in clients:
        while sum(answer.status == 200 for answer in client.answers.values()) < 4:
            client.receive()
    assert httpx.get(place).status_code == 200
    for client in clients:
        client.answer_pings()
        assert sum(answer.status == 200 for answer in client.answers.values()) <= 4
    assert worker(server).memory_info().rss - before < 250_000_000
    last = clients.pop()
    last.acknowledge = True
    *others, stream = last.answers
    for other in others:
        last.h2.reset_stream(other)
    last.h2.update_settings({4: 1 << 30})
    last.flush()
    assert last.wait(stream).body == LARGE
    for client in (last, *clients):
        client.client.close()


WEBSOCKET = """
import skitai


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": scope["scheme"] + scope["http_version"] + message["text"]})


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.enable_ssl("server.crt", "server.key")
    skitai.run()
"""


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 1001), (signal.SIGHUP, 1012)], ids=["stop", "reload"])
def test_websocket_in_a_stream(start: Any, folder: Path, how: signal.Signals, code: int) -> None:
    (folder / "app.py").write_text(WEBSOCKET)
    server = start()
    context = server.context()
    context.set_alpn_protocols(["h2"])
    with server.connect(context) as sock:
        client = Http2Client(Client(sock))
        talks = [Http2Socket(client, f"/{number}") for number in range(3)]
        for talk in talks:
            talk.text("hello")
        assert [talk.hears() for talk in talks] == ["wss2hello"] * 3
        server.process.send_signal(how)
        for talk in talks:
            opcode, payload = talk.receive()
            assert (opcode, int.from_bytes(payload[:2])) == (8, code)
            talk.send(close(code))
            assert talk.client.closed()
    for number in range(3):
        server.logs(f" GET /{number} 2.0 ")  # when they close
    if how == signal.SIGTERM:
        assert server.process.wait(20) == 0


def test_proxies_are_believed_and_browsers_told_as_over_http_1(start: Any) -> None:
    server = start("--trusted-proxies", "127.0.0.1", "--hsts-s", "60")
    with visitor(server) as client:
        answer = client.get("/", headers={"X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "http"})
        assert answer.http_version == "HTTP/2"
        assert answer.headers["strict-transport-security"] == "max-age=60"
        assert answer.text.startswith("http - ")
    server.logs(" 10.1.2.3 localhost")


PAGE = """
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)


@app.route("/page")
def page(was):
    was.response.hint_promise("/images/a.png")
    was.response.hint_promise("/images/b.png?size=2")
    return was.response("200 OK", f"HTTP/{was.request.version} " + '<img src="/images/a.png">')


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.mount("/images", "images")
    skitai.enable_ssl("server.crt", "server.key")
    skitai.run()
"""


def test_server_push(start: Any, folder: Path) -> None:
    (folder / "app.py").write_text(PAGE)
    (folder / "images").mkdir()
    for name in "ab":
        (folder / f"images/{name}.png").write_bytes(name.encode() * 100_000)
    server = start()
    context = server.context()
    context.set_alpn_protocols(["h2"])
    with server.connect(context) as sock:
        client = Http2Client(Client(sock))
        stream = client.begin("/page")
        assert client.wait(stream).body.startswith(b"HTTP/2.0 <img")
        assert [path for _, path in client.promises] == ["/images/a.png", "/images/b.png?size=2"]
        for (pushed, _), name in zip(client.promises, b"ab", strict=True):
            answer = client.wait(pushed)
            assert (answer.status, answer.fields["content-type"], answer.body) == (200, "image/png", bytes([name]) * 100_000)
        server.logs("GET /images/b.png?size=2 2.0 0 200")
        client.h2.update_settings({2: 0})  # as browsers do today
        client.flush()
        answer = client.ask("/page")
        assert len(client.promises) == 2
        hints = [fields["link"] for status, fields in answer.informed if status == 103]
        wanted = ["</images/a.png>; rel=preload; as=image", "</images/b.png?size=2>; rel=preload; as=image"]
        assert (hints, answer.body[:8]) == (wanted, b"HTTP/2.0")
    status, body = server.ask("GET /page HTTP/1.1")
    assert (status, body[:8]) == (200, b"HTTP/1.1")


@pytest.mark.skipif(not CURL, reason="curl is missing; make conformance sees to it")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP], ids=["stop", "reload"])
def test_who_leaves_loses_no_stream(start: Any, folder: Path, how: signal.Signals) -> None:
    server = start("--threads", "8")
    count = 8 if how == signal.SIGTERM else 40
    places = [f"https://localhost:{server.port}/slow?{number}" for number in range(count)]
    command = [CURL, "-sS", "--http2", "--cacert", str(folder / "server.crt"), "--parallel", "--parallel-max", "8", *places]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        time.sleep(0.4)
        server.process.send_signal(how)
        said, trouble = client.communicate(timeout=30)
    assert (said.count(b"https - "), client.returncode) == (count, 0), trouble
    if how == signal.SIGTERM:
        assert server.process.wait(20) == 0
    else:
        server.logs("reload")
