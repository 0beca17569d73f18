"""The OpenAPI document of an app, and its page, through real connections."""

from __future__ import annotations

import datetime
import enum
import html.parser
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from skitai.saddle import Saddle, Was
from skitai.saddle.uploads import UploadedFile
from tests.support.memory import Wire, mounted, wire


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Part:
    """A part of something."""

    name: str
    parts: list[Part] = field(default_factory=list)


@dataclass
class Item:
    name: str
    price: float
    colour: Colour = Colour.RED
    parts: list[Part] = field(default_factory=list)


@pytest.fixture(scope="module")
def server() -> Iterator[Wire]:
    app = Saddle(__name__)
    app.enable_docs("/docs", title="Shop <1>", version="2.5")
    app.mount_rpc("/rpc")

    @app.route("/items/<int:id>", methods=["GET", "DELETE"])
    def item(was: Was, id: int, lang: Literal["en", "ko"] = "en") -> Item:
        """One item.

        With all of its parts.
        In a language.

        :param id: its number
            in the catalogue
        :returns: the item
        """
        raise AssertionError

    @app.route("/items", methods=["POST"], authenticate="bearer", tags=["writers"])
    def add(was: Was, item: Item, notify: bool = False) -> dict[str, Any]:
        """Add an item."""
        raise AssertionError

    @app.route("/items", methods=["GET"])
    def items(was: Was, since: datetime.date | None = None, tag: list[str] = ["new"]) -> list[Item]:  # noqa: B006
        raise AssertionError

    @app.route("/items/<int:number>", methods=["PUT"], content_types=["application/json"])
    def put(was: Was, number: int, **values: Any) -> str:
        raise AssertionError

    @app.route("/items/<name>", methods=["GET"])
    def by_name(was: Was, name: str) -> Any:
        raise AssertionError

    @app.route("/page/<int:n>", deprecated=True)
    def page(was: Was, n: int = 1) -> str:
        """A <b>page</b>."""
        return "page"

    @app.route("/files/<path:path>")
    def files(was: Was, path: str) -> bytes:
        raise AssertionError

    @app.route("/upload", methods=["POST"])
    def upload(was: Was, file: UploadedFile, more: list[UploadedFile] = [], title: str = "") -> str:  # noqa: B006
        return f"{file.name} {title}"

    @app.route("/secret", docs=False)
    def secret(was: Was) -> str:
        raise AssertionError

    with app.route_scope(mount="/admin", ns="admin"):

        @app.route("/find")
        def find(was: Was, item: Item) -> str:
            raise AssertionError

    with wire(mounted("/shop", app), kind="saddle", threads=1) as running:
        yield running


@pytest.fixture(scope="module")
def document(server: Wire) -> Any:
    status, fields, body = server.get("/shop/docs/openapi.json")
    assert (status, fields["content-type"]) == (200, "application/json")
    return json.loads(body)


def test_it_says_what_it_is(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "Shop <1>", "version": "2.5"}
    assert document["servers"] == [{"url": "/shop"}]


def test_it_has_the_routes_that_are_to_be_shown(document: Any) -> None:
    assert {path: sorted(each) for path, each in document["paths"].items()} == {
        "/items/{id}": ["delete", "get", "put"],
        "/items/{name}": ["get"],
        "/items": ["get", "post"],
        "/page/{n}": ["get"],
        "/page": ["get"],
        "/files/{path}": ["get"],
        "/admin/find": ["get", "post"],
        "/upload": ["post"],
    }


def test_a_docstring_describes_the_operation(document: Any) -> None:
    shown = document["paths"]["/items/{id}"]["get"]
    assert shown["summary"] == "One item."
    assert shown["description"] == "With all of its parts. In a language."
    assert shown["parameters"] == [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0},
            "description": "its number in the catalogue",
        },
        {"name": "lang", "in": "query", "required": False, "schema": {"enum": ["en", "ko"], "default": "en"}},
    ]
    assert shown["responses"]["200"] == {
        "description": "the item",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}},
    }
    assert "400" in shown["responses"]
    assert document["paths"]["/page/{n}"]["get"]["deprecated"] is True
    assert document["paths"]["/page/{n}"]["get"]["responses"]["200"]["content"] == {"text/html": {}}


def test_a_path_that_differs_in_names_only_is_one(document: Any) -> None:
    put = document["paths"]["/items/{id}"]["put"]
    assert [each["name"] for each in put["parameters"]] == ["id"]
    assert put["requestBody"]["content"] == {
        "application/json": {"schema": {"type": "object", "properties": {}, "additionalProperties": True}}
    }


def test_a_body_holds_arguments_and_the_fields_of_dataclasses(document: Any) -> None:
    post = document["paths"]["/items"]["post"]
    assert post["security"] == [{"bearer": []}]
    assert post["tags"] == ["writers"]
    made = post["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert post["requestBody"]["required"] is True
    assert made["required"] == ["name", "price"]
    assert made["additionalProperties"] is False
    assert made["properties"] == {
        "name": {"type": "string"},
        "price": {"type": "number"},
        "colour": {"$ref": "#/components/schemas/Colour", "default": "red"},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
        "notify": {"type": "boolean", "default": False},
    }


def test_files_come_in_multipart_forms(document: Any, server: Wire) -> None:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    [(kind, made)] = document["paths"]["/upload"]["post"]["requestBody"]["content"].items()
    assert kind == "multipart/form-data"
    assert made["schema"]["properties"] == {
        "file": file,
        "more": {"type": "array", "items": file, "default": []},
        "title": {"type": "string", "default": ""},
    }
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'
    head = f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(part)}\r\n\r\n"
    asked = b"POST /shop/upload HTTP/1.1\r\nHost: x\r\n" + head.encode() + part
    assert server.ask(asked)[::2] == (200, b"a.txt ")
    assert b"name='file' data-in=form type=file" in server.get("/shop/docs")[2]


def test_a_query_does_too(document: Any) -> None:
    find = document["paths"]["/admin/find"]["get"]
    assert find["tags"] == ["admin"]
    assert [(each["name"], each["required"]) for each in find["parameters"]] == [
        ("name", True),
        ("price", True),
        ("colour", False),
        ("parts", False),
    ]
    since, tag = document["paths"]["/items"]["get"]["parameters"]
    assert since["schema"] == {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}
    assert tag["schema"] == {"type": "array", "items": {"type": "string"}, "default": ["new"]}


def test_operations_have_names_of_their_own(document: Any) -> None:
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names)
    assert {"item", "item.delete", "admin.find", "admin.find.post"} <= set(names)


def test_classes_are_defined_once(document: Any) -> None:
    assert document["components"]["schemas"]["Colour"] == {"enum": ["red", "blue"]}
    assert document["components"]["schemas"]["Part"] == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
        },
        "required": ["name"],
        "description": "A part of something.",
    }
    assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}


class Balance(html.parser.HTMLParser):
    """Sees that every element that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.code: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "code":
            self.code.append(data)


def test_the_page_shows_it_all(server: Wire, document: Any) -> None:
    status, fields, body = server.get("/shop/docs")
    assert (status, fields["content-type"]) == (200, "text/html; charset=utf-8")
    page = Balance()
    page.feed(body.decode())
    assert not page.open
    assert set(document["paths"]) <= set(page.code)
    assert b"<title>Shop &lt;1&gt;</title>" in body
    assert b"A &lt;b&gt;page&lt;/b&gt;." in body
    assert b'href="/shop/docs/openapi.json"' in body
    assert b"data-url='/shop/items/{id}'" in body
    assert b"secret" not in body


def test_docs_may_want_credentials() -> None:
    app = Saddle(__name__)
    app.enable_docs("/", authenticate="basic")
    with wire(mounted("/", app), kind="saddle") as running:
        assert running.get("/")[0] == 401
        assert running.get("/openapi.json")[0] == 401


def test_names_of_the_app_are_its_own(caplog: pytest.LogCaptureFixture) -> None:
    app = Saddle(__name__)
    app.enable_docs()
    app.mount_rpc("/rpc")
    for name in ("docs", "openapi", "rpc", "endpoint"):
        app.add_route(f"/own/{name}", lambda was: "", name=name)
    assert not caplog.text
    assert app.build_url("docs") == "/own/docs"
    assert app.build_url("saddle.docs") == "/docs"
    assert app.build_url("saddle.rpc") == "/rpc"


def test_without_routes_the_page_says_so() -> None:
    app = Saddle(__name__)
    app.enable_docs()
    with wire(mounted("/", app), kind="saddle") as running:
        assert b"There are no routes." in running.get("/docs")[2]
