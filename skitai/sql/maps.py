"""Files of SQL: many templates, each with a name.

::

    <sqlmap version="1.0">

    <sql name="newest">
      SELECT id, title FROM post WHERE {_filters} ORDER BY id DESC {_limit}
    </sql>

It looks like XML and is not: the SQL is taken as it stands. A tag begins its line, and is alone in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from skitai.sql import forms
from skitai.sql.errors import BadStatement
from skitai.sql.forms import Form

_BEGIN = re.compile(r"""<sql\s+name\s*=\s*(["'])([^\W\d_]\w*)\1\s*>\s*""")
_END = re.compile(r"</sql\s*>\s*")
_AROUND = re.compile(r"\s*|</?sqlmap(\s[^<>]*)?>\s*|<!--.*-->\s*|--.*")
_TAG = re.compile(r"</?sql(map)?\b")


def parse(text: str, file: str) -> Mapping[str, Form]:
    """The templates of a file, by their names.

    :param file: its name, for messages.
    :raises BadStatement: a tag or a template is broken, or a name is there twice; it says where.
    """
    found: dict[str, Form] = {}
    name, begun, lines = "", 0, list[str]()
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        at = f"{file}, line {number}"
        if begun and _END.fullmatch(line):
            found[name] = _form("\n".join(lines), f"{file}, from line {begun} on")
            begun = 0
        elif begun:
            if _TAG.match(line):
                raise BadStatement(f"{at}: {line.strip()} comes before the </sql> of {name}")
            lines.append(line)
        elif match := _BEGIN.fullmatch(line):
            name, begun, lines = match[2], number, []
            if name in found:
                raise BadStatement(f"{at}: there is an {name} already")
        elif not _AROUND.fullmatch(line):
            raise BadStatement(f'{at}: {line.strip()!r} is no <sql name="...">, and in none; a tag is alone in its line')
    if begun:
        raise BadStatement(f"{file}, line {begun}: the </sql> of {name} is missing")
    return found


def _form(text: str, at: str) -> Form:
    if not text.strip():
        raise BadStatement(f"{at}: there is no SQL")
    try:
        return forms.parse(_trimmed(text))
    except BadStatement as error:
        raise BadStatement(f"{at}: {error}") from None


def _trimmed(text: str) -> str:
    """Without empty lines around it, and without the indentation that all lines have."""
    lines = text.rstrip().splitlines()
    while not lines[0].strip():
        del lines[0]
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[margin:] for line in lines)
