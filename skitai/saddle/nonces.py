"""Nonces of digest authentication (RFC 7616, section 3.3): given out without being remembered, each use counted."""

from __future__ import annotations

import hmac
import os
import re
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from struct import Struct

LIFE_S = 300
WINDOW = 64
"""How far behind the newest a request may come in: clients send several at once, on several connections."""

_PARTS = Struct("!QQ")
_COUNT = re.compile("[0-9a-fA-F]{8}")
_MOST = 1024


class _Uses:
    """The counts that came with one nonce: the highest, and which of those below it."""

    __slots__ = ("ends", "highest", "seen")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.highest = 0
        self.seen = 0

    def add(self, count: int) -> bool:
        if count > self.highest:
            self.seen = (self.seen << min(count - self.highest, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self.highest = count
            return True
        bit = 1 << (self.highest - count)
        if self.highest - count >= WINDOW or self.seen & bit:
            return False
        self.seen |= bit
        return True


class Nonces:
    """Gives nonces out, and knows whether one may be used.

    Only nonces that somebody with a password used are remembered, so that asking costs no memory. Each process has its
    own: another one's nonce is stale here, and the client repeats its request with a new one by itself. So nothing that
    was overheard can be used again, wherever it is sent.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._used: dict[str, _Uses] = {}
        self._lock = threading.Lock()

    def make(self, now: float) -> str:
        """A new nonce.

        :param now: seconds, on a clock that never goes back.
        """
        parts = _PARTS.pack(int(now), int.from_bytes(os.urandom(8)))
        return urlsafe_b64encode(parts + self._seal(parts)).decode("ascii")

    def use(self, nonce: str, count: str, now: float) -> bool:
        """Whether a request may use a nonce: it is ours, young enough, and did not come with this count before.

        :param count: eight hexadecimal digits.
        """
        try:
            data = urlsafe_b64decode(nonce.encode("ascii"))
        except (NotBase64, ValueError):
            return False
        number = int(count, 16) if _COUNT.fullmatch(count) else 0
        parts, seal = data[: _PARTS.size], data[_PARTS.size :]
        if number < 1 or not hmac.compare_digest(seal, self._seal(parts)):
            return False
        ends = _PARTS.unpack(parts)[0] + LIFE_S
        if now >= ends:
            return False
        with self._lock:
            uses = self._used.get(nonce)
            if uses is None:
                self._forget(now)
                uses = self._used[nonce] = _Uses(ends)
            return uses.add(number)

    def _seal(self, parts: bytes) -> bytes:
        return hmac.digest(self._key, parts, "sha256")[:16]

    def _forget(self, now: float) -> None:
        if len(self._used) >= _MOST:
            self._used = {nonce: uses for nonce, uses in self._used.items() if uses.ends > now}
