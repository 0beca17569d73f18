"""Error pages, and the reason phrases they show."""

from __future__ import annotations

import json
from http import HTTPStatus

from hypothesis import given
from hypothesis import strategies as st

from skitai.http import pages, status

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_15_the_registered_phrases_are_the_standard_ones() -> None:
    renamed = {302, 413, 414, 416, 418, 422}  # by RFC 9110, or with another spelling in the library
    for code in set(HTTPStatus) - renamed:
        assert status.phrase(code) == code.phrase
    assert status.phrase(413) == "Content Too Large"
    assert status.phrase(422) == "Unprocessable Content"


def test_15_an_unregistered_code_has_the_name_of_its_class() -> None:
    assert status.phrase(299) == "Success"
    assert status.phrase(499) == "Client Error"
    assert status.phrase(799) == "Unknown"


def test_a_browser_gets_a_page() -> None:
    content_type, body = pages.render(404, "no such page", BROWSER)
    assert content_type == "text/html; charset=utf-8"
    assert b"404 Not Found" in body
    assert b"no such page" in body


def test_without_accept_and_with_anything_accepted_a_page_is_sent() -> None:
    assert pages.render(404, "", "")[0].startswith("text/html")
    assert pages.render(404, "", "*/*")[0].startswith("text/html")


def test_a_program_that_asks_for_json_gets_it() -> None:
    content_type, body = pages.render(400, "limit is not a number", "application/json")
    assert content_type == "application/json"
    assert json.loads(body) == {"code": 40000, "message": "limit is not a number"}
    assert json.loads(pages.render(404, "", "application/json, text/plain, */*")[1])["message"] == "not found"


def test_12_5_1_the_weights_decide_between_html_and_json() -> None:
    assert not pages.wants_json("text/html, application/json;q=0.9")
    assert not pages.wants_json("application/json;q=0")
    assert pages.wants_json("Application/JSON;q=0.9, text/html;q=0.8")


def test_a_traceback_is_shown_only_when_given() -> None:
    assert b"Traceback" not in pages.render(500, "", BROWSER)[1]
    assert b"Traceback" in pages.render(500, "", BROWSER, "Traceback (most recent call last):\nValueError: 1")[1]
    answer = json.loads(pages.render(500, "", "application/json", "Traceback:\nValueError: 1")[1])
    assert answer == {
        "code": 50090,
        "message": "internal server error",
        "debug": "see traceback",
        "traceback": ["Traceback:", "ValueError: 1"],
    }


def test_what_the_client_sent_is_escaped() -> None:
    _, body = pages.render(404, "<script>alert('&')</script>", BROWSER, "{x} <b>")
    assert b"<script>" not in body
    assert b"&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in body
    assert b"{x} &lt;b&gt;" in body


@given(st.text(), st.text(max_size=80), st.none() | st.text())
def test_any_text_gives_a_page(message: str, accept: str, traceback: str | None) -> None:
    _, body = pages.render(500, message, accept, traceback)
    assert body


def test_lone_surrogates_do_not_break_a_page() -> None:
    assert b"?" in pages.render(500, "\udc80", BROWSER)[1]
    assert json.loads(pages.render(500, "\udc80", "application/json")[1])["message"] == "\udc80"
