"""The members of `was` that make a response in one call."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from skitai.http import jsontext
from skitai.http.dates import format_http_date
from skitai.protocols import xmlrpc
from skitai.saddle import response as responses

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.contents import File
    from skitai.saddle.response import Given, Response

URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
"""What a URL may hold beside letters, digits and "-._"; the rest is percent-encoded."""


class AnswerFacet:
    """Templates, redirects, and values as the text of a response. All of it is what a handler returns."""

    app: Saddle
    response: Any
    """A `Response`."""

    def render(self, template: str, values: Mapping[str, Any] | None = None, /, **more: Any) -> str:
        """The text of a template, for the handler to return: ``return was.render("index.html", user=user)``.

        :param template: path below the app's folder ``templates``.
        :param values: names for the template, either here or as keywords.
        """
        return self.app.render(self, template, values, **more)

    def redirect(
        self, url: str, status: str | int = "302 Object Moved", body: Any = None, headers: Given | None = None
    ) -> Any:
        """Send the client to another URL: ``return was.redirect(was.ab("index"))``.

        :param url: absolute, or relative to that of the request; what is not ASCII is percent-encoded.
        :param body: a small page with a link by default.
        :param headers: fields to add.
        :raises ValueError: a line break or NUL in the URL.
        """
        responses.checked("Location", url.encode("ascii", "replace"))
        location = quote(url, safe=URL_CHARACTERS)
        if body is None:
            link = html.escape(location)
            body = f'<!doctype html><title>Moved</title><p>This is now at <a href="{link}">{link}</a>.</p>'
        response: Response = self.response
        body = response(status, body, headers)
        response.set_header("Location", location)
        response.set_header("Cache-Control", "max-age=0")
        response.set_header("Expires", format_http_date(time()))
        return body

    def jstream(self, obj: Any, key: str | None = None) -> str:
        """A value as JSON.

        :param key: wrap it in an object under this name.
        """
        self.response.set_header("Content-Type", "application/json")
        return self.tojson(obj if key is None else {key: obj})

    def xstream(self, obj: Any) -> str:
        """A value as an XML-RPC response."""
        self.response.set_header("Content-Type", "text/xml; charset=utf-8")
        return self.toxml(obj)

    def gstream(self, obj: Any) -> bytes:
        """A protobuf message in its binary form.

        :param obj: has ``SerializeToString()``.
        """
        self.response.set_header("Content-Type", "application/x-protobuf")
        data: bytes = obj.SerializeToString()
        return data

    def fstream(self, path: str | os.PathLike[str], mimetype: str = "application/octet-stream") -> File:
        """A file, as `Response.file`."""
        found: File = self.response.file(path, mimetype)
        return found

    @staticmethod
    def tojson(obj: Any) -> str:
        """A value as JSON text."""
        return jsontext.dumps(obj).decode("utf-8")

    @staticmethod
    def fromjson(text: str | bytes) -> Any:
        """The value of a JSON text.

        :raises ValueError: it is none.
        """
        return jsontext.loads(text)

    @staticmethod
    def toxml(obj: Any) -> str:
        """A value as the text of an XML-RPC response."""
        return xmlrpc.dump_response(obj).decode("utf-8")

    @staticmethod
    def fromxml(text: str | bytes) -> Any:
        """The value of an XML-RPC response.

        :raises ValueError: it is none, or a fault.
        """
        return xmlrpc.parse_response(text.encode("utf-8") if isinstance(text, str) else text)
