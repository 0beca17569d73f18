"""The grammar of the command line, shared by a start script and the `skitai` command. Long options derive from the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from skitai.config.sources import OPTIONS, PLACES, environment_name, flag, near
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
    "install": "write a unit for systemd, so that the server starts with the machine",
}
ASKING_VERBS = frozenset({"stop", "reload", "status", "logs"})
"""What is asked of a server that runs; of the options, only those matter that say where its files are."""
SHORT_VERBS = {"-d": "start", "-s": "stop", "-r": "restart"}

_SWITCHES = {
    "-h": "help",
    "--help": "help",
    "--version": "version",
    "-f": "follow",
    "--follow": "follow",
    "--socket": "socket",
    "--force": "force",
}
_TEXTS = {"--config": "config", "--as": "become", "--name": "name", "--to": "to"}
_ONLY_WITH = {"follow": "logs"} | dict.fromkeys(("socket", "force", "become", "name", "to"), "install")
_SPELLED = {"follow": "-f", "become": "--as"}


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a command understands.

    :ivar verbs: with their purpose.
    :ivar asking: verbs that are asked of what runs.
    :ivar flags: options by their long spellings.
    :ivar secrets: spellings of options that no command line may hold, and their names in the environment.
    :ivar takes_app: one word may name an app.
    """

    verbs: Mapping[str, str]
    asking: frozenset[str]
    flags: Mapping[str, Option]
    secrets: Mapping[str, str]
    takes_app: bool = False

    def short(self, word: str) -> Option | None:
        """The option that a one-letter flag stands for."""
        return next((each for each in self.flags.values() if each.short and word == "-" + each.short), None)

    def spellings(self) -> Iterator[str]:
        """Everything that begins with a dash and could have been meant."""
        yield from self.flags
        yield from ("--no-" + spelled[2:] for spelled, option in self.flags.items() if option.type == "bool")
        yield from (each for each in _SWITCHES if each.startswith("--"))
        yield from _TEXTS


SCRIPT = Grammar(
    VERBS,
    ASKING_VERBS,
    {flag(each.name): each for each in OPTIONS.values() if not each.secret},
    {flag(each.name): environment_name(each.name) for each in OPTIONS.values() if each.secret},
)
COMMAND = replace(SCRIPT, takes_app=True)


class UsageError(StartError):
    """A command line that cannot be understood; the message is one line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line, understood.

    :ivar verb: one of `VERBS`; empty when none was given.
    :ivar app: what the `skitai` command is to serve; empty when not given.
    :ivar flags: values of options by name: text, bool, or a list of texts.
    :ivar config: path of a configuration file, or empty.
    :ivar socket: a unit for the listening socket, too.
    :ivar force: write over what is there.
    :ivar become: whom systemd starts it as.
    :ivar name: of the units; empty for one made from the app's.
    :ivar to: folder for the units; empty for systemd's own.
    :ivar words: all words but `app`: what the app's own script gets to see.
    """

    verb: str = ""
    app: str = ""
    flags: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    follow: bool = False
    help: bool = False
    version: bool = False
    socket: bool = False
    force: bool = False
    become: str = ""
    name: str = ""
    to: str = ""
    words: tuple[str, ...] = ()

    @property
    def daemon(self) -> bool:
        """Whether the server goes to the background."""
        return self.verb in {"start", "restart"}


def parse(words: list[str], *, takes_app: bool) -> Line:
    """Understand the command line of a script, or of the `skitai` command.

    :param takes_app: whether one word may name an app, as for the `skitai` command.
    :raises UsageError: for an unknown word or option, a missing value, or two verbs.
    """
    return understand(words, COMMAND if takes_app else SCRIPT)


def understand(words: list[str], grammar: Grammar) -> Line:
    """Understand a command line.

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
        may_be_app = grammar.takes_app and "app" not in fields and fields.get("verb", word) != word
        if word in SHORT_VERBS or (word in grammar.verbs and not may_be_app):
            verb = SHORT_VERBS.get(word, word)
            if fields.setdefault("verb", verb) != verb:
                raise UsageError(f"{word}: {fields['verb']} and {verb} do not go together")
        elif word in _SWITCHES:
            fields[_SWITCHES[word]] = True
        elif name in _TEXTS:
            fields[_TEXTS[name]] = _value(name, value, rest)
            kept += [name, fields[_TEXTS[name]]]
            continue
        elif word.startswith("-") and word != "-":
            kept += _option(word, value, rest, flags, grammar)
            continue
        elif grammar.takes_app and "app" not in fields:
            fields["app"] = word
            continue
        else:
            raise UsageError(f"unknown word {word!r}{near(word, grammar.verbs)}")
        kept.append(word)
    line = Line(flags=flags, words=tuple(kept), **fields)
    _check(line, fields, grammar)
    return line


def _check(line: Line, fields: Mapping[str, Any], grammar: Grammar) -> None:
    """Refuse what does not go together."""
    if line.daemon and line.flags.get("verbose"):
        raise UsageError(f"{line.verb} and -v do not go together: a server in the background has no console")
    for name, verb in _ONLY_WITH.items():
        if name in fields and line.verb != verb:
            raise UsageError(f"{_SPELLED.get(name, flag(name))} goes with {verb}")
    for spelled, option in grammar.flags.items():
        if option.name in line.flags and line.verb in grammar.asking and option.name not in PLACES:
            raise UsageError(f"{spelled} has no effect on {line.verb}")


def _option(word: str, value: str | None, rest: Iterator[str], flags: dict[str, Any], grammar: Grammar) -> list[str]:
    """Read one option of the tree into `flags`; the words that it took come back."""
    name = word.partition("=")[0]
    option = grammar.flags.get(name) or grammar.short(name)
    positive = grammar.flags.get("--" + name.removeprefix("--no-")) if name.startswith("--no-") else None
    if option is None and positive is not None and positive.type == "bool" and value is None:
        flags[positive.name] = False
        return [word]
    if option is None and not word.startswith("--"):
        option, value = grammar.short(word[:2]), word[2:]
        if option is not None and option.type == "bool":
            option = None
    if name in grammar.secrets:
        where = f"{grammar.secrets[name]} or a configuration file"
        raise UsageError(f"{name}: a command line is everybody's to read; use {where}")
    if option is None:
        raise UsageError(f"unknown option {word!r}{near(name, grammar.spellings())}")
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
