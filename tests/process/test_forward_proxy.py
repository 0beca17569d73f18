"""A server as a forward proxy, used by curl, urllib, requests, httpx, websockets, and our own client."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import requests
import trustme
from websockets.sync.client import connect

from skitai.was import process, was
from tests.backends.test_websocket_requests import Server
from tests.support.dialogue import eventually
from tests.support.http2 import Answer, Http2Client
from tests.support.memory import Client
from tests.support.plainserver import plain_server
from tests.support.site import Site
from tests.support.upstream import Upstream, upstream

pytestmark = pytest.mark.process

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"this is the proxy itself"]
"""
LARGE = b"0123456789" * 300_000
AUTHORIZATION = f"Proxy-Authorization: Basic {b64encode(b'ann:secret').decode()}"


def secure_upstream(by: trustme.CA) -> AbstractContextManager[Upstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    by.issue_cert("127.0.0.1").configure_cert(context)
    return upstream(tls=context)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[trustme.CA, str]]:
    by = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    by.cert_pem.write_to_path(str(file))
    yield by, str(file)


@pytest.fixture(scope="module")
def plain() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture(scope="module")
def secure(ca: tuple[trustme.CA, str]) -> Iterator[Upstream]:
    with secure_upstream(ca[0]) as server:
        yield server


@pytest.fixture(scope="module")
def talker() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, talker: Server) -> Iterator[Site]:
    lines = (
        'skitai.enable_proxy(users={"ann": "secret"}, tunnel_ports="*")\n'
        "    skitai.set_proxy_keep_alive(channel=20, tunnel=30)\n"
        f'    skitai.alias("@talker", skitai.PROTO_HTTP, "127.0.0.1:{talker.port}")\n'
        '    skitai.mount("/talk", "@talker")'
    )
    running = Site(tmp_path_factory.mktemp("proxy"), APP, lines, grace_s=2)
    yield running.start()
    running.stop()


@pytest.fixture(scope="module")
def proxy(site: Site) -> str:
    return f"http://ann:secret@127.0.0.1:{site.port}"


def asked(said: Any) -> tuple[str, str, str]:
    """Method, path and body as the server beyond was asked."""
    return said["method"], said["path"], said["body"]


def curl(*arguments: str) -> str:
    command = ["curl", "-q", "--silent", "--show-error", "--noproxy", "", "--max-time", "20", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl(proxy: str, plain: Upstream, secure: Upstream, ca: tuple[trustme.CA, str]) -> None:
    through = ("--proxy", proxy)
    assert asked(json.loads(curl(*through, "--data", "hello", f"{plain.url}/a?b"))) == ("POST", "/a", "hello")
    told = json.loads(curl(*through, f"{plain.url}/a"))["fields"]
    assert (told["via"], told["host"]) == ("1.1 skitai", plain.place)
    assert "proxy-authorization" not in told and "proxy-connection" not in told
    tunnel = (*through, "--proxytunnel")
    assert "via" not in json.loads(curl(*tunnel, f"{plain.url}/b"))["fields"]
    assert json.loads(curl(*tunnel, "--proxy1.0", proxy.removeprefix("http://"), f"{plain.url}/b"))["path"] == "/b"
    assert json.loads(curl(*through, "--cacert", ca[1], f"https://{secure.place}/c"))["path"] == "/c"
    code = ("--output", "/dev/null", "--write-out", "%{http_code} %{http_connect}")
    bare = proxy.replace("ann:secret@", "")
    assert curl("--proxy", bare, *code, f"{plain.url}/d") == "407 000"
    assert curl("--proxy", bare, "--proxy-anyauth", "--proxy-user", "ann:secret", *code, f"{plain.url}/d") == "200 000"
    assert curl("--proxy", bare, "--proxy-anyauth", "--proxy-user", "ann:secret", "-p", *code, f"{plain.url}/d") == "200 200"
    assert curl(*through, f"http://127.0.0.1:{proxy.rpartition(':')[2]}/") == "this is the proxy itself"


def test_urllib(proxy: str, plain: Upstream, secure: Upstream, ca: tuple[trustme.CA, str]) -> None:
    trusting = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca[1]))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}), trusting)
    for url in (plain.url, f"https://{secure.place}"):
        with opener.open(f"{url}/a", b"hello", timeout=20) as answer:
            assert asked(json.load(answer)) == ("POST", "/a", "hello")


def test_requests(proxy: str, plain: Upstream, secure: Upstream, ca: tuple[trustme.CA, str]) -> None:
    with requests.Session() as session:
        session.proxies = {"http": proxy, "https": proxy}
        session.verify, session.trust_env = ca[1], False
        for url in (plain.url, f"https://{secure.place}"):
            for number in range(3):
                answer = session.put(f"{url}/{number}", data=LARGE, timeout=20)
                assert asked(answer.json()) == ("PUT", f"/{number}", LARGE.decode())


def test_httpx(proxy: str, plain: Upstream, secure: Upstream, ca: tuple[trustme.CA, str]) -> None:
    with httpx.Client(proxy=proxy, verify=ssl.create_default_context(cafile=ca[1]), timeout=20) as client:
        for url in (plain.url, f"https://{secure.place}"):
            for _ in range(3):
                assert asked(client.post(f"{url}/a", content=LARGE).json()) == ("POST", "/a", LARGE.decode())
    with httpx.Client(proxy=proxy.replace("secret", "wrong"), timeout=20) as client:
        assert client.get(plain.url).status_code == 407
        with pytest.raises(httpx.ProxyError):
            client.get(f"https://{secure.place}/")


def test_our_own_client(
    proxy: str, plain: Upstream, secure: Upstream, ca: tuple[trustme.CA, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca[1])
    try:
        for url in (plain.url, f"https://{secure.place}"):
            for _ in range(2):
                result = was.post(f"{url}/a", {"b": "c"}, proxy=proxy).getwait(20)
                assert asked(result.data) == ("POST", "/a", "b=c")
        refused = was.get(f"{plain.url}/a", proxy=proxy.replace("secret", "wrong")).getwait(20)
        assert refused.status_code == 407
    finally:
        process.close()


def test_websockets_through_a_tunnel(proxy: str, talker: Server) -> None:
    with connect(talker.url.replace("localhost", "127.0.0.1"), proxy=proxy) as there:
        there.send("hello")
        assert there.recv(20) == "hello"


def test_websockets_through_a_mounted_alias(site: Site) -> None:
    with connect(f"ws://127.0.0.1:{site.port}/talk/", proxy=None, max_size=1 << 24) as there:
        there.send("hello")
        assert there.recv(20) == "hello"
        there.send(LARGE)
        assert there.recv(20) == LARGE
    try:
        assert was.ws(f"ws://127.0.0.1:{site.port}/talk/", "hello").getwait(20).data == "hello"
        assert was.ws(f"ws://127.0.0.1:{site.port}/talk/forbidden", "hello").getwait(20).status_code == 403
    finally:
        process.close()


def tunnel(site: Site, port: int) -> Client:
    client = Client(socket.create_connection(("127.0.0.1", site.port), 20))
    client.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: a\r\n{AUTHORIZATION}\r\n\r\n".encode())
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    return client


def test_what_names_the_proxy_itself_gets_no_tunnel(site: Site) -> None:
    client = site.connect()
    client.send(f"CONNECT localhost:{site.port} HTTP/1.1\r\nHost: a\r\n{AUTHORIZATION}\r\n\r\n".encode())
    assert client.response()[0] == 403
    site.hears_that("CONNECT localhost:.* is not reached by this proxy: it is this server itself")


def test_tunnels_that_are_cut_leave_no_descriptor(site: Site) -> None:
    (worker,) = (psutil.Process(pid) for pid in site.workers().values())
    with plain_server() as there:
        tunnel(site, there.port).close()
        eventually(lambda: not there.open, "the first is closed")
        before = worker.num_fds()
        for number in range(200):
            client = tunnel(site, there.port)
            if number % 2:
                client.send(b"x" * 1000)
            client.close()
        eventually(lambda: worker.num_fds() <= before + 2, "all are closed")
        eventually(lambda: not there.open, "and their servers know it")
    assert sum(f"tunnel to 127.0.0.1:{there.port} closed" in line for line in site.said.splitlines()) == 201


def test_a_proxy_that_speaks_tls(tmp_path: Path, plain: Upstream, secure: Upstream, ca: tuple[trustme.CA, str]) -> None:
    """To which clients come by https://, for a tunnel with TLS within TLS, too."""
    pair = tmp_path / "pair.pem"
    ca[0].issue_cert("127.0.0.1", "our.example").private_key_and_cert_chain_pem.write_to_path(str(pair))
    running = Site(tmp_path, APP, 'skitai.enable_proxy(tunnel_ports="*")', certfile=str(pair))
    try:
        port = running.start().hears_that(r"listens on https://127\.0\.0\.1:\d+").rpartition(":")[2]
        through = ("--proxy", f"https://127.0.0.1:{port}", "--proxy-cacert", ca[1])
        assert json.loads(curl(*through, f"{plain.url}/a"))["path"] == "/a"
        assert json.loads(curl(*through, "--proxytunnel", f"{plain.url}/b"))["path"] == "/b"
        body = tmp_path / "body"
        body.write_bytes(LARGE)
        within = curl(*through, "--cacert", ca[1], "--data-binary", f"@{body}", f"https://{secure.place}/c")
        assert asked(json.loads(within)) == ("POST", "/c", LARGE.decode())
        context = ssl.create_default_context(cafile=ca[1])

        def once(sock: socket.socket) -> None:
            sock.recv(100)
            sock.sendall(LARGE)

        with plain_server(once) as there, socket.create_connection(("127.0.0.1", int(port)), 20) as sock:
            client = Client(context.wrap_socket(sock, server_hostname="127.0.0.1"))
            client.send(f"CONNECT 127.0.0.1:{there.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            client.send(b"now")
            assert client.read() == LARGE, "all of it, and then the end"
            client.close()
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", int(port)), 20) as sock:
            pipe = Client(context.wrap_socket(sock, server_hostname="127.0.0.1"))
            by_http2(pipe, int(port), plain)
            pipe.close()
    finally:
        running.stop()


def by_http2(pipe: Client, port: int, plain: Upstream) -> None:
    """What browsers ask of a proxy that is named by https://, beside a site that is mounted for all hosts."""
    client = Http2Client(pipe)

    def ask(scheme: str, authority: str) -> Answer:
        stream = client.h2.get_next_available_stream_id()
        client.send_head(stream, [(":method", "GET"), (":scheme", scheme), (":authority", authority), (":path", "/a?b=c")])
        return client.wait(stream)

    told = json.loads(ask("http", plain.place).body)
    assert (told["path"], told["query"], told["fields"]["host"]) == ("/a", {"b": "c"}, plain.place)
    assert told["fields"]["via"] == "2 skitai"
    ours = (("https", plain.place), ("https", "elsewhere.example"), ("http", f"127.0.0.1:{port}"), ("http", "Our.Example"))
    for scheme, authority in ours:
        assert ask(scheme, authority).body == b"this is the proxy itself"
    assert ask("http", "169.254.169.254").status == 403


def test_a_worker_that_is_replaced_goes_on_with_its_tunnels(tmp_path: Path) -> None:
    running = Site(tmp_path, APP, 'skitai.enable_proxy(tunnel_ports="*")', grace_s=20, keep_alive=1).start()
    try:
        with plain_server() as there:
            client = tunnel(running, there.port)
            old = running.workers()
            assert running.ask("reload").ok
            eventually(lambda: running.workers() and running.workers() != old, "a new worker serves")
            client.send(b"still here")
            assert client.exactly(10) == b"still here"
            client.close()
            running.has_workers(*running.workers())
            eventually(lambda: not there.open, "the server hears of it")
            client = tunnel(running, there.port)
            running.process.terminate()  # type: ignore[union-attr]
            assert client.closed()
            client.close()
            assert running.leaves() == 0
    finally:
        running.stop()
