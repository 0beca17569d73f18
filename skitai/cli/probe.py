"""The probe: a fresh interpreter that runs a script up to `run` and loads its apps, to find out whether a reload would do.

Its answer is one line of JSON on stdout: ``{"ok": true, "reason": ""}`` or ``{"ok": false, "reason": "..."}``. What the
script and its apps print goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from skitai import bootstrap, loading
from skitai.cli.said import lines
from skitai.config.tree import Config
from skitai.errors import LoadError, StartError


def load_all(config: Config) -> int:
    """Load every app of a configuration where and as whom workers do.

    :raises LoadError: for the first that does not load.
    """
    bootstrap.stand_in_for_worker(config)
    for mount in config.mounts:
        loading.load(mount)
    return 0


def answer(run: Callable[[], str]) -> NoReturn:
    """Print the answer for a script and leave, whatever threads its apps have started.

    :param run: runs it; returns what is wrong with it, or an empty text.
    """
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        reason = run()
    except (StartError, LoadError) as error:
        reason = "; ".join(lines(error)) if isinstance(error, StartError) else str(error)
    except Exception as error:  # noqa: BLE001 - whatever a script raises is the answer
        traceback.print_exc()
        reason = explained(error)
    with open(stdout, "w", encoding="utf-8") as out:
        out.write(json.dumps({"ok": not reason, "reason": reason}) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if reason else 0)


def explained(error: BaseException) -> str:
    """An error in one line, with the place where it came about."""
    text = " ".join(traceback.format_exception_only(error)[-1].split())
    if isinstance(error, SyntaxError):
        return f"{text} ({error.filename}:{error.lineno})"
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return text + "".join(f" ({frame.filename}:{frame.lineno})" for frame in last)
