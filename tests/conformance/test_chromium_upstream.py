"""Chromium before a server that passes requests on: what the server behind says ahead of its answer (RFC 8297)."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from skitai.testing import launch
from tests.support.chromium import SOON_S, Browser
from tests.support.plainserver import plain_server

pytestmark = pytest.mark.process

SCRIPT = """\
import skitai

if __name__ == "__main__":
    skitai.alias("@shop", skitai.PROTO_HTTP, "127.0.0.1:{port}")
    skitai.enable_ssl('{pair}/server.crt', '{pair}/server.key')
    skitai.mount("/shop", "@shop")
    skitai.run()
"""

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </shop/style.css>; rel=preload; as=style\r\n\r\n"
PAGE = "<!doctype html><link rel=icon href=data:,><link rel=stylesheet href=style.css>the style was asked for {}"


def test_early_hints_are_taken_while_the_page_is_made(browser: Browser, pair: Path, tmp_path: Path) -> None:
    asked = threading.Event()

    def talk(sock: socket.socket) -> None:
        while head := sock.recv(65536):
            kind, body = "text/html", b""
            if head.startswith(b"GET /style.css "):
                asked.set()
                kind, body = "text/css", b"body { color: rgb(1, 2, 3) }"
            elif head.startswith(b"GET /slow "):
                time.sleep(SOON_S)
                sock.sendall(HINTS)
                body = PAGE.format("before" if asked.wait(10) else "too late").encode()
            answer = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            sock.sendall(f"{answer}Cache-Control: max-age=60\r\n\r\n".encode() + body)

    script = tmp_path / "app.py"
    with plain_server(talk) as there:
        script.write_text(SCRIPT.format(port=there.port, pair=pair))
        with launch(script, port=0, ssl=True) as engine, browser.page() as page:
            page.goto(f"https://site.test:{engine.port}/shop/slow")
            assert page.text == "the style was asked for before"
            assert page.run("getComputedStyle(document.body).color") == "rgb(1, 2, 3)"
