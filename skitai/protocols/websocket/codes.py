"""Numbers of RFC 6455: opcodes (section 5.2) and close codes (section 7.4 and IANA's registry)."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED = 1003
NO_CODE = 1005
"""Never sent: the other side closed without a code."""
ABNORMAL = 1006
"""Never sent: the connection ended without a close frame."""
INVALID = 1007
POLICY = 1008
TOO_BIG = 1009
INTERNAL = 1011
RESTART = 1012
TRY_LATER = 1013

REASON_BYTES = 123
"""A close frame has 125 bytes for its code and reason (section 5.5)."""


def may_be_sent(code: int) -> bool:
    """Whether a close frame may carry a code."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
