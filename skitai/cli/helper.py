"""The commands `skitai-smtpda` and `skitai-cron`: a helper that runs alone, on the supervisor that servers run on."""

from __future__ import annotations

import os
import shutil
import sys
import time
from datetime import UTC, datetime
from typing import NoReturn

from skitai import bootstrap
from skitai.cli import conffile, control, install, listing, probe, show
from skitai.cli.line import SHORT_VERBS, Grammar, Line, understand
from skitai.cli.manual import INSTALL_NOTES, print_version
from skitai.cli.said import lines, said
from skitai.cli.world import WORLD
from skitai.config.alone import build_alone
from skitai.config.conf import ALSO, option_of, own_options, places_of
from skitai.config.reference import flags_of
from skitai.config.sources import environment_name
from skitai.config.tree import Config
from skitai.errors import StartError
from skitai.ipc import rundir

_VERBS = {
    "run": "work in the foreground; what happens without a verb",
    "start": "work in the background",
    "stop": "stop",
    "restart": "stop and start",
    "reload": "take over a changed configuration file",
    "status": "print what it does",
    "check": "print the effective configuration, or all its faults",
    "logs": "print the end of its log",
    "install": "write a unit for systemd, so that it starts with the machine",
}
_OWN_VERBS = {
    "smtpda": {"queue": "print the messages that wait, and those that were given up"},
    "cron": {"list": "print the jobs and when they run next"},
}
_ASKING = frozenset({"stop", "reload", "status", "logs", "queue"})
"""What is asked of a helper whether or not its file is in order."""

_PURPOSE = {
    "smtpda": "delivers the mail that apps leave in the spool",
    "cron": "runs the jobs of the crontab in its configuration file",
}


def smtpda() -> int:
    """The `skitai-smtpda` command."""
    return main("smtpda")


def cron() -> int:
    """The `skitai-cron` command."""
    return main("cron")


def main(helper: str, words: list[str] | None = None) -> int:
    """The command of a helper.

    :param words: its arguments; by default those of this process.
    :return: the exit code.
    """
    words = sys.argv[1:] if words is None else words
    return said(lambda: _act(helper, understand(words, grammar(helper)), words))


def play(part: str, words: list[str]) -> int:
    """The parts in which the master of a helper starts a fresh interpreter.

    :param part: ``_probe_HELPER`` or ``_resume_HELPER``.
    :return: the exit code.
    """
    _, verb, helper = part.split("_")
    return _resume(helper, words) if verb == "resume" else _answer_probe(helper, words)


def _answer_probe(helper: str, words: list[str]) -> NoReturn:
    """Say whether a reload would do."""

    def load() -> str:
        config = effective(helper, understand(words, grammar(helper)))
        bootstrap.stand_in_for_worker(config)
        return ""

    probe.answer(load)


def _resume(helper: str, words: list[str]) -> int:
    """Go on as the master after an exec in place."""
    inherited_fd = bootstrap.inherited_descriptor()
    try:
        config = effective(helper, understand(words, grammar(helper)))
    except StartError as error:
        return bootstrap.caretake("; ".join(lines(error)), inherited_fd)
    return bootstrap.start(config, daemon=True, argv=words, inherited_fd=inherited_fd)


def grammar(helper: str) -> Grammar:
    """What the command of a helper understands."""
    verbs = _VERBS | _OWN_VERBS[helper]
    options = dict(own_options(helper))
    options |= {old: option for old in ALSO if (option := option_of(helper, old))}
    spelled = {"--" + key.replace("_", "-"): option for key, option in options.items()}
    return Grammar(
        verbs,
        _ASKING,
        {spelling: option for spelling, option in spelled.items() if not option.secret},
        {spelling: environment_name(option.name) for spelling, option in spelled.items() if option.secret},
    )


def effective(helper: str, line: Line) -> Config:
    """The checked configuration of a helper.

    :raises StartError: with all faults, or why the file cannot be read.
    """
    path = conffile.path_of(line.config)
    file = conffile.read(path, must_exist=bool(line.config))
    config = build_alone(helper, path, file, line.flags, os.environ, WORLD)
    if helper == "cron" and not config.cron.jobs:
        raise StartError(f"there are no jobs: write some below [:crontab] in {path}")
    return config


def _act(helper: str, line: Line, words: list[str]) -> int:
    if line.help:
        return _print_help(helper)
    if line.version:
        return print_version()
    if line.verb in _ASKING:
        return _ask(helper, line)
    if line.verb == "install":
        path = conffile.path_of(line.config)
        return install.install_helper(helper, build_alone(helper, path, None, line.flags, os.environ, WORLD), line)
    config = effective(helper, line)
    match line.verb:
        case "check":
            return show.print_config(config)
        case "list":
            for text in listing.job_lines(config.cron.jobs, datetime.now(UTC)):
                print(text)
            return 0
        case "restart":
            code = control.stop(rundir.helper_folder(helper, config.paths.varpath), config.title)
            if code:
                return code
    return bootstrap.start(config, daemon=line.daemon, argv=words, inherited_fd=None)


def _ask(helper: str, line: Line) -> int:
    """What is asked of a helper that may run."""
    config = _places(helper, line)
    if line.verb != "queue":
        return control.act(line, config)
    home = os.path.dirname(rundir.helper_folder(helper, config.paths.varpath))
    try:
        for text in listing.queue_lines(home, time.time()):
            print(text)
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from error
    return 0


def _places(helper: str, line: Line) -> Config:
    """As much of the configuration as it takes to find a helper that runs. A faulty file does not stand in its way.

    :raises StartError: there is no file of that name, or the flags are wrong.
    """
    path = conffile.path_of(line.config)
    try:
        file = conffile.read(path, must_exist=bool(line.config))
    except StartError:
        if not os.path.exists(path):
            raise
        file = None
    return build_alone(helper, path, places_of(file, helper) if file else None, line.flags, os.environ, WORLD)


def _print_help(helper: str) -> int:
    shorts = {verb: short for short, verb in SHORT_VERBS.items()}
    verbs = _VERBS | _OWN_VERBS[helper]
    print(f"usage: skitai-{helper} [VERB] [OPTION]...\n\nskitai-{helper} {_PURPOSE[helper]}.\n")
    for verb, purpose in verbs.items():
        print(f"  {verb + (' or ' + shorts[verb] if verb in shorts else ''):<14} {purpose}")
    print(f"\nLater ones win: the configuration file ({conffile.NAME}), environment (SKITAI_...), options.\n")
    print("  -h, --help         print this")
    print("      --version      print the version")
    print("      --config FILE  read another configuration file")
    print("  -f, --follow       with logs: go on printing what is added")
    print(INSTALL_NOTES)
    width = min(max(80, shutil.get_terminal_size().columns), 120)
    print("\n".join(flags_of([(key, option) for key, option in own_options(helper) if not option.secret], width)))
    return 0
