"""The servers of the comparison: how each is started for an app. All on 127.0.0.1, one worker unless said otherwise."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir

from benchmarks.processes import LOAD_CORE, ROOT, SERVER_CORE, Absent, Running, free_port
from skitai.net.x509 import make_self_signed, write_pair

APPS = ROOT / "benchmarks" / "apps"
STATIC = Path(gettempdir()) / "skitai-bench-static"
OURS = "skitai"


@dataclass(frozen=True)
class Place:
    """Where one start of a server happens.

    :ivar folder: for its files.
    :ivar behind: the port of the server that it is a proxy for; 0 for none.
    """

    port: int
    folder: Path
    behind: int = 0


@dataclass(frozen=True)
class Contender:
    """A server and the way it is started here.

    :ivar name: in the tables.
    :ivar needs: the Python module or, with a leading "!", the program that it cannot do without.
    :ivar command: may write files into the place's folder.
    :ivar behind: what it is a proxy for, None for none: it runs on the core of the load, and does not count. Its port is in
        the environment as BENCH_BEHIND, too.
    """

    name: str
    needs: str
    command: Callable[[Place], list[str]]
    env: dict[str, str] = field(default_factory=dict)
    behind: Contender | None = None

    @property
    def ours(self) -> bool:
        return self.name.startswith(OURS)

    def why_absent(self) -> str:
        """Why it cannot run here, or ""."""
        if self.needs.startswith("!"):
            return "" if program(self.needs[1:]) else f"{self.needs[1:]} is not installed"
        return "" if importlib.util.find_spec(self.needs) else f"{self.needs} is not installed"

    @contextmanager
    def start(self, folder: Path, core: int = SERVER_CORE) -> Iterator[Running]:
        """A server on a free port, with the one behind it; both end with the context.

        :raises Absent: it is not installed.
        """
        if why := self.why_absent():
            raise Absent(why)
        if self.behind is None:
            place = Place(free_port(), folder)
            with Running(self.command(place), place.port, folder / "output.log", self.env, ROOT, core) as running:
                yield running
            return
        (folder / "behind").mkdir()
        with self.behind.start(folder / "behind", LOAD_CORE) as behind:
            place, env = Place(free_port(), folder, behind.port), self.env | {"BENCH_BEHIND": str(behind.port)}
            with Running(self.command(place), place.port, folder / "output.log", env, ROOT, core) as running:
                running.behind = behind.port
                yield running


def program(name: str) -> str:
    """Path of a program: of this virtual environment, of the system, or "". Debian keeps nginx out of a user's path."""
    return (
        shutil.which(str(Path(sys.executable).parent / name))
        or shutil.which(name)
        or shutil.which(f"/usr/sbin/{name}")
        or ""
    )


def skitai(mount: str, *flags: str, name: str = OURS) -> Contender:
    """This server with its request log on.

    :param mount: "file.py:app" of the apps' folder, or an absolute folder.
    """

    def command(place: Place) -> list[str]:
        var, log = place.folder / "var", place.folder / "log"
        paths = ["--varpath", str(var), "--logpath", str(log)]
        return [sys.executable, str(APPS / "ours.py"), "--port", str(place.port), *paths, *flags]

    return Contender(name, "skitai.api", command, {"BENCH_MOUNT": mount})


def certificate(place: Place) -> tuple[str, str]:
    """Files of a certificate for this machine and of its key (elliptic curve P-256, as one would take)."""
    files = str(place.folder / "server.crt"), str(place.folder / "server.key")
    write_pair(*files, make_self_signed(["localhost", "127.0.0.1"], 1, datetime.now(UTC)))
    return files


def secured(plain: Contender, certfile: str, keyfile: str, name: str = "") -> Contender:
    """The same server by HTTPS.

    :param certfile: its flag for that; likewise `keyfile`.
    """

    def command(place: Place) -> list[str]:
        files = certificate(place)
        return [*plain.command(place), certfile, files[0], keyfile, files[1]]

    return replace(plain, name=name or plain.name, command=command)


def granian(interface: str, app: str, *flags: str, name: str = "granian") -> Contender:
    def command(place: Place) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(place.port)]
        return [sys.executable, "-m", "granian", "--interface", interface, *where, *flags, app]

    return Contender(name, "granian", command)


def uvicorn(app: str, *flags: str, name: str = "uvicorn") -> Contender:
    def command(place: Place) -> list[str]:
        return [sys.executable, "-m", "uvicorn", "--port", str(place.port), *flags, app]

    return Contender(name, "uvicorn", command)


def hypercorn(app: str, *flags: str, name: str = "hypercorn") -> Contender:
    def command(place: Place) -> list[str]:
        return [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{place.port}", *flags, app]

    return Contender(name, "hypercorn", command)


def gunicorn(app: str, *flags: str, threads: int = 4, name: str = "gunicorn gthread") -> Contender:
    def command(place: Place) -> list[str]:
        kind = ["--worker-class", "gthread", "--threads", str(threads)] if threads else []
        return [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{place.port}", *kind, *flags, app]

    return Contender(name, "gunicorn", command)


def uwsgi(*flags: str, app: str = "", threads: int = 4, router: bool = False) -> Contender:
    """uWSGI speaking HTTP/1.1 itself (each connection then holds a thread), or behind its own HTTP router."""

    def command(place: Place) -> list[str]:
        where = f"127.0.0.1:{place.port}"
        listen = ["--http", where, "--http-keepalive"] if router else ["--http11-socket", where]
        run = ["--module", app, "--threads", str(threads)] if app else []
        # For an app to be found in the virtual environment whatever Python the wheel was built in.
        venv = ["--virtualenv", sys.prefix] if sys.prefix != sys.base_prefix else []
        return [program("uwsgi"), "--master", *listen, *run, *venv, "--pythonpath", str(ROOT), "--die-on-term", *flags]

    return Contender("uwsgi http router" if router else "uwsgi", "!uwsgi", command)


def bjoern(app: str) -> Contender:
    def command(place: Place) -> list[str]:
        return [sys.executable, "-m", "benchmarks.apps.bjoern_server", app, str(place.port)]

    return Contender("bjoern", "bjoern", command)


def script(name: str, needs: str = "") -> Contender:
    """A library whose server is a file of that name among our apps.

    :param needs: its module, where that has another name.
    """

    def command(place: Place) -> list[str]:
        return [sys.executable, "-m", f"benchmarks.apps.{name}_server", str(place.port)]

    return Contender(name.replace("_", " "), needs or name, command)


def waitress(app: str, threads: int = 4) -> Contender:
    def command(place: Place) -> list[str]:
        return [sys.executable, "-m", "waitress", "--listen", f"127.0.0.1:{place.port}", "--threads", str(threads), app]

    return Contender("waitress", "waitress", command)


NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 15000; }}
http {{
  include /etc/nginx/mime.types;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 10000000;
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=shared:10m;
  upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 10000000; }}
  server {{
    {listen}
    location / {{ {location} }}
  }}
}}
"""


def nginx(location: str, name: str = "nginx", tls: bool = False) -> Contender:
    """nginx with a configuration of its own, its access log on as by default."""

    def command(place: Place) -> list[str]:
        config = place.folder / "nginx.conf"
        listen = f"listen 127.0.0.1:{place.port};"
        if tls:
            files = certificate(place)
            listen = f"listen 127.0.0.1:{place.port} ssl http2; ssl_certificate {files[0]}; ssl_certificate_key {files[1]};"
        text = NGINX.format(folder=place.folder, listen=listen, location=location, behind=place.behind or 1)
        config.write_text(text, "utf-8")
        place.folder.chmod(0o755)  # its worker is another user when we are root
        if place.folder.name == "behind":
            place.folder.parent.chmod(0o755)
        return [program("nginx"), "-p", str(place.folder), "-c", str(config), "-e", str(place.folder / "error.log")]

    return Contender(name, "!nginx", command)


ORIGIN = nginx(
    'default_type text/plain; return 200 "Hello, World!"; '
    f'location /static/ {{ root {STATIC}; add_header Cache-Control "max-age=3600"; }}',
    name="the server behind",
)
PASSING = 'proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";'


def proxy_skitai(*flags: str, name: str = OURS) -> Contender:
    """This server as a proxy for an nginx."""
    return replace(skitai("@behind", *flags, name=name), behind=ORIGIN)


def proxy_nginx(name: str = "nginx", cached: bool = False) -> Contender:
    return replace(nginx(f"{PASSING} proxy_cache shared;" if cached else PASSING, name), behind=ORIGIN)


def proxy_fastapi() -> Contender:
    """What one writes by hand: a route of FastAPI that asks by httpx."""
    return replace(uvicorn("benchmarks.apps.fastapi_proxy:app", name="fastapi httpx"), behind=ORIGIN)


def forward_skitai() -> Contender:
    """This server as a forward proxy."""
    return replace(skitai("@forward"), behind=ORIGIN)


def forward_by_hand() -> Contender:
    return replace(script("tunnel", "uvloop"), name="by hand on uvloop", behind=ORIGIN)


def versions() -> dict[str, str]:
    """What was measured, by name; "absent" for what is not here."""
    found = {}
    for name in (
        "skitai",
        "granian",
        "uvicorn",
        "uvloop",
        "gunicorn",
        "hypercorn",
        "pyuwsgi",
        "bjoern",
        "waitress",
        "flask",
        "fastapi",
        "httpx",
        "websockets",
        "picows",
    ):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    if path := program("nginx"):
        said = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=5, check=False).stderr
        number = re.search(r"nginx/([\d.]+)", said)
        found["nginx"] = number[1] if number else "?"
    else:
        found["nginx"] = "absent"
    return found
