"""Somebody uses the help desk of the examples with Chromium: signs up, opens a ticket, adds a file, signs out and in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skitai.testing import launch
from tests.support.chromium import Browser, Page
from tests.support.desk import PASSWORD
from tests.support.dialogue import ROOT

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address; it has two workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXAMPLE_DATA", str(tmp_path_factory.mktemp("desk")))
        with launch(ROOT / "examples" / "helpdesk.py", port=0) as engine:
            yield f"http://127.0.0.1:{engine.port}"


def test_a_day_at_the_help_desk(page: Page, browser: Browser, desk: str, tmp_path: Path) -> None:
    page.goto(f"{desk}/activity/")
    assert page.url == f"{desk}/sign-in?next_url=%2Factivity%2F"
    page.fill(name="ann", password=PASSWORD)
    assert page.click("main [formaction$='/sign-up']")["status"] == 200
    assert page.run("document.querySelector('.message').innerText") == "Welcome, ann."

    page.goto(f"{desk}/")
    assert page.run("document.querySelectorAll('.message').length") == 0  # seen once
    page.fill(title="The printer <smokes>", text="Since Monday.")
    page.click("main form[action='/tickets'] button")
    assert page.run("document.querySelector('h1').innerText") == "The printer <smokes>"
    ticket = page.url

    picture = tmp_path / "smoke-öfen.jpg"
    picture.write_bytes(content := os.urandom(100_000))
    page.fill(text="A picture.")
    page.choose_file("input[type=file]", picture)
    page.click("form[enctype] button")
    assert page.url == ticket
    assert f"{picture.name} (98 KiB)" in page.text
    got = "fetch(document.querySelector('main a[href^=\"/files/\"]').href).then(it => it.bytes()).then(it => [...it])"
    assert bytes(page.run(got)) == content

    page.click("button[value=waiting]")
    assert "is waiting." in page.text

    with browser.page() as stranger:
        stranger.goto(ticket)
        assert stranger.url.startswith(f"{desk}/sign-in")
        stranger.fill(name="ann", password="wrong")
        assert stranger.click("main form button")["status"] == 401
        assert "No such name and password." in stranger.text

    page.click("form[action='/sign-out'] button")
    page.goto(ticket)
    assert page.url.startswith(f"{desk}/sign-in")
    page.fill(name="ann", password=PASSWORD)
    page.click("main form button")
    assert page.url == ticket


def test_a_form_of_another_site_does_nothing(page: Page, desk: str) -> None:
    page.goto(f"{desk}/sign-in")
    page.fill(name="bob", password=PASSWORD)
    page.click("main [formaction$='/sign-up']")
    page.goto("data:text/html,<p>A stranger's page")
    form = f"<form method=post action={desk}/tickets><input name=title value=forged><button>"
    page.run(f"document.body.innerHTML = '{form}'")
    page.click("button")
    page.goto(f"{desk}/")
    assert "Tickets (" in page.text
    assert "forged" not in page.text
