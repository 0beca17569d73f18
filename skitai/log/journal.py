"""server.log and app.log: what the server and the apps have to say, in files, on the console, or both; and logs of helpers.

They are loggers of the standard library, ``skitai.server`` and ``skitai.app``, and ``skitai.cron`` for instance. Extras of a
record: ``txn`` (transaction ids, shown behind the kind) and ``kind`` (shown in place of the level's own).

The master calls `rotate` now and then, and `reopen` runs in every process that writes, after a rotation and on USR1.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from skitai.config.sections.running import Log
from skitai.errors import StartError
from skitai.log.appendfile import STDERR, AppendFile, complain, write_stderr
from skitai.log.lines import LEVELS, SPELLINGS, LineFormatter
from skitai.log.localtime import local
from skitai.log.rotation import PERIODS, Rotation

LOGS = ("server", "app")
"""The logs of every process; `join` adds that of a helper."""


class _Steady(logging.Logger):
    """A logger that an app's own `logging.config.dictConfig` does not turn off along with all "existing loggers"."""

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


def _steady(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.__class__ = _Steady
    return logger


server = _steady("skitai.server")
app = _steady("skitai.app")
_LOGGERS = {"server": server, "app": app}


class _LineHandler(logging.Handler):
    """Hands each record over as a whole line.

    It does not own what it writes to: `logging.shutdown` and `logging.config` may "close" it, and it goes on.
    """

    def __init__(self, write: Callable[[bytes], None], *, colour: bool = False) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(LineFormatter(colour=colour))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - logging's own way: what cannot be formatted is reported on stderr
            self.handleError(record)
        else:
            self._write(f"{line}\n".encode("utf-8", "backslashreplace"))


class _State:
    """What `setup` made, for `reopen`, `rotate` and `descriptor`.

    :ivar sole: the one log that there is; "" for those of a server.
    """

    def __init__(self) -> None:
        self.sole = ""
        self.files: dict[str, AppendFile] = {}
        self.rotation: Rotation | None = None
        self.streams = False


_state = _State()


def setup(options: Log, folder: str | None, *, console: bool, sole: str = "") -> None:
    """Direct both logs; may be called again, with other values.

    :param folder: absolute path of an existing folder for the files, None for none.
    :param console: write to stderr too.
    :param sole: let both, and the helper of this name, write to one file, ``SOLE.log``.
    :raises StartError: a file cannot be opened.
    """
    files = {name: AppendFile(str(Path(folder, f"{name}.log"))) for name in ((sole,) if sole else LOGS)} if folder else {}
    try:
        for file in files.values():
            file.open()
    except OSError as error:
        for file in files.values():
            file.close()
        raise StartError(f"cannot write logs: {error.filename}: {error.strerror}") from error
    old, _state.files, _state.sole = _state.files, files, sole
    for name, logger in _LOGGERS.items():
        _direct(name, logger, console=console, verbose=options.verbose or name == "app")
    _state.rotation = Rotation(folder, options.log_keep, (sole,) if sole else tuple(PERIODS)) if folder else None
    for file in old.values():
        file.close()


def join(name: str, folder: str | None, *, console: bool, verbose: bool = False) -> logging.Logger:
    """Direct one log more: that of the helper which this process is.

    :param name: "smtpda" or "cron"; the file is called so, too.
    :param folder: as for `setup`.
    :param console: as for `setup`.
    :param verbose: let lines of kind "debug" through.
    :returns: the logger, ``skitai.NAME``.
    :raises StartError: the file cannot be opened.
    """
    logger = _LOGGERS.setdefault(name, _steady(f"skitai.{name}"))
    if _state.sole == name:
        _direct(name, logger, console=console, verbose=verbose)
        return logger
    old = _state.files.pop(name, None)
    if old:
        old.close()
    if folder:
        file = AppendFile(str(Path(folder, f"{name}.log")))
        try:
            file.open()
        except OSError as error:
            raise StartError(f"cannot write logs: {error.filename}: {error.strerror}") from error
        _state.files[name] = file
    _direct(name, logger, console=console, verbose=verbose)
    return logger


def reopen() -> None:
    """Open the files again by their names. A file that cannot be opened stays the one in use, and stderr says so."""
    for file in _state.files.values():
        try:
            file.open()
        except OSError as error:
            complain(f"cannot open {file.path} again: {error.strerror}")
    if _state.streams:
        _point_streams()


def rotate(now_s: float) -> bool:
    """Rename the logs (the request log too) whose day or month is over. Only the master calls this.

    :param now_s: Unix time.
    :returns: whether any was renamed; then every process has to `reopen`, this one has done so.
    """
    if _state.rotation is None:
        return False
    try:
        rotated = _state.rotation.rotate(local(now_s))
    except OSError as error:
        server.error("cannot rotate logs: %s: %s", error.filename, error.strerror)
        rotated = list(_state.files)
    if rotated:
        reopen()
    return bool(rotated)


def descriptor() -> int:
    """The descriptor that leads to server.log, or to stderr where there is none. It stays the same for good."""
    return _state.files[_state.sole or "server"].fileno() if _state.files else STDERR


def take_streams() -> None:
    """Let standard output and error of this process (a daemon has no terminal) go to server.log, now and after `reopen`."""
    _state.streams = True
    _point_streams()


def _direct(name: str, logger: logging.Logger, *, console: bool, verbose: bool) -> None:
    """Let a logger write to its file, if it has one, and to the console."""
    file = _state.files.get(_state.sole or name)
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.handlers[:] = [_LineHandler(file.write)] if file else []
    if console:
        logger.addHandler(_LineHandler(write_stderr, colour=os.isatty(STDERR) and not os.environ.get("NO_COLOR")))
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _point_streams() -> None:
    if _state.files:
        for stream in (1, STDERR):
            os.dup2(descriptor(), stream)


def find(name: str) -> logging.Logger:
    """The logger of a log.

    :raises ValueError: there is none of this name.
    """
    return _logger(name)


def log(name: str, kind: str, text: str, txn: str = "") -> None:
    """Write a line.

    :param name: "app" or "server", or of a helper that has joined.
    :param kind: one of `lines.LEVELS`, or any word, which then counts as information.
    :param txn: transaction ids of the request it belongs to, "GTXN/LTXN".
    """
    shown = SPELLINGS.get(kind, kind)
    _logger(name).log(LEVELS.get(kind, logging.INFO), "%s", text, extra={"txn": txn, "kind": shown})


def traceback(name: str, error: BaseException, txn: str = "", text: str = "") -> None:
    """Write an exception with its rows, as kind ``expt``; parameters as in `log`."""
    excinfo = (type(error), error, error.__traceback__)
    _logger(name).log(logging.ERROR, "%s", text, exc_info=excinfo, extra={"txn": txn})


def _logger(name: str) -> logging.Logger:
    try:
        return _LOGGERS[name]
    except KeyError:
        raise ValueError(f"there is no log {name!r}: {' or '.join(map(repr, _LOGGERS))}") from None
