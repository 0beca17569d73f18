"""Expected failures, as the command line says them: a line on stderr for each, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from skitai.cli.line import UsageError
from skitai.errors import ConfigError, StartError


def said(act: Callable[[], int]) -> int:
    """Do something; its exit code, or 2 for a command line that cannot be understood and 1 for a start that fails."""
    try:
        return act()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except StartError as error:
        for line in lines(error):
            print(line, file=sys.stderr)
        return 1


def lines(error: StartError) -> tuple[str, ...]:
    """What to print for a failed start: one line, or one for each fault of the configuration."""
    return error.faults if isinstance(error, ConfigError) else (str(error),)
