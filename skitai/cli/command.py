"""The `skitai` command, and the roles in which a master starts a fresh interpreter around a script."""

from __future__ import annotations

import os
import sys

from skitai import bootstrap
from skitai.cli import control, probe
from skitai.cli.app import default, execute, identity
from skitai.cli.line import ASKING_VERBS, UsageError, parse
from skitai.cli.manual import print_help, print_version
from skitai.cli.role import Purpose, role
from skitai.cli.said import lines, said
from skitai.cli.script import config_file
from skitai.config.check import build_without_mounts
from skitai.config.draft import Draft
from skitai.errors import StartError


def main(words: list[str] | None = None) -> int:
    """The `skitai` command.

    :param words: its arguments; by default those of this process.
    :return: the exit code.
    """
    words = sys.argv[1:] if words is None else words
    match words:
        case ["_probe", app, *rest]:
            role.purpose = Purpose.PROBE
            probe.answer(lambda: _run(app, rest))
        case ["_resume", app, *rest]:
            return _resume(app, rest)
        case ["_probe_smtpda" | "_probe_cron" | "_resume_smtpda" | "_resume_cron" as word, *rest]:
            from skitai.cli import helper  # with calendars, which servers without jobs need not load

            return helper.play(word, rest)
        case ["cert", *rest]:
            from skitai.cli import cert

            return said(lambda: cert.make(rest))
        case ["cache", *rest]:
            from skitai.cli import cache

            return said(lambda: cache.main(rest))
    return said(lambda: _command(words))


def _command(words: list[str]) -> int:
    line = parse(words, takes_app=True)
    if line.help:
        return print_help("skitai", takes_app=True)
    if line.version:
        return print_version()
    if not line.verb and not line.app:
        raise UsageError("say what to do, for instance: skitai run app.py (skitai --help prints everything)")
    if line.verb == "status" and not line.app:
        return control.status_of_all()
    asking = line.verb in ASKING_VERBS
    app = identity(line.app, must_exist=not asking) if line.app else default()
    if asking:
        draft = Draft(app)
        config = build_without_mounts(draft, line.flags, os.environ, config_file(line))
        return control.act(line, config)
    execute(app, list(line.words))
    raise StartError(_unreached(app))


def _run(app: str, words: list[str]) -> str:
    """Run a script in this process, whatever way it ends.

    :return: empty, or why it did not come as far as `run`.
    """
    try:
        execute(app, words)
    except SystemExit as leaving:
        if not role.reached:
            return f"{app} ended before it called skitai.run(): {leaving.code}"
        role.code = leaving.code if isinstance(leaving.code, int) else 0
    return "" if role.reached else _unreached(app)


def _unreached(app: str) -> str:
    return f"{app} does not call skitai.run(); to serve a variable of it: skitai run MODULE:VARIABLE"


def _resume(app: str, words: list[str]) -> int:
    """Go on as the master after an exec in place. When the script fails, the workers that serve must not lose theirs."""
    inherited_fd = bootstrap.inherited_descriptor()
    role.purpose, role.inherited_fd = Purpose.RESUME, inherited_fd
    try:
        reason = _run(app, words)
    except StartError as error:
        reason = "; ".join(lines(error))
    except Exception as error:
        if role.resumed:
            raise
        reason = probe.explained(error)
    return role.code if role.resumed else bootstrap.caretake(reason or f"{app} did not start", inherited_fd)
