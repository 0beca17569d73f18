"""The command line: of a start script, and of the `skitai` command around one. Both share `line` and `script`.

Read `line` (the grammar), `script` (what `run` comes to), then `command` (the `skitai` command and the roles that a master
starts it in).
"""

from skitai.cli.command import main
from skitai.cli.script import script_main

__all__ = ["main", "script_main"]
