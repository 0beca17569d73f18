"""``install``: writes the units with which systemd starts a server, or a helper that runs alone, with the machine."""

from __future__ import annotations

import os
import pwd
import sys
import tempfile
from collections.abc import Container, Iterator
from typing import Any

from skitai.cli.line import Line
from skitai.cli.unit import Unit, check_name, name_of, service, socket, stream
from skitai.config.sources import OPTIONS, PLACES, environment_name, flag
from skitai.config.tree import Config
from skitai.errors import StartError
from skitai.master.spawn import Identity
from skitai.net.address import Tcp, parse

SYSTEMD = "/etc/systemd/system"
PRIVILEGED = 1024
"""Ports below are root's, or for those whom root lets (ip(7))."""


def install_app(config: Config, line: Line) -> int:
    """Units of a start script, a module's variable or a folder.

    :return: the exit code.
    :raises StartError: with the reason why they cannot be written, or would not work.
    """
    begin = [sys.executable, config.script] if os.path.isfile(config.script) else [sys.executable, "-m", "skitai"]
    app = [] if os.path.isfile(config.script) else [config.script]
    addresses = config.server.bind or (str(Tcp(config.server.address.strip("[]"), config.server.port)),)
    user, group = _user(line, config)
    _check_reads(user, config.script)
    unit = Unit(
        name=check_name(line.name or name_of(config.title)),
        description=f"{config.title} on Skitai",
        start=[*begin, "run", *app, *_given(line)],
        reload=[*begin, "reload", *app, *_given(line, PLACES)],
        folder=os.path.dirname(config.script),
        user=user,
        group=group,
        environ=_environ(config),
        stop_s=config.timeouts.grace_s + config.timeouts.helper_grace_s,
        start_s=config.supervision.boot_s,
        sockets=tuple(map(stream, addresses)) if line.socket else (),
        backlog=config.server.backlog,
        unix_mode=config.server.unix_mode,
        low_port=not line.socket and any(_is_low(each) for each in addresses),
    )
    return _write(unit, line)


def install_helper(helper: str, config: Config, line: Line) -> int:
    """The unit of a helper that runs alone.

    :param config: without its file, which belongs to whom the helper will be.
    :return: the exit code.
    :raises StartError: with the reason why it cannot be written.
    """
    if line.socket:
        raise StartError(f"--socket: skitai-{helper} does not listen")
    begin = [sys.executable, os.path.abspath(sys.argv[0])]
    user, _ = _user(line, config)
    _check_reads(user, begin[1])
    unit = Unit(
        name=check_name(line.name or config.title),
        description=config.title,
        start=[*begin, "run", *_given(line, own=True)],
        reload=[*begin, "reload", *_given(line, PLACES, own=True)],
        folder="",
        user=user,
        environ=_environ(config),
        stop_s=config.timeouts.helper_grace_s,
        start_s=config.supervision.boot_s,
    )
    return _write(unit, line)


def _given(line: Line, names: Container[str] = (), *, own: bool = False) -> Iterator[str]:
    """The options of a command line again, but for those that the unit acts on.

    :param names: only these, if there are any.
    :param own: spelled as a helper that runs alone has them.
    """
    if line.config:
        yield from ("--config", os.path.abspath(line.config))
    for name, value in line.flags.items():
        if name in ("user", "group") or (names and name not in names):
            continue
        for each in value if isinstance(value, list) else [value]:
            yield from _words(OPTIONS[name].field if own else name, each)


def _words(name: str, value: Any) -> tuple[str, ...]:
    match value:
        case True:
            return (flag(name),)
        case False:
            return (flag("no-" + name),)
    return (flag(name), str(value))


def _environ(config: Config) -> tuple[str, ...]:
    """The variables that gave options their values; the one that starts the server will need them again.

    :raises StartError: one holds a secret, and a unit is everybody's to read.
    """
    names = [name for name, source in config.sources.items() if source == environment_name(name)]
    for name in names:
        if OPTIONS[name].secret:
            raise StartError(f"{environment_name(name)}: a unit is everybody's to read; put it into a configuration file")
    return tuple(f"{environment_name(name)}={os.environ[environment_name(name)]}" for name in names)


def _user(line: Line, config: Config) -> tuple[str, str]:
    """Whom systemd starts the server as, and the group.

    :raises StartError: nobody said whom.
    """
    named = line.become or str(line.flags.get("user", ""))
    if named:
        _must_exist(named)
        return named, str(line.flags.get("group", ""))
    if config.server.user:
        return "", ""  # root binds, and the workers become whom the script names
    if os.geteuid() == 0:
        raise StartError(f"say who it should be: {'--as' if config.helper else '--user'} NAME")
    return pwd.getpwuid(os.geteuid()).pw_name, ""


def _must_exist(user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise StartError(f"there is no user {user!r} on this machine") from None


def _check_reads(user: str, script: str) -> None:
    """:raises StartError: the user could not run it. Only root can try."""
    if os.geteuid() != 0 or not user:
        return
    identity = Identity.find(user, "")
    needed = [path for path in (sys.executable, os.__file__, __file__, script) if os.path.exists(path)]
    if identity and (path := identity.unreadable(needed)):
        raise StartError(f"the user {user!r} cannot read {path}")


def _is_low(text: str) -> bool:
    address = parse(text)
    return isinstance(address, Tcp) and 0 < address.port < PRIVILEGED


def _write(unit: Unit, line: Line) -> int:
    texts = {f"{unit.name}.service": service(unit)}
    if unit.sockets:
        texts[f"{unit.name}.socket"] = socket(unit)
    folder = line.to or (SYSTEMD if os.geteuid() == 0 else "")
    if not folder:
        for name, text in texts.items():
            print(f"# {SYSTEMD}/{name}\n{text}")
        print("only root can install that: run this as root, or write it to a folder with --to FOLDER", file=sys.stderr)
        return 0
    there = [path for name in texts if os.path.lexists(path := os.path.join(folder, name))]
    if there and not line.force:
        raise StartError(f"{there[0]} is there already; --force writes over it")
    for name, text in texts.items():
        path = os.path.join(folder, name)
        _replace(path, text)
        print(f"written {path}")
    print("now run:")
    if os.path.abspath(folder) != SYSTEMD:
        print(f"  cp {' '.join(os.path.join(folder, name) for name in texts)} {SYSTEMD}/")
    print("  systemctl daemon-reload")
    print(f"  systemctl enable --now {' '.join(reversed(texts))}")
    return 0


def _replace(path: str, text: str) -> None:
    """Write a file whole or not at all.

    :raises StartError:
    """
    try:
        fd, temporary = tempfile.mkstemp(prefix=".skitai-", dir=os.path.dirname(path) or ".")
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(fd, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror}") from error
