import io
from email import message_from_bytes
from typing import Any

import pytest

from skitai.errors import StartError
from skitai.lib.client import Response, multipart
from skitai.testing import launch
from skitai.testing.paths import Path


class Fine(Response):
    """An answer that nothing is wrong with."""

    def __init__(self) -> None:
        self.status_code = 200


class Asked:
    """Remembers what a path asked for."""

    def __init__(self) -> None:
        self.requests: list[tuple[Any, ...]] = []

    def __call__(self, method: str, path: str, **options: Any) -> Response:
        self.requests.append((method, path, options))
        return Fine()


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_a_path_grows_by_attributes_and_calls(asked: Asked) -> None:
    Path(asked, "/v1").user("434", "a b/c").photo.get(lang="en", page=2)
    ((method, path, options),) = asked.requests
    assert (method, path) == ("GET", "/v1/user/434/a%20b%2Fc/photo")
    assert options["params"] == {"lang": "en", "page": 2}
    assert options["json"] is None


@pytest.mark.parametrize("verb", ["post", "put", "patch"])
def test_what_is_posted_is_json(asked: Asked, verb: str) -> None:
    getattr(Path(asked, "/user"), verb)({"name": "Hans"}, dry="1")
    method, _, options = asked.requests[0]
    assert (method, options["json"], options["params"]) == (verb.upper(), {"name": "Hans"}, {"dry": "1"})


def test_text_is_json_already(asked: Asked) -> None:
    Path(asked, "/user").post('{"name": 1}')
    options = asked.requests[0][2]
    assert options["data"] == '{"name": 1}'
    assert options["headers"]["Content-Type"] == "application/json"


def parsed(parts: list[tuple[str, Any]]) -> list[tuple[Any, ...]]:
    body, kind = multipart(parts)
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_content_type() if part.get_filename() else None,
            part.get_payload(decode=True),
        )
        for part in message.get_payload()  # type: ignore[union-attr]
    ]


def test_files_and_fields_make_a_multipart_body(tmp_path: Any) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8")
    with photo.open("rb") as file:
        found = parsed(
            [
                ("file", file),
                ("note", ("note.txt", "text")),
                ("raw", ("raw.bin", io.BytesIO(b"\0"), "x/y")),
                ("nameless", io.BytesIO(b"?")),
                ("title", "Me"),
                ("tag", ["a", "b"]),
                ("count", 3),
            ]
        )
    assert found == [
        ("file", "photo.jpg", "image/jpeg", b"\xff\xd8"),
        ("note", "note.txt", "text/plain", b"text"),
        ("raw", "raw.bin", "x/y", b"\0"),
        ("nameless", "file", "application/octet-stream", b"?"),
        ("title", None, None, b"Me"),
        ("tag", None, None, b"a"),
        ("tag", None, None, b"b"),
        ("count", None, None, b"3"),
    ]


def test_names_cannot_break_out_of_their_header() -> None:
    body, _ = multipart([('a"\r\nX: y', ('f"\r\n.txt', b""))])
    assert b'name="a%22%0D%0AX: y"; filename="f%22%0D%0A.txt"' in body


def test_a_launch_starts_nothing_by_itself() -> None:
    engine = launch("/no/such/script.py")
    assert repr(engine) == "<launch /no/such/script.py port=5000 not running>"
    with pytest.raises(StartError, match=r"^there is no script /no/such/script\.py$"):
        engine.get("/")
