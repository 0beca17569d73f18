"""Request fields as an app likes them: text, found whatever the case of a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from skitai.http.head import Fields

FORM = "headers"

V = TypeVar("V")


class Named(Mapping[str, V]):
    """Values by name, found whatever the case of it. Nobody changes it."""

    __slots__ = ("_values",)

    _values: dict[str, V]
    """By name in lower case."""

    def __getitem__(self, name: str) -> V:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return map(str.title, self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values!r})"


class Headers(Named[str]):
    """Names and values, in the order received; several values of one name are joined."""

    __slots__ = ()

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """:param pairs: names in lower case, each once."""
        self._values = dict(pairs)

    @classmethod
    def of(cls, fields: Fields) -> Headers:
        """Of a field section; made once for all requests that carry the same bytes."""
        found: Headers | None = fields.forms.get(FORM)
        if found is None:
            names = dict.fromkeys(name for name, _ in fields.pairs)
            found = fields.forms[FORM] = cls(
                (name.decode("latin-1"), (fields.get(name) or b"").decode("latin-1")) for name in names
            )
        return found

    def replaced(self, name: str, value: str) -> Headers:
        """The same with another value of one name."""
        return Headers({**self._values, name.lower(): value}.items())
