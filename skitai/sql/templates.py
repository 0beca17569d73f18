"""`Template`: a statement from a text with places, in a file of SQL or in the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from skitai.sql import names
from skitai.sql.clauses import Arranged, Filtered, Grouped, Holding, Returning
from skitai.sql.conditions import ALL, Q, Written, condition
from skitai.sql.errors import BadStatement, Unfiltered
from skitai.sql.expressions import D
from skitai.sql.forms import Form, Place, Slot
from skitai.sql.operators import listed
from skitai.sql.pieces import Engine, Expression, Manner, Pieces, Rendered, Script, operand
from skitai.sql.statements import Execute, Statement


class Template(Statement, Filtered, Grouped, Arranged, Holding, Returning):
    """A statement from a form.

    Places that begin with an underscore are what the methods say: ``{_filters} {_group_by} {_having} {_order_by} {_limit}
    {_offset} {_returning} {_columns} {_values} {_pairs}``. The others are fed.

    :param name: for messages.
    """

    is_query: ClassVar[bool] = True

    def __init__(self, engine: Engine, execute: Execute | None, form: Form, name: str = "template") -> None:
        Statement.__init__(self, engine, execute)
        Filtered.__init__(self)
        Grouped.__init__(self)
        Arranged.__init__(self)
        Holding.__init__(self, {})
        Returning.__init__(self)
        self._form = form
        self._name = name
        self._fed: dict[str, Any] = {}

    def feed(self, **values: Any) -> Self:
        """Values for places by their names.

        A plain value is bound; where names stand, text is checked to be names. `F`, `V`, `B`, `Q` and selects are written as
        they are; a `D` makes ``{name_columns}``, ``{name_values}`` and ``{name_pairs}``.

        :raises BadStatement: a name is one of the template's own, with an underscore.
        """
        for name, value in values.items():
            if name.startswith("_"):
                raise BadStatement(f"{name}: places with an underscore are what filter(), data() and the others say")
            if isinstance(value, D):
                self._prefixed[name] = value
            else:
                self._fed[name] = value
        return self

    __call__ = feed

    def render(self, engine: str | None = None) -> Rendered:
        made = super().render(engine)
        return Rendered(Script(made.sql), made.parameters) if self._form.several else made

    def pieces(self, manner: Manner) -> Pieces:
        manner = Manner(manner.engine, manner.strict or self._form.changes)
        self._check()
        return self._form.fill(lambda slot: self._piece(slot, manner))

    def _check(self) -> None:
        """Nothing that was said gets lost, but for an order."""
        places = self._form.names()
        said = {
            "_filters": self._is_filtered,
            "_group_by": self._groups,
            "_having": self._having,
            "_limit": self._limit is not None,
            "_offset": self._offset is not None,
            "_returning": self._returned,
        }
        for name, value in said.items():
            if value and name not in places:
                raise BadStatement(f"{self._name} has no place {{{name}}} for what was said")
        used = places & {"_columns", "_values", "_pairs"}
        lost = [] if used else [name for name in self._data if name not in places]
        if lost:
            raise BadStatement(f"{self._name} has no place for the data {', '.join(lost)}")
        for prefix in self._prefixed:
            if not places & {f"{prefix}_{way}" for way in D.WAYS}:
                raise BadStatement(f"{self._name} has no place for the columns of {prefix}")
        self._form.check_inner({*_OWN, *self._fed, *self._data})

    def _piece(self, slot: Slot, manner: Manner) -> Pieces:
        own = _OWN.get(slot.name)
        if own is not None:
            return own(self, slot, manner)
        for values in (self._fed, self._data):
            if slot.name in values:
                try:
                    return _fed(slot, values[slot.name], manner)
                except Unfiltered:
                    raise
                except BadStatement as error:
                    raise BadStatement(f"{self._name}: {{{slot.name}}} is {slot.place.value}, and {error}") from error
        prefix, _, way = slot.name.rpartition("_")
        if prefix in self._prefixed and way in D.WAYS:
            made: Pieces = getattr(self._prefixed[prefix], way).pieces(manner)
            return made
        raise BadStatement(f"{self._name}: nothing was fed for {{{slot.name}}}")

    def _filter_pieces(self, slot: Slot, manner: Manner) -> Pieces:
        found = self._filters(manner)
        if found is not None:
            return _enclosed(found, slot)
        if manner.strict:
            raise Unfiltered(f"{self._name} has no condition; filter(__all=True) says that all rows are meant")
        return [ALL]

    def _held_pieces(self, slot: Slot, manner: Manner) -> Pieces:
        if not self._data:
            raise BadStatement(f"{self._name}: there is no data for {{{slot.name}}}")
        made: Pieces = getattr(self._columns_and_values(), slot.name[1:]).pieces(manner)
        return made

    def __repr__(self) -> str:
        return f"<Template {self._name} for {self.engine.name}>"


_OWN: dict[str, Callable[[Template, Slot, Manner], Pieces]] = {
    "_filters": Template._filter_pieces,
    "_group_by": lambda statement, slot, manner: statement._group_by(manner),
    "_having": lambda statement, slot, manner: statement._having_pieces(manner),
    "_order_by": lambda statement, slot, manner: statement._order_by(manner),
    "_limit": lambda statement, slot, manner: statement._limit_pieces(manner),
    "_offset": lambda statement, slot, manner: statement._offset_pieces(manner),
    "_returning": lambda statement, slot, manner: statement._returning(manner),
    "_columns": Template._held_pieces,
    "_values": Template._held_pieces,
    "_pairs": Template._held_pieces,
}


def _fed(slot: Slot, value: Any, manner: Manner) -> Pieces:
    """What a value is at a place."""
    if isinstance(value, Q):
        return _enclosed(value.written(manner) or Written(value.pieces(manner), "single"), slot)
    if isinstance(value, Expression):
        return value.pieces(manner) if slot.enclosed else operand(value, manner)
    if slot.place is Place.CONDITION:
        made = condition(slot.name, value).written(manner)
        return _enclosed(made, slot) if made is not None else [ALL]
    if slot.place is Place.LIST and isinstance(value, (list, tuple, set, frozenset)):
        members = listed(value, manner) or ["NULL"]
        return members if slot.after != "IN" else ["(", *members, ")"]
    if slot.place is Place.LIST and slot.after == "IN":
        return ["(", *operand(value, manner), ")"]
    if isinstance(value, str) and slot.place is Place.NAME:
        return [names.dotted(value)]
    if isinstance(value, str) and slot.place is Place.NAMES:
        return [names.items(value)]
    if isinstance(value, str) and slot.place is Place.ORDER:
        return [names.terms(value)]
    return operand(value, manner)


def _enclosed(made: Written, slot: Slot) -> Pieces:
    """A condition among others."""
    if slot.after == "NOT":
        return made.within("single", "like", "and", "raw")
    return made.within("raw")
