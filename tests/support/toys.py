"""Workers that know no HTTP server: what the supervision tests let the master supervise.

A toy answers every request with one line, ``#NUMBER generation GENERATION pid PID text TEXT``, after the path's wish:
``/sleep/1.5`` and ``/burn/1.5`` answer late, idle and busy, ``/exit/3`` leaves with that code, ``/stuck`` stops beating,
``/beat`` begins to, ``/setlu/NAME`` and ``/getlu/NAME`` use the last-update table. TEXT is that of the file ``text`` in the
working directory when the toy started, so a test can tell new code from old; the file ``boot`` says how toys start.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from pathlib import Path

from skitai.ipc.link import Child
from skitai.ipc.scoreboard import State

BOOT_FAILURE = 3


class _Toy:
    def __init__(self, child: Child) -> None:
        self.child = child
        self.text = _read("text")
        self.leaving = False
        self.idle_s = 0.01
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, self._leave)
        signal.signal(signal.SIGUSR1, lambda number, frame: Path(f"reopened-{os.getpid()}").touch())
        child.watch(self._leave)

    def _leave(self, *_: object) -> None:
        self.leaving = True

    def run(self) -> int:
        self.child.ready()
        beating = False
        while not self.leaving:
            readable, _, _ = select.select(self.child.sockets, [], [], 0.02)
            if beating:
                self.child.row.loop_beat_s = time.monotonic()
            for sock in readable:
                try:
                    client, _ = sock.accept()
                except BlockingIOError:
                    continue
                beating = self._answer(client) or beating
        self.child.row.state = State.STOPPING
        return 0

    def _answer(self, client: socket.socket) -> bool:
        """Answer one request; whether the toy should beat from now on."""
        with client:
            client.settimeout(2)
            path = client.recv(4096).split(b" ")[1].decode()
            _, wish, *rest = path.split("/")
            if wish == "exit":
                os._exit(int(rest[0]))
            if wish == "sleep":
                time.sleep(float(rest[0]))
            if wish == "burn":
                end_s = time.monotonic() + float(rest[0])
                while time.monotonic() < end_s:
                    pass
            if wish == "setlu":
                self.child.table.set(rest[0], time.time())
            if wish == "getlu":
                self.text = str(self.child.table.get(rest[0]))
            if wish == "restart":
                self.child.restart()
            if wish == "shutdown":
                self.child.shutdown()
            child = self.child
            child.row.requests += 1
            line = f"#{child.number} generation {child.generation} pid {os.getpid()} text {self.text}\n"
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + line.encode())
        if wish == "stuck":
            self.child.row.loop_beat_s = time.monotonic()
            time.sleep(600)
        return wish == "beat"


def serve(child: Child) -> int:
    """A toy that can do everything."""
    behaviour = _read("boot")
    if behaviour == "fail":
        child.failed("the toy would not start")
        return BOOT_FAILURE
    if behaviour == "raise":
        raise LookupError("the toy broke")
    if behaviour == "hang":
        time.sleep(600)
    if behaviour == "early" and child.number > 0:
        child.ready()
        os._exit(4)
    if behaviour.startswith("slow"):
        time.sleep(float(behaviour.removeprefix("slow")))
    return _Toy(child).run()


def deaf(child: Child) -> int:
    """A toy that never leaves by itself."""
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child.watch(lambda: None)
    child.ready()
    while True:
        time.sleep(600)


def _read(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except FileNotFoundError:
        return ""
