"""What proxy and gateway keep strangers from, tried from outside: the server behind never hears of it."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from skitai.lib.jwt import gen_token
from tests.process.test_proxy_smuggling import PATIENCE_S
from tests.support.dialogue import Served, eventually
from tests.support.memory import Client
from tests.support.recorder import Recorder, recorder
from tests.support.site import Front, Patient

pytestmark = pytest.mark.process

KEY = "8fa06210-e109-11e6-934f-001b216d6e71"
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"this server itself"]
"""
LOOPBACK = (
    "127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 2130706433 0177.0.0.1 0177.1 017700000001 0x7f.0.0.1 0x7f.1"
    " 0x7f000001 0x7F000001 00000177.0.0.1 localhost LocalHost localhost. 127.0.0.1. [::1] [0:0:0:0:0:0:0:1]"
    " [::ffff:127.0.0.1]"
    " [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]"
)
NOBODYS = (
    "0 0.0.0.0 0.1.2.3 [::] [::ffff:0.0.0.0] 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 [fe80::1] [febf::1]"
    " [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] [64:ff9b::a9fe:a9fe] 224.0.0.1 239.255.255.255 [ff02::1] 255.255.255.255"
    " 240.0.0.1"
)
NOWHERE = ("u@127.0.0.1", "127.0.0.1%00.example", "127.0.0.1#@example", "a b", "[::1", "[::1%25lo]", "%6c%6fcalhost", "\xb2")


@pytest.fixture(scope="module")
def behind() -> Iterator[Recorder]:
    with recorder() as behind:
        yield behind


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    lines = 'skitai.enable_proxy(clients="*", ports="*", tunnel_ports="*", connect_s=2)'
    site = Patient(tmp_path_factory.mktemp("proxy"), APP, lines, trusted_proxies="127.0.0.1")
    try:
        yield site.start()
    finally:
        site.stop()


def status(site: Served, request: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", site.port), PATIENCE_S) as sock:
        client = Client(sock)
        client.send(request.encode("latin-1"))
        if request.startswith(("HEAD", "CONNECT")):
            return int(client.until(b"\r\n\r\n").split()[1]), b""
        answer = client.response()
    return answer[0], answer[2]


def through(proxy: Patient, method: str, host: str, port: int, client: str = "198.51.100.7") -> tuple[int, bytes]:
    """What a client at an address gets."""
    target = f"{host}:{port}" if method == "CONNECT" else f"http://{host}:{port}/evil"
    return status(proxy, f"{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Forwarded-For: {client}\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_a_stranger_reaches_nothing_on_this_host(proxy: Patient, behind: Recorder, method: str) -> None:
    """However he writes its address."""
    before = behind.connections
    assert through(proxy, method, "127.0.0.1", behind.port, "127.0.0.1")[0] == 200, "who is here may"
    eventually(lambda: behind.connections == before + 1, "it is reached", PATIENCE_S)
    for host in LOOPBACK.split():
        assert through(proxy, method, host, behind.port)[0] == 403, host
        assert through(proxy, method, host, behind.port, "fd12::7")[0] == 403, host
    assert behind.connections == before + 1


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_nobody_reaches_what_is_never_reached(proxy: Patient, method: str) -> None:
    for host in NOBODYS.split():
        for client in ("198.51.100.7", "127.0.0.1"):
            assert through(proxy, method, host, 80, client)[0] == 403, host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "2130706433"])
def test_the_proxy_does_not_tunnel_to_itself(proxy: Patient, host: str) -> None:
    for client in ("198.51.100.7", "127.0.0.1"):
        assert through(proxy, "CONNECT", host, proxy.port, client)[0] == 403
        found, said = through(proxy, "GET", host, proxy.port, client)
        assert (found, said) in ((200, b"this server itself"), (403, said)), "it answers itself, and asks nobody"


def test_odd_authorities_are_nowhere(proxy: Patient, behind: Recorder) -> None:
    reached = behind.connections
    for host in NOWHERE:
        for method in ("GET", "CONNECT"):
            assert through(proxy, method, host, behind.port)[0] in (400, 403, 502), host
    assert behind.connections == reached


# Tokens

GATEWAY = f"""\
import skitai

if __name__ == "__main__":
    skitai.alias("@behind", skitai.PROTO_HTTP, "127.0.0.1:{{port}}")
    skitai.mount("/", "@behind")
    skitai.enable_gateway(True, {KEY!r}, "here")
    skitai.run({{options}})
"""
"""A gateway without an authorizer: tokens of ours come in, and nobody else."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, behind: Recorder) -> Iterator[Front]:
    gate = Front(tmp_path_factory.mktemp("gate"), behind.port, GATEWAY)
    try:
        gate.start()
        yield gate
    finally:
        gate.stop()


def coded(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def made(head: dict[str, Any], claims: dict[str, Any], key: bytes = KEY.encode(), hashed: str = "sha256") -> str:
    """A token made by hand."""
    signed = f"{coded(head)}.{coded(claims)}"
    return f"{signed}.{coded(hmac.new(key, signed.encode(), hashed).digest())}"


def forged() -> dict[str, str]:
    """Tokens that stand for nobody."""
    later = int(time.time()) + 3600
    claims = {"user": "ann", "roles": ["admin"], "exp": later}
    good = gen_token(KEY, claims)
    head, body, signature = good.split(".")
    secret = coded(b"mine")
    own = {"kty": "oct", "k": secret}
    there = {"alg": "HS256", "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/x"}
    found = {
        f"alg {alg}": made({"alg": alg}, claims, b"")
        for alg in ("none", "None", "NONE", "nOnE", "", "HS1", "RS256", "ES256")
    }
    found |= {f"alg {alg} unsigned": f"{coded({'alg': alg})}.{body}." for alg in ("none", "NONE", "HS256")}
    found |= {
        "no algorithm": made({"typ": "JWT"}, claims),
        "an algorithm that is a list": made({"alg": ["HS256"]}, claims),
        "another key": made({"alg": "HS256"}, claims, b"another"),
        "an empty key": made({"alg": "HS256"}, claims, b""),
        "a key within": made({"alg": "HS256", "jwk": own}, claims, b"mine"),
        "a key elsewhere": made(there, claims, b"mine"),
        "a key in a file": made({"alg": "HS256", "kid": "../../../../dev/null"}, claims, b""),
        "critical": made({"alg": "HS256", "crit": ["b64"], "b64": False}, claims),
        "expired": gen_token(KEY, claims | {"exp": later - 7200}),
        "expired, in words of its own": gen_token(KEY, {"user": "ann", "expires": later - 7200}),
        "not yet": gen_token(KEY, claims | {"nbf": later}),
        "an end that is none": made({"alg": "HS256"}, claims | {"exp": "later"}),
        "truncated": good[:-1],
        "half a signature": f"{head}.{body}.{signature[: len(signature) // 2]}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "another body": f"{head}.{coded(claims | {'roles': ['root']})}.{signature}",
        "another head": f"{coded({'alg': 'HS256', 'typ': 'jwt'})}.{body}.{signature}",
        "padded": f"{head}.{body}.{signature}=",
        "dots": "..",
        "not JSON": f"{coded(b'x')}.{coded(b'y')}.{signature}",
        "claims that are a list": made({"alg": "HS256"}, [1]),  # type: ignore[arg-type]
        "opaque": "12345678-1234-123456",
        "large": good + "A" * 6000,
    }
    return found


def test_nobody_comes_in_without_a_valid_token(gate: Front, behind: Recorder) -> None:
    reached = len(behind.seen)
    later = int(time.time()) + 3600
    for field in ("", "Bearer ", "Basic YW5uOnNlY3JldA==", "Bearer", "Digest x", "bearer  ", "Token x"):
        assert status(gate, f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {field}\r\n\r\n")[0] == 401, field
    assert status(gate, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 401
    for name, token in forged().items():
        found, _ = status(gate, f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
        assert found in (400, 401, 403), name
    good = gen_token(KEY, {"user": "ann", "roles": ["admin"], "exp": later})
    twice = f"Authorization: Bearer x\r\nAuthorization: Bearer {good}"
    for fields in (twice, f"X-Authorization: Bearer {good}", f"Cookie: token={good}", f"Proxy-Authorization: Bearer {good}"):
        assert status(gate, f"GET /?access_token={good} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")[0] in (400, 401), fields
    assert len(behind.seen) == reached, "nobody has come in"
    assert behind.oddities == []
    assert status(gate, f"GET /in HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {good}\r\n\r\n") == (200, b"GET /in ")


@pytest.mark.parametrize(
    "path", ["//", "/%2e/", "/..", "/x/../", "/%2f", "/;x", "/\\", "http://a/", "http://127.0.0.1:1/", "*"]
)
def test_no_way_leads_round_the_gate(gate: Front, behind: Recorder, path: str) -> None:
    reached = len(behind.seen)
    for method in ("GET", "HEAD", "POST", "OPTIONS", "PROPFIND"):
        found, _ = status(gate, f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert found >= 400 or (method, path) == ("OPTIONS", "*"), method
    assert len(behind.seen) == reached
