"""An OpenAPI 3.1 document (spec.openapis.org) of an app's routes: what their rules, signatures and docstrings say.

A docstring's first paragraph is the summary, the rest the description; its ``:param name:`` and ``:returns:`` lines describe
arguments and the response. Options of a route: ``docs=False`` leaves it out, ``tags=[...]`` groups it (its namespace does by
default), ``deprecated=True`` says so.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from skitai.saddle.args import Argument
from skitai.saddle.routing import Route
from skitai.saddle.rules import Parameter, Rule
from skitai.saddle.schema import FILE, Definitions, Schema, record, schema, with_default

VERSION = "3.1.0"

Scheme = Callable[[Route], str | None]
"""The authentication that a route wants."""

_BODIES = ("application/json", "application/x-www-form-urlencoded")
_WITH_FILES = ("multipart/form-data",)
_WITH_BODY = ("post", "put", "patch")
_SHOWN = ("get", "post", "put", "patch", "delete")

_SECURITY: dict[str, Schema] = {
    "basic": {"type": "http", "scheme": "basic"},
    "digest": {"type": "http", "scheme": "digest"},
    "bearer": {"type": "http", "scheme": "bearer"},
}

_OF_KIND: dict[str, Schema] = {
    "int": {"type": "integer", "minimum": 0},
    "float": {"type": "number", "minimum": 0},
    "string": {"type": "string"},
    "path": {"type": "string", "description": "may hold slashes"},
}


class Told(NamedTuple):
    """A docstring taken apart."""

    summary: str = ""
    description: str = ""
    params: dict[str, str] = {}
    returns: str = ""


_FIELD = re.compile(r"^:(param|returns?|raises)\s*([^:]*):\s*(.*)$")


def told(function: Callable[..., Any]) -> Told:
    """Take a function's docstring apart."""
    paragraphs: list[str] = [""]
    params: dict[str, str] = {}
    returns = ""
    last: tuple[str, str] | None = None
    for line in (inspect.getdoc(function) or "").splitlines():
        if found := _FIELD.match(line.strip()):
            last = (found[1], found[2].split()[-1] if found[2].split() else "")
            more = found[3]
        elif last is not None:
            more = line.strip()
        elif line.strip():
            paragraphs[-1] = f"{paragraphs[-1]} {line.strip()}".strip()
            continue
        else:
            paragraphs.append("")
            continue
        if last[0] == "param":
            params[last[1]] = f"{params.get(last[1], '')} {more}".strip()
        elif last[0].startswith("return"):
            returns = f"{returns} {more}".strip()
    return Told(paragraphs[0], "\n\n".join(each for each in paragraphs[1:] if each), params, returns)


def document(routes: Iterable[Route], title: str, version: str, basepath: str, scheme: Scheme) -> Schema:
    """Describe routes.

    :param basepath: where the app is mounted.
    """
    definitions: Definitions = {}
    paths: dict[str, Schema] = {}
    first: dict[str, tuple[str, ...]] = {}
    used: set[str] = set()
    for route in routes:
        if route.options.get("docs", True) is False:
            continue
        for rule in filter(None, (route.rule, route.short)):
            for method in _methods(route):
                shown = _place(paths, rule, method, first)
                if shown is not None:
                    operation = _operation(route, rule, shown, method, definitions)
                    operation["operationId"] = _unique(route.name, method, used)
                    if wanted := scheme(route):
                        operation["security"] = [{wanted: []}]
                    paths[template(rule, shown)][method] = operation
    made: Schema = {
        "openapi": VERSION,
        "info": {"title": title, "version": version or "0"},
        "servers": [{"url": basepath.rstrip("/") or "/"}],
        "paths": paths,
    }
    schemes = {each for path in paths.values() for each in _schemes(path)}
    components = {"schemas": definitions, "securitySchemes": {each: _SECURITY[each] for each in sorted(schemes)}}
    made["components"] = {name: each for name, each in components.items() if each}
    return made


def _schemes(operations: Schema) -> Iterable[str]:
    for operation in operations.values():
        for each in operation.get("security", ()):
            yield from each


def _place(paths: dict[str, Schema], rule: Rule, method: str, first: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The names by which to show a rule's parameters, at a path that is free for a method.

    Paths that differ in names only are one path, so they get the names that came first, unless their types differ.

    :param first: names by path without names; those of a new path are put there.
    :returns: None when the method is taken: the router picks the first, too.
    """
    bare = "/".join(f"{each.prefix}<>{each.suffix}" if isinstance(each, Parameter) else each for each in rule.segments)
    for names in (first.setdefault(bare, rule.names), rule.names):
        if method not in paths.setdefault(template(rule, names), {}):
            return names
    return None


def template(rule: Rule, names: Iterable[str]) -> str:
    """A path with names in braces."""
    rest = iter(names)
    return "/" + "/".join(
        f"{each.prefix}{{{next(rest)}}}{each.suffix}" if isinstance(each, Parameter) else each for each in rule.segments
    )


def _methods(route: Route) -> list[str]:
    """Those to show: of a route that names none GET, and POST when there is something to post."""
    if route.methods is None:
        return ["get", "post"] if route.binder.reads_body else ["get"]
    return [each for each in _SHOWN if each.upper() in route.methods]


def _operation(route: Route, rule: Rule, names: tuple[str, ...], method: str, definitions: Definitions) -> Schema:
    said = told(route.function)
    arguments = {each.name: each for each in route.binder.arguments}
    made: Schema = {"tags": _tags(route), "summary": said.summary, "description": said.description}
    made["deprecated"] = bool(route.options.get("deprecated"))
    shown = zip(rule.parameters, names, strict=True)
    parameters = [_path_parameter(each, name, arguments.get(each.name), said, definitions) for each, name in shown]
    others = [each for each in route.binder.arguments if each.name not in route.rule.names]
    if method in _WITH_BODY:
        made["requestBody"] = _body(route, others, said, definitions)
    else:
        parameters += [each for other in others for each in _query_parameters(other, said, definitions)]
    made["parameters"] = parameters
    made["responses"] = _responses(route, said, definitions)
    return {name: each for name, each in made.items() if each}


def _unique(name: str, method: str, used: set[str]) -> str:
    candidates = (name, f"{name}.{method}", *(f"{name}.{method}.{number}" for number in range(2, 1000)))
    found = next(each for each in candidates if each not in used)
    used.add(found)
    return found


def _tags(route: Route) -> list[str]:
    namespace = route.name.rpartition(".")[0]
    return list(route.options.get("tags") or ([namespace] if namespace else []))


def _path_parameter(
    parameter: Parameter, name: str, argument: Argument | None, said: Told, definitions: Definitions
) -> Schema:
    made = schema(argument.annotation, definitions) if argument is not None else {}
    kind: Schema = (
        {} if made and "type" in made and made["type"] != _OF_KIND[parameter.kind]["type"] else _OF_KIND[parameter.kind]
    )
    shown: Schema = {"name": name, "in": "path", "required": True, "schema": {**kind, **made}}
    description = said.params.get(parameter.name)
    return {**shown, "description": description} if description else shown


def _query_parameters(argument: Argument, said: Told, definitions: Definitions) -> list[Schema]:
    """What an argument may be called in a query; of a dataclass, its fields."""
    if argument.record is not None:
        fields = record(argument.record.kind, definitions)
        required = fields.get("required", []) if argument.required else []
        return [
            _query_parameter(name, each, name in required, said.params.get(name))
            for name, each in fields["properties"].items()
        ]
    made = _with_default(argument, schema(argument.annotation, definitions))
    return [_query_parameter(argument.name, made, argument.required, said.params.get(argument.name))]


def _query_parameter(name: str, made: Schema, required: bool, description: str | None) -> Schema:
    shown: Schema = {"name": name, "in": "query", "required": required, "schema": made}
    return {**shown, "description": description} if description else shown


def _with_default(argument: Argument, made: Schema) -> Schema:
    return made if argument.required or argument.default is None else with_default(made, argument.default)


def _body(route: Route, arguments: list[Argument], said: Told, definitions: Definitions) -> Schema:
    """The body that brings these arguments, as a form or a JSON object."""
    properties: Schema = {}
    required: list[str] = []
    for each in arguments:
        if each.record is not None:
            fields = record(each.record.kind, definitions)
            properties |= fields["properties"]
            required += fields.get("required", []) if each.required else []
            continue
        made = _with_default(each, schema(each.annotation, definitions))
        description = said.params.get(each.name)
        properties[each.name] = {**made, "description": description} if description else made
        required += [each.name] if each.required else []
    files = any(FILE in (each, each.get("items")) for each in properties.values())
    types = sorted(route.content_types) or (_WITH_FILES if files else _BODIES)
    if not properties and not route.binder.takes_more:
        return {"content": {each: {} for each in types}} if route.content_types else {}
    made = {"type": "object", "properties": properties, "additionalProperties": route.binder.takes_more}
    if required:
        made["required"] = required
    return {"required": bool(required), "content": {each: {"schema": made} for each in types}}


def _responses(route: Route, said: Told, definitions: Definitions) -> Schema:
    responses: Schema = {"200": {"description": said.returns or "Success", **_content(route, definitions)}}
    if route.binder.arguments:
        responses["400"] = {"description": "An argument is missing, unknown, or does not fit"}
    return responses


def _content(route: Route, definitions: Definitions) -> Schema:
    """The type of what a function returns, where its annotation tells."""
    try:
        result = typing.get_type_hints(inspect.unwrap(route.function), include_extras=True).get("return", Any)
    except (NameError, TypeError):
        return {}
    if result in (Any, None, type(None), bytes):
        return {}
    made = schema(result, definitions)
    if not made:
        return {}
    return {"content": {"text/html": {}} if made == {"type": "string"} else {"application/json": {"schema": made}}}
