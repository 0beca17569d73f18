"""What the documentation shows, taken out of its pages so that it can be tried.

A page marks what belongs together with comments that a reader does not see::

    <!-- file: app.py -->            the next fence is this file of the page's folder
    <!-- try: app.py GET /x -> 200 some text -->   started, the script answers so; fields go between path and arrow
    <!-- test: test_app.py -->       pytest passes on this file
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_TRY = re.compile(r"<!-- try: (\S+) (\S+) (\S+)(?: (\S+): (.+?))? -> (\d{3})(?: (.*?))? -->")
_TEST = re.compile(r"<!-- test: (\S+) -->")


@dataclass(frozen=True)
class Snippet:
    """A fenced block; `file` is empty where the page names none."""

    language: str
    text: str
    file: str


@dataclass(frozen=True)
class Try:
    """A request to a script of the page, and the answer that the page promises."""

    script: str
    method: str
    path: str
    fields: dict[str, str]
    status: int
    text: str


def snippets(page: Path) -> list[Snippet]:
    return [Snippet(each["language"], each["text"], each["file"] or "") for each in _FENCE.finditer(page.read_text())]


def tries(page: Path) -> list[Try]:
    found = _TRY.findall(page.read_text())
    return [
        Try(script, method, path, {name: value} if name else {}, int(status), text)
        for script, method, path, name, value, status, text in found
    ]


def own_tests(page: Path) -> list[str]:
    return _TEST.findall(page.read_text())


def write_files(page: Path, folder: Path, port: int) -> None:
    """Write the files of a page; whatever a script listens on becomes `port`."""
    for each in snippets(page):
        if each.file:
            file = folder / each.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(each.text.replace("5000", str(port)))
