"""The examples, and what the documentation shows, started for real and asked."""

import http.client
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

import skitai
from tests.support.ports import free_port
from tests.support.snippets import PAGES, ROOT, own_tests, tries, write_files

EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of the example's databases."""
    folder = tmp_path_factory.mktemp("data")
    os.environ["EXAMPLE_DATA"] = str(folder)
    yield folder
    del os.environ["EXAMPLE_DATA"]


@pytest.fixture(scope="module")
def site(data):
    with skitai.launch(str(EXAMPLES / "app.py"), port=free_port()) as site:
        yield site


def start(script: Path):
    return skitai.launch(str(script), port=free_port())


# The chat


def test_a_group_chat():
    def hear(client, **wanted):
        while not wanted.items() <= (said := json.loads(client.recv(20))).items():
            pass
        return said

    with start(EXAMPLES / "chat.py") as site:
        assert "new WebSocket" in site.get("/").text
        url = f"ws://127.0.0.1:{site.port}/talk?room=tea&name="
        with connect(url + "Ann") as ann, connect(url + "Bob") as bob:
            bob.send('{"text": "hello"}')
            said = hear(ann, name="Bob", text="hello")
            assert hear(bob, name="Bob") == said
            ann.send(json.dumps({"text": f"@{said['client']} psst"}))
            assert hear(bob, name="Ann")["text"] == "psst"
            ann.send('{"text": "loud"}')
            assert hear(ann, name="Ann")["text"] == "loud", "what was for one was for one alone"
            bob.close()
            hear(ann, text="Bob has gone")


# The pages


def test_every_link_of_the_front_page_leads_somewhere(site):
    page = site.get("/")
    assert page.status_code == 200
    links = set(re.findall(r'(?:href|src)="(/[^"]*)"', page.text))
    assert {"/guestbook", "/flask/", "/django/", "/status", "/static/style.css", "/static/theme.js"} <= links
    assert {link: site.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_pages_send_safe_headers(site):
    assert "default-src 'self'" in site.get("/").headers["Content-Security-Policy"]


def test_an_unknown_page_is_a_friendly_404(site):
    page = site.get("/nowhere")
    assert page.status_code == 404
    assert "There is no such page." in page.text


def test_a_wrong_method_is_405(site):
    assert site.post("/status", data={}).status_code == 405


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_head_is_like_get_without_its_body(site, coding):
    fields = {"Accept-Encoding": coding}
    head, get = site.head("/static/style.css", headers=fields), site.get("/static/style.css", headers=fields)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    head, get = site.head("/", headers=fields), site.get("/", headers=fields)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert get.headers["Content-Encoding"] == (None if coding == "identity" else coding)


def test_a_guest_signs_once_and_every_worker_shows_it_escaped(site):
    answer = site.post("/guestbook", data={"name": "Zoë", "message": "<script>alert(1)</script>"}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/guestbook?signed")
    assert "Thank you" in site.get("/guestbook?signed").text
    for _ in range(10):
        text = site.get("/guestbook", headers={"Connection": "close"}).text
        assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 1
        assert "<script>alert" not in text
        assert "Zoë" in text


def test_a_form_with_faults_comes_back_filled_in(site):
    answer = site.post("/guestbook", data={"name": " ", "message": "I have no name"})
    assert answer.status_code == 422
    assert "Please say who you are." in answer.text
    assert "I have no name</textarea>" in answer.text


def test_too_long_a_message_is_refused(site):
    assert "At most 500 characters" in site.post("/guestbook", data={"name": "A", "message": "x" * 501}).text
    assert site.post("/guestbook", data={"name": "A", "message": "x" * 20_000}).status_code == 413


def test_a_form_of_another_site_is_refused(site):
    answer = site.post("/guestbook", data={"name": "A", "message": "B"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


def test_the_status_page_shows_the_server(site):
    page = site.get("/status")
    assert page.status_code == 200
    assert "pid" in page.text.lower()


# Static files


def test_static_files_have_an_age_and_a_tag(site):
    style = site.get("/static/style.css")
    assert style.headers["Content-Type"].startswith("text/css")
    assert style.headers["Cache-Control"] == "max-age=300"
    again = site.get("/static/style.css", headers={"If-None-Match": style.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_nothing_outside_of_the_static_folder_is_served(site):
    assert site.get("/static/%2e%2e/app.py").status_code in (400, 403, 404)


# Flask


def test_flask_knows_its_prefix(site):
    assert site.get("/flask/hello/you").json() == {"hello": "you", "here": "/flask/hello/you", "home": "/flask/"}


def test_flask_measures_an_upload_larger_than_what_is_kept_in_memory(site):
    size = 3_000_000
    answer = site.post("/flask/upload", files={"file": ("../../big.bin", io.BytesIO(b"\0" * size))})
    assert answer.status_code == 200
    assert f"<b>big.bin</b> has {size} bytes." in answer.text.replace(".._.._", "")


def test_flask_misses_the_file(site):
    assert site.post("/flask/upload", data={"other": "1"}).status_code == 422


def test_flask_streams_line_by_line(site):
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.request("GET", "/flask/stream")
    answer, times = connection.getresponse(), []
    while line := answer.readline():
        times.append((line, time.monotonic()))
    connection.close()
    assert [line for line, _ in times] == [b"5\n", b"4\n", b"3\n", b"2\n", b"1\n", b"go\n"]
    assert times[-1][1] - times[0][1] > 0.5


# Django


def token_of(page) -> str:
    """The token that Django wants back with a form; its cookie is kept by the client."""
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]


def test_django_keeps_a_note_when_its_form_carries_the_token(site):
    token = token_of(site.get("/django/"))
    answer = site.post("/django/", data={"csrfmiddlewaretoken": token, "title": "Milk & bread"})
    assert answer.status_code == 200
    assert answer.url.endswith("/django/")
    assert "Your note is kept." in answer.text
    assert "Milk &amp; bread" in answer.text


def test_django_refuses_a_form_without_its_token(site):
    assert site.post("/django/", data={"title": "x"}).status_code == 403


def test_django_admin_is_complete_and_lets_its_user_in(site, data):
    manage = [sys.executable, str(EXAMPLES / "djangosite" / "manage.py")]
    environ = os.environ | {"DJANGO_SUPERUSER_PASSWORD": "correct horse"}
    command = [*manage, "createsuperuser", "--noinput", "--username", "anna", "--email", "anna@example.com"]
    subprocess.run(command, env=environ, check=True, capture_output=True)

    page = site.get("/django/admin/")
    assert page.url.endswith("/django/admin/login/?next=/django/admin/")
    styles = re.findall(r'href="([^"]+\.css)"', page.text)
    assert styles
    assert {site.get(each).status_code for each in styles} == {200}

    form = {"csrfmiddlewaretoken": token_of(page), "username": "anna", "password": "correct horse", "next": "/django/admin/"}
    inside = site.post("/django/admin/login/", data=form)
    assert inside.url.endswith("/django/admin/")
    assert "Notes" in inside.text


# The others


def test_hello():
    with start(EXAMPLES / "hello.py") as server:
        assert server.get("/").text == "Hello World\n"


def test_versions_side_by_side():
    with start(EXAMPLES / "versions" / "service.py") as server:
        assert "version 1" in server.get("/").text
        assert server.get("/v1/").text == "Hello World Ver.1\n"
        assert server.get("/v2/").json() == {"message": "Hello World", "version": 2}


def test_fastapi():
    pytest.importorskip("fastapi")
    with start(EXAMPLES / "fastapi_app.py") as server:
        assert server.get("/items/3").json() == {"name": "Teapot", "price": 12.5}
        assert server.get("/items/4").status_code == 404
        assert server.get("/items/four").status_code == 422
        basket = [{"name": "a", "price": 1.5}, {"name": "b", "price": 2}]
        assert server.post("/price", json=basket).json() == {"sum": 3.5}
        assert server.get("/countdown").text == "3\n2\n1\ngo\n"


ERRANT = """
import skitai

def app(environ, start_response):
    return 1 / 0

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run()
"""


def test_the_error_of_an_app_is_in_the_log_under_the_ids_of_its_request(tmp_path):
    (tmp_path / "app.py").write_text(ERRANT)
    with start(tmp_path / "app.py") as server:
        page = server.get("/", headers={"X-Gtxn-Id": "abc-1", "X-Ltxn-Id": "1001"})
        assert page.status_code == 500
        assert "ZeroDivisionError" not in page.text
        assert re.search(r"\[expt:abc-1/2001\] GET /: <class 'ZeroDivisionError'>", server.output)
        assert "app.py|app|" in server.output


# The documentation


@pytest.mark.parametrize("page", [page for page in PAGES if tries(page)], ids=lambda page: page.name)
def test_pages_do_what_they_say(page, tmp_path):
    for script in dict.fromkeys(each.script for each in tries(page)):
        port = free_port()
        write_files(page, tmp_path, port)
        with skitai.launch(str(tmp_path / script), port=port) as server:
            for each in tries(page):
                if each.script == script:
                    answer = server.request(each.method, each.path, headers=each.fields, allow_redirects=False)
                    assert (each, answer.status_code) == (each, each.status)
                    assert each.text in answer.text


@pytest.mark.parametrize("page", [page for page in PAGES if own_tests(page)], ids=lambda page: page.name)
def test_tests_that_are_shown_pass(page, tmp_path):
    write_files(page, tmp_path, free_port())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *own_tests(page)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
