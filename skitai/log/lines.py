"""How a line of server.log and app.log looks, in files and on a terminal."""

from __future__ import annotations

import logging
import re
import traceback

from skitai.log.localtime import local

FAIL = 45
"""Level of what went wrong between an error and the end of the server."""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "expt": logging.ERROR,
    "fail": FAIL,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
}
"""The level of each kind of line."""

SPELLINGS = {"warning": "warn", "critical": "fatal"}
"""Kinds that are shown as another."""

_KINDS = (
    (logging.CRITICAL, "fatal"),
    (FAIL, "fail"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warn"),
    (logging.INFO, "info"),
)

BLUE = "\x1b[34m"
RESET = "\x1b[0m"
COLOURS = {
    "debug": "\x1b[36m",
    "info": "\x1b[32m",
    "warn": "\x1b[33m",
    "error": "\x1b[31m",
    "expt": "\x1b[31m",
    "fail": "\x1b[35m",
    "fatal": "\x1b[1;31m",
}

# A terminal must not be steered, and a line must not be forged, by what a client sent.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

MOST_ROWS = 100
"""Of one exception; endless recursion has a thousand."""


class LineFormatter(logging.Formatter):
    """``2026.11.22 13:13:24 [info] text``, local time.

    A record with ``txn`` (text, or a pair of ids) carries it behind the kind: ``[info:GTXN/LTXN]``. A record with an
    exception is of kind ``expt`` and is followed by one row for each frame, outermost first: ``- file|function|line``.
    Further lines of a text are indented, so that a line that begins with a date is always a line of ours.

    :param colour: colour date and kind with ANSI sequences.
    """

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour
        self._stamp = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        kind = getattr(record, "kind", None) or kind_of(record.levelno)
        if record.exc_info and record.exc_info[1] is not None:
            kind = "expt"
            text = "\n".join(describe(record.exc_info[1], text))
        if record.stack_info:
            text += "\n" + record.stack_info
        txn = getattr(record, "txn", "")
        return self._line(record.created, kind, "/".join(txn) if isinstance(txn, tuple) else txn, text)

    def _line(self, now_s: float, kind: str, txn: str, text: str) -> str:
        kind = escape(kind).replace("\n", " ")
        tag = f"[{kind}:{escape(txn)}]" if txn else f"[{kind}]"
        stamp = self._date(int(now_s))
        if self._colour:
            stamp, tag = f"{BLUE}{stamp}{RESET}", f"{COLOURS.get(kind, '')}{tag}{RESET}"
        return f"{stamp} {tag} {escape(text.rstrip()).replace(chr(10), chr(10) + '  ')}"

    def _date(self, second: int) -> str:
        known, stamp = self._stamp
        if known != second:
            stamp = f"{local(second):%Y.%m.%d %H:%M:%S}"
            self._stamp = (second, stamp)
        return stamp


def kind_of(level: int) -> str:
    """The kind of a line from the level of its record."""
    return next((kind for least, kind in _KINDS if level >= least), "debug")


def escape(text: str) -> str:
    r"""Control characters, except line feed and tab, as Python writes them: ``\r``, ``\x1b``."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def describe(error: BaseException, text: str = "") -> list[str]:
    """An exception as lines: class and message, a row for each frame, then the same for its causes.

    :param text: put in front of the first line.
    """
    lines = [f"{text}: {_headline(error)}" if text else _headline(error), *_rows(error)]
    seen = {id(error)}
    while (cause := _cause(error)) is not None and id(cause) not in seen:
        lines += [f"because of {_headline(cause)}", *_rows(cause)]
        seen.add(id(cause))
        error = cause
    return lines


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def _headline(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - the app's own __str__ may raise anything
        message = f"(no message: its __str__ raised {type(broken).__name__})"
    return f"{type(error)} {message}".rstrip()


def _rows(error: BaseException) -> list[str]:
    rows = [f"- {f.f_code.co_filename}|{f.f_code.co_name}|{line}" for f, line in traceback.walk_tb(error.__traceback__)]
    if len(rows) > MOST_ROWS:
        half = MOST_ROWS // 2
        rows[half:-half] = [f"- {len(rows) - 2 * half} more"]
    if isinstance(error, SyntaxError) and error.filename:
        rows.append(f"- {error.filename}||{error.lineno}")
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            rows += [f"containing {_headline(each)}", *_rows(each)]
    return rows
