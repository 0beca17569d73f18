"""Forms, files and templates of a Saddle app in a real server."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path

import pytest

from tests.support.asked import field, multipart_body, upload
from tests.support.dialogue import eventually
from tests.support.site import Site

pytestmark = pytest.mark.process

BIG = b"0123456789abcdef" * 70_000  # 1.1 MB

APP = """
    import os
    import time

    from skitai import was as general
    from skitai.saddle import Saddle

    app = Saddle(__name__)

    @app.template_global("where")
    def where(was):
        return was.request.uri

    @app.template_filter("reverse")
    def reverse(text):
        return text[::-1]

    @app.route("/")
    def index(was, name="nobody"):
        was.g.name = name
        return was.render("index.html", words=["one", "<two>"])

    @app.route("/upload", methods=["POST"])
    def upload(was, file, into, **form):
        told = {"name": file.name, "size": file.size, "path": file.path, "pid": os.getpid()}
        if into:
            told["saved"] = file.save(into, mkdir=True)
        if "wait" in form:
            with open(form["wait"], "w") as mark:
                mark.write(file.path)
            time.sleep(30)
        return told

    @app.route("/address")
    def address(was):
        return was.request.get_remote_addr()

    @app.route("/rows")
    def rows(was):
        def generate():
            for number in range(1000):
                yield f"{number},{number ** 2}\\n"
        return was.response("200 OK", generate(), [("Content-Type", "text/csv")])

    @app.route("/photo/<name>")
    def photo(was, name):
        return was.response.file(os.path.join(os.path.dirname(__file__), "photos", name), "image/jpeg")
"""

PAGE = """\
{% from "parts.html" import greeting %}{{ greeting() }} at {{ where() }}:
{%- for word in words %} {{ word | reverse }}{% endfor %}"""

PARTS = """{% macro greeting() %}Hello {{ was.g.name }}{% endmacro %}"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, APP, pref="pref.config.max_upload_file_size = 2_000_000")
    for name, text in (("index.html", PAGE), ("parts.html", PARTS)):
        (tmp_path / "templates").mkdir(exist_ok=True)
        (tmp_path / "templates" / name).write_text(text)
    site.start()
    yield site
    site.stop()


def post(site: Site, *parts: tuple[str, bytes]) -> tuple[int, bytes]:
    with closing(site.client()) as client:
        body = multipart_body(*parts)
        client.request("POST", "/upload", body, {"Content-Type": "multipart/form-data; boundary=limit"})
        answer = client.getresponse()
        return answer.status, answer.read()


def get(client: HTTPConnection, target: str, **fields: str) -> tuple[int, bytes]:
    client.request("GET", target, headers={name.replace("_", "-"): value for name, value in fields.items()})
    answer = client.getresponse()
    return answer.status, answer.read()


def test_templates_files_and_streams(site: Site, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(BIG)
    with closing(site.client()) as client:
        # The macro is imported without the page's context, and has `was` all the same.
        assert get(client, "/?name=%3Cme%3E") == (200, b"Hello &lt;me&gt; at /?name=%3Cme%3E: eno &gt;owt&lt;")
        assert get(client, "/rows")[1].splitlines()[-1] == b"999,998001"
        assert get(client, "/photo/a.jpg") == (200, BIG)
        assert get(client, "/photo/a.jpg", Range="bytes=-16") == (206, b"0123456789abcdef")
        assert get(client, "/photo/b.jpg")[0] == 404
        assert get(client, "/address", X_Forwarded_For="198.51.100.7") == (200, b"198.51.100.7")


def test_an_upload_is_spooled_and_nothing_is_left_of_it(site: Site, tmp_path: Path) -> None:
    into = tmp_path / "saved"
    status, answer = post(site, field("into", str(into)), upload("file", "../../a b.txt", BIG))
    assert status == 200, answer
    told = json.loads(answer)
    assert (told["name"], told["size"], told["saved"]) == ("a_b.txt", len(BIG), str(into / "a_b.txt"))
    assert (into / "a_b.txt").read_bytes() == BIG
    status, answer = post(site, field("into", ""), upload("file", "a", BIG))
    path = Path(json.loads(answer)["path"])
    assert status == 200 and path.parent.stat().st_mode & 0o077 == 0
    eventually(lambda: list(path.parent.iterdir()) == [], "the spooled file is removed")
    status, answer = post(site, field("into", ""), upload("file", "a", b"x" * 2_000_001))
    assert status == 413
    eventually(lambda: list(path.parent.iterdir()) == [], "the refused file is removed")


def test_what_a_killed_worker_leaves_is_removed_by_the_next(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def ask() -> None:
        with suppress(RemoteDisconnected, ConnectionError, TimeoutError):
            post(site, field("into", ""), field("wait", str(mark)), upload("file", "a", BIG))

    asking = threading.Thread(target=ask)
    asking.start()
    path = Path(eventually(lambda: mark.exists() and mark.read_text(), "the upload has arrived"))
    assert path.exists()
    os.kill(int(path.name.split("-")[1]), signal.SIGKILL)
    asking.join()
    status, answer = eventually(lambda: post(site, field("into", ""), upload("file", "a", BIG)), "another worker serves")
    assert status == 200 and not path.exists()
