"""A dialogue with a real server of one WSGI app."""

from __future__ import annotations

import socket
import textwrap
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support.dialogue import Served
from tests.support.memory import Client

SCRIPT = """\
import skitai

if __name__ == "__main__":
    pref = skitai.pref()
    {pref}
    skitai.mount("/", "site.py", "app", pref)
    skitai.run({options})
"""

PASSING = """\
import skitai

if __name__ == "__main__":
    skitai.alias("@behind", skitai.PROTO_HTTP, "127.0.0.1:{port}")
    skitai.mount("/", "@behind")
    skitai.run({options})
"""
"""All goes to the server behind."""


class Site(Served):
    """A server of the app in `site.py`.

    :param app: the file's text.
    :param pref: lines that set preferences.
    """

    def __init__(self, folder: Path, app: str, pref: str = "", **options: Any) -> None:
        self.pref = pref
        self.logs = folder / "logs"
        self._clients: list[Client] = []
        ours = {"engine": "auto", "workers": 1, "keep_alive": 5, "logpath": str(self.logs)}
        super().__init__(folder, **(ours | options))
        self.write_app(app)

    def write_app(self, app: str) -> None:
        (self.folder / "site.py").write_text(textwrap.dedent(app))

    def script(self, before: str, options: str) -> str:
        return SCRIPT.format(pref=self.pref or "pass", options=options)

    @property
    def said(self) -> str:
        file = self.logs / "app.log"
        return super().said + (file.read_text() if file.exists() else "")

    @property
    def lines(self) -> list[str]:
        """The lines of the request log."""
        file = self.logs / "request.log"
        return file.read_text().splitlines() if file.exists() else []

    def connect(self) -> Client:
        """A connection of raw bytes."""
        self._clients.append(Client(socket.create_connection(("127.0.0.1", self.port), 10)))
        return self._clients[-1]

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        super().stop()

    def client(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=10)


class Patient(Site):
    """A server that may take its time to start, where tests run beside each other."""

    def start(self, *arguments: str, **options: Any) -> Patient:
        super().start(*arguments, **(options | {"wait": False}))
        self.hears_that(r"is ready$", within_s=60)
        return self


class Front(Patient):
    """A server before another one.

    :param port: of that one.
    :param script: with "{port}" and "{options}" in it.
    """

    def __init__(self, folder: Path, port: int, script: str = PASSING, **options: Any) -> None:
        self._behind = port
        self._script = script
        super().__init__(folder, "", **options)

    def script(self, before: str, options: str) -> str:
        return self._script.replace("{port}", str(self._behind)).replace("{options}", options)
