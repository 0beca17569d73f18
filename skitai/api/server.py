"""The server itself: starting it, its folders, times, logs, TLS and helpers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from skitai.api.mounting import mount
from skitai.api.saying import caller, expect, flat, items, note, number, put
from skitai.config.draft import CronCall
from skitai.config.draft import own as own_draft
from skitai.config.pref import Preference
from skitai.config.preset import limits


def run(**options: Any) -> None:
    """Start the server, or do what the script's command line says; the last call of a script.

    :param options: every option of the configuration by its name, for instance ``port=8080``; further ``mount={"/": app}``,
        ``log_off=["*.css"]`` and ``max_ages={"/": 300}``, which stand for calls of those functions.
    :raises SystemExit: always, with the exit code: 0 for a clean stop, 1 for a failed start, 2 for a wrong command line,
        3 when a status was asked for and nothing runs.
    """
    draft = own_draft()
    if draft.closed:
        return
    source = caller(draft)
    for point, target in items(options.pop("mount", {}), "mount"):
        mount(point, target)
    for path, seconds in items(options.pop("max_ages", {}), "max_ages"):
        set_max_age(path, seconds)
    log_off(*flat((options.pop("log_off", ()),), "run() log_off"))
    for name, value in options.items():
        draft.set(name, value, source)
    draft.closed = True
    from skitai import cli  # the one deferred import: `import skitai` stays cheap, for workers and scripts alike

    raise SystemExit(cli.script_main(draft, sys.argv[1:]))


def pref(preset: bool = False) -> Preference:
    """A new preference: its attributes override those of the app that it is mounted with, its `config` the app's config.

    :param preset: fill in the size limits that apps start with.
    """
    preference = Preference()
    if preset:
        preference.config = limits()
    return preference


def getswd() -> str:
    """The folder of the start script, which is the server's working directory."""
    return own_draft().folder


def abspath(*parts: str) -> str:
    """A path below the folder of the start script, made absolute; an absolute part starts anew."""
    for part in parts:
        expect(part, str | os.PathLike, "abspath()", "text or a path")
    return own_draft().absolute(*parts)


joinpath = abspath


def is_devel() -> bool:
    """Whether this is not production: SKITAI_ENV is anything but PRODUCTION."""
    return os.environ.get("SKITAI_ENV") != "PRODUCTION"


def get_proc_title() -> str:
    """``skitai(FOLDER/SCRIPT)``: what the titles of the server's processes begin with."""
    return own_draft().title


def set_keep_alive(seconds: float) -> None:
    """How long a connection may idle between two requests; 30 unless set."""
    put("keep_alive", number(seconds, "set_keep_alive()"))


def set_request_timeout(seconds: float) -> None:
    """How long receiving a request or sending a response may stand still; 30 unless set.

    A request head has the same time, but at most 10 seconds.
    """
    put("request_timeout", number(seconds, "set_request_timeout()"))


set_network_timeout = set_request_timeout


def set_worker_critical_point(cpu_percent: float = 90.0, continuous: int = 3, interval: float = 20) -> None:
    """Replace a worker whose CPU use stays high.

    :param cpu_percent: of one core.
    :param continuous: readings at or above it in a row.
    :param interval: seconds between readings; 0 turns this off.
    """
    cpu_percent = number(cpu_percent, "set_worker_critical_point() cpu_percent")
    interval = number(interval, "set_worker_critical_point() interval")
    expect(continuous, int, "set_worker_critical_point() continuous")
    put("critical_cpu_percent", cpu_percent if interval else 0)
    put("critical_continuous", continuous)
    if interval:
        put("critical_interval_s", interval)


def set_max_age(path: str, max_age: int) -> None:
    """Send static files below a path with Cache-Control and Expires; the longest path counts, 0 sends neither."""
    expect(path, str, "set_max_age() path")
    expect(max_age, int, "set_max_age() max_age", "a whole number of seconds")
    if max_age < 0:
        raise ValueError(f"set_max_age() max_age is {max_age}: it should be 0 or more seconds")
    note(own_draft().max_ages, (path, max_age))


def log_off(*paths: str) -> None:
    """Leave requests out of the request log: paths that begin with "/static/", or end with ".css" for "*.css"."""
    for path in flat(paths, "log_off()"):
        note(own_draft().log_off, path)


def enable_file_logging(path: str | os.PathLike[str] | None = None) -> None:
    """Write logs to files.

    :param path: their folder; by default ``/var/log/skitai/USER/ID``, or ``log`` in the var folder when that cannot be made.
    """
    if path is not None:
        expect(path, str | os.PathLike, "enable_file_logging()", "text or a path")
        put("logpath", os.fspath(path))
    put("file_logging", True)


def deflu(*names: str | list[str] | tuple[str, ...]) -> None:
    """Define names whose last update `was.setlu` stores and `was.getlu` reads in every worker."""
    for name in flat(names, "deflu()"):
        note(own_draft().last_updates, name)


addlu = trackers = lukeys = deflu


def enable_ssl(
    certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str] | None = None, passphrase: str | None = None
) -> None:
    """Speak HTTPS.

    :param certfile: the certificate and its chain (PEM).
    :param keyfile: its private key; by default in the same file.
    :param passphrase: of the key, if it has one.
    """
    expect(certfile, str | os.PathLike, "enable_ssl() certfile", "text or a path")
    put("certfile", os.fspath(certfile))
    if keyfile is not None:
        expect(keyfile, str | os.PathLike, "enable_ssl() keyfile", "text or a path")
        put("keyfile", os.fspath(keyfile))
    if passphrase is not None:
        expect(passphrase, str, "enable_ssl() passphrase")
        put("passphrase", passphrase)


def enable_forward(port: int = 80, forward_to: int = 443, ip: str = "") -> None:
    """Listen on `port` for plain HTTP as well, and send clients to HTTPS on `forward_to`.

    :param ip: address to listen on; by default that of the server.
    """
    for name, value in (("port", port), ("forward_to", forward_to)):
        expect(value, int, f"enable_forward() {name}")
    expect(ip, str, "enable_forward() ip")
    put("forward_port", port)
    put("forward_to", forward_to)
    if ip:
        put("forward_address", ip)


def enable_smtpda(
    server: str | None = None,
    user: str | None = None,
    password: str | None = None,
    ssl: bool | None = None,
    max_retry: int | None = None,
    keep_days: float | None = None,
    **options: Any,
) -> None:
    """Run a mail agent beside the workers, which delivers what `was.email` leaves in the spool.

    :param server: HOST or HOST:PORT for mail that names no server of its own.
    :param ssl: speak TLS from the first byte.
    :param max_retry: attempts after the first that failed for now, before a message is given up; 10 unless set.
    :param keep_days: how long messages that were given up are kept.
    :param options: any other of the section ``[smtpda]``, for instance ``bounce=True``.
    """
    given = {
        "server": server,
        "user": user,
        "password": password,
        "ssl": ssl,
        "max_retry": max_retry,
        "keep_days": keep_days,
    }
    put("smtpda_enabled", True)
    for name, value in (given | options).items():
        if value is not None:
            put(f"smtpda_{name}", value)


def cron(schedule: str, command: str | Callable[[], object], **options: Any) -> None:
    """Run a job again and again, once for the whole server.

    :param schedule: the five fields of crontab(5), or a word such as ``@hourly``.
    :param command: for the shell, run in the script's folder; or a function of the script, called without arguments in a
        process of its own.
    :param options: ``name`` for the log, and ``overlap``, ``timeout_s``, ``jitter_s``, ``missed`` and ``time_zone``, which
        default to the options of the section ``[cron]``.
    :raises TypeError: for an argument of a wrong type. A schedule that cannot be read is reported by `run`.
    """
    draft = own_draft()
    if draft.closed:
        return
    expect(schedule, str, "cron() schedule")
    if not isinstance(command, str) and not callable(command):
        raise TypeError(f"cron() command is {command!r}: it should be a line for the shell, or a function")
    draft.jobs.append(CronCall(schedule, command, options, caller(draft)))
