"""Load on a server: by `wrk` where it is installed, otherwise by the client of this package."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import LOAD_CORE, ROOT, pinned


@dataclass(frozen=True)
class Load:
    """What the clients do.

    :ivar path: "{n}" in it is a number, which each request counts up to `paths` and begins anew.
    :ivar connections: kept alive, one request at a time on each.
    :ivar body_bytes: of a POST; 0 for a GET.
    :ivar cookie_from: a path that sets a cookie, which all requests then bring; "" for none.
    :ivar tls: by HTTPS.
    :ivar streams: by HTTP/2, so many requests at a time on each connection; 0 for HTTP/1.1.
    :ivar calls: of gRPC, one at a time on each connection.
    :ivar talk: over WebSocket, and what kind of it (`talk.KINDS`); "" for requests.
    :ivar answer: what every answer's body must be (checked once before the load), or its length.
    """

    path: str = "/"
    paths: int = 1
    connections: int = 32
    body_bytes: int = 0
    cookie_from: str = ""
    tls: bool = False
    streams: int = 0
    talk: str = ""
    calls: bool = False
    answer: bytes | int = b"Hello, World!"

    @property
    def first(self) -> str:
        """The path of the first request."""
        return self.path.replace("{n}", "0")


@dataclass(frozen=True)
class Result:
    """What the clients saw.

    :ivar errors: connections refused or broken, time-outs, and answers other than 2xx.
    """

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int


LUA = """\
wrk.method = "{method}"
{body}
local n = 0
if {paths} > 1 then
  request = function()
    n = (n + 1) % {paths}
    return wrk.format(nil, (string.gsub("{path}", "#", n)))
  end
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"requests":%d,"seconds":%f,"p50_us":%f,"p99_us":%f,"errors":%d}}\\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status))
end
"""


def generator() -> str:
    """The name of the load generator in use."""
    return "wrk" if shutil.which("wrk") else "benchmarks.client"


def connect(port: int, load: Load) -> http.client.HTTPConnection:
    """A connection to the server, as the load makes them; certificates of benchmarks are anybody's."""
    if not load.tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)


def cookie(port: int, load: Load) -> str:
    """The value of the Cookie field that the requests of a load bring; "" for none."""
    if not load.cookie_from:
        return ""
    connection = connect(port, load)
    try:
        connection.request("GET", load.cookie_from)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    return (response.headers["Set-Cookie"] or "").partition(";")[0]


def apply(load: Load, port: int, seconds: float, folder: Path) -> Result:
    """Put `load` on a port of 127.0.0.1 for about `seconds`.

    :param folder: for the generator's own files.
    :raises RuntimeError: the generator failed.
    """
    if load.talk:
        words = [str(port), load.path, str(load.connections), str(seconds), load.talk]
        command = [sys.executable, "-m", "benchmarks.talk", *words]
    elif load.calls:
        command = [sys.executable, "-m", "benchmarks.calls", str(port), load.path, str(load.connections), str(seconds)]
    elif load.streams:
        if shutil.which("h2load") is None:
            raise RuntimeError("HTTP/2 needs h2load, which is not installed")
        words = [str(port), load.first, str(load.connections), str(seconds), str(load.streams), "tls" if load.tls else ""]
        command = [sys.executable, "-m", "benchmarks.streams", *words]
    else:
        command = generator_command(load, port, seconds, folder)
    done = subprocess.run(
        pinned(LOAD_CORE, command),
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        cwd=ROOT,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed with {done.returncode}: {done.stderr.strip()[-300:]}")
    return Result(**json.loads(done.stdout.strip().splitlines()[-1]))


def generator_command(load: Load, port: int, seconds: float, folder: Path) -> list[str]:
    """What makes a load of requests."""
    brought = cookie(port, load)
    url = f"{'https' if load.tls else 'http'}://127.0.0.1:{port}{load.first}"
    if load.tls and generator() != "wrk":
        raise RuntimeError("HTTPS needs wrk, which is not installed")
    if generator() == "wrk":
        script = folder / "load.lua"
        body = f'wrk.body = string.rep("x", {load.body_bytes})' if load.body_bytes else ""
        method, path = "POST" if load.body_bytes else "GET", load.path.replace("{n}", "#")
        script.write_text(LUA.format(method=method, body=body, paths=load.paths, path=path), "ascii")
        command = ["wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
        command += ["-H", f"Cookie: {brought}", url] if brought else [url]
    else:
        command = [sys.executable, "-m", "benchmarks.client", str(port), load.path]
        command += [str(load.connections), str(seconds), str(load.body_bytes), str(load.paths), brought]
    return command
