"""The help desk of the examples, asked in memory."""

import importlib
import re
import sys

import pytest

from tests.support.desk import PASSWORD, open_ticket, send, sign_up, token_of
from tests.support.snippets import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setenv("EXAMPLE_DATA", str(tmp_path))
    for folder in (EXAMPLES, EXAMPLES / "desk"):
        monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("app").app
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(EXAMPLES)):
            del sys.modules[name]


@pytest.fixture
def desk(app):
    with app.make_client(approot=str(EXAMPLES / "desk")) as desk:
        sign_up(desk, "ann")
        yield desk


@pytest.fixture
def bob(app, desk):
    """Another browser, whose user is no admin."""
    with app.make_client(approot=str(EXAMPLES / "desk")) as bob:
        sign_up(bob, "bob")
        yield bob


def test_the_life_of_a_ticket(desk):
    number, page = open_ticket(desk, "The printer <smokes>", urgency="2", text="Since Monday.")
    assert "The printer &lt;smokes&gt;" in page
    path = f"/tickets/{number}"
    assert "Tickets (1 open)" in desk.get("/").text
    form = {"_csrf_token": token_of(desk, path), "file": ("../smoke.jpg", b"x" * 3000, "image/jpeg")}
    page = desk.upload(f"{path}/notes", form)
    file = desk.get(re.search(r'href="(/files/\d+)"', page.text)[1])
    assert file.content == b"x" * 3000
    assert 'filename="smoke.jpg"' in file.headers["content-disposition"]
    assert "is closed." in send(desk, f"{path}/state", path, state="closed").text
    assert "Tickets (0 open)" in desk.get("/").text
    assert "set to closed" in desk.get("/activity/").text


def test_forms_of_other_sites_and_wrong_passwords_open_nothing(desk, bob):
    assert desk.post("/tickets", {"title": "forged"}).status_code == 403
    send(bob, "/sign-out")
    assert send(bob, "/sign-in", "/sign-in", name="ann", password="wrong").status_code == 401
    assert send(bob, "/sign-in", "/sign-in", name="ann", password=PASSWORD).status_code == 200


def test_only_an_admin_deletes(desk, bob):
    path = f"/tickets/{open_ticket(bob, 'Mine')[0]}"
    assert send(bob, f"{path}/delete", path).status_code == 403
    assert send(desk, f"{path}/delete", path).status_code == 200
    assert desk.get(path).status_code == 404


def test_who_has_signed_out_is_asked_to_sign_in_before_anything_else(desk):
    path = f"/tickets/{open_ticket(desk, 'Mine')[0]}"
    send(desk, "/sign-out")
    assert "/sign-in" in send(desk, f"{path}/delete", "/sign-in").url


def test_a_program_with_a_token(desk):
    token = re.search(r'<pre id="token">([^<]+)<', send(desk, "/token").text)[1]
    fields = {"Authorization": f"Bearer {token}"}
    made = desk.post("/api/tickets", json={"title": "By a program"}, headers=fields)
    assert made.status_code == 201
    assert desk.get("/api/tickets", headers=fields).json()["tickets"][0]["title"] == "By a program"
    assert desk.get("/api/tickets", headers={"Authorization": f"Bearer {token[:-4]}"}).status_code == 401
