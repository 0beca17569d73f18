"""PEP 3333 through real connections: environ, start_response, every kind of result, and what goes wrong."""

from __future__ import annotations

import io
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from skitai.config.pref import AttrDict, Preference
from tests.support.memory import Client, Wire, mounted, wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
App = Callable[[dict[str, Any], Any], Any]


@pytest.fixture
def serve(engine: str, threads: int) -> Iterator[Callable[..., Wire]]:
    """Serve one app at "/" on this engine, with these threads."""
    running: list[Any] = []

    def start(app: App, point: str = "/", **values: Any) -> Wire:
        context = wire(mounted(point, app), engine=engine, threads=threads, **values)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


REQUESTS = [
    GET,
    b"GET /a%20b/%C3%A9?x=1&y= HTTP/1.1\r\nHost: a\r\nX-Custom: 1\r\nCookie: a=b\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
]


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_wsgiref_validate_has_nothing_to_say(serve: Callable[..., Wire], request_bytes: bytes) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(1000)
        environ["wsgi.errors"].flush()
        head = environ["REQUEST_METHOD"] == "HEAD"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [] if head else [b"ok"]

    server = serve(validator(app))
    status, fields, body = server.ask(request_bytes)
    assert (status, fields["content-length"]) == (200, "2")
    assert body == (b"" if request_bytes.startswith(b"HEAD") else b"ok")


def test_the_environ_holds_the_request_and_nothing_of_the_system(serve: Callable[..., Wire], monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SYSTEM", "1")
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ, body=environ["wsgi.input"].read())
        return hello(environ, start_response)

    server = serve(app, point="/pre fix/")
    fields = b"Host: a:81\r\nContent-Type: text/x\r\nContent-Length: 3\r\nX-A: b\r\n"
    server.ask(b"PUT /pre%20fix/p%C3%A9?q=%20 HTTP/1.1\r\n" + fields + b"\r\nabc")
    assert seen["REQUEST_METHOD"] == "PUT"
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/pre fix", "/p\xc3\xa9", "q=%20")
    assert (seen["CONTENT_TYPE"], seen["CONTENT_LENGTH"], seen["body"]) == ("text/x", "3", b"abc")
    assert (seen["HTTP_HOST"], seen["HTTP_X_A"], seen["SERVER_PROTOCOL"]) == ("a:81", "b", "HTTP/1.1")
    assert (seen["wsgi.version"], seen["wsgi.url_scheme"], seen["wsgi.run_once"]) == ((1, 0), "http", False)
    assert "SECRET_OF_THE_SYSTEM" not in seen
    assert all(type(value) is str for name, value in seen.items() if name.isupper())


def test_one_request_never_sees_what_another_put_into_its_environ(serve: Callable[..., Wire]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        found = environ.get("mine", "nothing")
        environ["mine"] = environ["HTTP_HOST"] = "left behind"
        return [found.encode()]

    client = serve(app).connect()
    assert [client.ask(GET)[2] for _ in range(3)] == [b"nothing"] * 3


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ("text é", "text é".encode()),
        (b"bytes", b"bytes"),
        ([b"a", b"b", b""], b"ab"),
        ((b"a",), b"a"),
        (["text", b"!"], b"text!"),
        ([], b""),
        (bytearray(b"array"), None),
        ("a file", b"line 1\nline 2"),
    ],
)
def test_results_of_every_kind(serve: Callable[..., Wire], result: Any, body: bytes | None) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return io.BytesIO(b"line 1\nline 2") if result == "a file" else result

    status, fields, sent = serve(app).ask(GET)
    if body is None:  # iterating a bytearray yields numbers, which are no body
        assert status == 500
    else:
        assert (status, sent) == (200, body)


def test_a_known_body_is_sent_with_its_length_an_unknown_one_in_chunks(serve: Callable[..., Wire]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/x")])
        return [b"all"] if environ["PATH_INFO"] == "/list" else (piece for piece in (b"one", b"", b"two"))

    server = serve(app)
    assert server.get("/list")[1]["content-length"] == "3"
    status, fields, body = server.get("/generator")
    assert (fields["transfer-encoding"], body) == ("chunked", b"onetwo")
    status, fields, body = server.ask(b"GET /generator HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (fields["connection"], body) == ("close", b"onetwo"), "only the end of the connection ends such a body in 1.0"


def test_a_generator_is_sent_as_it_yields(threads: int) -> None:
    if not threads:
        return  # without threads the app holds the loop while it yields
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/x")])
        yield b"first"
        assert go_on.wait(5)
        yield b"second"

    with wire(mounted("/", app), threads=threads) as server:
        client = server.connect()
        client.send(GET)
        client.until(b"first")
        go_on.set()
        client.until(b"second")


def test_write_sends_before_the_result(serve: Callable[..., Wire]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "application/x")])
        write(b"a")
        write(b"b")
        return [b"c"]

    assert serve(app).ask(GET)[2] == b"abc"


def test_write_behind_a_slow_client_is_spooled(serve: Callable[..., Wire]) -> None:
    piece = b"x" * 100_000

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "application/x")])
        for _ in range(60):
            write(piece)
        return [b"end"]

    client = serve(app).connect()
    client.send(GET)
    time.sleep(0.3)
    body = client.response()[2]
    assert len(body) == 6_000_003 and body.endswith(b"end")


def test_start_response_with_exc_info_replaces_what_was_not_sent(serve: Callable[..., Wire]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ValueError("late")
        except ValueError:
            start_response("502 Bad Gateway", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    assert serve(app).ask(GET)[::2] == (502, b"sorry")


def test_start_response_with_exc_info_after_the_head_raises(serve: Callable[..., Wire]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/x")])
        yield b"part"
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    client = serve(app).connect()
    client.send(GET)
    assert client.read().endswith(b"4\r\npart\r\n"), "the connection is cut, so that the client knows the body is not whole"


def no_start(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    return [b"x"]


def twice(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"x"]


def none(environ: dict[str, Any], start_response: Any) -> None:
    start_response("200 OK", [])


def raising(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise RuntimeError("secret details")


def numbers(environ: dict[str, Any], start_response: Any) -> list[int]:
    start_response("200 OK", [])
    return [1, 2]


def bad_status(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("fine", [])
    return [b"x"]


def injected(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X-A", "b\r\nSet-Cookie: c=d")])
    return [b"x"]


def bad_name(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X A", "b")])
    return [b"x"]


def wrong_length(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "7")])
    return [b"x"]


@pytest.mark.parametrize("app", [no_start, twice, none, raising, numbers, bad_status, injected, bad_name, wrong_length])
def test_faulty_apps_get_500_and_show_nothing(serve: Callable[..., Wire], app: App) -> None:
    server = serve(app)
    client = server.connect()
    for _ in range(2):
        status, fields, body = client.ask(GET)
        assert status == 500
        assert b"secret" not in body and b"Traceback" not in body and "set-cookie" not in fields


def test_under_debug_the_page_has_the_traceback(engine: str) -> None:
    class Raising:
        debug = True

        def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
            raise RuntimeError("<details>")

    with wire(mounted("/", Raising()), engine=engine) as server:
        status, _, body = server.get()
        assert status == 500 and b"Traceback" in body and b"&lt;details&gt;" in body


def test_close_is_called_whatever_happens(serve: Callable[..., Wire]) -> None:
    closed: list[str] = []

    class Result:
        def __init__(self, name: str) -> None:
            self.name = name

        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            if self.name == "/raise":
                raise RuntimeError

        def close(self) -> None:
            closed.append(self.name)

    def app(environ: dict[str, Any], start_response: Any) -> Result:
        start_response("200 OK", [("Content-Type", "application/x")])
        return Result(environ["PATH_INFO"])

    server = serve(app)
    server.get("/fine")
    server.connect().send(b"GET /raise HTTP/1.1\r\nHost: a\r\n\r\n")
    server.ask(b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_for(lambda: sorted(closed) == ["/fine", "/head", "/raise"])


def test_close_is_called_when_the_client_leaves(serve: Callable[..., Wire]) -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 65536

        def close(self) -> None:
            closed.set()

    def app(environ: dict[str, Any], start_response: Any) -> Endless:
        start_response("200 OK", [("Content-Type", "application/x")])
        return Endless()

    server = serve(app)
    client = server.connect()
    client.send(GET)
    client.until(b"\r\n\r\n")
    client.close()
    assert closed.wait(5)
    wait_for(lambda: any(" 200 " in line for line in server.log.lines))


def test_a_slow_client_holds_no_thread(engine: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/x")])
        if environ["PATH_INFO"] == "/quick":
            return [b"quick"]
        return (b"x" * 65536 for _ in range(200))

    with wire(mounted("/", app), engine=engine, threads=1) as server:
        slow = [server.connect() for _ in range(5)]
        for client in slow:
            client.send(GET)
            client.until(b"\r\n\r\n")
        assert server.get("/quick")[2] == b"quick"
        for client in slow:
            total = 0
            while size := int(client.until(b"\r\n"), 16):
                total += len(client.exactly(size + 2)) - 2
            assert total == 200 * 65536


def test_files_are_sent_by_the_wrapper(serve: Callable[..., Wire], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4000)
    opened: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        file: Any = io.BytesIO(b"in memory") if environ["PATH_INFO"] == "/memory" else path.open("rb")
        if environ["PATH_INFO"] == "/part":
            file.seek(1_023_990)
        opened.append(file)
        return environ["wsgi.file_wrapper"](file)

    server = serve(app)
    status, fields, body = server.get("/whole")
    assert (fields["content-length"], body) == ("1024000", path.read_bytes())
    assert server.get("/part")[2] == bytes(range(246, 256))
    assert server.get("/memory")[2] == b"in memory"
    assert server.ask(b"HEAD /whole HTTP/1.1\r\nHost: a\r\n\r\n")[1]["content-length"] == "1024000"
    wait_for(lambda: all(file.closed for file in opened))


def test_large_bodies_are_spooled_and_whole(serve: Callable[..., Wire]) -> None:
    size = 3_000_000

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        first = body.read(10)
        total = len(first) + sum(len(line) for line in iter(lambda: body.read(65536), b""))
        start_response("200 OK", [])
        return [f"{total} {type(body).__name__}".encode()]

    server = serve(app, max_post_body_size=size)
    client = server.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(30):
        client.send(b"y" * (size // 30))
    assert client.response()[2] == b"3000000 BufferedReader"
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(30):
        client.send(b"%x\r\n" % (size // 30) + b"y" * (size // 30) + b"\r\n")
    client.send(b"0\r\n\r\n")
    assert client.response()[2] == b"3000000 BufferedReader"
    assert server.services.body_bytes == 0


def test_bodies_over_the_limit_are_413(serve: Callable[..., Wire]) -> None:
    server = serve(hello, max_post_body_size=10, max_multipart_body_size=20)
    post = b"POST / HTTP/1.1\r\nHost: a\r\n"
    assert server.ask(post + b"Content-Length: 11\r\n\r\n" + b"x" * 11)[0] == 413
    assert server.ask(post + b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11)[0] == 413
    assert (
        server.ask(post + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 20\r\n\r\n" + b"x" * 20)[0]
        == 200
    )
    assert server.ask(post + b"Content-Length: 10\r\n\r\n" + b"x" * 10)[0] == 200


def test_an_app_may_set_its_own_limits() -> None:
    pref = Preference(config=AttrDict(max_post_body_size=10))
    with wire(mounted("/", hello, pref=pref)) as server:
        assert server.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + b"x" * 11)[0] == 413


def test_a_full_disk_is_507_and_nothing_else_suffers(serve: Callable[..., Wire], monkeypatch: Any) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    server = serve(hello)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    size = 400_000
    client = server.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    assert client.response()[0] == 507
    assert server.get()[0] == 200
    assert server.services.body_bytes == 0


def test_requests_whose_client_has_gone_are_not_begun() -> None:
    begun: list[str] = []
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/hold":
            assert go_on.wait(5)
        start_response("200 OK", [])
        return [b""]

    with wire(mounted("/", app), threads=1) as server:
        holder = server.connect()
        holder.send(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: begun == ["/hold"])
        leaver = server.connect()
        leaver.send(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: server.services.pool.queued == 1)
        leaver.close()
        wait_for(lambda: len(server.services.connections) == 1)
        go_on.set()
        assert holder.response()[0] == 200
        assert server.get("/next")[0] == 200
        assert begun == ["/hold", "/next"]
        wait_for(lambda: any("GET /left 1.1 0 499" in line for line in server.log.lines))


def wait_for(condition: Callable[[], bool], patience_s: float = 5) -> None:
    """Wait until `condition` holds, or fail."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


__all__ = ["Client"]
