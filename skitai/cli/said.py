"""Expected failures, as the command line says them: a line on stderr for each, and an exit code."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable

from skitai.cli.line import UsageError
from skitai.errors import ConfigError, StartError

UNREAD = 128 + signal.SIGPIPE


def said(act: Callable[[], int]) -> int:
    """Do something; its exit code, or 2 for a command line that cannot be understood and 1 for a start that fails.

    Who reads what is printed may have read enough, as ``head`` does: that ends it without a word, as by SIGPIPE.
    """
    try:
        code = act()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _unread():
            raise
        return UNREAD
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except StartError as error:
        for line in lines(error):
            print(line, file=sys.stderr)
        return 1


def _unread() -> bool:
    """Whether nobody reads stdout any more; then nothing is printed there at the interpreter's end, either."""
    stdout = sys.stdout.fileno()
    poll = select.poll()
    poll.register(stdout, 0)
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return True


def lines(error: StartError) -> tuple[str, ...]:
    """What to print for a failed start: one line, or one for each fault of the configuration."""
    return error.faults if isinstance(error, ConfigError) else (str(error),)
