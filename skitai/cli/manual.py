"""What ``--help`` and ``--version`` print."""

from __future__ import annotations

import shutil

from skitai.cli.line import SHORT_VERBS, VERBS
from skitai.config.reference import flags_help
from skitai.version import __version__

_COMMAND_NOTES = """\
skitai cert [NAME]... makes a self-signed certificate, for development.
skitai cache [APP] shows the HTTP cache, skitai cache clear [APP] [URL-PREFIX] clears it.

APP is a script that calls skitai.run(), module:variable, or a folder to serve. Without it: service.py, then app.py of
this folder; `status` then prints all servers of this user.
"""

INSTALL_NOTES = """\
      --as USER      with install: whom systemd starts it as
      --name NAME    with install: of the unit
      --to FOLDER    with install: where to write, in place of /etc/systemd/system
      --force        with install: write over what is there
"""

_NOTES = """\
What follows -- is left to the app. Later ones win: --config FILE, environment (SKITAI_PORT and so on), the script, options.
"""


def print_help(program: str, *, takes_app: bool) -> int:
    """:param program: how this command line begins."""
    shorts = {verb: short for short, verb in SHORT_VERBS.items()}
    print(f"usage: {program} [VERB]{' [APP]' if takes_app else ''} [OPTION]... [-- ARGUMENT...]\n")
    for verb, purpose in VERBS.items():
        print(f"  {verb + (' or ' + shorts[verb] if verb in shorts else ''):<14} {purpose}")
    print("\n" + (_COMMAND_NOTES if takes_app else "") + _NOTES)
    print("  -h, --help         print this")
    print("      --version      print the version")
    print("      --config FILE  read options from a TOML file")
    print("  -f, --follow       with logs: go on printing what is added")
    print("      --socket       with install: let systemd open the listening sockets")
    print(INSTALL_NOTES)
    print(flags_help(min(max(80, shutil.get_terminal_size().columns), 120)), end="")
    return 0


def print_version() -> int:
    print(f"Skitai {__version__}")
    return 0
