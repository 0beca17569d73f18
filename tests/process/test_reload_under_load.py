"""Clients that try nothing twice, on a server whose code is replaced twice under them."""

from __future__ import annotations

import re
import signal
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.processes import ROOT, Running, free_port
from benchmarks.reload import Seen, watch
from tests.support.memory import wait_for

pytestmark = pytest.mark.process

PATIENCE_S = 120.0

SCRIPT = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
import skitai

skitai.mount("/", {str(ROOT / "benchmarks/apps/slow_import.py")!r}, "app")
if __name__ == "__main__":
    skitai.run(workers=2)
"""


def test_two_reloads_lose_no_request(tmp_path: Path) -> None:
    """An app that takes two seconds to import, two workers, six clients; the reloads come three seconds apart."""
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    port = free_port()
    command = [sys.executable, str(script), "--port", str(port), "--varpath", str(tmp_path / "var")]
    output, seen, enough = tmp_path / "output", list[Seen](), threading.Event()
    with Running(command, port, output, {}, tmp_path) as server:
        clients = threading.Thread(target=lambda: seen.append(watch(port, PATIENCE_S, enough)))
        clients.start()
        for _ in range(2):
            clients.join(3)
            server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not clients.is_alive() or "generation 3 serves" in output.read_text(), PATIENCE_S)
        clients.join(1)  # and what comes behind it
        enough.set()
        clients.join()
    assert seen[0].errors == []
    assert seen[0].requests > 1000
    assert len(seen[0].workers) >= 4, "no other worker than at the start has answered"
    said = output.read_text()
    assert re.search(r"worker #5 .*is ready", said), "\n".join(line for line in said.splitlines() if "[" in line)
