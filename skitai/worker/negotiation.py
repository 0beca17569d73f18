"""Which protocol a connection speaks: its client chooses, by ALPN (RFC 7301), by how it begins (RFC 9113, section 3.3),
or by a wish in its request (RFC 7540, section 3.2)."""

from __future__ import annotations

from typing import Any

from skitai.errors import Answerable
from skitai.exchange import Head
from skitai.protocols.http2.upgrade import Upgrade, wanted
from skitai.worker.http1.connection import Http1Connection
from skitai.worker.http2.connection import Http2Connection
from skitai.worker.services import Dispatcher, Services

PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""How an HTTP/2 client begins (RFC 9113, section 3.4), as far as it looks like a request."""


class ClientConnection(Http1Connection):
    """Speaks HTTP/1 until it knows better."""

    __slots__ = ("_dispatcher",)

    def __init__(self, services: Services, dispatcher: Dispatcher | None = None) -> None:
        """:param dispatcher: brings requests to whoever answers; the worker's by default."""
        super().__init__(services, dispatcher)
        self._dispatcher = dispatcher or services.pipeline

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if not self.plain and transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            self._hand_over()

    def refuse(self, error: Answerable, buffer: bytes) -> None:
        """The preface is no request of HTTP/1: that is how it is found, at no cost for others."""
        if not self.served and buffer.startswith(PREFACE) and self.services.config.http2.http2:
            self._hand_over().data_received(buffer)
        else:
            super().refuse(error, buffer)

    def change_protocol(self, head: Head) -> bool:
        """RFC 7540, section 3.2: h2c, on plain connections only; with nothing behind the request, for a client that has sent
        more than that has not waited for our answer to its wish."""
        options = self.services.config.http2
        if head.protocol != "h2c" or not (options.http2 and options.http2_upgrade and self.plain):
            return False
        if self.proxied or self._buffer or self._input_ended:
            return False
        upgrade = wanted(head)
        if upgrade is None:
            return False
        self._hand_over(upgrade)
        return True

    def _hand_over(self, upgrade: Upgrade | None = None) -> Http2Connection:
        """Have HTTP/2 go on with the transport."""
        successor = Http2Connection(self.services, self._dispatcher, upgrade)
        self.services.connections.discard(self)
        self._buffer = b""
        self.closing = True
        self.fd = -1
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        return successor
