"""The options as text, made from the tree: the table of the documentation and the help of the command line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from skitai.config.sources import environment_name, flag
from skitai.config.tree import SECTIONS, Option, options
from skitai.config.values import shown


def rst() -> str:
    """All options as a reStructuredText page body: a section with its purpose, then one list-table of its options."""
    lines: list[str] = []
    for section, kind in SECTIONS.items():
        lines += [f"[{section}]", "-" * (len(section) + 2), "", kind.__doc__ or "", ""]
        lines += [".. list-table::", "   :header-rows: 1", "   :widths: 24 12 14 50", ""]
        lines += _row("Option", "Type", "Default", "Meaning")
        for option in options():
            if option.section == section:
                lines += _row(f"``{option.name}``", _type(option), _default(option), _meaning(option))
        lines.append("")
    return "\n".join(lines)


def flags_help(width: int = 100) -> str:
    """All options as the command line takes them, by section."""
    return "\n".join(_help_lines(width))


def _row(*cells: str) -> list[str]:
    return [f"   {'* - ' if number == 0 else '  - '}{cell}" for number, cell in enumerate(cells)]


def _type(option: Option) -> str:
    return {"tuple[str, ...]": "list", "str": "text", "int": "integer", "float": "number"}.get(option.type, option.type)


def _default(option: Option) -> str:
    if option.default in {"", ()}:
        return "\\-"
    if option.unit == "bytes":
        return _short_size(option.default)
    return f"{shown(option.default)} {option.unit}".strip()


def _short_size(number: int) -> str:
    for letter, factor in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if number and number % factor == 0:
            return f"{number // factor}{letter}"
    return str(number)


def _meaning(option: Option) -> str:
    text = option.help[:1].upper() + option.help[1:] + "."
    if option.choices:
        text += f" One of {', '.join(option.choices)}."
    match option.minimum, option.maximum:
        case None, None:
            pass
        case minimum, None:
            text += f" At least {shown(minimum)}."
        case minimum, maximum:
            text += f" From {shown(minimum)} to {shown(maximum)}."
    if option.also:
        text += f" Older name: {', '.join(option.also)}."
    spellings = () if option.secret else (flag(option.name),)
    return text + " " + ", ".join(f"``{each}``" for each in (*spellings, environment_name(option.name))) + "."


def _help_lines(width: int) -> Iterator[str]:
    for section, kind in SECTIONS.items():
        yield f"{section}: {kind.__doc__}"
        yield from flags_of([(each.name, each) for each in options() if each.section == section and not each.secret], width)
        yield ""


def flags_of(named: Iterable[tuple[str, Option]], width: int) -> Iterator[str]:
    """Options as a command line takes them, each under the name that it has there."""
    for name, option in named:
        spelling = f"  {'-' + option.short + ', ' if option.short else '    '}{_flag_form(name, option)}"
        default = "" if option.default in {"", (), False} else f" [{_default(option)}]"
        lines = textwrap.wrap(option.help + default, width - 36)
        yield f"{spelling:<35} {lines[0]}" if len(spelling) < 36 else spelling
        for line in lines if len(spelling) >= 36 else lines[1:]:
            yield f"{'':36}{line}"


def _flag_form(name: str, option: Option) -> str:
    if option.type == "bool":
        return f"--[no-]{flag(name)[2:]}"
    kind = {"tuple[str, ...]": "TEXT", "str": "TEXT", "int": "N", "float": "N"}[option.type]
    return f"{flag(name)} {'SIZE' if option.unit == 'bytes' else kind}"
