"""nginx behind a mounted alias, and another one before it: files, ranges, conditions, uploads, HTTP/2 by curl."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import BIG, TEXT, program
from tests.support.dialogue import Served, eventually
from tests.support.ports import free_ports

SCRIPT = """\
import skitai

if __name__ == "__main__":
    skitai.alias("@files", skitai.PROTO_HTTP, "127.0.0.1:{behind}")
    pref = skitai.pref()
    pref.config.max_post_body_size = "100m"
    skitai.mount("/files", "@files", pref=pref)
    skitai.run({options})
"""

NGINX = """\
{user}daemon off;
pid pid;
events {{}}
http {{
    access_log off;
    {paths}
    client_max_body_size 100m;
    server {{
        listen 127.0.0.1:{behind};
        root {folder}/www;
        gzip on;
        gzip_types text/plain;
        gzip_proxied any;
        location /moved {{ return 302 /text.txt; }}
        location /away {{ return 302 https://elsewhere.example/; }}
        location /store/ {{ root {folder}; dav_methods PUT DELETE; create_full_put_path on; }}
        location /who {{ return 200 "$remote_addr $http_x_forwarded_for $http_x_forwarded_proto $host $http_connection"; }}
    }}
    server {{
        listen 127.0.0.1:{before};
        location / {{
            proxy_pass http://127.0.0.1:{middle};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""


class Middle(Served):
    """Skitai between both."""

    def __init__(self, folder: Path, behind: int, **options: Any) -> None:
        self._behind = behind
        super().__init__(folder, engine="auto", keep_alive=5, **options)

    def write_script(self, before: str = "", **options: Any) -> None:
        given = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        (self.folder / "app.py").write_text(SCRIPT.format(behind=self._behind, options=given))


@dataclass
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes


@dataclass
class Chain:
    """:ivar port: of Skitai itself.
    :ivar front: of nginx before it.
    """

    port: int
    front: int
    folder: Path

    def ask(self, method: str, path: str, body: Any = None, front: bool = False, **fields: str) -> Answer:
        client = HTTPConnection("127.0.0.1", self.front if front else self.port, timeout=20)
        try:
            client.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
            answer = client.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            client.close()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    www = folder / "www"
    www.mkdir()
    (www / "big.bin").write_bytes(BIG)
    (www / "text.txt").write_text(TEXT)
    behind, before = free_ports(2)
    middle = Middle(folder, behind, trusted_proxies="127.0.0.1", workers=1)
    middle.start()
    user = "user root;\n" if os.geteuid() == 0 else ""
    paths = "".join(f"{name}_temp_path {name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    places = {"behind": behind, "before": before, "middle": middle.port, "folder": folder}
    (folder / "nginx.conf").write_text(NGINX.format(user=user, paths=paths, **places))
    process = subprocess.Popen([program("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"])
    try:
        made = Chain(middle.port, before, folder)
        eventually(lambda: answers(made), "nginx answers")
        yield made
    finally:
        process.terminate()
        process.wait(10)
        middle.stop()


def answers(chain: Chain) -> bool:
    try:
        return chain.ask("GET", "/files/text.txt", front=True).status == 200
    except OSError:
        return False


both = pytest.mark.parametrize("front", [False, True], ids=["alone", "behind nginx"])


@both
def test_files_whole_and_in_parts(chain: Chain, front: bool) -> None:
    whole = chain.ask("GET", "/files/big.bin", front=front)
    tag = whole.headers["ETag"]
    assert whole.body == BIG and whole.headers["Accept-Ranges"] == "bytes"
    part = chain.ask("GET", "/files/big.bin", front=front, Range="bytes=1000-1999")
    assert part.status == 206 and part.body == BIG[1000:2000]
    several = chain.ask("GET", "/files/big.bin", front=front, Range="bytes=0-9,100-109")
    assert several.status == 206 and BIG[100:110] in several.body
    assert chain.ask("GET", "/files/big.bin", front=front, Range="bytes=9000000-").status == 416
    assert chain.ask("GET", "/files/big.bin", front=front, If_None_Match=tag).status == 304
    assert chain.ask("GET", "/files/big.bin", front=front, If_Match='"x"').status == 412
    head = chain.ask("HEAD", "/files/big.bin", front=front)
    assert (head.headers["Content-Length"], head.body) == (str(len(BIG)), b"")


@both
def test_what_is_compressed_stays_so(chain: Chain, front: bool) -> None:
    answer = chain.ask("GET", "/files/text.txt", front=front, Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip" and len(answer.body) < len(TEXT)
    assert chain.ask("GET", "/files/text.txt", front=front).body.decode() == TEXT


@both
def test_uploads(chain: Chain, front: bool) -> None:
    data = BIG * 5
    assert chain.ask("PUT", "/files/store/whole", data, front=front).status in (201, 204)
    assert chain.ask("PUT", "/files/store/pieces", iter([data[:70000], data[70000:]]), front=front).status in (201, 204, 411)
    assert hashlib.sha256((chain.folder / "store" / "whole").read_bytes()).digest() == hashlib.sha256(data).digest()
    assert chain.ask("DELETE", "/files/store/whole", front=front).status == 204


def test_locations(chain: Chain) -> None:
    assert chain.ask("GET", "/files/moved").headers["Location"] == "/files/text.txt"
    assert chain.ask("GET", "/files/away").headers["Location"] == "https://elsewhere.example/"


@both
def test_who_asks(chain: Chain, front: bool) -> None:
    said = chain.ask("GET", "/files/who", front=front, X_Forwarded_For="203.0.113.9").body.decode().split(" ")
    # 127.0.0.1 is trusted, so what it says of clients before it is passed on
    proto = "https" if front else "http"
    assert said[0] == "127.0.0.1" and said[-3:] == [proto, "127.0.0.1", ""]
    assert " ".join(said[1:-3]) == "203.0.113.9, 127.0.0.1" + (", 127.0.0.1" if front else "")


def test_curl_over_http2(chain: Chain) -> None:
    command = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", "20", "-w", "%{http_version} %{http_code}", "-o"]
    target = str(chain.folder / "got")
    seen = subprocess.run(
        [*command, target, f"http://127.0.0.1:{chain.port}/files/big.bin"], capture_output=True, check=True
    )
    assert seen.stdout == b"2 200" and Path(target).read_bytes() == BIG
    sent = [*command, target, "-T", str(chain.folder / "www" / "big.bin"), f"http://127.0.0.1:{chain.port}/files/store/curl"]
    assert subprocess.run(sent, capture_output=True, check=True).stdout in (b"2 201", b"2 204")
    assert (chain.folder / "store" / "curl").read_bytes() == BIG


def test_nginx_has_nothing_to_complain_about(chain: Chain) -> None:
    lines = (chain.folder / "error.log").read_text().splitlines()
    assert [line for line in lines if "[crit]" in line or "[alert]" in line or "[emerg]" in line] == []
