"""Requests spelled as attributes: ``engine.v1.user("434").get(lang="en")``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from skitai.lib.client import Response

Send = Callable[..., Response]


class Path:
    """A path that grows by attributes and calls, and ends with a method.

    Every method raises AssertionError unless the answer is 2xx; keyword arguments are the query; the answer's `data` is
    what its JSON or text says.
    """

    __slots__ = ("_path", "_send")

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self._path = path

    def __getattr__(self, name: str) -> Path:
        if name.startswith("__"):
            raise AttributeError(name)
        return self(name)

    def __call__(self, *segments: object) -> Path:
        """The path with further segments, each quoted."""
        return Path(self._send, "/".join([self._path, *(quote(str(each), safe="") for each in segments)]))

    def get(self, **query: Any) -> Response:
        return self._ask("GET", query)

    def head(self, **query: Any) -> Response:
        return self._ask("HEAD", query)

    def options(self, **query: Any) -> Response:
        return self._ask("OPTIONS", query)

    def delete(self, **query: Any) -> Response:
        return self._ask("DELETE", query)

    def post(self, data: Any = None, **query: Any) -> Response:
        """:param data: sent as JSON; a str is JSON already."""
        return self._ask("POST", query, data)

    def put(self, data: Any = None, **query: Any) -> Response:
        """As `post`."""
        return self._ask("PUT", query, data)

    def patch(self, data: Any = None, **query: Any) -> Response:
        """As `post`."""
        return self._ask("PATCH", query, data)

    def upload(self, files: Mapping[str, Any], **query: Any) -> Response:
        """Post files, and other values, as multipart."""
        return self._checked("POST", query, files=files)

    def _ask(self, method: str, query: dict[str, Any], data: Any = None) -> Response:
        if isinstance(data, str):
            return self._checked(method, query, data=data, headers={"Content-Type": "application/json"})
        return self._checked(method, query, json=data)

    def _checked(self, method: str, query: dict[str, Any], *, headers: Mapping[str, str] = {}, **body: Any) -> Response:  # noqa: B006
        accept = {"Accept": "application/json, text/*;q=0.5, */*;q=0.1"}
        response = self._send(method, self._path, params=query, headers=accept | dict(headers), **body)
        response.raise_for_status()
        return response

    def __repr__(self) -> str:
        return f"<Path {self._path}>"
