"""curl visits the site: what it is told is what it gets, and it says how."""

from __future__ import annotations

import hashlib
import json
import subprocess
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import BIG, TEXT, Visited
from tests.support.dialogue import eventually

PIECES = b"".join(bytes([number % 256]) * 10_000 for number in range(200))


def curl(*arguments: str | Path, given: bytes = b"") -> bytes:
    """What curl writes; it must find nothing wrong."""
    return complaining_curl(*arguments, given=given)[0]


def complaining_curl(*arguments: str | Path, given: bytes = b"") -> tuple[bytes, str]:
    """What curl writes, and what it says about it."""
    command = ["curl", "-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, timeout=20, check=False)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    return done.stdout, said


def fields_of(head: bytes) -> dict[str, str]:
    lines = head.decode().splitlines()[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def digest_of(answer: bytes) -> tuple[str, int]:
    said: dict[str, Any] = json.loads(answer)
    return said["sha256"], said["size"]


DIGEST = (hashlib.sha256(BIG).hexdigest(), len(BIG))


@pytest.fixture
def big(tmp_path: Path) -> Path:
    file = tmp_path / "big"
    file.write_bytes(BIG)
    return file


def test_get(site: Visited) -> None:
    answer = curl("--write-out", "\n%{http_code} %{http_version} %{content_type}", f"{site.url}/text")
    assert answer.decode() == f"{TEXT}\n200 1.1 text/plain"


def test_get_of_what_is_not_there(site: Visited) -> None:
    assert curl("--write-out", " %{http_code}", f"{site.url}/nowhere") == b"nothing here 404"


@pytest.mark.parametrize(("path", "size"), [("/text", len(TEXT)), ("/static/big.bin", len(BIG))])
def test_head_tells_the_size_and_sends_nothing(site: Visited, path: str, size: int) -> None:
    head = curl("--head", site.url + path)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert fields_of(head)["content-length"] == str(size)


def test_two_megabytes_arrive_byte_by_byte(site: Visited) -> None:
    assert curl(f"{site.url}/static/big.bin") == BIG


def test_a_body_of_unknown_length_arrives_whole(site: Visited) -> None:
    assert curl(f"{site.url}/pieces") == PIECES


def test_many_downloads_at_once(site: Visited, tmp_path: Path) -> None:
    curl("--parallel", "--output", f"{tmp_path}/#1", f"{site.url}/static/big.bin?[1-10]")
    assert [(tmp_path / str(number)).read_bytes() == BIG for number in range(1, 11)] == [True] * 10


def test_a_broken_download_is_resumed(site: Visited, tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(BIG[:700_000])
    said = curl("-C", "-", "--output", file, "--write-out", "%{http_code} %{size_download}", f"{site.url}/static/big.bin")
    assert said == b"206 1300000"
    assert file.read_bytes() == BIG


def test_ranges(site: Visited) -> None:
    url = f"{site.url}/static/big.bin"
    assert curl("--range", "1000-1999", url) == BIG[1000:2000]
    assert curl("--range", "-500", url) == BIG[-500:]
    parts = curl("--range", "0-9,100-109", "--write-out", "%{content_type}", url)
    assert BIG[:10] in parts
    assert BIG[100:110] in parts
    assert b"multipart/byteranges" in parts
    assert curl("--range", f"{len(BIG)}-", "--write-out", "%{http_code}", "--output", "/dev/null", url) == b"416"


def test_compressed_answers_are_decoded(site: Visited, tmp_path: Path) -> None:
    answer = curl("--compressed", "--dump-header", tmp_path / "head", f"{site.url}/text")
    assert answer.decode() == TEXT
    fields = fields_of((tmp_path / "head").read_bytes())
    assert fields["content-encoding"] in ("br", "gzip")
    assert "accept-encoding" in fields["vary"].lower()


def test_an_upload_waits_for_leave_and_gets_it(site: Visited, big: Path) -> None:
    """Without the interim response, curl would wait for nine seconds."""
    arguments = ("--verbose", "--expect100-timeout", "9", "--header", "Expect: 100-continue", "--max-time", "5")
    answer, said = complaining_curl(*arguments, "-T", big, f"{site.url}/upload")
    assert digest_of(answer) == DIGEST
    assert "< HTTP/1.1 100 Continue" in said


def test_an_upload_that_is_too_large_is_refused_before_it_begins(site: Visited, tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as huge:
        huge.truncate(6_000_000)
    wanted = ("--expect100-timeout", "9", "--header", "Expect: 100-continue", "--write-out", "%{http_code} %{size_upload}")
    assert curl(*wanted, "--output", "/dev/null", "-T", file, f"{site.url}/upload") == b"413 0"


def test_an_upload_in_chunks(site: Visited) -> None:
    answer, said = complaining_curl("--verbose", "-T", "-", f"{site.url}/upload", given=BIG)
    assert digest_of(answer) == DIGEST
    assert "> Transfer-Encoding: chunked" in said


def test_a_form_with_a_file(site: Visited, big: Path) -> None:
    assert digest_of(curl("--form", f"photo=@{big}", f"{site.url}/upload"))[1] > len(BIG)


def test_http_1_0(site: Visited) -> None:
    """A body of unknown length ends with the connection, in no chunks (RFC 9112, section 6.1)."""
    answer, said = complaining_curl("--http1.0", "--verbose", f"{site.url}/pieces")
    assert answer == PIECES
    assert "> GET /pieces HTTP/1.0" in said
    assert "transfer-encoding" not in said.lower()
    assert curl("--http1.0", f"{site.url}/text").decode() == TEXT


def test_two_urls_share_a_connection(site: Visited) -> None:
    said = curl("--write-out", " %{num_connects}\n", f"{site.url}/version", f"{site.url}/version")
    assert said == b'"one" 1\n"one" 0\n'


def test_a_connection_survives_an_upload_and_an_error(site: Visited) -> None:
    count = ("--write-out", "%{http_code} %{num_connects}\n", "--output", "/dev/null")
    upload = [*count, "--data-binary", "@-", f"{site.url}/upload"]
    said = curl(
        *upload, "--next", "--silent", *count, f"{site.url}/nowhere", "--next", *count, f"{site.url}/text", given=BIG
    )
    assert said == b"200 1\n404 0\n200 0\n"


def test_what_has_not_changed_is_not_sent(site: Visited, tmp_path: Path) -> None:
    url = f"{site.url}/static/big.bin"
    status = ("--write-out", "%{http_code} %{size_download}", "--output", "/dev/null")
    changed_s = (site.folder / "static" / "big.bin").stat().st_mtime
    assert curl(*status, "--time-cond", formatdate(changed_s + 1, usegmt=True), url) == b"304 0"
    assert curl(*status, "--time-cond", formatdate(changed_s - 10, usegmt=True), url) == b"200 2000000"
    curl(*status, "--etag-save", tmp_path / "tag", url)
    assert curl(*status, "--etag-compare", tmp_path / "tag", url) == b"304 0"


def test_a_path_that_climbs_leads_nowhere(site: Visited) -> None:
    status = ("--path-as-is", "--write-out", "%{http_code}", "--output", "/dev/null")
    for path in ("/static/../site.py", "/static/..%2fsite.py", "/static/%2e%2e/site.py", "/static/x/../../site.py"):
        assert curl(*status, site.url + path) in (b"400", b"404")


def test_each_request_has_a_line_in_the_log(site: Visited) -> None:
    curl("--user-agent", "a visitor", "--referer", "http://example.org/", f"{site.url}/version?asked=once")
    found = eventually(lambda: [line for line in site.lines if "asked=once" in line], "a line")
    assert len(found) == 1
    assert " GET /version?asked=once 1.1 " in found[0]
    assert '"a visitor"' in found[0]
