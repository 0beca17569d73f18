"""HTTPS in a real server: certificates, versions, names, resumption, renewal, bodies both ways, and those who misbehave."""

from __future__ import annotations

import datetime
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from skitai.net.x509 import make_self_signed
from tests.support.ports import free_port

pytestmark = pytest.mark.process

OPENSSL = shutil.which("openssl") or ""

APP = """
import hashlib
import time

import skitai


def app(environ, start_response):
    path = environ["PATH_INFO"]
    fields = [("Content-Type", "text/plain")]
    if path == "/large":
        start_response("200 OK", fields)
        return [b"0123456789" * 1_000_000]
    if path == "/pieces":
        start_response("200 OK", fields)
        return (b"x" * 50_000 for _ in range(100))
    if path == "/slow":
        time.sleep(0.5)
    body = environ["wsgi.input"].read()
    start_response("200 OK", fields)
    told = environ["wsgi.url_scheme"], environ.get("SSL_CLIENT_S_DN", "-"), hashlib.md5(body).hexdigest(), str(len(body))
    return [" ".join(told).encode()]


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.mount("/files", "files")
    skitai.enable_ssl("server.crt", "server.key")
    skitai.run()
"""


def write(folder: Path, name: str, *names: str) -> None:
    """A fresh certificate and its key, put into place at once."""
    for suffix, data in zip(("crt", "key"), make_self_signed(names, 2, datetime.datetime.now(datetime.UTC)), strict=True):
        fresh = folder / f"{name}.fresh"
        fresh.write_bytes(data)
        fresh.replace(folder / f"{name}.{suffix}")


def furnish(folder: Path) -> Path:
    """Put an app, its certificate and a large file into a folder."""
    write(folder, "server", "localhost", "127.0.0.1")
    (folder / "files").mkdir()
    (folder / "files/large.bin").write_bytes(bytes(range(250)) * 40_000)
    (folder / "app.py").write_text(APP)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return furnish(tmp_path)


class Server:
    """A running server and clients for it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        command = [sys.executable, "app.py", "--port", str(self.port), "--varpath", f"var{self.port}", *options]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if "is ready" in line:
                break
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def logs(self, words: str, times: int = 1) -> None:
        """Wait for words in the log."""
        for _ in range(400):
            if self.said.count(words) >= times:
                return
            time.sleep(0.05)
        raise AssertionError(f"{words!r} is not in {self.said}")

    def context(self, name: str = "server") -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / f"{name}.crt"))

    def connect(self, context: ssl.SSLContext | None = None, name: str = "localhost", **options: Any) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        try:
            return (context or self.context()).wrap_socket(plain, server_hostname=name, **options)
        except BaseException:
            plain.close()
            raise

    def ask(
        self, request: str = "GET / HTTP/1.1", body: bytes = b"", sock: ssl.SSLSocket | None = None
    ) -> tuple[int, bytes]:
        if sock is None:
            with self.connect() as mine:
                return self.ask(request, body, mine)
        method, target, _ = request.split()
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock
        connection.request(method, target, body or None, {"Host": "localhost"})
        with connection.getresponse() as answer:
            return answer.status, answer.read()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that want nothing special."""
    server = Server(furnish(tmp_path_factory.mktemp("server")), "--threads", "8")
    yield server
    server.stop()


@pytest.fixture
def start(folder: Path) -> Iterator[Any]:
    started: list[Server] = []

    def begin(*options: str) -> Server:
        started.append(Server(folder, *options))
        return started[-1]

    yield begin
    for each in started:
        each.stop()


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
@pytest.mark.parametrize("threads", ["4", "0"])
def test_requests_and_responses_of_all_sizes(start: Any, engine: str, threads: str) -> None:
    server = start("--engine", engine, "--threads", threads)
    assert server.ask()[1].startswith(b"https - ")
    assert server.ask("GET /large HTTP/1.1") == (200, b"0123456789" * 1_000_000)
    assert server.ask("GET /pieces HTTP/1.1") == (200, b"x" * 5_000_000)
    assert server.ask("GET /files/large.bin HTTP/1.1") == (200, bytes(range(250)) * 40_000)
    assert server.ask("POST / HTTP/1.1", os.urandom(3_000_000))[1].endswith(b" 3000000")
    sock = server.connect()
    for _ in range(20):
        assert server.ask(sock=sock)[0] == 200
    sock.close()


def test_a_client_that_reads_slowly_gets_everything(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)
        data = b""
        while piece := sock.recv(100_000):
            data += piece
            if len(data) < 1_000_000:
                time.sleep(0.01)
    assert data.endswith(b"0123456789" * 1_000_000)


def test_many_clients_at_once_get_their_own_answers(server: Server) -> None:
    wrong: list[Any] = []

    def ask(number: int) -> None:
        with server.connect() as sock:
            for size in (number, 20_000 + number, 200_000 + number):
                status, told = server.ask("POST / HTTP/1.1", b"y" * size, sock)
                if (status, told.split()[-1]) != (200, str(size).encode()):
                    wrong.append((number, size, status, told))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pipelined_requests_in_one_record(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert data.count(b"HTTP/1.1 200") == 2


def test_versions_and_ciphers_are_today_s(server: Server, start: Any) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = server.context()
        context.minimum_version = context.maximum_version = version
        with server.connect(context) as sock:
            cipher = sock.cipher()[0]
            assert "GCM" in cipher or "CHACHA20" in cipher
    old = server.context()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA256")
    with pytest.raises(ssl.SSLError):
        server.connect(old)
    only = start("--tls-minimum", "1.3")
    context = only.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        only.connect(context)


def test_http_1_1_is_agreed_on(server: Server) -> None:
    context = server.context()
    context.set_alpn_protocols(["h3", "http/1.1"])
    with server.connect(context) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"


def test_a_session_is_resumed_at_any_worker(start: Any) -> None:
    server = start("--workers", "3")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = server.context()
        context.minimum_version = context.maximum_version = version
        with server.connect(context) as sock:
            server.ask(sock=sock)  # of TLS 1.3, tickets come with the first data
            session = sock.session
        resumed = 0
        for _ in range(20):
            with server.connect(context, session=session) as sock:
                resumed += bool(sock.session_reused)
                server.ask(sock=sock)
                session = sock.session
        assert resumed == 20, version
    if OPENSSL:
        place = f"127.0.0.1:{server.port}"
        command = [OPENSSL, "s_client", "-reconnect", "-tls1_2", "-connect", place]
        told = subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=True).stdout
        assert (told.count("New, TLSv1.2"), told.count("Reused, TLSv1.2")) == (1, 5)


def test_the_certificate_goes_by_the_name_that_is_asked_for(start: Any, folder: Path) -> None:
    write(folder, "shop", "shop.example", "*.shop.example")
    server = start("--more-certificates", "shop.crt:shop.key")
    for name in ("shop.example", "www.shop.example", "WWW.Shop.Example"):
        with server.connect(server.context("shop"), name) as sock:
            assert server.ask(sock=sock)[0] == 200
    with server.connect(), pytest.raises(ssl.SSLCertVerificationError):
        server.connect(server.context("shop"), "other.example")


def test_a_renewed_certificate_is_served_and_a_broken_one_is_not(start: Any, folder: Path) -> None:
    server = start()
    old = server.context()
    write(folder, "server", "localhost")
    server.logs("server.crt is served anew")
    assert "the old certificate goes on" not in server.said
    assert server.ask()[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        server.connect(old)
    good = server.context()
    (folder / "server.key").write_text("no key")
    server.logs("the old certificate goes on")
    with server.connect(good) as sock:
        assert server.ask(sock=sock)[0] == 200
    write(folder, "server", "localhost")
    server.logs("server.crt is served anew", times=2)
    assert server.ask()[0] == 200


@pytest.mark.parametrize(
    ("option", "without", "with_one"), [("optional", "-", "CN=ann"), ("required", None, "CN=ann"), ("none", "-", "-")]
)
def test_clients_may_show_certificates(start: Any, folder: Path, option: str, without: str | None, with_one: str) -> None:
    write(folder, "ann", "ann")
    server = start("--client-ca", "ann.crt", "--client-certificates", option)
    if without is None:
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            server.ask()
    else:
        assert server.ask()[1].split()[1].decode() == without
    context = server.context()
    context.load_cert_chain(folder / "ann.crt", folder / "ann.key")
    with server.connect(context) as sock:
        assert server.ask(sock=sock)[1].split()[1].decode() == with_one


def test_a_handshake_has_its_time_and_keeps_nobody_waiting(start: Any) -> None:
    server = start("--tls-handshake-s", "0.5")
    stalled = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(50)]
    for sock in stalled[::2]:
        sock.sendall(b"\x16\x03\x01\x02\x00")
    began = time.monotonic()
    assert server.ask()[0] == 200
    assert time.monotonic() - began < 0.5
    for sock in stalled:
        assert sock.recv(1) == b""
        sock.close()
    server.logs("it took too long")


def test_garbage_and_sudden_ends_hurt_nobody(server: Server) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(os.urandom(500))
        cut = server.connect()
        cut.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        socket.socket.shutdown(cut, socket.SHUT_RDWR)
        cut.close()
    assert server.ask()[0] == 200


def test_a_reload_and_a_stop_let_requests_finish(start: Any) -> None:
    server = start()
    told: list[Any] = []
    asking = threading.Thread(target=lambda: told.append(server.ask("GET /slow HTTP/1.1")))
    asking.start()
    time.sleep(0.2)
    command = [sys.executable, "app.py", "reload", "--varpath", f"var{server.port}"]
    subprocess.run(command, cwd=server.folder, check=True, capture_output=True)
    asking.join()
    assert told[0][0] == 200
    assert server.ask()[0] == 200


def test_plain_http_is_sent_to_https(start: Any) -> None:
    plain = free_port()
    server = start("--forward-port", str(plain), "--forward-to", "8443", "--hsts-s", "60")
    connection = http.client.HTTPConnection("127.0.0.1", plain)
    for method, status in (("GET", 301), ("POST", 308)):
        connection.request(method, "/a?b=c", b"x" * 10 if method == "POST" else None, {"Host": "example.com:80"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (status, "https://example.com:8443/a?b=c")
        assert answer.headers["Strict-Transport-Security"] is None
        answer.read()
    connection.close()
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"\r\nStrict-Transport-Security: max-age=60\r\n" in sock.recv(65536)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "server.crt").unlink(), "there is no readable file"),
        (lambda folder: (folder / "server.crt").write_text("nothing"), "no PEM that can be read"),
        (lambda folder: (folder / "server.key").write_text("nothing"), "server.crt with the key"),
        (
            lambda folder: write(folder, "server", "other") or (folder / "server.key").write_bytes(OTHER_KEY),
            "key values mismatch",
        ),
    ],
)
def test_a_certificate_that_cannot_be_served_is_one_line(folder: Path, break_it: Any, words: str) -> None:
    break_it(folder)
    command = [sys.executable, "app.py", "--port", str(free_port()), "--varpath", "var"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_key_may_be_encrypted(start: Any, folder: Path) -> None:
    key = load_pem_private_key((folder / "server.key").read_bytes(), None)
    kept = BestAvailableEncryption(b"open sesame")
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept))
    script = folder / "app.py"
    for given, words in (("", "the key is encrypted, and there is no passphrase"), (', "x"', "does not open the key")):
        script.write_text(APP.replace('"server.key"', f'"server.key"{given}'))
        command = [sys.executable, "app.py", "--port", str(free_port()), "--varpath", "var"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        assert words in ended.stderr
    script.write_text(APP.replace('"server.key"', '"server.key", "open sesame"'))
    assert start().ask()[0] == 200


OTHER_KEY = make_self_signed(["other"], 2, datetime.datetime.now(datetime.UTC))[1]


def test_skitai_cert_makes_a_pair_once(tmp_path: Path) -> None:
    def cert(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "skitai", "cert", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    made = cert("example.com", "10.0.0.1")
    assert made.returncode == 0, made.stderr
    assert "skitai.enable_ssl('server.crt', 'server.key')" in made.stdout
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
    again = cert()
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "is there already" in again.stderr
    assert cert("--days", "soon").returncode == 2
    assert cert("--certfile", "none/a.crt", "--keyfile", "none/a.key").returncode == 1
