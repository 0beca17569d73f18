"""The grammar of the command line, shared by a start script and the `skitai` command. Long options derive from the tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from skitai.config.sources import OPTIONS, environment_name, flag, near
from skitai.config.tree import Option
from skitai.errors import StartError

VERBS: dict[str, str] = {
    "run": "serve in the foreground; what happens without a verb",
    "start": "serve in the background",
    "stop": "stop, finishing running requests",
    "restart": "stop and start",
    "reload": "take over changed code and options without losing a request",
    "status": "print what runs",
    "check": "print the effective configuration, or all its faults",
    "logs": "print the ends of the log files",
}
ASKING_VERBS = frozenset({"stop", "reload", "status", "logs"})
"""What is asked of a server that runs; of the options, only those matter that say where its files are."""
PLACES = frozenset({"varpath", "logpath"})
SHORT_VERBS = {"-d": "start", "-s": "stop", "-r": "restart"}

_FLAGS: dict[str, Option] = {flag(each.name): each for each in OPTIONS.values() if not each.secret}
_SECRETS = {flag(each.name): environment_name(each.name) for each in OPTIONS.values() if each.secret}
_SHORT_FLAGS: dict[str, Option] = {"-" + each.short: each for each in OPTIONS.values() if each.short}
_SWITCHES = {"-h": "help", "--help": "help", "--version": "version", "-f": "follow", "--follow": "follow"}


class UsageError(StartError):
    """A command line that cannot be understood; the message is one line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line, understood.

    :ivar verb: one of `VERBS`; empty when none was given.
    :ivar app: what the `skitai` command is to serve; empty when not given.
    :ivar flags: values of options by name: text, bool, or a list of texts.
    :ivar config: path of a configuration file, or empty.
    :ivar words: all words but `app`: what the app's own script gets to see.
    """

    verb: str = ""
    app: str = ""
    flags: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    follow: bool = False
    help: bool = False
    version: bool = False
    words: tuple[str, ...] = ()

    @property
    def daemon(self) -> bool:
        """Whether the server goes to the background."""
        return self.verb in {"start", "restart"}


def parse(words: list[str], *, takes_app: bool) -> Line:
    """Understand a command line.

    :param takes_app: whether one word may name an app, as for the `skitai` command.
    :raises UsageError: for an unknown word or option, a missing value, or two verbs.
    """
    fields: dict[str, Any] = {}
    flags: dict[str, Any] = {}
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            kept += [word, *rest]
            break
        name, equals, text = word.partition("=")
        value = text if equals else None
        may_be_app = takes_app and "app" not in fields and fields.get("verb", word) != word
        if word in SHORT_VERBS or (word in VERBS and not may_be_app):
            verb = SHORT_VERBS.get(word, word)
            if fields.setdefault("verb", verb) != verb:
                raise UsageError(f"{word}: {fields['verb']} and {verb} do not go together")
        elif word in _SWITCHES:
            fields[_SWITCHES[word]] = True
        elif name == "--config":
            fields["config"] = _value(name, value, rest)
            kept += [name, fields["config"]]
            continue
        elif word.startswith("-") and word != "-":
            kept += _option(word, value, rest, flags)
            continue
        elif takes_app and "app" not in fields:
            fields["app"] = word
            continue
        else:
            raise UsageError(f"unknown word {word!r}{near(word, VERBS)}")
        kept.append(word)
    line = Line(flags=flags, words=tuple(kept), **fields)
    if line.daemon and flags.get("verbose"):
        raise UsageError(f"{line.verb} and -v do not go together: a server in the background has no console")
    if line.follow and line.verb != "logs":
        raise UsageError("-f goes with logs")
    useless = [flag(name) for name in flags if line.verb in ASKING_VERBS and name not in PLACES]
    if useless:
        raise UsageError(f"{useless[0]} has no effect on {line.verb}")
    return line


def _option(word: str, value: str | None, rest: Iterator[str], flags: dict[str, Any]) -> list[str]:
    """Read one option of the tree into `flags`; the words that it took come back."""
    name = word.partition("=")[0]
    option = _FLAGS.get(name) or _SHORT_FLAGS.get(name)
    positive = _FLAGS.get("--" + name.removeprefix("--no-")) if name.startswith("--no-") else None
    if option is None and positive is not None and positive.type == "bool" and value is None:
        flags[positive.name] = False
        return [word]
    if option is None and not word.startswith("--"):
        option, value = _SHORT_FLAGS.get(word[:2]), word[2:]
        if option is not None and option.type == "bool":
            option = None
    if name in _SECRETS:
        raise UsageError(f"{name}: a command line is everybody's to read; use {_SECRETS[name]} or a configuration file")
    if option is None:
        raise UsageError(f"unknown option {word!r}{near(name, _spellings())}")
    if option.type == "bool" and value is None:
        flags[option.name] = True
        return [word]
    taken = [word] if value is not None else [word, _value(word, value, rest)]
    value = taken[1] if value is None else value
    if option.type.startswith("tuple"):
        flags.setdefault(option.name, []).append(value)
    else:
        flags[option.name] = value
    return taken


def _value(name: str, value: str | None, rest: Iterator[str]) -> str:
    value = next(rest, None) if value is None else value
    if value is None:
        raise UsageError(f"{name} needs a value")
    return value


def _spellings() -> Iterator[str]:
    yield from _FLAGS
    yield from (flag("no-" + each.name) for each in OPTIONS.values() if each.type == "bool")
    yield from ("--config", "--help", "--version", "--follow")
