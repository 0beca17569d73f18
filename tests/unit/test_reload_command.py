"""The command line with which a master starts a fresh interpreter around its script."""

from __future__ import annotations

import sys

import pytest

from skitai.bootstrap.limits import low_limit_warning
from skitai.master.estate import Origin
from skitai.master.reload import command, interpreter_options


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("python app.py -d", ""),
        ("python -W error app.py -W x", "-W error"),
        ("python -Werror -X dev -u -m skitai start app.py", "-Werror -X dev -u"),
        ("python -Im skitai run app.py", "-I"),
        ("python -c pass -x", ""),
        ("python -OO - -x", "-OO"),
        ("python --check-hash-based-pycs never app.py", "--check-hash-based-pycs never"),
        ("python -Ximporttime app.py", "-Ximporttime"),
    ],
)
def test_options_of_the_interpreter_are_told_from_the_program_s(line: str, options: str) -> None:
    assert interpreter_options(line.split()) == options.split()


def test_the_command_keeps_the_interpreter_s_path_and_the_script_s_arguments() -> None:
    origin = Origin("/srv/app.py", ("start", "--workers", "3"), "/srv", "skitai(srv/app)")

    line = command(origin, "_probe")

    assert line[0] == sys.executable
    assert line[-7:] == ["-m", "skitai", "_probe", "/srv/app.py", "start", "--workers", "3"]
    assert "-P" in line


def test_a_low_limit_of_descriptors_is_said_with_what_it_means() -> None:
    assert low_limit_warning(4096) == ""
    assert "only 1024 open files" not in low_limit_warning(1024)
    assert "may open only 1024 files here, so each worker takes at most 768 connections" in low_limit_warning(1024)
