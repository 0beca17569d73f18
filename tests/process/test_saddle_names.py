"""Each documented name of Saddle, used in a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

import skitai
from tests.support import documented
from tests.support.ports import free_port

pytestmark = pytest.mark.process

STATUSES = {
    "response(status)": 404,
    "response.set_status()": 201,
    "response.Fault(400)": 400,
    "response.throw()": 418,
    "response.with_explain()": 503,
    "was.redirect()": 303,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with skitai.launch(documented.__file__, port=free_port()) as server:
        yield server


@pytest.mark.parametrize("name", documented.ROWS)
def test_a_documented_name_does_what_it_should(server: Any, name: str) -> None:
    answer = server.post(
        f"/names/{quote(name)}?num=7&word=a&word=b",
        b'{"topic": "tea"}',
        headers={"Content-Type": "application/json", "User-Agent": "names", "Cookie": "user=ann"},
        allow_redirects=False,
    )
    assert answer.status_code == STATUSES.get(name, 200), answer.text
    if name not in documented.RETURNED:
        assert answer.text == "right"
        return
    expected = documented.ROWS[name][1]
    match name:
        case "response.file()" | "was.fstream()":
            assert answer.text.startswith('"""Every documented name')
        case "response(status)":
            assert "404 Not Found" in answer.text
        case "response.throw()":
            assert "short and stout" in answer.text
        case "response.with_explain()":
            assert "on Thursday" in answer.text
        case "was.redirect()":
            assert answer.headers["location"] == "/hello/x"
        case _:
            assert (answer.json() if isinstance(expected, dict) else answer.text) == expected
