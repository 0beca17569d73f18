"""What the options of HTTP/2 say is what a client is told, and what it may."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import HeadersFrame, PingFrame, RstStreamFrame, WindowUpdateFrame

from skitai.saddle import Saddle
from tests.support.http2 import Http2Client, http2
from tests.support.memory import mounted, wait_for, wire


def quick(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"quick " + environ["PATH_INFO"].encode()]


def ended_with(client: Http2Client) -> int:
    client.until_closed()
    return client.ends[-1][1]


def test_what_a_client_is_told() -> None:
    given: dict[str, Any] = {
        "http2_streams": 7,
        "http2_window_bytes": 100_000,
        "http2_total_window_bytes": 300_000,
        "http2_frame_bytes": 20_000,
        "http2_table_bytes": 1000,
        "head_bytes": 10_000,
    }
    with wire(mounted("/", quick), **given) as server:
        client = http2(server)
        assert client.ask("/").status == 200
        client.answer_pings()
        told = client.h2.remote_settings
        assert told[SettingCodes.MAX_CONCURRENT_STREAMS] == 7
        assert told[SettingCodes.INITIAL_WINDOW_SIZE] == 100_000
        assert told[SettingCodes.MAX_FRAME_SIZE] == 20_000
        assert told[SettingCodes.HEADER_TABLE_SIZE] == 1000
        assert told[SettingCodes.MAX_HEADER_LIST_SIZE] == 10_000
        assert client.h2.outbound_flow_control_window == 300_000


def test_requests_of_one_connection() -> None:
    with wire(mounted("/", quick), http2_requests=3) as server:
        client = http2(server)
        assert [client.ask(f"/{number}").body for number in range(3)] == [b"quick /0", b"quick /1", b"quick /2"]
        assert ended_with(client) == ErrorCodes.NO_ERROR


@pytest.mark.parametrize("most", [0, 1])
def test_pushes(most: int) -> None:
    app = Saddle(__name__)

    @app.route("/page")
    def page(was: Any) -> str:
        for number in range(3):
            was.response.hint_promise(f"/{number}.css")
        return "page"

    @app.route("/<name>")
    def style(was: Any, name: str) -> str:
        return name

    with wire(mounted("/", app), kind="saddle", http2_pushes=most, threads=0) as server:
        client = http2(server)
        answer = client.ask("/page")
        assert len(client.promises) == most
        assert len(answer.informed) == 3 - most


@pytest.mark.parametrize(
    ("option", "frames"),
    [
        ("http2_resets", [HeadersFrame(1, b"\x82\x84\x86\x41\x01a", flags=["END_HEADERS"]), RstStreamFrame(1, 8)]),
        ("http2_controls", [PingFrame(0, b"12345678")]),
        ("http2_window_updates", [WindowUpdateFrame(0, window_increment=1)]),
    ],
)
def test_budgets(option: str, frames: list[Any]) -> None:
    with wire(mounted("/", quick), **{option: 10, "http2_period_s": 1000}) as server:
        client = http2(server)
        client.answer_pings()
        for number in range(11):
            for frame in frames:
                frame.stream_id = frame.stream_id and 2 * number + 1
                client.raw(frame)
        assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


def test_frames_of_a_head() -> None:
    for most, good in ((1, True), (0, False)):
        with wire(mounted("/", quick), http2_continuations=most) as server:
            client = http2(server)
            stream = client.begin("/", fields=[("x-large", "x" * 7000), ("x-larger", "x" * 7000), ("x-last", "x" * 7000)])
            if good:
                assert client.wait(stream).status == 200
            else:
                assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_connection_is_logged_when_it_closes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "skitai.server"), wire(mounted("/", quick)) as server:
        client = http2(server)
        client.ask("/a")
        client.ask("/b")
        client.client.close()
        wait_for(lambda: "HTTP/2 connection closed, 2 requests in " in caplog.text)
