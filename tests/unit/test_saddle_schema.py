"""JSON Schema of annotations, and what OpenAPI says of functions and their docstrings."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType

import pytest

from skitai.saddle.openapi import document, told
from skitai.saddle.routing import Route
from skitai.saddle.schema import plain, record, schema

Number = NewType("Number", int)


class Level(enum.Enum):
    LOW = 1
    HIGH = "high"


@dataclass
class Tree:
    """What grows.

    And more of it.
    """

    height: float
    level: Level = Level.LOW
    born: datetime.date = datetime.date(2030, 1, 2)
    branches: list[Tree] = field(default_factory=list)
    secret: str = field(default="x", init=False)


TREE = {"$ref": "#/components/schemas/Tree"}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, {"type": "integer"}),
        (Number, {"type": "integer"}),
        (Annotated[bool, "x"], {"type": "boolean"}),
        (float | None, {"type": ["number", "null"]}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (uuid.UUID | int, {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "integer"}]}),
        (int | Any, {}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (list, {"type": "array"}),
        (Iterable[str], {"type": "array", "items": {"type": "string"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (dict, {"type": "object"}),
        (dict[str, Any], {"type": "object"}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Tree, TREE),
        (list[Tree], {"type": "array", "items": TREE}),
        (Level, {"$ref": "#/components/schemas/Level"}),
        (Any, {}),
        (object, {}),
        (Callable[[], int], {}),
        ("a name", {}),
    ],
)
def test_what_values_of_an_annotation_look_like(annotation: Any, expected: Any) -> None:
    assert schema(annotation, {}) == expected


def test_a_dataclass_may_hold_its_own_kind() -> None:
    definitions: dict[str, Any] = {}
    assert schema(Tree, definitions) == TREE
    assert definitions == {"Tree": record(Tree, {}), "Level": {"enum": [1, "high"]}}
    assert definitions["Tree"] == {
        "type": "object",
        "properties": {
            "height": {"type": "number"},
            "level": {"$ref": "#/components/schemas/Level", "default": 1},
            "born": {"type": "string", "format": "date", "default": "2030-01-02"},
            "branches": {"type": "array", "items": TREE},
        },
        "required": ["height"],
        "description": "What grows.",
    }


def test_defaults_are_said_where_json_can() -> None:
    assert plain((1, Level.HIGH, decimal.Decimal("1.5"))) == [1, "high", "1.5"]
    assert plain(object()) is NotImplemented
    assert plain([object()]) is NotImplemented


def test_a_docstring_is_taken_apart() -> None:
    def function(was: Any) -> None:
        """The summary
        in two lines.

        More.

        And
        more.

        :param one: first
            thing
        :param int two: second
        :returns: what
            comes
        :raises ValueError: never
        """

    assert told(function) == (
        "The summary in two lines.",
        "More.\n\nAnd more.",
        {"one": "first thing", "two": "second"},
        "what comes",
    )
    assert told(lambda was: None) == ("", "", {}, "")


def described(*routes: Route) -> Any:
    return document(routes, "t", "", "/", lambda route: None)["paths"]


def test_functions_without_arguments_have_little_to_say() -> None:
    def raw(was: Any):  # type: ignore[no-untyped-def]
        ...

    success = {"200": {"description": "Success"}}
    assert described(Route("/raw", raw, methods=["POST"], content_types=["text/csv"])) == {
        "/raw": {"post": {"operationId": "raw", "requestBody": {"content": {"text/csv": {}}}, "responses": success}}
    }
    assert described(Route("/raw", raw)) == {"/raw": {"get": {"operationId": "raw", "responses": success}}}


def test_an_annotation_for_type_checkers_only_says_nothing() -> None:
    def function(was: Any) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
        ...

    assert described(Route("/", function))["/"]["get"]["responses"]["200"] == {"description": "Success"}


def test_of_two_routes_for_one_method_the_first_is_shown() -> None:
    first, second = Route("/x/<a>", lambda was, a: "", "first"), Route("/x/<b>", lambda was, b: "", "second")
    again = Route("/x/<a>", lambda was, a: "", "again")
    assert {path: each["get"]["operationId"] for path, each in described(first, second, again).items()} == {
        "/x/{a}": "first",
        "/x/{b}": "second",
    }
