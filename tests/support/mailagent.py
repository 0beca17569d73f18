"""Mail agents that may be killed at any moment, each a process of its own.

``python -m tests.support.mailagent HOME SERVER`` forks an agent for each line that it reads and says its pid: an agent that
is forked from a process that has everything imported is at work within milliseconds.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from skitai.config.sections.helping import Smtpda
from skitai.helpers.smtpda.agent import Agent
from skitai.ipc.envelope import Envelope, MailServer
from skitai.ipc.scoreboard import Scoreboard
from skitai.ipc.spool import Spool
from tests.support.dialogue import ROOT, eventually
from tests.support.mailserver import Behaviour, mail_server


class Nursery:
    """A process that forks agents."""

    def __init__(self, home: Path, server: MailServer) -> None:
        command = [sys.executable, "-m", "tests.support.mailagent", str(home), str(server)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def spawn(self) -> int:
        """Start an agent; its pid."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def survive(folder: Path, kills: int, messages: int, seed: int) -> int:
    """Let so many messages flow while the agent is killed so many times; each has to arrive.

    :returns: how many arrived more than once.
    """
    chance = random.Random(seed)
    spool = Spool(str(folder))
    answers = random.Random(seed)
    behaviour = Behaviour(rcpt=lambda address: "451 later" if answers.random() < 0.05 else None, pipelining=True)
    put: set[str] = set()

    def write(count: int) -> None:
        for number in range(len(put), min(len(put) + count, messages)):
            message_id = f"<{number}@client.test>"
            message = b"Message-ID: %s\r\n\r\n" % message_id.encode() + b"text\r\n" * chance.randrange(1000)
            spool.put(Envelope("a@client.test", ("b@mail.test", "c@mail.test"), message_id=message_id), message)
            put.add(message_id)

    with mail_server(behaviour) as (server, address):
        nursery = Nursery(folder, address)
        try:
            for _ in range(kills):
                pid = nursery.spawn()
                write(-(-messages // kills))
                time.sleep(chance.uniform(0, 0.05))
                os.kill(pid, signal.SIGKILL)
            pid = nursery.spawn()
            write(messages)
            eventually(lambda: not spool.scan().names, "the spool is empty", 120)
            os.kill(pid, signal.SIGKILL)
        finally:
            nursery.close()
        arrived: dict[tuple[str, str], int] = {}
        for got in server.got:
            for recipient in got.recipients:
                arrived[got.message_id, recipient] = arrived.get((got.message_id, recipient), 0) + 1
    assert len(put) == messages
    assert set(arrived) == {(each, recipient) for each in put for recipient in ("b@mail.test", "c@mail.test")}
    assert not spool.given_up().names
    return sum(count - 1 for count in arrived.values())


def main(home: str, server: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    logging.getLogger("skitai.smtpda").addHandler(logging.NullHandler())
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            options = Smtpda(server=server, retry_s=0.05, max_retry=1000, retry_most_s=0.2, helo="client.test")
            agent = Agent(options, Spool(home), Scoreboard.create().row(0))
            agent.prepare()
            agent.run()
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
