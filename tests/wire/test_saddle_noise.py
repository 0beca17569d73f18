"""Whatever clients send, a Saddle app that is right itself never answers with a 5xx."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

import pytest

from skitai.saddle import Saddle, Was
from tests.support.memory import mounted, wire

REQUESTS = 400

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
QUERIES = ("q=nan&l=1&l=x", "a=1&a=2", "b=yes&q=1e400", "int:a=1", "p=1&b=%00", "=&&=")
TYPES = (
    "application/json",
    "application/json; charset=zz",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "text/xml",
    "application/json-rpc",
    "text/plain",
    "a/b;;=",
    "\xff",
)
BODIES = (
    b"",
    b'{"a":' * 30,
    b"[1]",
    b'{"point": {"x": "wide"}}',
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n--x--',
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="../../a"\r\n\r\nv\r\n--x--\r\n',
    b"--x\r\nno field\r\n\r\n",
    b"a=1&b=%ff&c",
    b'<?xml version="1.0"?><methodCall><methodName>form</methodName></methodCall>',
    b'{"jsonrpc": "2.0", "method": "form", "id": 1}',
    b"\xff\xfe\x00",
)


@dataclass
class Point:
    x: int
    y: str = ""


@pytest.fixture
def app() -> Saddle:
    app = Saddle(__name__)
    app.securekey = "s" * 32
    app.users = {"somebody": "something"}

    @app.route("/<int:n>")
    def number(was: Was, n: int, q: float = 1.0, l: list[int] | None = None, b: bool = False) -> Any:  # noqa: E741
        return [n, str(q), l, b, str(was.request.args)]

    @app.route("/text/<name>/<path:rest>")
    def text(was: Was, name: str, rest: str, **more: Any) -> Any:
        return {"name": name, "rest": rest, "more": [str(each) for each in more]}

    @app.route("/point")
    def point(was: Was, point: Point | None = None) -> str:
        return str(point)

    @app.route("/form")
    async def form(was: Was, **fields: Any) -> Any:
        was.session.get("a")
        was.mbox.get()
        was.csrf_verify()
        return {name: str(value) for name, value in fields.items()} | dict(was.cookie)

    @app.route("/raw")
    def raw(was: Was) -> bytes:
        return was.request.body

    for scheme in ("basic", "digest", "bearer"):
        app.route(f"/{scheme}", authenticate=scheme, name=scheme)(lambda was: "in")
    return app


class Noise:
    """Requests that follow the grammar of HTTP, and nothing else."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def junk(self, size: int) -> bytes:
        signs = b"abc123/%&=;,.:\"'<>[]{}\x80\xff\\+-_ \t?#"
        return bytes(self._random.choice(signs) for _ in range(self._random.randrange(size)))

    def path(self) -> str:
        known = ("/1", "/text/a/b", "/point", "/form", "/raw", "/basic", "/digest", "/bearer", "/%2e%2e/%00", "//", "/1/")
        made = f"/text/{quote_from_bytes(self.junk(6))}/{quote_from_bytes(self.junk(9))}"
        return self._random.choice((*known, made)) + self._random.choice(("", "?" + self._random.choice(QUERIES)))

    def fields(self) -> dict[str, str]:
        word = self.junk(9).hex()
        proof = ", ".join(f'{name}="{word}"' for name in ("username", "realm", "nonce", "uri", "response", "cnonce", "nc"))
        scheme = self._random.choice(
            (f"Digest {proof}", "Digest =", "Basic !!!", "Basic dTpw", "Bearer a.b.c", "Bearer", "x")
        )
        every = {
            "Cookie": f"sdlsess_={word}; sdlmbox_=gAAAA{word}; x={quote_from_bytes(self.junk(9))}",
            "Authorization": scheme,
            "Origin": self._random.choice(("null", "http://a", "x")),
            "Accept": self._random.choice(("text/xml", "application/json", "*/*;q=x")),
            "Content-Encoding": self._random.choice(("gzip", "br", "x")),
            "X-Forwarded-For": "1.2.3.4, x",
            "Range": "bytes=0-",
            "Content-Type": self._random.choice(TYPES),
        }
        return {name: value for name, value in every.items() if self._random.random() < 0.4}

    def request(self) -> bytes:
        body = self._random.choice((*BODIES, self.junk(60)))
        lines = [f"{self._random.choice(METHODS)} {self.path()} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.fields().items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_the_clients_fault(app: Saddle, seed: int) -> None:
    noise = Noise(seed)
    statuses: Counter[int] = Counter()
    with wire(mounted("/", app), kind="saddle", threads=2) as server:
        client = server.connect()
        for _ in range(REQUESTS):
            request = noise.request()
            status, fields, _ = client.ask(request)
            assert status < 500, request
            statuses[status] += 1
            if fields.get("connection") == "close":
                client.close()
                client = server.connect()
    assert {200, 400, 401, 403, 404, 415} <= statuses.keys()
