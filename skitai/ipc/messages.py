"""What master and child say to each other over their link: small typed messages, JSON on the wire."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

TEXT_LIMIT = 8000
"""Longest text of one message, in characters; the rest is cut."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The child's apps are loaded and it accepts connections."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The child cannot serve and is about to leave."""

    reason: str


@dataclass(frozen=True, slots=True)
class Restart:
    """An app asked for new code: the whole server's when there is one worker, else its own worker's."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """An app asked to stop: the whole server when there is one worker, else its own worker."""


Message = Ready | Failed | Restart | Shutdown

_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in (Ready, Failed, Restart, Shutdown)}


def encode(message: Message) -> bytes:
    fields = {name: value[:TEXT_LIMIT] for name, value in asdict(message).items()}
    return json.dumps({"kind": type(message).__name__, **fields}, ensure_ascii=False).encode("utf-8", "replace")


def decode(data: bytes) -> Message | None:
    """The message, or None for a kind that this program does not know: the other side may be newer."""
    fields = json.loads(data)
    kind = _KINDS.get(fields.pop("kind"))
    return kind(**fields) if kind else None
