"""Servers of others, in processes of their own, that the HTTP client asks: each is started with one ASGI app, or files."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.support.ports import free_port

PATIENCE_S = 30.0

APP = """
import asyncio, hashlib


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("only HTTP")
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/never":
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        await asyncio.sleep(3600)
    if scope["path"] == "/pieces":
        for number in range(100):
            await send({"type": "http.response.body", "body": bytes([number]) * 20000, "more_body": True})
        said = b""
    else:
        said = f"{scope['method']} {scope['http_version']} {len(body)} {hashlib.md5(body).hexdigest()}".encode()
    await send({"type": "http.response.body", "body": said})
"""


@dataclass
class Running:
    """A server.

    :ivar scheme: "https" where it has a certificate of the tests' authority.
    """

    port: int
    scheme: str
    command: list[str]
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        with (self.folder / "output.log").open("ab") as out:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=out, stderr=out, start_new_session=True)
        end = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert time.monotonic() < end and self.process.poll() is None, (self.folder / "output.log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """All of it, without a good-bye."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)
            self.process = None


@contextlib.contextmanager
def server_of(name: str, folder: Path, by: trustme.CA) -> Iterator[Running]:
    """Start one of "granian", "granian h2c", "hypercorn", "nginx", the latter with a file of 1 MB at /big.

    :param by: who vouches for it.
    """
    port = free_port()
    (folder / "plain.py").write_text(APP)
    certificate = by.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    where = ["--host", "127.0.0.1", "--port", str(port)]
    scheme = "https"
    match name:
        case "granian" | "granian h2c":
            command = [sys.executable, "-m", "granian", "--interface", "asgi", *where, "plain:app"]
            if name == "granian":
                command += ["--ssl-certificate", "cert.pem", "--ssl-keyfile", "key.pem"]
            else:
                scheme = "http"
        case "hypercorn":
            tls = ["--certfile", "cert.pem", "--keyfile", "key.pem"]
            command = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", *tls, "plain:app"]
        case _:
            (folder / "big").write_bytes(b"0123456789abcdef" * 65536)
            user = "user root;\n" if os.geteuid() == 0 else ""
            paths = "".join(f"{each}_temp_path {each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            (folder / "nginx.conf").write_text(
                f"{user}daemon off; master_process off;\npid pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}"
                f"server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem;\n"
                f"root {folder}; gzip on; gzip_types *; gzip_min_length 1; }} }}\n"
            )
            command = ["/usr/sbin/nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
    running = Running(port, scheme, command, folder)
    try:
        running.start()
        yield running
    finally:
        running.kill()
