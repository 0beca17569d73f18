"""From annotations to JSON Schema (2020-12), as OpenAPI 3.1 has it: the same types that `convert` knows."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skitai.saddle.uploads import UploadedFile

Schema = dict[str, Any]
Definitions = dict[str, Schema]
"""Schemas of classes by name; a schema refers to them."""

FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}

_SIMPLE: dict[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    datetime.timedelta: {"type": "number", "description": "seconds"},
    decimal.Decimal: {"type": "string", "format": "decimal"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    type(None): {"type": "null"},
    UploadedFile: FILE,
}

_LISTS = (list, tuple, set, frozenset, Sequence, Iterable)
_OBJECTS = (dict, Mapping)


def schema(annotation: Any, definitions: Definitions) -> Schema:
    """What values of an annotation look like; {} for anything.

    :param definitions: takes the schemas of dataclasses and enumerations that occur.
    """
    if isinstance(annotation, typing.NewType):
        return schema(annotation.__supertype__, definitions)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return schema(arguments[0], definitions)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return _union([schema(each, definitions) for each in arguments])
    kind = origin or annotation
    if kind in _LISTS:
        return _list(kind, arguments, definitions)
    if kind in _OBJECTS:
        return _object(arguments, definitions)
    if not isinstance(kind, type):
        return {}
    if dataclasses.is_dataclass(kind) or (issubclass(kind, enum.Enum)):
        return _defined(kind, definitions)
    return dict(_SIMPLE.get(kind, {}))


def _union(members: list[Schema]) -> Schema:
    kinds = [each.get("type") for each in members if each.keys() == {"type"}]
    if len(kinds) == len(members):
        return {"type": kinds}
    return {"anyOf": members} if all(members) else {}


def _list(kind: Any, arguments: tuple[Any, ...], definitions: Definitions) -> Schema:
    made: Schema = {"type": "array"}
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        made["prefixItems"] = [schema(each, definitions) for each in arguments]
        made["minItems"] = made["maxItems"] = len(arguments)
    elif arguments:
        made["items"] = schema(arguments[0], definitions)
    if kind in (set, frozenset):
        made["uniqueItems"] = True
    return made


def _object(arguments: tuple[Any, ...], definitions: Definitions) -> Schema:
    made: Schema = {"type": "object"}
    if len(arguments) == 2 and (values := schema(arguments[1], definitions)):
        made["additionalProperties"] = values
    return made


def _defined(kind: type, definitions: Definitions) -> Schema:
    """A reference to a class, which is defined if it is not yet."""
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # a class may hold its own kind
        definitions[name] = _enumeration(kind) if issubclass(kind, enum.Enum) else record(kind, definitions)
    return {"$ref": f"#/components/schemas/{name}"}


def _enumeration(kind: type[enum.Enum]) -> Schema:
    return {"enum": [plain(each) for each in kind]}


def record(kind: type, definitions: Definitions) -> Schema:
    """The object that makes a dataclass."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [each for each in dataclasses.fields(kind) if each.init]
    properties: Schema = {}
    required = []
    for each in fields:
        properties[each.name] = schema(hints[each.name], definitions)
        if each.default is not dataclasses.MISSING:
            properties[each.name] = with_default(properties[each.name], each.default)
        elif each.default_factory is dataclasses.MISSING:
            required.append(each.name)
    made: Schema = {"type": "object", "properties": properties}
    if required:
        made["required"] = required
    if kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}("):  # what dataclass() writes itself
        made["description"] = kind.__doc__.strip().partition("\n\n")[0]
    return made


def with_default(made: Schema, default: Any) -> Schema:
    """A schema with a default, if JSON can say it."""
    value = plain(default)
    return made if value is NotImplemented else {**made, "default": value}


def plain(value: Any) -> Any:
    """A value as JSON has it; NotImplemented for one that it has not."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        items = [plain(each) for each in value]
        return NotImplemented if any(each is NotImplemented for each in items) else items
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    return NotImplemented
