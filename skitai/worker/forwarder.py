"""Plain HTTP beside HTTPS: every request is sent to its place there."""

from __future__ import annotations

from typing import Any

from skitai.errors import BadRequest


class Forwarder:
    """Answers every request with a redirect.

    :param port: of HTTPS, as clients see it.
    """

    site: Any = None

    def __init__(self, port: int) -> None:
        self._port = "" if port == 443 else f":{port}"

    def dispatch(self, exchange: Any) -> None:
        """301, or 308 where a client that changes to GET would lose the body (RFC 9110, section 15.4.9)."""
        head = exchange.head
        exchange.app = self
        if head.form != "origin" or not head.host:
            exchange.fail(BadRequest("only requests for a path on a named host are sent on to HTTPS"))
            return
        host = f"[{head.host}]" if ":" in head.host and not head.host.startswith("[") else head.host
        status = 301 if head.method in ("GET", "HEAD") else 308
        exchange.respond(status, [("Location", f"https://{host}{self._port}{head.target}")])

    body_mode = None
    in_threads = False
    debug = False
    trouble = ""
