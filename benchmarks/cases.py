"""The cases: which servers run which app under which load, and what is to be reached.

Every case names a reference; ratios are to it. Absolute figures drift with the machine, ratios of one run do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import contenders as c
from benchmarks.contenders import STATIC, Contender
from benchmarks.load import Load

PLAIN = "benchmarks.apps.plain"
FLASK = "benchmarks.apps.flask_app:app"
FASTAPI = "benchmarks.apps.fastapi_app:app"
ROUTES = "benchmarks.apps.routes"
TALKS = "benchmarks.apps.talks"
STARLETTE = "benchmarks.apps.starlette_app"
FILE_BYTES, PASSED_BYTES, POST_BYTES, STREAM_BYTES = 10240, 102400, 65536, 1 << 30


@dataclass(frozen=True)
class Case:
    """One comparison.

    :ivar kind: "load" (CPU per request), "idle" (memory of idle connections), "memory" (of an idle worker), "reload",
        "stream" and "tunnel" (CPU per MB of one large answer, and the memory that it takes).
    :ivar reference: name of the contender that the ratios are to.
    :ivar ratio: CPU per request that is to be reached, as a multiple of the reference's; 0 for none.
    :ivar cost_us: the same as an absolute figure; 0 for none.
    :ivar rate: requests per second that are to be reached; 0 for none.
    :ivar limit: for the other kinds: MB, or ms of stall.
    """

    name: str
    title: str
    contenders: Sequence[Contender]
    load: Load = Load()
    kind: str = "load"
    reference: str = ""
    ratio: float = 0
    cost_us: float = 0
    rate: float = 0
    limit: float = 0


def static_folder() -> Path:
    """A folder, readable by nginx's worker, with the file that is served."""
    STATIC.mkdir(mode=0o755, exist_ok=True)
    inner = STATIC / "static"
    inner.mkdir(mode=0o755, exist_ok=True)
    (inner / "10k.txt").write_bytes(b"0123456789abcde\n" * (FILE_BYTES // 16))
    (inner / "100k.txt").write_bytes(b"0123456789abcde\n" * (PASSED_BYTES // 16))
    with (inner / "1g.bin").open("wb") as large:
        large.truncate(STREAM_BYTES)  # a file of holes, which takes no room
    (STATIC / "index.html").write_bytes(b"<p>Hello, World!</p>\n")
    return STATIC


HELLO_NGINX = c.nginx('default_type text/plain; return 200 "Hello, World!";', name="nginx return 200")
ENDLESS = ("--http2-requests", "1000000000")
GRANIAN_TLS = ("--ssl-certificate", "--ssl-keyfile")
PROXIES = (c.proxy_skitai(), c.proxy_nginx(), c.proxy_fastapi())
REST = (c.gunicorn(f"{PLAIN}:hello"), c.uwsgi(app=f"{PLAIN}:hello"), c.waitress(f"{PLAIN}:hello"))

CASES: tuple[Case, ...] = (
    Case(
        "wsgi4",
        "WSGI hello, 4 threads",
        (
            c.skitai("plain.py:hello", "--threads", "4"),
            c.granian("wsgi", f"{PLAIN}:hello", "--blocking-threads", "4"),
            c.granian("wsgi", f"{PLAIN}:hello", name="granian default"),
            *REST,
            c.uwsgi(app=f"{PLAIN}:hello", router=True),
        ),
        reference="granian",
        ratio=1.15,
    ),
    Case(
        "https",
        "WSGI hello by HTTPS, 4 threads",
        (
            c.secured(c.skitai("plain.py:hello", "--threads", "4"), "--certfile", "--keyfile"),
            c.secured(c.granian("wsgi", f"{PLAIN}:hello", "--blocking-threads", "4"), *GRANIAN_TLS),
            c.secured(c.granian("wsgi", f"{PLAIN}:hello", name="granian default"), *GRANIAN_TLS),
            c.secured(c.uvicorn(f"{PLAIN}:hello_asgi"), "--ssl-certfile", "--ssl-keyfile"),
            c.nginx('default_type text/plain; return 200 "Hello, World!";', name="nginx return 200", tls=True),
        ),
        Load(tls=True),
        reference="granian",
        ratio=1.2,
    ),
    Case(
        "http2",
        "WSGI hello by HTTP/2, cleartext, 16 connections with 32 requests at a time on each, 4 threads",
        (
            c.skitai("plain.py:hello", "--threads", "4", *ENDLESS),
            c.granian("wsgi", f"{PLAIN}:hello", "--blocking-threads", "4"),
            c.granian("wsgi", f"{PLAIN}:hello", name="granian default"),
            c.skitai("plain.py:hello_asgi", *ENDLESS, name="skitai asgi"),
            c.granian("asgi", f"{PLAIN}:hello_asgi", name="granian asgi"),
            c.hypercorn(f"{PLAIN}:hello_asgi"),
        ),
        Load(connections=16, streams=32),
        reference="granian",
        ratio=1.0,
    ),
    Case(
        "https2",
        "The same by TLS",
        (
            c.secured(c.skitai("plain.py:hello", "--threads", "4", *ENDLESS), "--certfile", "--keyfile"),
            c.secured(c.granian("wsgi", f"{PLAIN}:hello", "--blocking-threads", "4"), *GRANIAN_TLS),
            c.secured(c.granian("wsgi", f"{PLAIN}:hello", name="granian default"), *GRANIAN_TLS),
            c.secured(c.skitai("plain.py:hello_asgi", *ENDLESS, name="skitai asgi"), "--certfile", "--keyfile"),
            c.secured(c.granian("asgi", f"{PLAIN}:hello_asgi", name="granian asgi"), *GRANIAN_TLS),
            c.secured(c.hypercorn(f"{PLAIN}:hello_asgi"), "--certfile", "--keyfile"),
            c.nginx('default_type text/plain; return 200 "Hello, World!";', name="nginx return 200", tls=True),
        ),
        Load(connections=16, streams=32, tls=True),
        reference="granian",
        ratio=1.0,
    ),
    Case(
        "wsgi0",
        "WSGI hello in the event loop (threads=0)",
        (c.skitai("plain.py:hello", "--threads", "0"), c.bjoern(f"{PLAIN}:hello"), HELLO_NGINX),
        reference="bjoern",
        ratio=1.3,
    ),
    Case(
        "asgi",
        "ASGI hello",
        (
            c.skitai("plain.py:hello_asgi"),
            c.granian("asgi", f"{PLAIN}:hello_asgi"),
            c.uvicorn(f"{PLAIN}:hello_asgi"),
            c.gunicorn(f"{PLAIN}:hello_asgi", "--worker-class", "asgi", threads=0, name="gunicorn asgi"),
        ),
        reference="granian",
        ratio=1.0,
    ),
    Case(
        "flask",
        "Flask hello, 4 threads",
        (
            c.skitai("flask_app.py:app", "--threads", "4"),
            c.granian("wsgi", FLASK, "--blocking-threads", "4"),
            c.gunicorn(FLASK),
            c.uwsgi(app=FLASK),
            c.bjoern(FLASK),
            c.waitress(FLASK),
        ),
        reference="granian",
        ratio=1.15,
    ),
    Case(
        "fastapi",
        "FastAPI hello",
        (
            c.skitai("fastapi_app.py:app"),
            c.granian("asgi", FASTAPI),
            c.uvicorn(FASTAPI),
            c.gunicorn(FASTAPI, "--worker-class", "asgi", threads=0, name="gunicorn asgi"),
        ),
        reference="granian",
    ),
    Case(
        "saddle",
        "Saddle hello, 4 threads",
        (
            c.skitai("saddle_app.py:app", "--threads", "4"),
            c.uvicorn(f"{STARLETTE}:app", name="uvicorn starlette"),
            c.granian("wsgi", FLASK, "--blocking-threads", "4", name="granian flask"),
            c.granian("asgi", f"{STARLETTE}:app", name="granian starlette"),
            c.skitai("starlette_app.py:app", name="skitai starlette"),
        ),
        reference="uvicorn starlette",
        ratio=0.6,
    ),
    Case(
        "saddle-async",
        "The same with a coroutine function",
        (c.skitai("saddle_app.py:app"), c.uvicorn(f"{STARLETTE}:app", name="uvicorn starlette")),
        Load(path="/coroutine"),
        reference="uvicorn starlette",
    ),
    Case(
        "saddle-args",
        "Arguments from path and query, two of them converted, 4 threads",
        (
            c.skitai("saddle_app.py:app", "--threads", "4"),
            c.uvicorn(f"{STARLETTE}:app", name="uvicorn starlette"),
            c.granian("wsgi", FLASK, "--blocking-threads", "4", name="granian flask"),
        ),
        Load(path="/args/12?name=somebody&page=3", answer=b"12 somebody 3"),
        reference="uvicorn starlette",
    ),
    Case(
        "saddle-session",
        "Reading a session (ours is encrypted, the others' are signed), 4 threads",
        (
            c.skitai("saddle_app.py:app", "--threads", "4"),
            c.uvicorn(f"{STARLETTE}:with_sessions", name="uvicorn starlette"),
            c.granian("wsgi", FLASK, "--blocking-threads", "4", name="granian flask"),
        ),
        Load(path="/session", cookie_from="/sign-in", answer=b"Hello, somebody!"),
        reference="uvicorn starlette",
    ),
    Case(
        "routes",
        "An app of 1,000 routes, the path another with each request",
        (
            c.skitai("routes.py:saddle", "--threads", "4", name="skitai saddle"),
            c.uvicorn(f"{ROUTES}:starlette", name="uvicorn starlette"),
            c.granian("wsgi", f"{ROUTES}:flask", "--blocking-threads", "4", name="granian flask"),
        ),
        Load(path="/thing{n}/5/part/screw", paths=250, answer=b"5 screw"),
        reference="uvicorn starlette",
        ratio=0.6,
    ),
    Case(
        "sleep",
        "WSGI app that sleeps 10 ms, 32 threads, 64 connections",
        (
            c.skitai("plain.py:sleep", "--threads", "32"),
            c.granian("wsgi", f"{PLAIN}:sleep", "--blocking-threads", "32"),
            c.gunicorn(f"{PLAIN}:sleep", threads=32),
            c.uwsgi(app=f"{PLAIN}:sleep", threads=32),
            c.waitress(f"{PLAIN}:sleep", threads=32),
        ),
        Load(connections=64),
        reference="granian",
        cost_us=90,
        rate=3000,
    ),
    Case(
        "static",
        "Static file of 10 KB",
        (
            c.skitai(str(STATIC)),
            c.nginx(f"root {STATIC};"),
            c.granian("wsgi", f"{PLAIN}:hello", "--static-path-mount", str(STATIC / "static")),
            c.uwsgi("--static-map", f"/={STATIC}", "--tcp-nodelay", "--threads", "4"),
        ),
        Load(path="/static/10k.txt", answer=FILE_BYTES),
        reference="nginx",
        ratio=1.5,
    ),
    Case(
        "post",
        "POST of 64 KB to a WSGI app, 4 threads",
        (
            c.skitai("plain.py:post", "--threads", "4"),
            c.granian("wsgi", f"{PLAIN}:post", "--blocking-threads", "4"),
            c.gunicorn(f"{PLAIN}:post"),
            c.uwsgi(app=f"{PLAIN}:post"),
            c.waitress(f"{PLAIN}:post"),
        ),
        Load(body_bytes=POST_BYTES, answer=b"%d" % POST_BYTES),
        reference="granian",
        ratio=1.6,
    ),
    Case(
        "websocket",
        "WebSocket echo of 100 bytes",
        (
            c.skitai("talks.py:asgi", name="skitai asgi"),
            c.skitai("talks.py:app", name="skitai saddle"),
            c.script("websockets"),
            c.script("picows"),
            c.uvicorn(f"{TALKS}:asgi"),
            c.granian("asgi", f"{TALKS}:asgi"),
            c.gunicorn(f"{TALKS}:asgi", "--worker-class", "asgi", threads=0, name="gunicorn asgi"),
        ),
        Load(path="/coroutine", talk="echo"),
        reference="websockets",
        ratio=1.0,
    ),
    Case(
        "websocket-threads",
        "The same, Saddle with a plain function, 4 threads",
        (c.skitai("talks.py:app", "--threads", "4"), c.script("websockets")),
        Load(path="/echo", talk="echo"),
        reference="websockets",
        ratio=1.0,
    ),
    Case(
        "websocket-group",
        "One says 100 bytes, 1,000 WebSocket connections of a group hear it",
        (
            c.skitai("talks.py:app", "--threads", "4", name="skitai saddle"),
            c.skitai("talks.py:asgi", name="skitai asgi"),
            c.script("websockets"),
            c.script("picows"),
            c.uvicorn(f"{TALKS}:asgi"),
        ),
        Load(path="/chat?room=a", connections=1000, talk="group"),
        reference="websockets",
    ),
    Case(
        "grpc",
        "gRPC, hello for a name, 4 threads",
        (
            c.skitai("grpc_app.py:plain", "--threads", "4"),
            c.skitai("grpc_app.py:coroutine", name="skitai async"),
            c.script("grpcio", "grpc"),
            c.script("grpcio_aio", "grpc"),
        ),
        Load(path="/bench.Greeter/Hello", connections=16, calls=True),
        reference="grpcio",
        ratio=1.0,
    ),
    Case(
        "proxy",
        "Reverse proxy for an nginx that says hello",
        PROXIES,
        reference="nginx",
        ratio=2.0,
    ),
    Case(
        "proxy100k",
        "Reverse proxy for an nginx with a file of 100 KB",
        PROXIES,
        Load(path="/static/100k.txt", answer=PASSED_BYTES),
        reference="nginx",
        ratio=2.0,
    ),
    Case(
        "cached",
        "A file of 10 KB out of the cache before an nginx, in memory",
        (
            c.proxy_skitai("--cachefs-memmax", "64000000"),
            c.skitai(str(STATIC), name="skitai static file"),
            c.proxy_nginx(name="nginx cached", cached=True),
        ),
        Load(path="/static/10k.txt", answer=FILE_BYTES),
        reference="skitai static file",
        ratio=1.0,
    ),
    Case(
        "stream",
        "1 GB through a reverse proxy to one client",
        PROXIES,
        Load(path="/static/1g.bin"),
        kind="stream",
        reference="nginx",
        limit=20,
    ),
    Case(
        "tunnel",
        "1 GB through a tunnel (CONNECT) to one client",
        (c.forward_skitai(), c.forward_by_hand()),
        Load(path="/static/1g.bin"),
        kind="tunnel",
        reference="by hand on uvloop",
        ratio=1.0,
        limit=20,
    ),
    Case(
        "idle",
        "10,000 idle keep-alive connections",
        (
            c.skitai("plain.py:hello", "--keep-alive", "120"),
            HELLO_NGINX,
            c.granian("wsgi", f"{PLAIN}:hello", "--blocking-threads", "4", "--backlog", "15000"),
            c.uvicorn(f"{PLAIN}:hello_asgi", "--timeout-keep-alive", "120"),
            c.gunicorn(f"{PLAIN}:hello", "--worker-connections", "15000", "--keep-alive", "120"),
            c.bjoern(f"{PLAIN}:hello"),
        ),
        kind="idle",
        reference="nginx return 200",
        limit=100,
    ),
    Case(
        "memory",
        "Memory of an idle worker, WSGI hello",
        (
            c.skitai("plain.py:hello", "--threads", "4"),
            c.granian("wsgi", f"{PLAIN}:hello", "--blocking-threads", "4"),
            *REST,
            c.bjoern(f"{PLAIN}:hello"),
            c.uvicorn(f"{PLAIN}:hello_asgi"),
        ),
        kind="memory",
        reference="granian",
        limit=40,
    ),
    Case(
        "reload",
        "Two reloads 3 s apart under load, an app that takes 2 s to import, 2 workers",
        (
            c.skitai("slow_import.py:app", "--workers", "2"),
            c.gunicorn("benchmarks.apps.slow_import:app", "--workers", "2"),
            c.granian("wsgi", "benchmarks.apps.slow_import:app", "--workers", "2", "--blocking-threads", "4"),
        ),
        kind="reload",
        reference="gunicorn gthread",
        limit=50,
    ),
)
