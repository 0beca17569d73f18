"""A small HTTP client for tests, in the manner of `requests`, without a transport: what goes, what comes, cookies."""

from __future__ import annotations

import base64
import json as jsonlib
import mimetypes
import os
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from skitai.config.pref import AttrDict

TIMEOUT_S = 30.0
MOST_REDIRECTS = 10


class Response:
    """What came back.

    :ivar headers: by name, in any case; `headers.get_all(name)` for repeated ones.
    :ivar content: the body, as bytes.
    :ivar url: what was asked last, after redirects.
    """

    def __init__(self, method: str, url: str, status: int, reason: str, headers: Message, content: bytes) -> None:
        self.method = method
        self.url = url
        self.status_code = status
        self.reason = reason
        self.headers = headers
        self.content = content

    def info(self) -> Message:
        """The headers, as cookie jars want them."""
        return self.headers

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def text(self) -> str:
        """The body as text, by the charset of its content type, else UTF-8."""
        return self.content.decode(self.headers.get_content_charset() or "utf-8", "replace")

    def json(self) -> Any:
        """:raises ValueError: the body is no JSON."""
        return jsonlib.loads(self.content)

    @property
    def data(self) -> Any:
        """The body by its content type: JSON (objects with attribute access), else text; None when there is none."""
        if not self.content:
            return None
        kind = self.headers.get_content_type()
        if kind == "application/json" or kind.endswith("+json"):
            return jsonlib.loads(self.content, object_hook=AttrDict)
        return self.text

    def raise_for_status(self) -> None:
        """:raises AssertionError: the status is not 2xx."""
        if not 200 <= self.status_code < 300:
            shown = self.text[:500]
            raise AssertionError(
                f"{self.method} {self.url}: {self.status_code} {self.reason}{': ' + shown if shown else ''}"
            )

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {self.method} {self.url}>"


class Session(ABC):
    """Sends requests to one server (paths) or any (URLs), with the cookies that it was given.

    :param base: "http://127.0.0.1:5000".
    """

    def __init__(self, base: str) -> None:
        self.base = base
        self.cookies = CookieJar()

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float = TIMEOUT_S,
        allow_redirects: bool | None = None,
    ) -> Response:
        """Send a request; the parameters are those of `requests.request`.

        :param params: for the query: a dictionary or pairs.
        :param data: the body: bytes, str, a file, or a dictionary or pairs for a form.
        :param json: the body, as JSON.
        :param files: a dictionary of files for a multipart body, see `multipart`; `data` gives its other fields.
        :param auth: user and password.
        :param timeout: in seconds.
        :param allow_redirects: follow them; by default for all methods but HEAD.
        :raises OSError: no connection, or a time-out.
        :raises AssertionError: there is no end of redirects.
        """
        body, kind = body_of(data, json, files)
        sent = dict(headers or {})
        if kind:
            sent.setdefault("Content-Type", kind)
        if auth:
            sent.setdefault("Authorization", "Basic " + base64.b64encode(":".join(auth).encode()).decode())
        url = urljoin(self.base + "/", url)
        if query := urlencode(list(params.items()) if isinstance(params, Mapping) else params or (), doseq=True):
            url += ("&" if "?" in url else "?") + query
        follow = method != "HEAD" if allow_redirects is None else allow_redirects
        for _ in range(MOST_REDIRECTS):
            response = self._send(method, url, body, sent, timeout)
            target = response.headers["Location"]
            if not (follow and target and response.status_code in (301, 302, 303, 307, 308)):
                return response
            if response.status_code < 307 and method != "HEAD":
                method, body = "GET", b""
                sent.pop("Content-Type", None)
            if urlsplit(target := urljoin(url, target)).netloc != urlsplit(url).netloc:
                sent.pop("Authorization", None)
            url = target
        raise AssertionError(f"{method} {url}: more than {MOST_REDIRECTS} redirects")

    def _send(self, method: str, url: str, body: bytes, headers: dict[str, str], timeout: float) -> Response:
        asked = urllib.request.Request(url, method=method, headers={"Accept": "*/*"} | headers)
        self.cookies.add_cookie_header(asked)
        sent = dict(asked.header_items())
        if body or method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = str(len(body))
        response = self.exchange(method, url, sent, body, timeout)
        self.cookies.extract_cookies(response, asked)  # type: ignore[arg-type]  # it asks for no more than info()
        return response

    @abstractmethod
    def exchange(self, method: str, url: str, fields: Mapping[str, str], body: bytes, timeout_s: float) -> Response:
        """Send one request as it is and wait for its response."""

    def get(self, url: str, **options: Any) -> Response:
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Any) -> Response:
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Any) -> Response:
        return self.request("OPTIONS", url, **options)

    def delete(self, url: str, **options: Any) -> Response:
        return self.request("DELETE", url, **options)

    def post(self, url: str, data: Any = None, json: Any = None, **options: Any) -> Response:
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str, data: Any = None, **options: Any) -> Response:
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str, data: Any = None, **options: Any) -> Response:
        return self.request("PATCH", url, data=data, **options)

    def upload(self, url: str, files: Mapping[str, Any], **options: Any) -> Response:
        """Post files, and other values, as multipart."""
        return self.request("POST", url, files=files, **options)


def body_of(data: Any, json: Any, files: Any) -> tuple[bytes, str]:
    """The bytes of a body and its content type."""
    if files is not None:
        return multipart([*_pairs(data or ()), *_pairs(files)])
    if json is not None:
        return jsonlib.dumps(json).encode(), "application/json"
    if data is None:
        return b"", ""
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=utf-8"
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), ""
    if hasattr(data, "read"):
        return _read(data), ""
    return urlencode(list(_pairs(data)), doseq=True).encode(), "application/x-www-form-urlencoded"


def _pairs(items: Any) -> list[tuple[str, Any]]:
    return list(items.items()) if isinstance(items, Mapping) else list(items)


def _read(source: Any) -> bytes:
    content = source.read() if hasattr(source, "read") else source
    return content.encode() if isinstance(content, str) else bytes(content)


def multipart(parts: list[tuple[str, Any]]) -> tuple[bytes, str]:
    """A multipart body (RFC 7578) and its content type.

    :param parts: name and value. A value is a file, or (file name, file or str or bytes[, content type]), or anything
        else, which becomes the text of a plain field; a list stands for several of one name.
    """
    boundary = uuid.uuid4().hex
    chunks: list[bytes] = []
    for name, values in parts:
        for value in values if isinstance(values, list) else [values]:
            label, content, kind = _part(value)
            place = f'form-data; name="{_quoted(name)}"' + (f'; filename="{_quoted(label)}"' if label else "")
            head = f"--{boundary}\r\nContent-Disposition: {place}\r\n" + (f"Content-Type: {kind}\r\n" if kind else "")
            chunks += [head.encode(), b"\r\n", content, b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode())
    return b"".join(chunks), f"multipart/form-data; boundary={boundary}"


def _part(value: Any) -> tuple[str, bytes, str]:
    """File name, content and content type of a part."""
    kind = ""
    if isinstance(value, tuple):
        label, source, *rest = value
        kind = rest[0] if rest else ""
    elif hasattr(value, "read"):
        name = getattr(value, "name", "")
        label, source = os.path.basename(name) if isinstance(name, str) and name else "file", value
    else:
        return "", str(value).encode() if not isinstance(value, bytes) else value, ""
    return label, _read(source), kind or mimetypes.guess_type(label)[0] or "application/octet-stream"


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
