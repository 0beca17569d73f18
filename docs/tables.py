"""Tables of the documentation that are made from the code, so that they cannot grow old."""

from collections.abc import Callable

from skitai.cli.line import SHORT_VERBS, VERBS
from skitai.config import reference
from skitai.config.sources import flag
from skitai.config.tree import options
from skitai.config.values import shown

LIMIT_SECTIONS = ("timeouts", "http1", "http2", "bodies", "responses", "websocket", "static")


def limits() -> str:
    """Every limit with its default, in Markdown."""
    rows = ["| limit | default | option |", "| --- | ---: | --- |"]
    for each in options():
        if each.section in LIMIT_SECTIONS and each.type != "bool":
            rows.append(f"| {each.help} | {shown(each.default)} {each.unit} | `{each.name}` |")
    return "\n".join(rows)


def verbs() -> str:
    """The verbs of the command line, in Markdown."""
    shorts = {verb: short for short, verb in SHORT_VERBS.items()}
    rows = ["| verb | short | what it does |", "| --- | --- | --- |"]
    for verb, purpose in VERBS.items():
        rows.append(f"| `{verb}` | {f'`{shorts[verb]}`' if verb in shorts else ''} | {purpose} |")
    return "\n".join(rows)


def flags() -> str:
    """Options that have a short flag, in Markdown."""
    rows = ["| flag | short | meaning | default |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{flag(each.name)}` | `-{each.short}` | {each.help} | {shown(each.default)} |"
        for each in options()
        if each.short
    ]
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {
    "limits": limits,
    "verbs": verbs,
    "flags": flags,
    "options": reference.rst,
}
"""By the name that stands between @@ signs in a page."""
