"""systemd reads the example's unit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.conftest import program
from tests.support.dialogue import ROOT

UNIT = (ROOT / "examples" / "skitai.service").read_text()


def verdict(unit: str, folder: Path) -> str:
    """What systemd finds wrong with a unit, whose places are made to exist."""
    file = folder / "example.service"
    file.write_text(unit.replace("/srv/example/.venv/bin/python", sys.executable).replace("/srv/example", str(folder)))
    return complaints(str(file))


def complaints(*files: str) -> str:
    """What systemd finds wrong with these units; it may have more to say about others of this machine."""
    command = [program("systemd-analyze"), "verify", "--man=no", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    names = [name for file in files for name in (file, Path(file).name)]
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if any(name in line for name in names))


def test_the_unit_of_the_example_is_in_order(tmp_path: Path) -> None:
    assert verdict(UNIT, tmp_path) == ""


@pytest.mark.parametrize(("right", "wrong"), [("Type=notify", "Type=notfy"), ("ExecStart=/", "ExecStart=/nowhere/")])
def test_a_slip_would_be_seen(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in UNIT
    assert verdict(UNIT.replace(right, wrong), tmp_path)
