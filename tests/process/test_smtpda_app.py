"""Mail from an app, through the whole server: worker, spool, agent, mail server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from tests.support.dialogue import Served, are_gone, eventually
from tests.support.mailserver import Behaviour, mail_server

pytestmark = pytest.mark.process

SCRIPT = """
import os
import skitai
from flask import Flask, request
from skitai import was
from skitai.saddle import Saddle

app = Flask(__name__)
saddle = Saddle(__name__)

@app.route("/send")
def send():
    email = was.email(request.args["subject"], "Ann <ann@client.test>", request.args["to"])
    email.add_content("<b>hello</b>", "text/html")
    return email.send()

@app.route("/pid")
def pid():
    return str(os.getpid())

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        message_id = was.email("from ASGI", "ann@client.test", "bob@mail.test").send()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message_id.encode()})

@saddle.route("/send")
def send_of_saddle(was):
    return was.email("from Saddle", "ann@client.test", "bob@mail.test").send()

if __name__ == "__main__":
    skitai.enable_smtpda("{server}", ssl=False, max_retry=3, keep_days=3, retry_s=0.2)
    skitai.mount("/", app)
    skitai.mount("/asgi", asgi)
    skitai.mount("/saddle", saddle)
    skitai.run({options})
"""


class Mailing(Served):
    """A server with a mail agent, and where its mail goes."""

    def __init__(self, folder: Path, address: object) -> None:
        self.address = address
        super().__init__(folder, engine="auto", workers=1)

    def script(self, before: str, options: str) -> str:
        return SCRIPT.replace("{server}", str(self.address)).replace("{options}", options)

    def send(self, subject: object = "x", to: str = "bob@mail.test") -> str:
        """What the app answers: the Message-ID."""
        return self.get(f"/send?subject={quote(str(subject))}&to={to}")

    def agents(self) -> list[dict[str, Any]]:
        children = self.ask("status").data["children"]
        return [each for each in children if each["program"] == "smtpda" and each["state"] == "serving"]

    def agent(self) -> int:
        """The pid of the agent, once there is exactly one that serves."""
        found: list[dict[str, Any]] = eventually(lambda: len(self.agents()) == 1 and self.agents(), "one agent serves")
        return int(found[0]["pid"])


@pytest.fixture
def mailing(tmp_path: Path) -> Iterator[Callable[[object], Mailing]]:
    started: list[Mailing] = []

    def start(address: object) -> Mailing:
        started.append(Mailing(tmp_path, address))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_what_an_app_sends_arrives(mailing):
    with mail_server() as (server, address):
        site = mailing(address)
        first = site.send("안녕", to="bob@mail.test,eve@mail.test")
        ids = {first, site.get("/asgi/"), site.get("/saddle/send")}
        eventually(lambda: len(server.got) == 3, "all arrive")
        assert {got.message_id for got in server.got} == ids
        assert ["bob@mail.test", "eve@mail.test"] in [got.recipients for got in server.got]
        (agent,) = site.agents()
        eventually(lambda: site.agents()[0]["done"] == 3, "status counts them")
        assert " ".join(psutil.Process(agent["pid"]).cmdline()).strip().endswith("/app): smtpda")


def test_what_cannot_be_sent_is_an_error_of_the_app(mailing):
    with mail_server() as (_, address):
        site = mailing(address)
        assert "Internal Server Error" in site.send("x\r\nBcc: eve@mail.test")
        assert "Internal Server Error" in site.send(to="nobody")
        assert site.get("/pid").isdecimal()


def test_a_killed_agent_is_replaced_and_nobody_else_notices(mailing):
    later = [None] * 3
    behaviour = Behaviour(rcpt=lambda address: "451 later" if later and not later.pop() else None)
    with mail_server(behaviour) as (server, address):
        site = mailing(address)
        agent, worker = site.agent(), site.get("/pid")
        ids = {site.send(number) for number in range(5)}
        os.kill(agent, signal.SIGKILL)
        ids |= {site.send(number) for number in range(5)}
        eventually(lambda: {got.message_id for got in server.got} == ids, "all arrive", 15)
        assert site.agent() != agent
        assert site.get("/pid") == worker


def test_a_message_waits_while_the_server_is_down(mailing):
    with mail_server(Behaviour(rcpt=lambda address: "451 later")) as (_, address):
        site = mailing(address)
        message_id = site.send()
        eventually(lambda: site.agents() and site.agents()[0]["waiting"] == 1, "it waits")
        site.signal(signal.SIGTERM)
        assert site.leaves(5) == 0
    with mail_server(port=address.port) as (server, _):
        mailing(address)
        eventually(lambda: server.got, "it arrives after the next start", 15)
        assert server.got[0].message_id == message_id


def test_a_killed_master_loses_no_mail(mailing):
    with mail_server(Behaviour(pause_s=0.3)) as (server, address):
        site = mailing(address)
        agent = psutil.Process(site.agent())
        ids = {site.send(number) for number in range(10)}
        site.signal(signal.SIGKILL)
        assert are_gone([agent])
        assert len(server.got) < 10
        mailing(address)
        eventually(lambda: {got.message_id for got in server.got} == ids, "all arrive", 15)
        assert len(server.got) == 10  # the agent that was left alone ended what it had begun


def test_reloads_lose_and_double_nothing(mailing):
    with mail_server(Behaviour(pause_s=0.1, pipelining=True)) as (server, address):
        site = mailing(address)
        ids: list[str] = []
        for generation in (2, 3):
            agent = site.agent()
            ids += [site.send(number) for number in range(10)]
            site.signal(signal.SIGHUP)
            eventually(lambda agent=agent: site.agents() and site.agent() != agent, f"agent of generation {generation}")
        eventually(lambda: len(server.got) >= len(ids), "all arrive", 15)
        assert sorted(got.message_id for got in server.got) == sorted(ids)
