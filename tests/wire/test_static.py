"""Static files on the wire: RFC 9110, sections 8 to 15, as far as a file server has to do with them."""

from __future__ import annotations

import contextlib
import email
import gzip
import os
import tempfile
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import brotli
import pytest

from tests.support.memory import Wire, mounted, wire

OLD = int(time.time()) - 10_000
BIG = bytes(range(256)) * 4000
PAGE = b"<!doctype html><title>home</title>"
TEXT = b"all work and no play makes jack a dull boy\n" * 100


def put(path: Path, content: bytes, modified: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (modified, modified))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    www = tmp_path / "www"
    put(tmp_path / "secret.txt", b"secret")
    put(www / "index.html", PAGE)
    put(www / "a.txt", b"0123456789")
    put(www / "long.txt", TEXT)
    put(www / "empty.txt", b"")
    put(www / "big.bin", BIG)
    put(www / "docs/index.htm", b"docs")
    put(www / "app.js", b"plain")
    put(www / "app.js.gz", b"gzipped")
    put(www / "app.js.br", b"brotli")
    return www


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"app {environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode("latin-1")]


@pytest.fixture
def files(root: Path) -> Iterator[Wire]:
    with wire(mounted("/", str(root)), max_ages=(("/docs", 300),)) as server:
        yield server


@pytest.fixture(params=[65536, 0], ids=["memory", "disk"])
def either(root: Path, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """The same files from memory and straight from disk."""
    with wire(mounted("/", str(root)), static_cache_file_bytes=request.param, compress=False) as server:
        yield server


def etag_of(server: Wire, target: str) -> str:
    return server.get(target)[1]["etag"]


# Finding


def test_a_file_is_sent_as_raw_bytes(files: Wire) -> None:
    client = files.connect()
    client.send(b"GET /a.txt HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n")
    head, _, body = client.read().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert body == b"0123456789"
    assert sorted(line.split(b":")[0] for line in lines[1:]) == [
        b"Accept-Ranges",
        b"Connection",
        b"Content-Length",
        b"Content-Type",
        b"Date",
        b"ETag",
        b"Last-Modified",
        b"Server",
    ]


def test_an_index_answers_for_its_folder(files: Wire) -> None:
    status, fields, body = files.get("/")
    assert (status, fields["content-type"], body) == (200, "text/html", PAGE)
    assert files.get("/docs/")[2] == b"docs"


def test_15_4_9_a_folder_without_its_slash_is_redirected_with_its_query(files: Wire) -> None:
    status, fields, _ = files.get("/docs")
    assert (status, fields["location"]) == (308, "/docs/")
    assert files.get("/docs?a=1&b=%20")[1]["location"] == "/docs/?a=1&b=%20"


@pytest.mark.parametrize("target", ["//docs", "/%2fdocs", "/\\docs", "//example.org/docs", "/%5cdocs"])
def test_a_redirect_never_names_another_host(files: Wire, target: str) -> None:
    status, fields, _ = files.get(target)
    assert status in {400, 404}
    assert "location" not in fields


@pytest.mark.parametrize(
    "target",
    [
        "/nothing.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/docs/../../secret.txt",
        "/a.txt/",
        "/.git",
    ]
    + ["/a.txt%00", "/docs%2findex.htm", "/a%2etxt.", "/%c0%ae%c0%ae/secret.txt"],
)
def test_15_5_5_what_is_not_there_or_not_ours_is_not_found(files: Wire, target: str) -> None:
    status, _, body = files.get(target)
    assert status == 404
    assert b"secret" not in body


@pytest.mark.parametrize("size", [10, 100_000])
def test_15_5_4_what_may_not_be_read_is_forbidden(size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder) / "a.txt", b"x" * size).chmod(0)
        with wire(mounted("/", folder)) as server, as_nobody(Path(folder)):
            assert server.get("/a.txt")[0] == 403
            assert server.ask(b"HEAD /a.txt HTTP/1.1\r\nHost: example\r\n\r\n")[0] == 403
            assert server.get("/nothing.txt")[0] == 404


@contextlib.contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Permissions bind everybody but root: be somebody else, who owns the folder."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_was_deleted_just_now_is_not_found(root: Path) -> None:
    with wire(mounted("/", str(root)), static_cache_file_bytes=0) as server:
        for _ in range(3):  # within one second, at least once
            put(root / "a.txt", b"0123456789")
            server.get("/a.txt")
            (root / "a.txt").unlink()
            assert server.get("/a.txt")[0] == 404


def test_a_file_beside_an_app_is_served_first_and_a_miss_goes_to_the_app(root: Path) -> None:
    with wire(mounted("/", hello), mounted("/", str(root))) as server:
        assert server.get("/a.txt")[2] == b"0123456789"
        assert server.get("/nothing")[2] == b"app GET /nothing"
        assert server.get("/../secret.txt")[2].startswith(b"app GET")
        assert server.ask(b"POST /a.txt HTTP/1.1\r\nHost: example\r\nContent-Length: 2\r\n\r\nhi")[2] == b"app POST /a.txt"


def test_a_folder_mounted_deeper_serves_below_its_point(root: Path) -> None:
    with wire(mounted("/", hello), mounted("/static/", str(root))) as server:
        assert server.get("/static/a.txt")[2] == b"0123456789"
        assert server.get("/a.txt")[2] == b"app GET /a.txt"
        assert server.get("/static/docs")[1]["location"] == "/static/docs/"


def test_15_5_6_other_methods_are_refused(files: Wire) -> None:
    client = files.connect()
    status, fields, _ = client.ask(b"DELETE /a.txt HTTP/1.1\r\nHost: example\r\n\r\n")
    assert status == 405
    assert {"GET", "HEAD"} <= set(fields["allow"].split(", "))


def test_a_body_that_comes_with_get_is_read_past(files: Wire) -> None:
    client = files.connect()
    client.send(
        b"GET /a.txt HTTP/1.1\r\nHost: example\r\nContent-Length: 6\r\n\r\nGET /xGET / HTTP/1.1\r\nHost: example\r\n\r\n"
    )
    assert client.response()[2] == b"0123456789"
    assert client.response()[2] == PAGE


# Content


def test_8_3_the_content_type_goes_by_the_extension(files: Wire, root: Path) -> None:
    put(root / "a.webp", b"x")
    put(root / "a.strange", b"x")
    put(root / "a.woff2", b"x")
    assert files.get("/a.webp")[1]["content-type"] == "image/webp"
    assert files.get("/a.woff2")[1]["content-type"] == "font/woff2"
    assert files.get("/a.strange")[1]["content-type"] == "application/octet-stream"
    assert files.get("/a.txt")[1]["content-type"] == "text/plain; charset=utf-8"


def test_8_6_large_and_empty_files_have_their_length(files: Wire) -> None:
    status, fields, body = files.get("/big.bin")
    assert (status, fields["content-length"]) == (200, str(len(BIG)))
    assert body == BIG
    assert files.get("/empty.txt")[1]["content-length"] == "0"


def test_9_3_2_head_has_the_fields_of_get_and_no_content(either: Wire) -> None:
    for target in ("/a.txt", "/big.bin", "/empty.txt"):
        client = either.connect()
        request = f"GET {target} HTTP/1.1\r\nHost: example\r\n\r\n".encode()
        _, got, _ = client.ask(request)
        status, head, _ = client.ask(request.replace(b"GET", b"HEAD", 1))
        assert status == 200
        assert head.keys() == got.keys()
        assert head["content-length"] == got["content-length"]
        assert client.ask(request)[0] == 200  # nothing of a body stands in between


def test_a_keep_alive_client_gets_file_after_file(either: Wire) -> None:
    client = either.connect()
    for _ in range(3):
        for target, content in (("/a.txt", b"0123456789"), ("/big.bin", BIG), ("/empty.txt", b"")):
            assert client.ask(f"GET {target} HTTP/1.1\r\nHost: example\r\n\r\n".encode())[2] == content


def test_an_old_client_gets_the_file_too(either: Wire) -> None:
    client = either.connect()
    client.send(b"GET /big.bin HTTP/1.0\r\n\r\n")
    assert client.read().partition(b"\r\n\r\n")[2] == BIG


def test_a_file_larger_than_any_buffer_arrives_whole_at_a_slow_client_and_the_next_request_is_served(root: Path) -> None:
    content = bytes(range(251)) * 100_000
    put(root / "huge.bin", content)
    with wire(mounted("/", str(root))) as server:
        client = server.connect()
        client.send(b"GET /huge.bin HTTP/1.1\r\nHost: example\r\n\r\n")
        time.sleep(0.1)  # the sockets fill up
        status, fields, body = client.response()
        assert (status, fields["content-length"]) == (200, str(len(content)))
        assert body == content
        assert client.ask(b"GET /a.txt HTTP/1.1\r\nHost: example\r\n\r\n")[2] == b"0123456789"


def test_a_file_that_becomes_shorter_while_it_is_sent_ends_the_connection_not_the_worker(root: Path) -> None:
    path = put(root / "huge.bin", b"x" * 20_000_000)
    with wire(mounted("/", str(root))) as server:
        client = server.connect()
        client.send(b"GET /huge.bin HTTP/1.1\r\nHost: example\r\n\r\n")
        client.until(b"\r\n\r\n")
        os.truncate(path, 10)
        assert len(client.read()) < 20_000_000
        assert server.get("/a.txt")[0] == 200


def test_a_client_that_leaves_in_the_middle_leaves_no_file_open(root: Path) -> None:
    put(root / "huge.bin", b"x" * 20_000_000)
    with wire(mounted("/", str(root))) as server:
        before = open_files(root)
        for _ in range(5):
            client = server.connect()
            client.send(b"GET /huge.bin HTTP/1.1\r\nHost: example\r\n\r\n")
            assert client.exactly(100_000)
            assert open_files(root) > before
            client.close()
        for _ in range(200):
            if open_files(root) == before:
                break
            time.sleep(0.01)
        assert open_files(root) == before


def open_files(root: Path) -> int:
    """How many files below a folder this process holds open."""
    held = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            held += os.readlink(f"/proc/self/fd/{each}").startswith(f"{root}/")
    return held


def test_a_changed_file_is_noticed_within_a_second(files: Wire, root: Path) -> None:
    before = files.get("/a.txt")[1]["etag"]
    put(root / "a.txt", b"changed")
    time.sleep(1.1)
    _, fields, body = files.get("/a.txt")
    assert body == b"changed"
    assert fields["etag"] != before


def test_a_file_that_changed_just_now_is_described_as_it_is(root: Path) -> None:
    with wire(mounted("/", str(root)), static_cache_file_bytes=0, compress=False) as server:
        tags = set()
        for number in range(4):  # most of them within the second that the first was looked up in
            content = b"x" * (number + 1)
            put(root / "a.txt", content)
            _, fields, body = server.get("/a.txt")
            assert (fields["content-length"], body) == (str(len(content)), content)
            assert server.get("/a.txt", Range="bytes=0-0", If_Range=fields["etag"])[1].get("content-range") in {
                None,
                f"bytes 0-0/{number + 1}",
            }
            tags.add(fields["etag"])
        assert len(tags) == 4


# Caching


def test_5_3_of_rfc_9111_expires_and_max_age_agree(files: Wire) -> None:
    _, fields, _ = files.get("/docs/")
    assert fields["cache-control"] == "max-age=300"
    date, expires = (email.utils.parsedate_to_datetime(fields[name]) for name in ("date", "expires"))
    assert 299 <= (expires - date).total_seconds() <= 301
    assert "cache-control" not in files.get("/a.txt")[1]


def test_8_8_validators(files: Wire) -> None:
    _, fields, _ = files.get("/a.txt")
    assert fields["last-modified"] == formatdate(OLD, usegmt=True)
    assert fields["etag"].startswith('"')


@pytest.mark.parametrize("target", ["/a.txt", "/big.bin"])
def test_13_1_2_and_15_4_5_an_unchanged_file_is_not_sent_again(either: Wire, target: str) -> None:
    etag = etag_of(either, target)
    for value in (etag, f'"other", W/{etag}', "*"):
        status, fields, _ = either.get(target, If_None_Match=value)
        assert status == 304
        assert fields["etag"] == etag
        assert "content-type" not in fields
        assert "last-modified" not in fields
    assert either.get(target, If_None_Match='"other"')[0] == 200


def test_15_4_5_a_304_repeats_what_a_cache_needs(files: Wire) -> None:
    _, got, _ = files.get("/docs/")
    status, fields, _ = files.get("/docs/", If_None_Match=got["etag"])
    assert status == 304
    assert fields["cache-control"] == got["cache-control"]
    assert "expires" in fields


def test_13_1_3_if_modified_since(either: Wire) -> None:
    assert either.get("/a.txt", If_Modified_Since=formatdate(OLD, usegmt=True))[0] == 304
    status, _, body = either.get("/a.txt", If_Modified_Since=formatdate(OLD - 1, usegmt=True))
    assert (status, body) == (200, b"0123456789")
    assert either.get("/a.txt", If_Modified_Since="gestern")[0] == 200


def test_13_1_1_and_13_1_4_a_failed_precondition(either: Wire) -> None:
    assert either.get("/a.txt", If_Match='"other"')[0] == 412
    assert either.get("/a.txt", If_Match=etag_of(either, "/a.txt"))[0] == 200
    assert either.get("/a.txt", If_Unmodified_Since=formatdate(OLD - 1, usegmt=True))[0] == 412
    assert either.get("/a.txt", If_Unmodified_Since=formatdate(OLD, usegmt=True))[0] == 200


# Ranges


def test_14_3_ranges_are_offered(either: Wire) -> None:
    assert either.get("/a.txt")[1]["accept-ranges"] == "bytes"


@pytest.mark.parametrize(("asked", "got", "content"), [("0-3", "0-3", b"0123"), ("7-", "7-9", b"789"), ("-2", "8-9", b"89")])
def test_15_3_7_1_a_single_range(either: Wire, asked: str, got: str, content: bytes) -> None:
    status, fields, body = either.get("/a.txt", Range=f"bytes={asked}")
    assert (status, body) == (206, content)
    assert fields["content-range"] == f"bytes {got}/10"
    assert fields["content-type"] == "text/plain; charset=utf-8"
    assert fields["etag"] == etag_of(either, "/a.txt")


def test_15_3_7_1_a_range_of_a_large_file(either: Wire) -> None:
    status, fields, body = either.get("/big.bin", Range="bytes=1000-600999")
    assert (status, fields["content-length"]) == (206, "600000")
    assert body == BIG[1000:601000]


@pytest.mark.parametrize("target", ["/a.txt", "/big.bin"])
def test_15_3_7_2_several_ranges_come_as_multipart(either: Wire, target: str) -> None:
    content = BIG if target == "/big.bin" else b"0123456789"
    status, fields, body = either.get(target, Range="bytes=-1,0-1,4-6")
    assert status == 206
    assert "content-range" not in fields
    message = email.message_from_bytes(b"Content-Type: " + fields["content-type"].encode() + b"\r\n\r\n" + body)
    assert message.get_content_type() == "multipart/byteranges"
    parts: Any = message.get_payload()
    assert [part.get_payload(decode=True) for part in parts] == [content[-1:], content[:2], content[4:7]]
    last = len(content) - 1
    assert [part["Content-Range"] for part in parts] == [
        f"bytes {last}-{last}/{len(content)}",
        f"bytes 0-1/{len(content)}",
        f"bytes 4-6/{len(content)}",
    ]
    assert {part.get_content_type() for part in parts} == {message.get_payload(0).get_content_type()}  # type: ignore[union-attr]


def test_15_3_7_2_long_parts_of_a_large_file(either: Wire) -> None:
    client = either.connect()
    _, fields, body = client.ask(b"GET /big.bin HTTP/1.1\r\nHost: example\r\nRange: bytes=0-399999, 500000-999999\r\n\r\n")
    boundary = fields["content-type"].partition("boundary=")[2].encode()
    _, first, second, end = body.split(b"--" + boundary)
    assert first.partition(b"\r\n\r\n")[2] == BIG[:400000] + b"\r\n"
    assert second.partition(b"\r\n\r\n")[2] == BIG[500000:1000000] + b"\r\n"
    assert end == b"--\r\n"
    assert client.ask(b"GET /a.txt HTTP/1.1\r\nHost: example\r\n\r\n")[2] == b"0123456789"


@pytest.mark.parametrize(
    "value", ["bytes=10-", "bytes=-0", "bytes=0-5,3-8", "bytes=" + ",".join(f"{n}-{n}" for n in range(17))]
)
def test_15_5_17_what_cannot_be_satisfied(either: Wire, value: str) -> None:
    status, fields, _ = either.get("/a.txt", Range=value)
    assert status == 416
    assert fields["content-range"] == "bytes */10"


def test_14_2_the_number_of_ranges_is_an_option(root: Path) -> None:
    with wire(mounted("/", str(root)), static_ranges=1) as server:
        assert server.get("/a.txt", Range="bytes=0-0")[0] == 206
        assert server.get("/a.txt", Range="bytes=0-0,2-2")[0] == 416


@pytest.mark.parametrize("value", ["lines=0-1", "bytes=5-2", "bytes=x", "bytes"])
def test_14_2_what_is_not_understood_is_ignored(either: Wire, value: str) -> None:
    status, _, body = either.get("/a.txt", Range=value)
    assert (status, body) == (200, b"0123456789")


def test_14_2_head_knows_no_range(either: Wire) -> None:
    status, fields, _ = either.ask(b"HEAD /a.txt HTTP/1.1\r\nHost: example\r\nRange: bytes=0-1\r\n\r\n")
    assert (status, fields["content-length"]) == (200, "10")


def test_13_1_5_if_range(either: Wire) -> None:
    etag, date = etag_of(either, "/a.txt"), formatdate(OLD, usegmt=True)
    for value, status in (
        (etag, 206),
        (date, 206),
        (f"W/{etag}", 200),
        ('"other"', 200),
        (formatdate(OLD + 1, usegmt=True), 200),
    ):
        assert either.get("/a.txt", Range="bytes=0-1", If_Range=value)[0] == status


def test_13_2_2_a_precondition_comes_before_the_range(either: Wire) -> None:
    etag = etag_of(either, "/a.txt")
    assert either.get("/a.txt", Range="bytes=0-1", If_None_Match=etag)[0] == 304
    assert either.get("/a.txt", Range="bytes=99-", If_Match='"other"')[0] == 412


# Codings


def test_12_5_3_a_precompressed_sibling_stands_in(either: Wire) -> None:
    for accepted, coding, content in (
        ("gzip", "gzip", b"gzipped"),
        ("gzip, br", "br", b"brotli"),
        ("br;q=0, *", "gzip", b"gzipped"),
    ):
        _, fields, body = either.get("/app.js", Accept_Encoding=accepted)
        assert (fields.get("content-encoding"), body) == (coding, content)
        assert fields["content-type"] == "text/javascript"
        assert fields["vary"] == "Accept-Encoding"


def test_12_5_5_the_plain_form_varies_too(either: Wire) -> None:
    _, fields, body = either.get("/app.js")
    assert "content-encoding" not in fields
    assert (fields["vary"], body) == ("Accept-Encoding", b"plain")


def test_8_8_3_3_each_coding_has_a_tag_of_its_own(either: Wire) -> None:
    tags = {accepted: either.get("/app.js", Accept_Encoding=accepted)[1]["etag"] for accepted in ("identity", "gzip", "br")}
    assert len(set(tags.values())) == 3
    assert either.get("/app.js", Accept_Encoding="gzip", If_None_Match=tags["gzip"])[0] == 304
    assert either.get("/app.js", Accept_Encoding="gzip", If_None_Match=tags["br"])[0] == 200


def test_14_1_2_a_range_counts_in_the_coded_form(either: Wire) -> None:
    status, fields, body = either.get("/app.js", Accept_Encoding="gzip", Range="bytes=0-2")
    assert (status, fields["content-range"], body) == (206, "bytes 0-2/7", b"gzi")


def test_8_4_text_in_memory_is_compressed_with_a_strong_tag(files: Wire) -> None:
    _, plain, body = files.get("/long.txt")
    assert (body, plain["vary"]) == (TEXT, "Accept-Encoding")
    _, fields, body = files.get("/long.txt", Accept_Encoding="gzip")
    assert fields["content-encoding"] == "gzip"
    assert gzip.decompress(body) == TEXT
    assert fields["etag"].startswith('"')
    assert fields["etag"] != plain["etag"]
    assert files.get("/long.txt", Accept_Encoding="gzip", If_None_Match=fields["etag"])[0] == 304
    _, fields, body = files.get("/long.txt", Accept_Encoding="gzip, br")
    assert (fields["content-encoding"], brotli.decompress(body)) == ("br", TEXT)


def test_large_text_is_compressed_on_its_way_and_then_kept(root: Path) -> None:
    put(root / "huge.txt", TEXT * 200)
    with wire(mounted("/", str(root))) as server:
        plain = etag_of(server, "/huge.txt")
        _, fields, body = server.get("/huge.txt", Accept_Encoding="gzip")
        assert fields["content-encoding"] == "gzip"
        assert gzip.decompress(body) == TEXT * 200
        assert fields["etag"] == f"W/{plain}"
        for _ in range(100):
            _, fields, body = server.get("/huge.txt", Accept_Encoding="gzip")
            assert gzip.decompress(body) == TEXT * 200
            if not fields["etag"].startswith("W/"):
                break
            time.sleep(0.02)
        assert fields["etag"] == f'{plain[:-1]}-gz"'
        assert fields["content-length"] == str(len(body))
        assert server.get("/huge.txt", Accept_Encoding="gzip", If_None_Match=fields["etag"])[0] == 304


def test_a_request_for_a_file_is_logged(files: Wire) -> None:
    files.get("/a.txt")
    time.sleep(0.05)
    assert any("/a.txt" in line and " 200 " in line for line in files.log.lines)
