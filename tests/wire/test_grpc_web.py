"""gRPC-Web, written by hand from its description: binary and text, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest

from skitai.saddle import RpcError, Saddle, StatusCode
from tests.support.guide import pb
from tests.support.http2 import http2
from tests.support.memory import Wire, mounted, wire

PATH = "/guide.Guide/GetFeature"
SHOP = "https://shop.example"


def guide(**options: Any) -> Saddle:
    app = Saddle(__name__)

    @app.route("/GetFeature", **options)
    def get(was, point):
        was.call.add_metadata("begin", "here")
        was.call.add_trailer("end", "there")
        if not point.latitude:
            raise RpcError(StatusCode.NOT_FOUND, "nothing there")
        return pb.Feature(name=f"at {point.latitude}")

    @app.route("/ListFeatures")
    async def features(was, area):
        for number in range(3):
            yield pb.Feature(name=str(number))

    return app


def ask(
    server: Wire, version: str, kind: str, body: bytes, path: str = PATH, **fields: str
) -> tuple[int, dict[str, str], bytes]:
    given = {"content-type": kind, "x-grpc-web": "1"} | {name.replace("_", "-"): value for name, value in fields.items()}
    if version == "2":
        answer = http2(server).ask(path, "POST", list(given.items()), body)
        assert not answer.trailers
        return answer.status, answer.fields, answer.body
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    head = f"POST {path} HTTP/1.1\r\nHost: example\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return server.ask(head.encode() + body)


def framed(message: Any) -> bytes:
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def parts(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Messages and trailers."""
    messages, trailers = [], {}
    while body:
        flag, size = body[0], int.from_bytes(body[1:5], "big")
        content, body = body[5 : 5 + size], body[5 + size :]
        if flag == 0x80:
            trailers = dict(line.split(": ", 1) for line in content.decode().split("\r\n") if line)
            assert not body
        else:
            messages.append(content)
    return messages, trailers


def plain(text: bytes) -> bytes:
    """The bytes of the text form, whose pieces are padded by themselves."""
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
    return b"".join(map(b64decode, pieces))


VERSIONS = pytest.mark.parametrize("version", ["1.1", "2"])


@VERSIONS
@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpc-web", "application/grpc-web-text"])
def test_a_call(version, kind):
    is_text = "text" in kind
    request = framed(pb.Point(latitude=7))
    with wire(mounted("/guide.Guide", guide()), kind="saddle") as server:
        status, fields, body = ask(server, version, kind, b64encode(request) if is_text else request)
    messages, trailers = parts(plain(body) if is_text else body)
    assert (status, fields["content-type"], fields["begin"]) == (200, kind, "here")
    assert [pb.Feature.FromString(each).name for each in messages] == ["at 7"]
    assert trailers == {"grpc-status": "0", "end": "there"}


@VERSIONS
def test_a_stream_of_answers(version):
    with wire(mounted("/guide.Guide", guide()), kind="saddle") as server:
        path = "/guide.Guide/ListFeatures"
        _, _, body = ask(server, version, "application/grpc-web-text", b64encode(framed(pb.Area())), path)
    messages, trailers = parts(plain(body))
    assert [pb.Feature.FromString(each).name for each in messages] == ["0", "1", "2"]
    assert trailers["grpc-status"] == "0"


@VERSIONS
def test_an_error_is_in_the_head_where_there_is_nothing_else(version):
    with wire(mounted("/guide.Guide", guide()), kind="saddle") as server:
        status, fields, body = ask(server, version, "application/grpc-web", framed(pb.Point()))
    assert (status, fields["grpc-status"], fields["grpc-message"], body) == (200, "5", "nothing there", b"")


@VERSIONS
@pytest.mark.parametrize(("body", "code"), [(b"AAAAAAA", "13"), (b"!!!!", "13"), (b"", "12")])
def test_text_that_is_none(version, body, code):
    with wire(mounted("/guide.Guide", guide()), kind="saddle") as server:
        assert ask(server, version, "application/grpc-web-text", body)[1]["grpc-status"] == code


@VERSIONS
def test_a_message_that_is_too_long(version):
    with wire(mounted("/guide.Guide", guide()), kind="saddle", grpc_message_bytes=100) as server:
        _, fields, _ = ask(server, version, "application/grpc-web", bytes(300))
    assert fields["grpc-status"] == "8"


def test_a_method_that_there_is_not():
    with wire(mounted("/guide.Guide", guide()), kind="saddle") as server:
        assert ask(server, "1.1", "application/grpc-web", b"", "/guide.Guide/Other")[1]["grpc-status"] == "12"


def preflight(server: Wire, origin: str) -> tuple[int, dict[str, str]]:
    head = f"OPTIONS {PATH} HTTP/1.1\r\nHost: example\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n"
    return server.ask(head.encode() + b"Access-Control-Request-Headers: content-type,x-grpc-web\r\n\r\n")[:2]


def test_pages_of_other_origins_where_they_may():
    app = guide()
    app.access_control_allow_origin = [SHOP]
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        status, fields = preflight(server, SHOP)
        assert (status, fields["access-control-allow-origin"]) == (200, SHOP)
        assert "POST" in fields["access-control-allow-methods"]
        assert fields["access-control-allow-headers"] == "content-type,x-grpc-web"
        _, fields, body = ask(server, "1.1", "application/grpc-web", framed(pb.Point(latitude=1)), origin=SHOP)
        assert parts(body)[1]["grpc-status"] == "0"
        assert fields["access-control-allow-origin"] == SHOP
        exposed = {each.strip() for each in fields["access-control-expose-headers"].split(",")}
        assert {"grpc-status", "grpc-message", "grpc-status-details-bin", "begin"} <= exposed
        _, fields, _ = ask(server, "1.1", "application/grpc-web", framed(pb.Point()), origin=SHOP)
        assert (fields["grpc-status"], fields["access-control-allow-origin"]) == ("5", SHOP)


def test_pages_of_other_origins_where_they_may_not():
    with wire(mounted("/guide.Guide", guide()), kind="saddle") as server:
        _, fields, _ = ask(server, "1.1", "application/grpc-web", framed(pb.Point(latitude=1)), origin=SHOP)
    assert (fields["grpc-status"], "access-control-allow-origin" in fields) == ("7", False)
