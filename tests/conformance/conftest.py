"""The site that other people's programs visit, and nginx before it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import browser, page, pair
from tests.support.dialogue import ROOT, eventually, open_folder
from tests.support.ports import free_ports
from tests.support.site import Site

__all__ = ["browser", "open_folder", "page", "pair"]  # fixtures

BIG = os.urandom(2_000_000)
TEXT = "It was the best of times, it was the worst of times. " * 400

SCRIPT = """\
import skitai

if __name__ == "__main__":
    skitai.mount("/", "site.py", "app")
    skitai.mount("/static", "static")
    skitai.run({options})
"""

APP = f"""
    import hashlib, json

    VERSION = "one"
    TEXT = {TEXT!r}.encode()

    def app(environ, start_response):
        path, body = environ["PATH_INFO"], environ["wsgi.input"]
        if path == "/text":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(TEXT)))])
            return [TEXT]
        if path == "/pieces":
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return (bytes([number % 256]) * 10_000 for number in range(200))
        if path == "/upload":
            said = digest(body)
        elif path == "/who":
            said = {{"client": environ["REMOTE_ADDR"], "scheme": environ["wsgi.url_scheme"], "host": environ["HTTP_HOST"]}}
        elif path == "/version":
            said = VERSION
        else:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"nothing here"]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(said).encode()]

    def digest(body):
        sha, size = hashlib.sha256(), 0
        for piece in iter(lambda: body.read(65536), b""):
            sha.update(piece)
            size += len(piece)
        return {{"sha256": sha.hexdigest(), "size": size}}
"""


class Visited(Site):
    """A site of an app and a static folder."""

    def __init__(self, folder: Path, app: str, pref: str = "", **options: Any) -> None:
        super().__init__(folder, app, pref, **options)
        (folder / "static").mkdir()
        (folder / "static" / "big.bin").write_bytes(BIG)

    def script(self, before: str, options: str) -> str:
        return SCRIPT.format(options=options)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Nginx:
    """The example's nginx before a site, on ports of its own, with TLS and without.

    :ivar port: of plain HTTP.
    :ivar tls_port: of HTTPS, with a certificate that nobody vouches for.
    """

    def __init__(self, site: Visited, folder: Path) -> None:
        self.port, self.tls_port = free_ports(2)
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "nginx.conf").write_text(self._configuration(site))

    def _configuration(self, site: Visited) -> str:
        """The example as it stands, but for places and ports."""
        example = (ROOT / "examples" / "nginx.conf").read_text()
        tls = f"listen 127.0.0.1:{self.tls_port} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;"
        for ours, here in (
            ("server 127.0.0.1:5000;", f"server 127.0.0.1:{site.port};"),
            ("listen 80;", f"listen 127.0.0.1:{self.port}; {tls}"),
            ("alias /srv/example/static/;", f"alias {site.folder}/static/;"),
        ):
            assert ours in example
            example = example.replace(ours, here)
        user = "user root;\n" if os.geteuid() == 0 else ""  # pytest's folders are closed to others
        paths = "".join(f"{name}_temp_path {name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"{user}daemon off;\npid pid;\nevents {{}}\nhttp {{\naccess_log access.log;\n{paths}{example}}}\n"

    def start(self) -> Nginx:
        certificate = (
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=www.example.com"
        )
        subprocess.run(certificate.split(), cwd=self.folder, check=True, capture_output=True, timeout=30)
        command = [program("nginx"), "-p", str(self.folder), "-c", "nginx.conf", "-e", "error.log"]
        subprocess.run([*command, "-t", "-q"], check=True, timeout=10)
        self._process = subprocess.Popen(command)
        eventually(self._listens, "nginx listens")
        return self

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except ConnectionRefusedError:
            return False
        return True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def complaints(self) -> list[str]:
        """The errors in its log."""
        lines = (self.folder / "error.log").read_text().splitlines()
        return [line for line in lines if re.search(r"\[(error|crit|alert|emerg)\]", line)]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)


def program(name: str) -> str:
    """Where a program is; /usr/sbin is not on everybody's path."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"{name} is missing; make conformance installs it or says which package has it"
    return found


@pytest.fixture
def behind_nginx(tmp_path: Path) -> Iterator[Callable[..., tuple[Visited, Nginx]]]:
    """Makes a site with nginx before it; both are ended with the test."""
    made: list[Visited | Nginx] = []

    def make(**options: Any) -> tuple[Visited, Nginx]:
        for name in ("site", "nginx"):
            (tmp_path / name).mkdir()
        site = Visited(tmp_path / "site", APP, keep_alive=300, **options)
        made.append(site)
        site.start()
        nginx = Nginx(site, tmp_path / "nginx")
        made.append(nginx)
        return site, nginx.start()

    yield make
    for each in reversed(made):
        each.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    """One site for all tests of a file."""
    site = Visited(tmp_path_factory.mktemp("site"), APP, workers=2)
    try:
        site.start()
        yield site
    finally:
        site.stop()
