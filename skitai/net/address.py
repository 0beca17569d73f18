"""The grammar of listening addresses: ``HOST:PORT``, ``[IPV6]:PORT``, ``unix:PATH``, ``fd:N``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skitai.errors import StartError

GRAMMAR = "HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N"

_TCP = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_DESCRIPTOR = re.compile(r"fd:(?P<number>[0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tcp:
    """A host name or IP address and a port; port 0 stands for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """The path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A listening socket that this process has been given."""

    number: int

    def __str__(self) -> str:
        return f"fd:{self.number}"


Address = Tcp | Unix | Descriptor


def parse(text: str) -> Address:
    """Read one entry of the option ``bind``.

    :raises StartError: for anything else than `GRAMMAR`.
    """
    if text.startswith("unix:") and len(text) > len("unix:") and "\0" not in text:
        return Unix(text.removeprefix("unix:"))
    if match := _DESCRIPTOR.fullmatch(text):
        return Descriptor(int(match["number"]))
    if (match := _TCP.fullmatch(text)) and int(match["port"]) <= 65535:
        return Tcp(match["ipv6"] or match["host"], int(match["port"]))
    raise StartError(f"cannot listen on {text!r}: it should be {GRAMMAR}")
