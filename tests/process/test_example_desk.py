"""The help desk of the examples, used as people and programs use it, in two workers."""

import io
import os
import re
import threading

import pytest

import skitai
from skitai.testing.client import Session
from tests.process.test_examples import EXAMPLES
from tests.support.desk import PASSWORD, open_ticket, send, sign_up, token_of
from tests.support.ports import free_port

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    os.environ["EXAMPLE_DATA"] = str(tmp_path_factory.mktemp("desk"))
    yield str(EXAMPLES / "helpdesk.py")
    del os.environ["EXAMPLE_DATA"]


@pytest.fixture(scope="module")
def desk(script):
    with skitai.launch(script, port=free_port()) as desk:
        sign_up(desk, "ann")
        yield desk


@pytest.fixture
def bob(desk):
    """Another browser, whose user is no admin."""
    return Session(f"http://127.0.0.1:{desk.port}")


def test_strangers_are_sent_to_the_door_and_from_there_where_they_wanted(bob):
    page = bob.get("/activity/")
    assert page.url.endswith("/sign-in?next_url=%2Factivity%2F")
    assert '<input type="hidden" name="next_url" value="/activity/">' in page.text


@pytest.mark.parametrize(
    ("name", "password", "fault"),
    [("Bob!", PASSWORD, "lower-case letters"), ("bobby", "short", "8 characters"), ("ann", PASSWORD, "ann is taken")],
)
def test_signing_up_says_what_is_wrong(desk, bob, name, password, fault):
    page = send(bob, "/sign-up", "/sign-in", name=name, password=password)
    assert page.status_code == 422
    assert fault in page.text


def test_a_wrong_password_opens_nothing(desk, bob):
    page = send(bob, "/sign-in", "/sign-in", name="ann", password="wrong")
    assert page.status_code == 401
    assert "No such name and password." in page.text
    assert "/sign-in" in bob.get("/").url


def test_nobody_is_led_to_another_site(desk, bob):
    for target in ("https://example.com/", "//example.com/", "/\\example.com"):
        page = send(bob, "/sign-in", "/sign-in", name="ann", password=PASSWORD, next_url=target)
        assert page.url.rstrip("/") == f"http://127.0.0.1:{desk.port}"
        send(bob, "/sign-out")


def test_a_form_of_another_site_is_refused(desk):
    assert desk.post("/tickets", {"title": "forged"}).status_code == 403
    assert "forged" not in desk.get("/").text


def test_the_life_of_a_ticket(desk):
    number, page = open_ticket(desk, "The printer <smokes>", urgency="2", text="Since Monday.")
    assert "The printer &lt;smokes&gt;" in page
    assert "Since Monday." in page
    path = f"/tickets/{number}"
    content = os.urandom(100_000)
    form = {"_csrf_token": token_of(desk, path), "text": "A picture.", "file": ("../smoke.jpg", content, "image/jpeg")}
    page = desk.upload(f"{path}/notes", form)
    assert "smoke.jpg</a> (98 KiB)" in page.text
    file = desk.get(re.search(r'href="(/files/\d+)"', page.text)[1])
    assert file.content == content
    assert 'filename="smoke.jpg"' in file.headers["content-disposition"]
    assert "is waiting." in send(desk, f"{path}/state", path, state="waiting").text
    assert send(desk, f"{path}/state", path, state="burnt").status_code == 400
    assert f'href="{path}"' not in desk.get("/").text
    assert f'href="{path}"' in desk.get("/?state=waiting").text
    assert "set to waiting" in desk.get("/activity/").text


def test_a_guest_may_look_with_the_link_and_with_no_other(desk, bob):
    number, _ = open_ticket(desk, "For a guest")
    page = send(desk, f"/tickets/{number}/share", f"/tickets/{number}")
    link = re.search(r'href="(/guest\?token=[^"]+)"', page.text)[1]
    seen = bob.get(link)
    assert "For a guest" in seen.text
    assert "<form" not in seen.text
    assert bob.get(link[:-2]).status_code == 410
    assert bob.get("/guest?token=forged").status_code == 410
    assert bob.get("/guest").status_code == 400


def test_only_an_admin_deletes(desk, bob):
    sign_up(bob, "bob")
    number, page = open_ticket(bob, "Mine")
    path = f"/tickets/{number}"
    assert "Delete" not in page
    refused = send(bob, f"{path}/delete", path)
    assert refused.status_code == 403
    assert "That takes an admin." in refused.text
    assert "Delete" in desk.get(path).text
    assert send(desk, f"{path}/delete", path).status_code == 200
    missing = desk.get(path)
    assert missing.status_code == 404
    assert f"there is no ticket {number}" in missing.text


def test_pages_of_a_long_list(desk):
    for number in range(25):
        open_ticket(desk, f"Page {number}", urgency="1")
    first = desk.get("/?state=open")
    older = re.search(r'href="([^"]+)">older', first.text)[1].replace("&amp;", "&")
    assert "page=2" in older
    assert "state=open" in older
    assert "newer" in desk.get(older).text


def test_what_one_worker_counted_another_does_not_keep(desk):
    before = int(re.search(r"Tickets \((\d+) open\)", desk.get("/").text)[1])
    open_ticket(desk, "Count me")
    browsers = [Session(f"http://127.0.0.1:{desk.port}") for _ in range(6)]
    for browser in browsers:  # each of its own connection, so of either worker
        send(browser, "/sign-in", "/sign-in", name="ann", password=PASSWORD)
        assert f"Tickets ({before + 1} open)" in browser.get("/").text


def test_programs_have_a_token(desk, bob):
    token = re.search(r'<pre id="token">([^<]+)<', send(desk, "/token").text)[1]
    auth = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    made = bob.post("/api/tickets", json={"title": "By a program", "urgency": 3}, headers=auth)
    assert made.status_code == 201
    number = made.json()["id"]
    assert made.json()["url"] == f"/tickets/{number}"
    listed = bob.get("/api/tickets?limit=1", headers=auth).json()["tickets"]
    assert [each["id"] for each in listed] == [number]
    assert bob.get(f"/api/tickets/{number}", headers=auth).json()["owner"] == "ann"
    assert bob.get("/api/tickets/99999", headers=auth).json()["code"] == 40401
    assert bob.post("/api/tickets", json={"title": " "}, headers=auth).status_code == 422
    for wrong in ({"urgency": 1}, {"title": "x", "urgency": "high"}, {"title": "x", "colour": "red"}, {}):
        assert bob.post("/api/tickets", json=wrong, headers=auth).status_code == 400
    assert bob.get("/api/tickets?state=lost", headers=auth).status_code == 400
    assert bob.get("/api/tickets").status_code == 401
    assert bob.get("/api/tickets", headers={"Authorization": f"Bearer {token[:-3]}"}).status_code == 401


def test_the_stream_tells_what_happens(desk):
    heard = []

    def listen():
        heard.append(desk.get("/activity/stream?seconds=3").text)

    listener = threading.Thread(target=listen)
    listener.start()
    other = Session(f"http://127.0.0.1:{desk.port}")
    send(other, "/sign-in", "/sign-in", name="ann", password=PASSWORD)
    open_ticket(other, "Heard of")
    listener.join()
    assert '"what": "opened"' in heard[0]


def test_the_documentation_of_the_api(desk):
    document = desk.get("/docs/openapi.json").json()
    assert document["paths"]["/api/tickets"]["get"]["summary"] == "Tickets in a state, the newest first."
    assert desk.get("/docs").status_code == 200


def test_what_is_too_large_is_refused(desk):
    path = f"/tickets/{open_ticket(desk, 'Large')[0]}"
    form = {"_csrf_token": token_of(desk, path), "file": io.BytesIO(b"x" * 6_000_000)}
    assert desk.upload(f"{path}/notes", form).status_code == 413
