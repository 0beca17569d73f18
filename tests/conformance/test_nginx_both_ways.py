"""nginx before us with the directives of the documents, WebSocket included; and nginx behind us, as a member of an alias."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.sync.client import connect

from tests.conformance.conftest import program
from tests.support.dialogue import ROOT, eventually
from tests.support.ports import free_ports
from tests.support.site import Site

APP = """
    import json

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"].upper()})
        elif scope["type"] == "http":
            fields = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
            size, more = 0, True
            while more:
                message = await receive()
                size, more = size + len(message.get("body", b"")), message.get("more_body")
            said = {"client": scope["client"][0], "fields": fields, "size": size, "path": scope["path"]}
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": json.dumps(said).encode()})
"""
TEXT = b"The quick brown fox. " * 2000
BIG = os.urandom(3_000_000)

BEFORE = """
upstream backend {{
    server 127.0.0.1:{site};
    keepalive 100;
}}
server {{
    listen 127.0.0.1:{port};
    server_name shop.example.com;
    keepalive_timeout 30s;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header X-NginX-Proxy true;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "Upgrade";
    proxy_read_timeout 86400;
    location / {{
        proxy_pass http://backend;
        add_header X-Backend "an app";
        client_max_body_size 2g;
    }}
    location /assets/ {{
        alias {folder}/files/;
        expires 86400;
    }}
}}
"""
BEHIND = """
gzip on; gzip_types *; gzip_min_length 1000; gzip_proxied any;
client_max_body_size 0;
log_format how '$connection $connection_requests $server_protocol $status $http_x_forwarded_for $request_uri';
access_log access.log how;
server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem;
    root {folder}/files;
    location /upload {{ return 200 "taken\\n"; }}
    location /moved {{ return 302 /folder/; }}
    location /unavailable {{ return 503; }}
}}
"""


class Nginx:
    """One with a configuration of the test's, which it takes from its folder.

    :param servers: the text of its servers; {port}, {tls_port} and {folder} are filled in, and what `names` has.
    """

    def __init__(self, folder: Path, servers: str, **names: Any) -> None:
        folder.mkdir()
        (folder / "files" / "folder").mkdir(parents=True)
        (folder / "files" / "text.txt").write_bytes(TEXT)
        (folder / "files" / "big.bin").write_bytes(BIG)
        self.folder = folder
        self.port, self.tls_port = free_ports(2)
        certificate = trustme.CA().issue_cert("127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        paths = "".join(f"{each}_temp_path {each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = servers.format(port=self.port, tls_port=self.tls_port, folder=folder, **names)
        (folder / "nginx.conf").write_text(f"{user}daemon off;\npid pid;\nevents {{}}\nhttp {{\n{paths}{text}}}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Nginx:
        command = [program("nginx"), "-p", str(self.folder), "-c", "nginx.conf", "-e", "error.log"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        eventually(self.listens, "nginx listens")
        return self

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except ConnectionRefusedError:
            return False
        return True

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    @property
    def lines(self) -> list[list[str]]:
        """Of its access log, by words."""
        return [line.split() for line in (self.folder / "access.log").read_text().splitlines()]


SCRIPT = """\
import skitai

if __name__ == "__main__":
    {aliases}
    skitai.mount("/", "site.py", "app")
    skitai.run({options})
"""


class Between(Site):
    """A server of an app, with aliases mounted beside it.

    :param aliases: lines of the script.
    """

    def __init__(self, folder: Path, aliases: str = "pass", **options: Any) -> None:
        self.aliases = aliases
        folder.mkdir()
        super().__init__(folder, APP, keep_alive=300, **options)

    def script(self, before: str, options: str) -> str:
        return SCRIPT.format(aliases=self.aliases, options=options)

    def ask(self, path: str, method: str = "GET", body: Any = None, **fields: str) -> tuple[HTTPResponse, bytes]:  # type: ignore[override]
        client = self.client()
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        client.request(method, path, body, named)
        answer = client.getresponse()
        content = answer.read()
        client.close()
        return answer, content


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Callable[[Any], Any]]:
    """Ends what it is given, with the test."""
    made: list[Any] = []

    def keep(what: Any) -> Any:
        made.append(what)
        return what.start()

    yield keep
    for each in reversed(made):
        each.stop()


def test_the_documents_nginx_before_us(tmp_path: Path, places: Callable[[Any], Any]) -> None:
    site = places(Between(tmp_path / "site", trusted_proxies="127.0.0.1"))
    nginx = places(Nginx(tmp_path / "nginx", BEFORE, site=site.port))
    client = HTTPConnection("127.0.0.1", nginx.port, timeout=10, source_address=("127.0.0.9", 0))

    def ask(method: str, path: str, body: Any = None) -> dict[str, Any]:
        client.request(method, path, body, {"Host": "shop.example.com"})
        answer = client.getresponse()
        content = answer.read()
        assert (answer.status, answer.headers["X-Backend"]) == (200, "an app"), content
        said: dict[str, Any] = json.loads(content)
        return said

    for _ in range(20):
        said = ask("GET", "/a?b")
        assert (said["client"], said["path"], said["fields"]["host"]) == ("127.0.0.9", "/a", "shop.example.com")
    assert ask("POST", "/up", BIG)["size"] == len(BIG)
    assert ask("PUT", "/up", iter([BIG[:5], BIG[5:]]))["size"] == len(BIG)
    client.request("GET", "/assets/text.txt")
    answer = client.getresponse()
    assert (answer.read(), answer.headers["Cache-Control"]) == (TEXT, "max-age=86400")
    client.close()
    with connect(f"ws://127.0.0.1:{nginx.port}/ws", open_timeout=10) as talk:
        for number in range(50):
            talk.send(f"hello {number}")
            assert talk.recv(10) == f"HELLO {number}"
        talk.send("x" * 200_000)
        assert talk.recv(10) == "X" * 200_000
    errors = (tmp_path / "nginx" / "error.log").read_text()
    assert "[error]" not in errors, errors


def test_websocket_and_kept_connections_with_the_example(tmp_path: Path, places: Callable[[Any], Any]) -> None:
    site = places(Between(tmp_path / "site", trusted_proxies="127.0.0.1"))
    example = (ROOT / "examples" / "nginx.conf").read_text().replace("{", "{{").replace("}", "}}")
    example = example.replace("server 127.0.0.1:5000;", f"server 127.0.0.1:{site.port};")
    nginx = places(Nginx(tmp_path / "nginx", example.replace("listen 80;", "listen 127.0.0.1:{port};")))
    with connect(f"ws://127.0.0.1:{nginx.port}/ws", open_timeout=10) as talk:
        talk.send("hello")
        assert talk.recv(10) == "HELLO"
    client = HTTPConnection("127.0.0.1", nginx.port, timeout=10)
    for _ in range(5):
        client.request("GET", "/a")
        said = json.loads(client.getresponse().read())
        assert not {"connection", "upgrade"} & set(said["fields"]), "so that nginx keeps its connection"
    client.close()


def test_nginx_behind_us(tmp_path: Path, places: Callable[[Any], Any]) -> None:
    nginx = places(Nginx(tmp_path / "nginx", BEHIND))
    aliases = (
        f'skitai.alias("@files", skitai.PROTO_HTTP, "127.0.0.1:{nginx.port}")\n'
        f'    skitai.alias("@secure", skitai.PROTO_HTTPS, "127.0.0.1:{nginx.tls_port}", ssl_verify=False)\n'
        '    skitai.mount("/files", "@files")\n    skitai.mount("/secure", "@secure")'
    )
    site = places(Between(tmp_path / "site", aliases))
    for point in ("/files", "/secure"):
        answer, content = site.ask(f"{point}/text.txt")
        assert (answer.status, content) == (200, TEXT)
        tag, modified = answer.headers["ETag"], answer.headers["Last-Modified"]
        assert site.ask(f"{point}/text.txt", If_None_Match=tag)[0].status == 304
        assert site.ask(f"{point}/text.txt", If_Modified_Since=modified)[0].status == 304
        assert site.ask(f"{point}/text.txt", If_Match='"other"')[0].status == 412
        answer, content = site.ask(f"{point}/big.bin", Range="bytes=1000000-1999999")
        assert (answer.status, content) == (206, BIG[1_000_000:2_000_000])
        answer, content = site.ask(f"{point}/big.bin", Range="bytes=0-9,20-29")
        assert answer.headers.get_content_type() == "multipart/byteranges" and BIG[20:30] in content
        assert site.ask(f"{point}/big.bin", Range="bytes=9999999-")[0].status == 416
        assert site.ask(f"{point}/big.bin")[1] == BIG
        answer, content = site.ask(f"{point}/big.bin", "HEAD")
        assert (answer.headers["Content-Length"], content) == (str(len(BIG)), b"")
        answer, content = site.ask(f"{point}/text.txt", Accept_Encoding="gzip")
        assert (answer.headers["Content-Encoding"], gzip.decompress(content)) == ("gzip", TEXT)
        for body in (BIG, iter([BIG[:7], BIG[7:]])):
            assert site.ask(f"{point}/upload", "POST", body)[1] == b"taken\n"
        answer, _ = site.ask(f"{point}/moved")
        assert (answer.status, answer.headers["Location"].removeprefix(site_url(site))) == (302, f"{point}/folder/")
        answer, _ = site.ask(f"{point}/folder")
        assert answer.headers["Location"].removeprefix(site_url(site)) == f"{point}/folder/"
        assert site.ask(f"{point}/unavailable")[0].status == 503
        assert site.ask(f"{point}/nowhere")[0].status == 404
    versions = Counter(words[2] for words in nginx.lines)
    assert set(versions) == {"HTTP/1.1", "HTTP/2.0"}
    assert len({words[0] for words in nginx.lines}) < len(nginx.lines) / 3, "connections are kept"
    assert {words[4] for words in nginx.lines} == {"127.0.0.1"}
    assert "[error]" not in "".join(
        line for line in (nginx.folder / "error.log").read_text().splitlines() if "No such file" not in line
    )


def site_url(site: Site) -> str:
    return f"http://127.0.0.1:{site.port}"


def test_members_that_reload_stop_and_come_back(tmp_path: Path, places: Callable[[Any], Any]) -> None:
    """Nobody sees it: an idle connection that nginx closes is replaced, and one nginx stands in for the other."""
    members = [places(Nginx(tmp_path / name, BEHIND)) for name in ("one", "two")]
    servers = ", ".join(f'"127.0.0.1:{each.port}"' for each in members)
    aliases = f'skitai.alias("@files", skitai.PROTO_HTTP, [{servers}])\n    skitai.mount("/files", "@files")'
    site = places(Between(tmp_path / "site", aliases, backend_eject_s=0.2))
    answers: Counter[tuple[int, int]] = Counter()
    enough = threading.Event()

    def visit() -> None:
        client = site.client()
        while not enough.is_set():
            client.request("GET", "/files/text.txt")
            answer = client.getresponse()
            answers[answer.status, len(answer.read())] += 1
        client.close()

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for each in visitors:
        each.start()
    try:
        for _ in range(3):
            for member in members:
                member.reload()
            time.sleep(0.3)
        before = len(members[0].lines)
        members[0].stop()
        time.sleep(0.5)
        members[0].start()
        eventually(lambda: len(members[0].lines) > before + 10, "it is asked again")
    finally:
        enough.set()
        for each in visitors:
            each.join(10)
    assert set(answers) == {(200, len(TEXT))}, answers
    for member in members:
        member.stop()
    assert site.ask("/files/text.txt")[0].status == 502
    assert site.ask("/own")[0].status == 200
