"""The text of systemd units. Nothing is looked at and nothing written here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from skitai.errors import StartError
from skitai.net.address import Tcp, Unix, parse

WATCHDOG_S = 30
SLACK_S = 5
"""Beyond the server's own grace times, before systemd kills."""

_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]+", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+", re.ASCII)
_IP = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit says.

    :param name: without ".service".
    :param start: the command line that serves in the foreground.
    :param reload: the command line that takes over new code.
    :param folder: working directory; "" for the user's home.
    :param user: whom systemd starts it as; "" for root.
    :param environ: NAME=VALUE for each variable.
    :param stop_s: the longest that the server takes to stop.
    :param start_s: the longest that it takes to be ready.
    :param sockets: what systemd is to listen on; see `stream`.
    :param low_port: it binds a port below 1024 itself.
    """

    name: str
    description: str
    start: Sequence[str]
    reload: Sequence[str]
    folder: str
    user: str
    group: str = ""
    environ: tuple[str, ...] = ()
    stop_s: float = 35
    start_s: float = 120
    sockets: tuple[str, ...] = ()
    backlog: int = 0
    unix_mode: str = ""
    low_port: bool = False


def service(unit: Unit) -> str:
    """The text of NAME.service."""
    socket = [f"Requires={unit.name}.socket", f"After={unit.name}.socket"] if unit.sockets else []
    user = [f"User={unit.user}"] if unit.user else []
    user += [f"Group={unit.group}"] if unit.group else []
    low = ["AmbientCapabilities=CAP_NET_BIND_SERVICE"] if unit.low_port and unit.user else []
    lines = [
        "[Unit]",
        f"Description={_specifiers(unit.description)}",
        "After=network-online.target",
        "Wants=network-online.target",
        *socket,
        "",
        "[Service]",
        "# It says itself when it is ready, reloads and stops, and shows signs of life.",
        "Type=notify",
        "NotifyAccess=main",
        f"WatchdogSec={WATCHDOG_S}",
        *user,
        f"WorkingDirectory={_specifiers(unit.folder) if unit.folder else '~'}",
        "Environment=SKITAI_ENV=PRODUCTION",
        *(f"Environment={command([each])}" for each in unit.environ),
        f"ExecStart={command(unit.start)}",
        f"ExecReload={command(unit.reload)}",
        "# Its master stops the workers; whoever is left after that is killed.",
        "KillMode=mixed",
        f"TimeoutStartSec={unit.start_s + SLACK_S:g}",
        f"TimeoutStopSec={unit.stop_s + SLACK_S:g}",
        "Restart=on-failure",
        "LimitNOFILE=65536",
        *low,
        "NoNewPrivileges=yes",
        "ProtectSystem=full",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "".join(f"{line}\n" for line in lines)


def socket(unit: Unit) -> str:
    """The text of NAME.socket."""
    is_unix = any(each.startswith("/") for each in unit.sockets)
    lines = [
        "[Unit]",
        f"Description=Sockets of {_specifiers(unit.description)}",
        "",
        "[Socket]",
        *(f"ListenStream={_specifiers(each)}" for each in unit.sockets),
        *([f"Backlog={unit.backlog}"] if unit.backlog else []),
        *([f"SocketMode={unit.unix_mode}"] if is_unix else []),
        *([f"SocketUser={unit.user}"] if is_unix and unit.user else []),
        "",
        "[Install]",
        "WantedBy=sockets.target",
    ]
    return "".join(f"{line}\n" for line in lines)


def stream(text: str) -> str:
    """An entry of the option `bind` as a socket unit names it.

    :raises StartError: systemd cannot listen there.
    """
    match parse(text):
        case Tcp(host, port) as address if port and _IP.fullmatch(host):
            return str(address)
        case Unix(path):
            return path
    raise StartError(f"--socket: systemd cannot listen on {text}: it should be an IP address with a port, or unix:PATH")


def check_name(name: str) -> str:
    """A name for units.

    :raises StartError: systemd would refuse it.
    """
    if not _NAME.fullmatch(name) or len(name) > 200:
        raise StartError(f"--name: {name!r} is no name for a unit: it should be of letters, digits and -_.:@")
    return name


def name_of(title: str) -> str:
    """A name made from a title such as "skitai(shop/app)": "shop-app"."""
    inner = title.removeprefix("skitai(").removesuffix(")")
    return re.sub(r"[^A-Za-z0-9_.]+", "-", inner).strip("-.") or "skitai"


def command(words: Sequence[str]) -> str:
    """A command line as systemd.service(5) reads it."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if any(ord(sign) < 32 for sign in word):
        raise StartError(f"{word!r} cannot stand in a unit: it holds a control character")
    word = word.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _specifiers(text: str) -> str:
    if any(ord(sign) < 32 for sign in text):
        raise StartError(f"{text!r} cannot stand in a unit: it holds a control character")
    return text.replace("%", "%%")
