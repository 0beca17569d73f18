"""Arguments: from URL, query and body to the call of a function, or to an error that says which argument and why."""

from __future__ import annotations

# ruff: noqa: UP007, UP045 - the older spellings of unions are annotations, too
import datetime
import decimal
import enum
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.errors import Answerable
from skitai.saddle.args import BadArgument, Binder

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

Function = Callable[..., Any]
ERROR = "error"


def bind(function: Function, query: Any = (), body: Any = None, url: Any = (), **more: Any) -> Any:
    """Positional and named arguments as one dictionary, or ERROR."""
    values = dict(url)
    try:
        bound = Binder(function, tuple(values)).bind(values, dict(query), body, **more)
    except BadArgument as error:
        assert error.status == 400
        return ERROR
    return bound.kwargs if not bound.args else (bound.args, bound.kwargs)


def reason(annotation: Any, value: Any) -> str:
    """Why a value does not fit."""
    with pytest.raises(BadArgument) as caught:
        Binder(taking(annotation)).bind({}, {}, {"a": value})
    [(name, why)] = caught.value.faults
    assert name == "a"
    assert str(caught.value) == f"argument 'a': {why}"
    return why


def taking(annotation: Any) -> Function:
    def function(was: Any, a: Any) -> None: ...

    function.__annotations__["a"] = annotation
    return function


def fitted(annotation: Any, value: Any) -> Any:
    return Binder(taking(annotation)).bind({}, {}, {"a": value}).kwargs["a"]


def needs(was: Any, a: Any) -> None: ...
def optional(was: Any, a: Any = 1) -> None: ...
def nothing(was: Any) -> None: ...
def anything(was: Any, **kw: Any) -> None: ...


# Which source goes where


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ({}, None, [ERROR, {}, {}, {}]),
        ({"a": "1"}, None, [{"a": "1"}, {"a": "1"}, {}, {"a": "1"}]),
        ({"a": "1", "b": "2"}, None, [ERROR, ERROR, {}, {"a": "1", "b": "2"}]),
        ({"b": "1"}, None, [ERROR, ERROR, {}, {"b": "1"}]),
        ({"a": ["1", "2"]}, None, [{"a": ["1", "2"]}, {"a": ["1", "2"]}, {}, {"a": ["1", "2"]}]),
        ({}, {"a": 5}, [{"a": 5}, {"a": 5}, {}, {"a": 5}]),
        ({}, {"a": 5, "b": 6}, [ERROR, ERROR, {}, {"a": 5, "b": 6}]),
        ({}, {"b": 6}, [ERROR, {}, {}, {"b": 6}]),
        ({"a": "1"}, {"b": 6}, [{"a": "1"}, {"a": "1"}, {}, {"a": "1", "b": 6}]),
        ({"a": "1"}, {"a": 5}, [{"a": 5}, {"a": 5}, {}, {"a": 5}]),
    ],
)
def test_the_table_of_sources(query: Any, body: Any, expected: list[Any]) -> None:
    assert [bind(each, query, body) for each in (needs, optional, nothing, anything)] == expected


def test_url_query_and_body_compose() -> None:
    def hello(was: Any, id: Any, topic: Any, comment: Any) -> None: ...
    def open_one(was: Any, id: Any, **kw: Any) -> None: ...
    def half(was: Any, id: Any, comment: Any) -> None: ...

    url, query, body = {"id": 100}, {"topic": "Python"}, {"comment": "good"}
    whole = {"id": 100, "topic": "Python", "comment": "good"}
    assert bind(hello, query, body, url) == whole
    assert bind(hello, {"comment": "good"}, {"topic": "Python"}, url) == whole
    assert bind(open_one, query, body, url) == whole
    assert bind(half, query, body, url) == ERROR, "the query is not skipped"


def test_extra_names_matter_only_where_an_argument_is_not_in_the_url() -> None:
    def only_url(was: Any, id: Any) -> None: ...
    def more(was: Any, id: Any, a: Any = None) -> None: ...

    assert bind(only_url, {"x": "1"}, {"y": 2}, {"id": 1}) == {"id": 1}
    assert bind(more, {"x": "1"}, None, {"id": 1}) == ERROR


def test_nobody_replaces_what_the_url_says() -> None:
    def item(was: Any, id: Any, name: Any) -> None: ...

    assert bind(item, {"id": "8"}, {"id": 9, "name": "x"}, {"id": 7}) == {"id": 7, "name": "x"}
    assert bind(anything, {"id": "8"}, {"id": 9}, {"id": 7}) == {"id": 7}


def test_keywords_take_the_urls_values_too() -> None:
    assert bind(anything, (), None, {"id": 7}) == {"id": 7}
    assert bind(nothing, (), None, {"id": 7}) == {}


def test_all_kinds_of_parameters() -> None:
    def kinds(was: Any, first: Any, /, second: Any, *, third: Any, fourth: Any = 4) -> None: ...

    assert bind(kinds, {"first": "1", "second": "2", "third": "3"}) == (("1",), {"second": "2", "third": "3"})
    assert bind(kinds, {"first": "1", "second": "2"}) == ERROR

    def gap(was: Any, first: Any = 1, second: Any = 2, /) -> None: ...

    assert bind(gap, {"second": "x"}) == ((1, "x"), {})


def test_a_decorator_keeps_the_arguments_of_what_it_wraps() -> None:
    def decorator(function: Function) -> Function:
        @wraps(function)
        def wrapper(was: Any, *args: Any, **kwargs: Any) -> Any:
            return function(was, *args, **kwargs)

        return wrapper

    @decorator
    def function(was: Any, a: int, b: int = 2) -> None: ...

    assert bind(function, {"a": "1"}) == {"a": 1}
    assert bind(function, {"c": "1", "a": "1"}) == ERROR


def test_no_value_takes_the_place_of_was() -> None:
    def plain(was: Any, **kw: Any) -> None: ...
    def named_otherwise(w: Any, **kw: Any) -> None: ...

    @wraps(named_otherwise)
    def wrapper(was: Any, *args: Any, **kwargs: Any) -> Any:
        return named_otherwise(was, *args, **kwargs)

    assert bind(plain, {"was": "1"}) == bind(plain, {}, {"was": 1}) == ERROR
    assert bind(wrapper, {"was": "1"}) == bind(wrapper, {"w": "1"}) == ERROR
    assert bind(named_otherwise, {"was": "1"}) == {"was": "1"}
    with pytest.raises(ValueError, match="was for the request"):
        Binder(plain, ["was"])


def test_methods_of_objects_and_callable_objects_have_a_was_too() -> None:
    class Views:
        def view(self, was: Any, a: int) -> None: ...

    assert bind(Views().view, {"a": "1"}) == {"a": 1}


def test_every_fault_is_named() -> None:
    def function(was: Any, a: int, b: float, c: str) -> None: ...

    with pytest.raises(BadArgument) as caught:
        Binder(function).bind({}, {"a": "x", "d": "1"}, {"c": 5})
    assert caught.value.faults == (
        ("a", "'x' is not an integer"),
        ("b", "it is missing"),
        ("c", "5 is not text"),
        ("d", "it is unknown"),
    )


def test_a_refusal_stays_short() -> None:
    with pytest.raises(BadArgument) as caught:
        Binder(optional).bind({}, {f"{number}" + "x" * 500: "" for number in range(500)}, None)
    assert len(caught.value.faults) == 500
    assert caught.value.message.endswith("it is unknown; and 490 more")
    assert len(caught.value.message) < 1100


def test_a_body_that_could_not_be_read_is_why_an_argument_is_missing() -> None:
    fault = Answerable("broken", status=415)
    with pytest.raises(Answerable, match="broken"):
        Binder(needs).bind({}, {}, None, fault)
    assert bind(needs, {"a": "1"}, None, fault=fault) == {"a": "1"}
    with pytest.raises(Answerable, match="broken"):
        Binder(taking(Point)).bind({}, {}, None, fault)
    assert bind(taking(Point), {"x": "1"}, None, fault=fault) == {"a": Point(1.0)}
    assert bind(taking(Point), {"x": "a"}, None, fault=fault) == ERROR
    for each in (optional, nothing, anything):
        assert bind(each, fault=fault) == {}


def test_who_reads_no_body_says_so() -> None:
    assert [Binder(each).reads_body for each in (needs, optional, nothing, anything)] == [True, True, False, True]
    assert not Binder(needs, ["a"]).reads_body


# All values in one dictionary


def test_merged_has_all_sources_and_defaults() -> None:
    def function(was: Any, id: Any, limit: Any = 20, page: Any = 1) -> None: ...

    merge = Binder(function, ["id"]).merge
    assert merge({"id": 7}, {"page": "2"}, {"x": 1}) == {"id": 7, "limit": 20, "page": "2", "x": 1}
    assert merge({"id": 7}, {"id": "8"}, None).id == [7, "8"]
    assert merge({"id": 7}, {"id": ["8", "9"]}, None).id == [7, "8", "9"]
    assert merge({"id": 7}, {"id": "8", "page": "2"}, {"id": 9, "page": 3}) == {"id": 9, "limit": 20, "page": 3}


def test_merged_belongs_to_the_request_that_asks() -> None:
    binder = Binder(optional)
    first = binder.bind({}, {}, None)
    first.merged["a"] = first.kwargs["a"] = 5
    assert binder.bind({}, {}, None).merged == {"a": 1}


# Annotations


Number = NewType("Number", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Line:
    points: list[Point]
    label: str | None = None
    tags: set[str] = field(default_factory=set)
    next: Line | None = None

    def __post_init__(self) -> None:
        if len(self.points) < 2:
            raise ValueError("a line has two points at least")


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, "5", 5),
        (int, " -5 ", -5),
        (int, 5, 5),
        (int, 5.0, 5),
        (float, "1e3", 1000.0),
        (float, 2, 2.0),
        (bool, "yes", True),
        (bool, "off", False),
        (bool, "", False),
        (bool, True, True),
        (str, "x", "x"),
        (bytes, "é", b"\xc3\xa9"),
        (list, ["1"], ["1"]),
        (list, "1", ["1"]),
        (list[int], ["1", "2"], [1, 2]),
        (list[int], "1", [1]),
        (list[int], "", []),
        (list[str], "", [""]),
        (list[list[int]], [[1], ["2"]], [[1], [2]]),
        (set[int], ["1", "1"], {1}),
        (tuple[int, ...], ["1", "2"], (1, 2)),
        (tuple[int, str], ["1", "2"], (1, "2")),
        (dict[str, int], {"k": "1"}, {"k": 1}),
        (dict, {"k": "1"}, {"k": "1"}),
        (Optional[int], None, None),
        (Optional[int], "", None),
        (Optional[str], "", ""),
        (int | None, "5", 5),
        (Union[int, str], "5", 5),
        (Union[int, str], "x", "x"),
        (Literal["a", 1], "1", 1),
        (Literal["a", 1], "a", "a"),
        (Annotated[int, "with", []], "5", 5),
        (Colour, "red", Colour.RED),
        (Colour, "2", Colour.BLUE),
        (Colour, 2, Colour.BLUE),
        (Colour, "BLUE", Colour.BLUE),
        (datetime.date, "2030-12-31", datetime.date(2030, 12, 31)),
        (datetime.datetime, "2030-12-31T23:59", datetime.datetime(2030, 12, 31, 23, 59)),
        (datetime.datetime, "2030-12-31T23:59Z", datetime.datetime(2030, 12, 31, 23, 59, tzinfo=datetime.UTC)),
        (datetime.time, "23:59", datetime.time(23, 59)),
        (datetime.timedelta, "1.5", datetime.timedelta(seconds=1.5)),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
        (decimal.Decimal, 0.1, decimal.Decimal("0.1")),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID(int=0x12345678123456781234567812345678)),
        (Point, {"x": "1"}, Point(1.0)),
        (list[Point], [{"x": 1}, {"x": 2, "y": 3}], [Point(1.0), Point(2.0, 3.0)]),
        (Line, {"points": [{"x": 1}, {"x": 2}], "tags": ["t"]}, Line([Point(1), Point(2)], tags={"t"})),
        (Number, "5", 5),
        (decimal.Decimal, 5, decimal.Decimal(5)),
        (Point, Point(1.0), Point(1.0)),
        (Union[int, Any], "x", "x"),
        (tuple[Any, int], ["x", "1"], ("x", 1)),
        (Any, [1], [1]),
        (object, None, None),
    ],
)
def test_what_an_annotation_makes_of_a_value(annotation: Any, value: Any, expected: Any) -> None:
    made = fitted(annotation, value)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "why"),
    [
        (int, "x", "'x' is not an integer"),
        (int, "", "'' is not an integer"),
        (int, "1.5", "'1.5' is not an integer"),
        (int, "١", "'١' is not an integer"),
        (int, "1_000", "'1_000' is not an integer"),
        (int, 1.5, "1.5 is not an integer"),
        (int, True, "True is not an integer"),
        (int, None, "None is not an integer"),
        (int, ["1", "2"], "a list is not an integer"),
        (int, "9" * 2000, f"'{'9' * 56}... is not an integer"),
        (float, "nan", "'nan' is not a number"),
        (float, "1_0", "'1_0' is not a number"),
        (float, 10**400, "is not a number"),
        (bool, "maybe", "'maybe' is neither true nor false"),
        (bool, 1, "1 is neither true nor false"),
        (str, 5, "5 is not text"),
        (str, ["a", "b"], "it was given several times"),
        (list, {"x": 1}, "an object is not a list"),
        (list[int], ["1", "x"], "item 2: 'x' is not an integer"),
        (tuple[int, int], ["1"], "it has 1 items and not 2"),
        (set[Any], [[]], "a set of lists or objects cannot be"),
        (dict[str, int], {"k": "x"}, "'k': 'x' is not an integer"),
        (dict, "x", "'x' is not an object"),
        (Optional[int], "x", "'x' is not an integer"),
        (int | float, "x", "'x' is not an integer and 'x' is not a number"),
        (Literal["a", "b"], "c", "'c' is none of a, b"),
        (Colour, "green", "'green' is none of red, 2"),
        (datetime.date, "20301231", "is not a date like 2030-12-31"),
        (datetime.date, "2030-02-30", "is not a date like"),
        (datetime.datetime, "now", "'now' is not a date and time like"),
        (datetime.timedelta, "1e300", "'1e300' is not a number of seconds"),
        (decimal.Decimal, "NaN", "'NaN' is not a decimal number"),
        (uuid.UUID, "x", "'x' is not a UUID"),
        (Point, {"y": 1, "z": 2}, "'z' is unknown, 'x' is missing"),
        (Point, {"x": "a"}, "'x': 'a' is not a number"),
        (Point, "x", "'x' is not an object"),
        (Line, {"points": [{"x": 1}, {}]}, "'points': item 2: 'x' is missing"),
        (Line, {"points": [{"x": 1}]}, "a line has two points at least"),
        (Binder, "x", "'x' is no Binder"),
    ],
)
def test_what_does_not_fit_says_why(annotation: Any, value: Any, why: str) -> None:
    assert why in reason(annotation, value)


def test_a_dataclass_takes_the_object_of_its_name_or_its_fields_from_the_body() -> None:
    def draw(was: Any, name: str, point: Point) -> None: ...

    assert bind(draw, {"name": "n"}, {"point": {"x": 1}}) == {"name": "n", "point": Point(1.0)}
    assert bind(draw, {"name": "n"}, {"x": "1", "y": "2"}) == {"name": "n", "point": Point(1.0, 2.0)}
    assert bind(draw, {"name": "n", "x": "1"}) == {"name": "n", "point": Point(1.0)}
    assert bind(draw, {"name": "n"}, {"x": "1", "z": "2"}) == ERROR
    with pytest.raises(BadArgument, match="argument 'point': 'x' is missing"):
        Binder(draw).bind({}, {"name": "n"}, None)


def test_an_optional_dataclass_is_made_when_one_of_its_fields_comes() -> None:
    def draw(was: Any, point: Point | None = None, **more: Any) -> None: ...

    assert bind(draw) == {}
    assert bind(draw, {}, {"z": 1}) == {"z": 1}
    assert bind(draw, {}, {"x": 1, "z": 1}) == {"point": Point(1.0), "z": 1}
    assert Binder(taking(Annotated[Point, "of a plane"])).bind({}, {"x": "1"}, None).kwargs == {"a": Point(1.0)}


@pytest.mark.parametrize("annotation", [list[Point], dict[str, Point], Point | int])
def test_only_a_dataclass_alone_takes_its_fields(annotation: Any) -> None:
    with pytest.raises(BadArgument) as caught:
        Binder(taking(annotation)).bind({}, {"x": "1"}, None)
    assert caught.value.faults == (("a", "it is missing"), ("x", "it is unknown"))


def test_annotations_of_keywords_and_of_the_url_convert_too() -> None:
    def function(was: Any, day: datetime.date, **counts: int) -> None: ...

    assert bind(function, {"n": "5"}, None, {"day": "2030-01-01"}) == {"day": datetime.date(2030, 1, 1), "n": 5}
    assert bind(function, {"n": "x"}, None, {"day": "2030-01-01"}) == ERROR
    assert bind(function, {}, None, {"day": "soon"}) == ERROR


def test_an_annotation_that_exists_for_the_type_checker_only_says_nothing() -> None:
    def function(was: Unknown, a: int, b: Unknown) -> None: ...

    assert Binder(function).unresolved == ["b"]
    assert bind(function, {"a": "5", "b": "x"}) == {"a": 5, "b": "x"}
    assert bind(function, {"a": "y", "b": "x"}) == ERROR


def test_defaults_are_not_converted() -> None:
    def function(was: Any, a: int = None) -> None:  # type: ignore[assignment]
        ...

    assert bind(function) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["1", "x", "", "red"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "points", "z"]), inner, max_size=3)
    ),
    max_leaves=6,
)
TYPES = [
    int, float, bool, str, bytes, list, list[int], set[Any], tuple[int, str], tuple[int, ...], dict[str, int], Optional[int],
    Union[int, str, None], Literal["a", 1, True], Colour, datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta, decimal.Decimal, uuid.UUID, Point,
    Line, Optional[Point], list[Point], Any, Annotated[list[float], "x"], Function,
]  # fmt: skip


@given(st.sampled_from(TYPES), JSON)
def test_no_value_is_another_error_than_one_of_the_argument(annotation: Any, value: Any) -> None:
    with suppress(BadArgument):
        fitted(annotation, value)


@given(st.dictionaries(st.sampled_from("abcdxyz"), JSON, max_size=5), st.dictionaries(st.sampled_from("abcdxyz"), JSON))
def test_nor_are_any_values_together(query: Any, body: Any) -> None:
    def function(was: Any, a: int, point: Point, /, b: list[float] = [], *, c: bool = True, **more: Any) -> None: ...  # noqa: B006

    with suppress(BadArgument):
        Binder(function, ["d"]).bind({"d": 1}, query, body)


# Remote calls


def test_remote_calls_give_arguments_by_position_or_by_name() -> None:
    def add(was: Any, num1: int, num2: int = 2) -> None: ...

    call = Binder(add).call
    assert call({}, [1, 5]).kwargs == {"num1": 1, "num2": 5}
    assert call({}, [1]).kwargs == {"num1": 1}
    assert call({}, [1], {"num2": 3}).kwargs == {"num1": 1, "num2": 3}
    assert Binder(add, ["num1"]).call({"num1": 7}, [3]).kwargs == {"num1": 7, "num2": 3}
    with pytest.raises(BadArgument, match="2 are taken, and 3 were given"):
        call({}, [1, 2, 3])
    with pytest.raises(BadArgument, match="'num1': it was given twice"):
        call({}, [1], {"num1": 2})
    with pytest.raises(BadArgument, match="'num1': it is missing"):
        call({}, [])
    with pytest.raises(BadArgument, match="'other': it is unknown"):
        call({}, [1], {"other": 2})


def test_the_field_that_protects_a_form_is_no_argument_and_no_error() -> None:
    def sign(was: Any, name: str) -> None: ...

    def sign_all(was: Any, **form: Any) -> None: ...

    assert bind(sign, body={"name": "ann", "_csrf_token": "1"}) == {"name": "ann"}
    assert bind(sign_all, body={"name": "ann", "_csrf_token": "1"}) == {"name": "ann", "_csrf_token": "1"}
    assert bind(sign, body={"name": "ann", "csrf": "1"}) == ERROR
