"""What `skitai.run()` comes to: the script's command line is read, the configuration checked, and the verb done."""

from __future__ import annotations

import os

from skitai import bootstrap
from skitai.cli import control, install, probe, show
from skitai.cli.conffile import refuse_to_tell
from skitai.cli.line import ASKING_VERBS, Line, parse
from skitai.cli.manual import print_help, print_version
from skitai.cli.role import Purpose, role
from skitai.cli.said import said
from skitai.cli.world import WORLD
from skitai.config.check import build, build_without_mounts
from skitai.config.draft import Draft
from skitai.config.sources import ConfigFile, holds_secret
from skitai.config.tree import Config
from skitai.errors import StartError
from skitai.ipc import rundir


def script_main(draft: Draft, words: list[str]) -> int:
    """Do what a script's command line says.

    :param words: `sys.argv` without the script.
    :return: the exit code.
    :raises StartError: in the roles of a probe and of a resuming master, which report it their own way.
    """
    role.reached = True
    match role.purpose:
        case Purpose.PROBE:
            return probe.load_all(effective(draft, parse(words, takes_app=False)))
        case Purpose.RESUME:
            config = effective(draft, parse(words, takes_app=False))
            role.resumed = True
            return bootstrap.start(config, daemon=True, argv=words, inherited_fd=role.inherited_fd)
    return said(lambda: _act(draft, parse(words, takes_app=False), words))


def effective(draft: Draft, line: Line) -> Config:
    """The checked configuration of a draft and a command line.

    :raises ConfigError: with all faults.
    """
    return build(draft, line.flags, os.environ, config_file(line), WORLD)


def config_file(line: Line) -> ConfigFile | None:
    """The file that ``--config`` names, read.

    :raises StartError: when it cannot be read, or others may read a password in it.
    """
    if not line.config:
        return None
    try:
        with open(line.config, encoding="utf-8") as stream:
            file = ConfigFile(line.config, stream.read())
            refuse_to_tell(stream.fileno(), line.config, holds_secret(file))
            return file
    except OSError as error:
        raise StartError(f"--config {line.config}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StartError(f"--config {line.config}: not UTF-8: {error}") from error


def _act(draft: Draft, line: Line, words: list[str]) -> int:
    if line.help:
        return print_help(f"python3 {os.path.basename(draft.script)}", takes_app=False)
    if line.version:
        return print_version()
    if line.verb in ASKING_VERBS:
        return control.act(line, build_without_mounts(draft, line.flags, os.environ, config_file(line)))
    config = effective(draft, line)
    match line.verb:
        case "check":
            return show.print_config(config)
        case "install":
            return install.install_app(config, line)
        case "restart":
            code = control.stop(rundir.find_var_folder(draft.script, config.paths.varpath), draft.title)
            if code:
                return code
    return bootstrap.start(config, daemon=line.daemon, argv=words, inherited_fd=None)
