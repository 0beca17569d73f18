"""What people do at the help desk of the examples, with any client that keeps cookies."""

import re

PASSWORD = "correct horse"


def token_of(browser, page="/sign-in"):
    return re.search(r'name="_csrf_token" value="(\w+)"', browser.get(page).text)[1]


def send(browser, path, page="/", **form):
    """Fill in and send a form of a page."""
    return browser.post(path, {"_csrf_token": token_of(browser, page), **form})


def sign_up(browser, name):
    page = send(browser, "/sign-up", "/sign-in", name=name, password=PASSWORD)
    assert f"Welcome, {name}." in page.text


def open_ticket(browser, title, **form):
    page = send(browser, "/tickets", title=title, **form)
    assert page.status_code == 200
    return int(re.search(r"/tickets/(\d+)", page.url)[1]), page.text
