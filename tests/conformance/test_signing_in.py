"""curl and Python's own clients sign in at a Saddle app of several workers, by every scheme."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    ProxyHandler,
    build_opener,
)

import pytest

from skitai.http import authorization as http
from skitai.lib.jwt import gen_token
from skitai.testing import launch
from skitai.testing.launch import Launch
from tests.support.visitor import digest

KEY = "a long random text that nobody can guess"

SCRIPT = f"""
import os
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)
app.securekey = {KEY!r}
app.realm = "a place"
app.users = {{
    "plain": "open sesame",
    "md5": ({hashlib.md5(b"md5:a place:open sesame").hexdigest()!r}, True),
    "jürgen": ("pässword", False),
}}

@app.route("/digest", methods=["GET", "POST"])
@app.authorization_required("digest")
def digest(was, **args):
    return f"{{was.user.name}} {{os.getpid()}} {{was.request.args.get('a')}}"

@app.route("/only/basic", authenticate="basic")
def only_basic(was):
    return was.user.name

@app.route("/bearer", authenticate="bearer")
def bearer(was):
    return was.user.name

@app.route("/visits")
def visits(was):
    was.session["visits"] = was.session.get("visits", 0) + 1
    return f"{{was.session['visits']}} {{os.getpid()}}"

@app.route("/flash")
def flash(was):
    was.mbox.send("seen once")
    return was.redirect("/shown")

@app.route("/shown")
def shown(was):
    return " ".join(each.msg for each in was.mbox.get()) or "nothing"

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(workers=2, threads=2)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    script = tmp_path_factory.mktemp("site") / "app.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with launch(script, port=0) as engine:
        yield engine


def url(site: Launch, path: str) -> str:
    return f"http://127.0.0.1:{site.port}{path}"


def curl(*arguments: str | Path) -> str:
    command = ["curl", "-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


STATUS = ("--write-out", " %{http_code}")


def test_curl_basic(site: Launch) -> None:
    assert curl("--basic", "--user", "plain:open sesame", url(site, "/only/basic")) == "plain"
    assert curl("--basic", "--user", "md5:open sesame", url(site, "/only/basic")) == "md5"
    assert curl("--basic", "--user", "jürgen:pässword", url(site, "/only/basic")) == "jürgen"
    assert curl("--basic", "--user", "plain:wrong", *STATUS, url(site, "/only/basic")).endswith(" 401")


@pytest.mark.parametrize("scheme", ["--digest", "--anyauth"])
@pytest.mark.parametrize("user", ["plain:open sesame", "jürgen:pässword", "md5:open sesame"])
def test_curl_digest(site: Launch, scheme: str, user: str) -> None:
    name = user.partition(":")[0]
    for _ in range(4):
        assert curl(scheme, "--user", user, url(site, "/digest?a=b%20c")).startswith(f"{name} ")
        assert curl(scheme, "--user", user, "--data", "a=given", url(site, "/digest")).endswith(" given")


def test_curl_digest_many_at_once(site: Launch) -> None:
    said = curl(
        "--digest", "--user", "plain:open sesame", "--parallel", "--parallel-max", "8", url(site, "/digest?a=[1-40]")
    )
    assert said.count("plain ") == 40


def test_curl_digest_wrong(site: Launch) -> None:
    for user in ("plain:wrong", "md5:wrong", "nobody:open sesame"):
        assert curl("--digest", "--user", user, *STATUS, url(site, "/digest")).endswith(" 401")


def test_curl_bearer(site: Launch) -> None:
    token = gen_token(KEY, {"username": "hans"})
    assert curl("--oauth2-bearer", token, url(site, "/bearer")) == "hans"
    assert curl("--oauth2-bearer", token[:-3], *STATUS, url(site, "/bearer")).endswith(" 401")


def test_curl_keeps_a_session(site: Launch, tmp_path: Path) -> None:
    jar = ("--cookie-jar", tmp_path / "jar", "--cookie", tmp_path / "jar")
    said = [curl(*jar, url(site, "/visits")).split() for _ in range(12)]
    assert [count for count, _ in said] == [str(count) for count in range(1, 13)]
    assert curl("--location", *jar, url(site, "/flash")) == "seen once"
    assert curl(*jar, url(site, "/shown")) == "nothing"


@pytest.mark.parametrize("user", ["plain", "md5"])
def test_requests(site: Launch, user: str) -> None:
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(url(site, "/only/basic"), auth=(user, "open sesame")).text == user
        session.auth = requests.auth.HTTPDigestAuth(user, "open sesame")
        for connection in ("keep-alive", "close") * 10:  # the latter come to any worker, and ask twice at most
            assert session.get(url(site, "/digest?a=1"), headers={"Connection": connection}).text.startswith(user)
        assert [session.get(url(site, "/visits"), auth=("", "")).text[0] for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("user", ["plain", "md5"])
def test_httpx(site: Launch, user: str) -> None:
    httpx = pytest.importorskip("httpx")
    with httpx.Client(trust_env=False) as client:
        assert client.get(url(site, "/only/basic"), auth=(user, "open sesame")).text == user
        auth = httpx.DigestAuth(user, "open sesame")
        for _ in range(10):
            assert client.get(url(site, "/digest?a=1"), auth=auth).text.startswith(user)


def test_all_workers_know_which_digests_were_used(site: Launch) -> None:
    def ask(field: str = "") -> tuple[int, list[str]]:
        client = HTTPConnection("127.0.0.1", site.port, timeout=10)
        with closing(client):
            client.request("GET", "/digest", headers={"Authorization": field, "Connection": "close"})
            answer = client.getresponse()
            return answer.status, answer.headers.get_all("WWW-Authenticate", [])

    _, (offered, *_) = ask()
    challenge = http.parameters(offered.partition(" ")[2]) or {}
    for count in range(1, 5):
        field = digest(challenge, "plain", "open sesame", "/digest", count)
        assert sorted(ask(field)[0] for _ in range(12)) == [200] + [401] * 11


def test_urllib(site: Launch) -> None:
    for handler in (HTTPBasicAuthHandler, HTTPDigestAuthHandler):
        passwords: Any = HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, url(site, "/"), "plain", "open sesame")
        opener = build_opener(ProxyHandler({}), handler(passwords))
        with opener.open(url(site, "/only/basic" if handler is HTTPBasicAuthHandler else "/digest"), timeout=10) as answer:
            assert answer.read().startswith(b"plain")
    with pytest.raises(HTTPError, match="401"):
        build_opener(ProxyHandler({})).open(url(site, "/digest"), timeout=10)
