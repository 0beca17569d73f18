"""From a request's values to the arguments of a function, compiled once for each route from its signature.

Values come from the URL's parameters, the query and the body (a form, or a JSON object), and find their arguments by name:

- The query is passed when the function takes an argument that is not in its URL, or ``**``; else it stays aside.
- The body is passed when the query was passed or is empty, and the function takes ``**`` or one of the body's names.
- What is passed has to be wanted: an unknown name is an error unless the function takes ``**``. The field by which forms
  show that they are ours (`CSRF_NAME`) is in any form, and no error.
- The URL's value wins, then the body's, then the query's. A name that comes several times has a list.
- Annotations convert (`convert`). An argument whose annotation is a dataclass takes the object of its own name, or else
  its fields from among the other values.

All values, whether passed or not, are in `Bound.merged`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from skitai.config.pref import AttrDict
from skitai.errors import Answerable
from skitai.saddle.convert import Converter, Record, Unfit, converter, shown

Values = Mapping[str, Any]

MOST_SAID = 10
"""Faults in one message."""

CSRF_NAME = "_csrf_token"
"""Field of forms for `was.csrf_verify`."""


class BadArgument(Answerable):
    """Arguments are missing, unknown or do not fit.

    :ivar faults: name of the argument and the reason, for each.
    """

    status = 400

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        said = [f"argument {shown(name)}: {reason}" for name, reason in faults[:MOST_SAID]]
        more = [f"and {len(faults) - MOST_SAID} more"] if len(faults) > MOST_SAID else []
        super().__init__("; ".join(said + more))
        self.faults = tuple(faults)


class Bound:
    """Arguments for one call, after `was`.

    :ivar args: the positional ones.
    :ivar kwargs: the others, by name.
    """

    __slots__ = ("_binder", "_sources", "args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], binder: Binder, sources: tuple[Any, ...]) -> None:
        self.args = args
        self.kwargs = kwargs
        self._binder = binder
        self._sources = sources

    @property
    def merged(self) -> AttrDict:
        """All values of all sources, with the function's defaults (`Binder.merge`); a new dictionary."""
        return self._binder.merge(*self._sources)


class Argument:
    """One argument of a function."""

    __slots__ = ("annotation", "convert", "default", "name", "positional", "record", "required")

    def __init__(self, parameter: inspect.Parameter, annotation: Any) -> None:
        self.name = parameter.name
        self.annotation = annotation
        self.convert: Converter | None = converter(annotation)
        self.record = _record(annotation)
        self.required = parameter.default is parameter.empty
        self.default = None if self.required else parameter.default
        self.positional = parameter.kind is parameter.POSITIONAL_ONLY

    @property
    def names(self) -> frozenset[str]:
        """Names of values that lead to it."""
        return frozenset((self.name,)) | (self.record.names if self.record else frozenset())


def _record(annotation: Any) -> Record | None:
    """The dataclass that an annotation is, or that it makes optional."""
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _record(members[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [each for each in members if each is not type(None)]
        return _record(kinds[0]) if len(kinds) == 1 else None
    made = converter(annotation)
    return made if isinstance(made, Record) else None


class Binder:
    """Maps values to the arguments of one function.

    :ivar arguments: all but `was` and ``**``, in order.
    :ivar takes_more: whether the function has ``**``.
    :ivar unresolved: names of arguments whose annotations could not be resolved, and so say nothing.
    :ivar reads_body: whether a body can matter to the call; where not, nobody needs to take it apart.
    """

    def __init__(self, function: Callable[..., Any], url_names: Sequence[str] = ()) -> None:
        """:raises ValueError: the function has no place for `was`, or takes ``*``."""
        self.url_names = tuple(url_names)
        self._name = getattr(function, "__qualname__", repr(function))
        hints = _hints(function)
        self.arguments: list[Argument] = []
        self.unresolved: list[str] = []
        self.takes_more = False
        self._more: Converter | None = None
        first = True
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise ValueError(
                    f"{self._name}() takes *{parameter.name}, but arguments come by name: write **{parameter.name}, "
                    "or functools.wraps if this is a decorator's wrapper"
                )
            if parameter.kind is parameter.VAR_KEYWORD:
                self.takes_more = True
                self._more = converter(hints.get(parameter.name, Any))
            elif first and parameter.kind is not parameter.KEYWORD_ONLY:
                first = False
            else:
                self.arguments.append(Argument(parameter, hints.get(parameter.name, Any)))
                if parameter.annotation is not parameter.empty and parameter.name not in hints:
                    self.unresolved.append(parameter.name)
        if first:
            raise ValueError(f"{self._name}() has no first argument for was")
        self._reserved = _first_names(function)
        if taken := self._reserved.intersection(self.url_names):
            raise ValueError(f"{self._name}() has {', '.join(taken)} for the request, so its rule needs another name")
        self._positional = [each for each in self.arguments if each.positional]
        self._by_name = {each.name: each for each in self.arguments}
        beyond = [each for each in self.arguments if each.name not in self.url_names]
        self._beyond = frozenset().union(*(each.names for each in beyond))
        self._known = self._beyond | self._by_name.keys() | set(self.url_names)
        self.reads_query = self.reads_body = self.takes_more or bool(beyond)
        self.defaults = {each.name: each.default for each in self.arguments if not each.required}

    def has_default(self, names: Sequence[str]) -> bool:
        """Whether there are names, and all are arguments with a default."""
        return bool(names) and all(name in self.defaults for name in names)

    def without(self, name: str) -> Binder:
        """The same for all arguments but one, which the caller has from elsewhere."""
        other = copy(self)
        other.arguments = [each for each in self.arguments if each.name != name]
        other._by_name = {each.name: each for each in other.arguments}
        other._positional = [each for each in other.arguments if each.positional]
        other._known = self._known - {name}
        return other

    def bind(self, values: Values, query: Values, body: Values | None, fault: Answerable | None = None) -> Bound:
        """Find the arguments for a call.

        :param values: of the URL's parameters.
        :param query: text, or lists of text.
        :param body: of a form or a JSON object; None when there is none.
        :param fault: why a body that came is not `body`: raised when an argument is missing that it might have held.
        :raises BadArgument: with all faults.
        """
        sources = (values, query, body)
        if not self.arguments and not self.takes_more:
            return Bound((), {}, self, sources)
        given: dict[str, Any] = {}
        if self.reads_query:
            if query:
                given.update(query)
            if body and (self.takes_more or not self._beyond.isdisjoint(body)):
                given.update(body)
        if values:
            given.update(values)
        return self._fit(given, sources, fault)

    def call(self, values: Values, positional: Sequence[Any], named: Values | None = None) -> Bound:
        """Find the arguments for a remote call, which says them by position or by name.

        :param values: of the URL's parameters.
        :param positional: for the arguments that are not in the URL, in order.
        :raises BadArgument: as `bind` does.
        """
        names = [each.name for each in self.arguments if each.name not in values]
        if len(positional) > len(names):
            raise BadArgument([("params", f"{len(names)} are taken, and {len(positional)} were given")])
        given = dict(zip(names, positional, strict=False))
        if twice := sorted(given.keys() & (named or {}).keys()):
            raise BadArgument([(name, "it was given twice") for name in twice])
        given.update(named or {})
        return self._fit({**given, **values}, (values, {}, given), None)

    def _fit(self, given: dict[str, Any], sources: tuple[Any, ...], fault: Answerable | None) -> Bound:
        faults: list[tuple[str, str]] = []
        lacks = False
        kwargs: dict[str, Any] = {}
        for argument in self.arguments:
            name = argument.name
            if argument.record is not None:
                self._gather(argument, argument.record, given)
            if name not in given:
                if argument.required:
                    faults.append((name, "it is missing"))
                    lacks = True
                continue
            value = given[name]
            if argument.convert is not None:
                try:
                    value = argument.convert(value)
                except Unfit as error:
                    faults.append((name, str(error)))
                    lacks = lacks or (argument.record is not None and not value)
                    continue
                except RecursionError:
                    faults.append((name, "it nests too deeply"))
                    continue
            kwargs[name] = value
        if lacks and fault is not None:
            raise fault
        if len(given) > len(kwargs):
            faults += self._rest(given, kwargs)
        if faults:
            raise BadArgument(faults)
        args = tuple(kwargs.pop(each.name, each.default) for each in self._positional) if self._positional else ()
        return Bound(args, kwargs, self, sources)

    def _gather(self, argument: Argument, record: Record, given: dict[str, Any]) -> None:
        """Where a dataclass has no object of its own among the values, make one of its fields."""
        name = argument.name
        if name in given and (name not in record.names or isinstance(given[name], (dict, record.kind))):
            return
        fields = {each: given.pop(each) for each in record.names if each in given and each not in self.url_names}
        if fields or argument.required:
            given[name] = fields

    def _rest(self, given: dict[str, Any], kwargs: dict[str, Any]) -> list[tuple[str, str]]:
        """Put what is left into ``**``; the faults found."""
        faults: list[tuple[str, str]] = []
        for name, value in given.items():
            if name in self._by_name or (name in self._known and not self.takes_more):
                continue
            if name == CSRF_NAME and not self.takes_more:
                continue
            if not self.takes_more or name in self._reserved:
                faults.append((name, "it is unknown"))
                continue
            try:
                kwargs[name] = value if self._more is None else self._more(value)
            except Unfit as error:
                faults.append((name, str(error)))
        return faults

    def merge(self, values: Values, query: Values, body: Values | None) -> AttrDict:
        """What ``was.request.args`` is: defaults, URL, query and body in one dictionary.

        A name in URL and query has a list; the body's value replaces both.
        """
        merged = AttrDict(self.defaults)
        merged.update(query)
        for name, value in values.items():
            if name in query:
                more = query[name]
                merged[name] = [value, *more] if isinstance(more, list) else [value, more]
            else:
                merged[name] = value
        if body:
            merged.update(body)
        return merged


def _first_names(function: Callable[..., Any]) -> frozenset[str]:
    """What a function, and the wrappers around it, call `was`: no value of a request may come by such a name."""
    names = set()
    while True:
        signature = inspect.signature(function, follow_wrapped=False)
        names.update([each.name for each in signature.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD][:1])
        inner = getattr(function, "__wrapped__", None)
        if inner is None:
            return frozenset(names)
        function = inner


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by name. Those that cannot be resolved, for their names are only there for a type checker, say nothing."""
    function = inspect.unwrap(function)
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return _resolved_one_by_one(function)


def _resolved_one_by_one(function: Callable[..., Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        alone = type("_Alone", (), {"__annotations__": {name: annotation}, "__module__": function.__module__})
        try:
            hints |= typing.get_type_hints(alone, getattr(function, "__globals__", {}), include_extras=True)
        except (NameError, TypeError, AttributeError):
            continue
    return hints
