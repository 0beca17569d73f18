"""The opening handshake, as HTTP/1.1 (RFC 6455, section 4.2) and HTTP/2 (RFC 8441, section 5) carry it."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from hashlib import sha1
from typing import NamedTuple

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from skitai.errors import Answerable, BadRequest
from skitai.http.head import Head

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = "13"
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch

_DEFLATE = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
"""Neither side keeps a window between messages: it would cost 300 KB for each connection."""


class Handshake(NamedTuple):
    """What a client asks for.

    :ivar key: of the request, as sent; "" in HTTP/2, which has none.
    :ivar subprotocols: in the client's order of preference.
    :ivar deflate: the parameters of permessage-deflate that were agreed on, as the answer says them; "" for none.
    :ivar window_bits: of what we compress, 9 to 15.
    """

    key: str
    subprotocols: tuple[str, ...]
    deflate: str
    window_bits: int

    @property
    def status(self) -> int:
        """Of the answer that takes it."""
        return 101 if self.key else 200

    def fields(self, subprotocol: str | None = None) -> list[tuple[str, str]]:
        """The fields of that answer, Connection among them where there is one.

        :raises ValueError: the subprotocol is no token.
        """
        made: list[tuple[str, str]] = []
        if self.key:
            digest = sha1(self.key.encode("ascii") + GUID, usedforsecurity=False).digest()
            accept = b64encode(digest).decode("ascii")
            made += [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
        if subprotocol is not None:
            if not TOKEN(subprotocol):
                raise ValueError(f"{subprotocol!r} is not the name of a subprotocol")
            made.append(("Sec-WebSocket-Protocol", subprotocol))
        if self.deflate:
            made.append(("Sec-WebSocket-Extensions", self.deflate))
        return made


def is_wanted(head: Head) -> bool:
    """Whether a request wants to become a WebSocket connection."""
    return head.protocol == "websocket" and head.method == "GET"


def read(head: Head, *, deflate: bool = True) -> Handshake:
    """Read a request for which `is_wanted` is true.

    :param deflate: compress where the client can.
    :raises BadRequest: the key, the subprotocols or the extensions are malformed (section 4.2.1).
    :raises Answerable: 426, in HTTP/2 400: the version is not 13; says which is (section 4.4).
    """
    fields = head.fields
    if head.length:
        raise BadRequest("a WebSocket handshake has no body")
    version = fields.text("sec-websocket-version")
    upgrades = head.version == "1.1"
    if version != VERSION:
        wanted = [("Sec-WebSocket-Version", VERSION)]
        if upgrades:
            wanted += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        reason = f"WebSocket version {version or 'unknown'}; 13 is spoken here"
        raise Answerable(reason, status=426 if upgrades else 400, fields=wanted)
    key = fields.text("sec-websocket-key") if upgrades else ""
    if upgrades and not _is_key(key):
        raise BadRequest("Sec-WebSocket-Key is not the base64 form of 16 bytes")
    subprotocols = tuple(each.strip() for each in fields.text("sec-websocket-protocol").split(",") if each.strip())
    if not all(map(TOKEN, subprotocols)):
        raise BadRequest("Sec-WebSocket-Protocol is malformed")
    agreed, bits = _agree(fields.text("sec-websocket-extensions")) if deflate else ("", 15)
    return Handshake(key, subprotocols, agreed, bits)


def _agree(offered: str) -> tuple[str, int]:
    """The first offer of permessage-deflate that can be taken (RFC 7692, section 5.1)."""
    if not offered:
        return "", 15
    try:
        offers = parse_extension(offered)
    except InvalidHeader as error:
        raise BadRequest("Sec-WebSocket-Extensions is malformed") from error
    for name, parameters in offers:
        if name != _DEFLATE.name:
            continue
        try:
            answered, agreed = _DEFLATE.process_request_params(parameters, [])
        except NegotiationError:
            continue  # an offer that cannot be taken is declined; another may follow
        assert isinstance(agreed, PerMessageDeflate)
        return build_extension([(name, answered)]), agreed.local_max_window_bits
    return "", 15


def _is_key(value: str) -> bool:
    try:
        return len(b64decode(value, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
