"""The client of tests against real servers: one connection for each request."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from skitai.lib import client
from skitai.lib.client import Response

__all__ = ["Response", "Session"]


class Session(client.Session):
    """Speaks HTTP and HTTPS.

    The server under test may show any certificate, for it is ours; others are verified.

    Its requests raise http.client.HTTPException when what comes back is no HTTP.
    """

    def exchange(self, method: str, url: str, fields: Mapping[str, str], body: bytes, timeout_s: float) -> Response:
        place = urlsplit(url)
        connection: http.client.HTTPConnection
        if place.scheme == "https":
            context = unverified() if url.startswith(self.base) else ssl.create_default_context()
            connection = http.client.HTTPSConnection(place.netloc, timeout=timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(place.netloc, timeout=timeout_s)
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        try:
            connection.request(method, target, body or None, {"Connection": "close", **fields})
            with connection.getresponse() as answer:
                return Response(method, url, answer.status, answer.reason, answer.headers, answer.read())
        finally:
            connection.close()


def unverified() -> ssl.SSLContext:
    """A context for clients that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
