"""A client that keeps cookies and signs in, on the wire of `tests.support.memory`."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from skitai.http import authorization as http
from tests.support.memory import Wire


@dataclass
class Answer:
    """A response; names of fields in lower case."""

    status: int
    fields: list[tuple[str, str]]
    body: str

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each == name]

    def get(self, name: str) -> str:
        return ", ".join(self.all(name))


@dataclass
class Visitor:
    """Asks one server again and again.

    :ivar cookies: by name, whatever their paths.
    """

    server: Wire
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, target: str, body: str = "", **fields: str) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: example"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        client = self.server.connect()
        client.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1"))
        head = client.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in head[1:-2])]
        answer = Answer(int(head[0].split()[1]), pairs, "")
        if method != "HEAD":
            answer.body = client.exactly(int(answer.get("content-length") or 0)).decode()
        for said in answer.all("set-cookie"):
            name, _, value = said.partition(";")[0].partition("=")
            if "expires=Thu, 01 Jan 1970" in said:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def get(self, target: str = "/", **fields: str) -> Answer:
        return self.ask("GET", target, **fields)

    def post(self, target: str, form: dict[str, str], **fields: str) -> Answer:
        return self.ask("POST", target, urlencode(form), Content_Type="application/x-www-form-urlencoded", **fields)


Start = Callable[..., Visitor]
"""Serves an app, at a point if wanted and with options, and comes to it."""


def basic(user: str, password: str) -> str:
    """The value of an Authorization field."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def challenges(answer: Answer) -> list[dict[str, str]]:
    """What the Digest challenges of an answer say."""
    found = []
    for each in answer.all("www-authenticate"):
        scheme, rest = http.split(each)
        assert scheme == "digest"
        found.append(http.parameters(rest) or {})
    return found


def digest(
    challenge: dict[str, str], user: str, password: str, uri: str, count: int = 1, /, method: str = "GET", **changes: str
) -> str:
    """The answer to a challenge, as the value of an Authorization field.

    :param changes: parameters that shall say something else than they should.
    """
    given = {
        "realm": challenge["realm"],
        "nonce": challenge["nonce"],
        "algorithm": challenge.get("algorithm", "MD5"),
        "uri": uri,
        "qop": "auth",
        "nc": f"{count:08x}",
        "cnonce": os.urandom(8).hex(),
        "username": user.encode().decode("latin-1"),
    } | {name: value for name, value in changes.items() if name != "response"}
    secret = http.secret_hash(given["algorithm"], user, given["realm"], password)
    given["response"] = changes.get("response", http.digest(given["algorithm"], secret, method, given))
    return "Digest " + ", ".join(
        f"{name}={value}" if name in ("qop", "nc", "algorithm") else f'{name}="{value}"' for name, value in given.items()
    )
