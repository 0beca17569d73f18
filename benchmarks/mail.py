"""The mail agent: messages per second into the spool and out of it, and how long a full queue takes to start.

Only our own figures: no peer leaves mail in a spool and delivers it. The mail server takes everything and keeps nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.processes import LOAD_CORE, SERVER_CORE, pinned
from skitai.config.sections.helping import Smtpda
from skitai.helpers.smtpda.agent import Agent
from skitai.ipc.envelope import Envelope
from skitai.ipc.scoreboard import Scoreboard
from skitai.ipc.spool import Spool

ROOT = Path(__file__).resolve().parent.parent
QUEUE, SINGLE = 10_000, 50
START_S, PATIENCE_S = 1.0, 120.0
MESSAGE = b"From: a@client.test\r\nTo: b@mail.test\r\nSubject: hello\r\n\r\n" + b"Some text in a line.\r\n" * 100
TO_ONE = Envelope("a@client.test", ("b@mail.test",), message_id="<1@client.test>")


class Sink(asyncio.Protocol):
    """An SMTP server that offers PIPELINING and takes everything.

    :cvar taken: messages so far.
    """

    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer, self._in_message = transport, b"", False
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answers = b""
        while True:
            end = b"\r\n.\r\n" if self._in_message else b"\r\n"
            found, sign, rest = self._buffer.partition(end)
            if not sign:
                break
            self._buffer = rest
            if self._in_message:
                self._in_message = False
                Sink.taken += 1
                answers += b"250 taken\r\n"
                continue
            verb = found[:4].upper()
            self._in_message = verb == b"DATA"
            answers += {b"EHLO": b"250-sink\r\n250 PIPELINING\r\n", b"DATA": b"354 go\r\n"}.get(verb, b"250 ok\r\n")
        if answers:
            self._transport.write(answers)


async def sink() -> None:
    """Serve until standard input ends; each line there is answered with the number of messages so far."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(Sink.taken, flush=True)


def agent(home: str, port: str) -> None:
    """Run an agent until standard input ends; say when it was ready and what it cost."""
    began_s = time.perf_counter()
    made = Agent(Smtpda(server=f"127.0.0.1:{port}", helo="client.test"), Spool(home), Scoreboard.create().row(0))
    made.prepare()
    print(json.dumps({"ready_s": time.perf_counter() - began_s}), flush=True)
    thread = threading.Thread(target=made.run)
    thread.start()
    sys.stdin.read()
    made.soon(lambda: made.leave(1))
    thread.join()
    used = os.times()
    print(json.dumps({"cpu_s": used.user + used.system}), flush=True)


@contextmanager
def started(core: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = pinned(core, [sys.executable, "-m", "benchmarks.mail", *arguments])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def put(spool: Spool, count: int, threads: int) -> float:
    """Messages per second that so many threads put into a spool, each synced."""

    def work() -> None:
        for _ in range(count // threads):
            spool.put(TO_ONE, MESSAGE)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    began_s = time.perf_counter()
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return count / (time.perf_counter() - began_s)


def taken(server: subprocess.Popen[str]) -> int:
    assert server.stdin
    server.stdin.write("\n")
    server.stdin.flush()
    return int(say(server))


def wait(true: Callable[[], bool], pause_s: float) -> float:
    """How long it takes until something is true."""
    began_s = time.perf_counter()
    while not true():
        if time.perf_counter() > began_s + PATIENCE_S:
            raise TimeoutError(f"the agent did not deliver within {PATIENCE_S:g} s")
        time.sleep(pause_s)
    return time.perf_counter() - began_s


def measure() -> str:
    """The table, as Markdown."""
    with TemporaryDirectory(prefix="bench-mail-", dir=ROOT) as folder, started(LOAD_CORE, "sink") as server:
        port = say(server).strip()
        spool = Spool(folder)
        one, four = put(spool, QUEUE // 2, 1), put(spool, QUEUE // 2, 4)
        with started(SERVER_CORE, "agent", folder, port) as helper:
            ready_s = json.loads(say(helper))["ready_s"]
            out_s = wait(lambda: taken(server) >= QUEUE, 0.02)
            delays = []
            for number in range(SINGLE):
                spool.put(TO_ONE, MESSAGE)
                delays.append(wait(lambda number=number: taken(server) > QUEUE + number, 0))  # type: ignore[misc]
            assert helper.stdin
            helper.stdin.close()
            cpu_s = json.loads(say(helper))["cpu_s"]
    verdict, start = "reached" if ready_s <= START_S else "MISSED", f"start with {QUEUE:,} messages waiting"
    return "\n".join(
        [
            f"## Mail: messages of {len(MESSAGE) / 1000:.1f} kB, a server that takes everything",
            "",
            "| what                                                    |   figure |",
            "|---------------------------------------------------------|---------:|",
            f"| into the spool, synced, one thread, messages/s          | {one:>8,.0f} |",
            f"| the same, four threads                                  | {four:>8,.0f} |",
            f"| out of it, messages/s                                   | {QUEUE / out_s:>8,.0f} |",
            f"| CPU of the agent, us/message                            | {cpu_s / (QUEUE + SINGLE) * 1e6:>8,.0f} |",
            f"| from send() to the server, median ms                    | {median(delays) * 1e3:>8.1f} |",
            f"| {f'{start}, ms':<55} | {ready_s * 1e3:>8.0f} |",
            "",
            f"- {verdict}: {start}: target {START_S * 1e3:.0f} ms, here {ready_s * 1e3:.0f} ms",
            "",
        ]
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sink"]:
            asyncio.run(sink())
        case ["agent", home, port]:
            agent(home, port)
        case _:
            print(measure())
