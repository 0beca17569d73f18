"""From a checked configuration to a running server: listeners, shared memory, files and programs, then the supervisor."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from setproctitle import setproctitle

from skitai.bootstrap.banner import banner
from skitai.bootstrap.daemon import Starter, daemonize
from skitai.bootstrap.limits import raise_descriptor_limit
from skitai.bootstrap.programs import programs
from skitai.cachefs.host import Host
from skitai.config.tree import Config
from skitai.errors import StartError
from skitai.ipc import inboxes as inbox
from skitai.ipc import rundir
from skitai.ipc.control import ControlServer
from skitai.ipc.lastupdate import Table
from skitai.ipc.parent import end_with_parent
from skitai.ipc.pidfile import PidFile
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Scoreboard
from skitai.ipc.sd_notify import Notifier
from skitai.log import journal
from skitai.master.estate import Estate, Origin
from skitai.master.policy import Rules
from skitai.master.reload import INHERIT, Inheritance, inherit
from skitai.master.spawn import Identity
from skitai.master.supervisor import Hooks, Supervisor
from skitai.net.listen import open_listeners

__all__ = ["caretake", "inherited_descriptor", "stand_in_for_worker", "start"]

log = logging.getLogger("skitai.server")


def start(config: Config, *, daemon: bool, argv: Sequence[str], inherited_fd: int | None = None) -> int:
    """Serve until told to stop.

    :param daemon: go to the background; this call then returns as soon as the server is ready.
    :param argv: the script's command line, with which a reload runs it again.
    :param inherited_fd: what the master left that executed this program in its place; `daemon` is not looked at then.
    :returns: the exit code.
    :raises StartError: a busy port, a second start, missing rights; nothing is left behind.
    """
    if inherited_fd is not None:
        return _resume(config, inherited_fd)
    terminal = not daemon and os.isatty(0)
    origin = Origin(config.script, tuple(argv), _here(), config.title, terminal, daemon, config.helper)
    if daemon:
        return daemonize(lambda starter: _serve(config, origin, starter))
    return _serve(config, origin, None)


def caretake(reason: str, inherited_fd: int) -> int:
    """Go on as the master whose new code does not work: take care of the old children until the next reload, or a stop.

    :param reason: why, in one line; whoever asked for the reload gets it.
    :returns: the exit code.
    """
    inheritance = inherit(inherited_fd)
    estate, readable = Estate.adopt(inheritance.estate)
    return _caretake(reason, inheritance, estate, readable)


def inherited_descriptor() -> int:
    """The descriptor of what the master left that executed this program in its place; to be asked for before anything else.

    What the master handed over is for this process alone: programs that the script may start get none of it.
    """
    fd = int(os.environ.pop(INHERIT))
    for name in os.listdir("/proc/self/fd"):
        # The one that lists them has gone already.
        with suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)
    return fd


def stand_in_for_worker(config: Config) -> None:
    """Go to the folder and take on the rights that a worker has, for good: what loads then, loads in a worker.

    :raises StartError: no such folder or user.
    """
    _enter(config)
    if identity := Identity.find(config.server.user, config.server.group):
        identity.become()
    end_with_parent()  # which a change of user has undone


def _serve(config: Config, origin: Origin, starter: Starter | None) -> int:
    kept = programs(config)
    with _acquired(config, origin) as estate:
        notifier = Notifier.from_environ(os.environ)
        _prepare(estate, config)
        journal.rotate(time.time())  # what an earlier run wrote, before a line of this one is added
        estate.give_logs()
        if warning := raise_descriptor_limit():
            log.warning("%s", warning)
        text = banner(config, estate, kept)
        if starter:
            journal.take_streams()
            hooks = Hooks(lambda: starter.ready(text), starter.failed, starter.close)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()
            hooks = Hooks()
        log.info("%s", ", ".join((f"{origin.title} starts, pid {os.getpid()}", *estate.addresses)))
        supervisor = Supervisor(estate, kept, config, Rules.of(config), hooks, notifier)
    return supervisor.run()


@contextmanager
def _acquired(config: Config, origin: Origin) -> Iterator[Estate]:
    """Everything a server owns; given back if the start fails."""
    _enter(config)
    if config.helper:
        var = rundir.make_helper_folder(config.helper, config.paths.varpath)
    else:
        var = rundir.make_var_folder(config.script, config.paths.varpath)
    with ExitStack() as undo:
        pidfile = PidFile.acquire(var)
        undo.callback(pidfile.release)
        identity = _identity(config)
        listeners = [] if config.helper else open_listeners(config.server, tls=config.tls)
        for each in listeners:
            undo.callback(each.remove)
        control = ControlServer.listen(var)
        undo.callback(control.remove)
        inboxes = inbox.Inboxes.create(inbox.wanted(config.server.workers))
        undo.callback(inboxes.close)
        cachefs = _cachefs(config, var, identity)
        if cachefs is not None:
            undo.callback(cachefs.close)
        yield Estate(
            origin=origin,
            places=_places(config, var, origin.daemon, identity),
            pidfile=pidfile,
            control=control,
            scoreboard=Scoreboard.create(),
            table=Table.create(config.last_updates, time.time()),
            inboxes=inboxes,
            listeners=listeners,
            identity=identity,
            log_options=config.log,
            cachefs=cachefs,
        )
        undo.pop_all()


def _resume(config: Config, inherited_fd: int) -> int:
    inheritance = inherit(inherited_fd)
    estate, readable = Estate.adopt(inheritance.estate, config.last_updates)
    try:
        kept = programs(config)
        renewed = _renewed(estate, config)
    except StartError as error:
        return _caretake(str(error), inheritance, estate, readable)
    estate = renewed
    if estate.origin.daemon:
        journal.take_streams()
    notifier = Notifier.from_environ(os.environ)
    supervisor = Supervisor(estate, kept, config, Rules.of(config), Hooks(), notifier)
    supervisor.resume(inheritance, readable)
    return supervisor.run()


def _renewed(estate: Estate, config: Config) -> Estate:
    """The estate as the new configuration wants it.

    :raises StartError: it cannot be had; `estate` is as it was.
    """
    _enter(config)
    identity = _identity(config)
    origin = replace(estate.origin, title=config.title)
    places = _places(config, estate.places.var, origin.daemon, identity)
    cachefs = _cachefs(config, estate.places.var, identity, estate.cachefs)
    renewed = replace(estate, origin=origin, identity=identity, places=places, log_options=config.log, cachefs=cachefs)
    _prepare(renewed, config)
    renewed.give_logs()
    renewed.inboxes.grow(inbox.wanted(config.server.workers))
    try:
        renewed.listeners = [] if config.helper else open_listeners(config.server, estate.listeners, tls=config.tls)
        if cachefs is not None:
            cachefs.settle()
    except StartError:
        if cachefs is not None:
            cachefs.close(but=estate.cachefs)
        raise
    if estate.cachefs is not None:
        estate.cachefs.close(but=cachefs)
    return renewed


def _cachefs(config: Config, var: str, identity: Identity | None, before: Host | None = None) -> Host | None:
    """The HTTP cache.

    :param before: what the program before the exec had.
    :raises StartError: its folder cannot be used.
    """
    if config.helper:
        return None
    path = config.cachefs.cachefs_path or os.path.join(var, "cachefs")
    owner = (identity.uid, identity.gid) if identity else (-1, -1)
    opened = Host.open(config.cachefs, path, owner, before)
    if opened is not None and opened.folder is not None and identity and identity.unreadable((path,)):
        opened.close(but=before)
        raise StartError(f"the user {identity.name!r} cannot get to the cache folder {path}: name another one")
    return opened


def _caretake(reason: str, inheritance: Inheritance, estate: Estate, readable: bool) -> int:
    places = estate.places
    journal.setup(estate.log_options, places.log or None, console=places.console, sole=estate.origin.helper)
    if estate.origin.daemon:
        journal.take_streams()
    setproctitle(f"{estate.origin.title}: master")
    rules = Rules.from_json(inheritance.state["rules"])
    supervisor = Supervisor(estate, (), None, rules, Hooks(), Notifier.from_environ(os.environ))
    supervisor.resume(inheritance, readable, refused=reason)
    return supervisor.run()


def _prepare(estate: Estate, config: Config) -> None:
    """What a new program has to set up whether or not the server is new."""
    setproctitle(f"{config.title}: master")
    journal.setup(config.log, estate.places.log or None, console=estate.places.console, sole=config.helper)
    for warning in config.warnings:
        log.warning("%s", warning)


def _places(config: Config, var: str, daemon: bool, identity: Identity | None) -> Places:
    files = daemon or config.log.file_logging or bool(config.log.logpath)
    script = "" if config.helper else config.script
    folder = rundir.make_log_folder(script, var, config.log.logpath) if files else ""
    console = not daemon and (config.log.verbose or not files)
    home = os.path.dirname(var) if config.helper else var
    if identity:
        home = rundir.var_folder(script, user=identity.name or str(identity.uid))
    return Places(var, folder, console, spool=tempfile.gettempdir() if identity else var, home=home)


def _identity(config: Config) -> Identity | None:
    """Whom the workers become, if they can work then.

    :raises StartError:
    """
    identity = Identity.find(config.server.user, config.server.group)
    needed = (os.__file__, __file__, os.path.dirname(config.script))
    if identity and (path := identity.unreadable(needed)):
        raise StartError(f"the user {identity.name!r} cannot read {path}, which workers need")
    return identity


def _enter(config: Config) -> None:
    folder = os.path.dirname(config.script)
    try:
        os.chdir(folder)
    except OSError as error:
        raise StartError(f"cannot work in {folder}: {os.strerror(error.errno or 0)}") from error


def _here() -> str:
    """The working directory as the shell calls it: when its path leads through a link that is swapped, that counts."""
    here, named = os.getcwd(), os.environ.get("PWD", "")
    return named if os.path.isabs(named) and os.path.isdir(named) and os.path.samefile(named, here) else here
