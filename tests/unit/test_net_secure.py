"""What is said of failed TLS handshakes."""

from __future__ import annotations

import logging
import ssl

import pytest

from skitai.net.secure import TOLD_AT_ONCE, TOLD_S, Handshakes

PEER = ("192.0.2.7", 5000)


def test_of_many_failures_a_few_are_told_and_then_their_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "skitai.server")
    handshakes = Handshakes(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), 10, 100)
    for number in range(TOLD_AT_ONCE + 7):
        handshakes.failed(PEER, TimeoutError("it took too long"), 1000 + number / 100)
    assert caplog.messages == ["TLS handshake with 192.0.2.7: it took too long"] * TOLD_AT_ONCE
    caplog.clear()
    handshakes.failed("", ConnectionResetError(), 1000 + TOLD_S)
    assert caplog.messages == ["TLS: 7 more handshakes failed", "TLS handshake with a client: the client left"]
