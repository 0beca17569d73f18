"""Nonces of digest authentication (RFC 7616, section 3.3): given out without being remembered, each use counted.

All workers of a server share one table, a mapped file in the server's folder, so that a client may come to any of them, and
what was overheard can be used again at none.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from functools import cache
from struct import Struct

from skitai.ipc.locks import ProcessLock
from skitai.ipc.memory import SLOT_BYTES, Memory
from skitai.was import host

log = logging.getLogger("skitai.app")

FILE = "nonces"
LIFE_S = 300
WINDOW = 63
"""How far behind the newest a request may come in: clients send several at once, on several connections."""

SHELVES = 4096
PLACES = 4
"""On each shelf. A nonce belongs on one, and is stale when that was full of others before its first use."""

DRAWS = 32
"""So many are drawn, until one belongs on a shelf with a free place."""

_KEY_SLOTS = 4
_SLOTS = _KEY_SLOTS + 4 * PLACES * SHELVES
_ID, _ENDS, _HIGHEST, _SEEN = range(4)

_PARTS = Struct("!Qq")
_COUNT = re.compile("[0-9a-fA-F]{8}")


class Nonces:
    """Gives nonces out, and knows whether one may be used.

    :param memory: the table: a key, and for each nonce that somebody with a password used, how often it was.
    :param lock: of the table.
    """

    def __init__(self, memory: Memory, lock: ProcessLock) -> None:
        self._table = memory.ints
        self._lock = lock

    def make(self, now: float) -> str:
        """A new nonce.

        :param now: seconds since the epoch.
        """
        for _ in range(DRAWS):
            identity = _random()
            if self._free_place(identity, now) >= 0:
                break
        parts = _PARTS.pack(int(now), identity)
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
        made, identity = _PARTS.unpack(parts)
        if not made - LIFE_S < now < made + LIFE_S:  # the clock may have been put back
            return False
        with self._lock:
            return self._count(identity, number, made + LIFE_S, int(now))

    def _count(self, identity: int, number: int, ends: int, now: int) -> bool:
        table = self._table
        at = next((at for at in _places(identity) if table[at + _ID] == identity), -1)
        if at < 0:
            at = self._free_place(identity, now)
            if at < 0:
                return False
            table[at + _ID], table[at + _ENDS], table[at + _HIGHEST], table[at + _SEEN] = identity, ends, 0, 0
        highest, seen = table[at + _HIGHEST], table[at + _SEEN]
        if number > highest:
            table[at + _SEEN] = (seen << min(number - highest, WINDOW) | 1) & ((1 << WINDOW) - 1)
            table[at + _HIGHEST] = number
            return True
        behind = highest - number
        if behind >= WINDOW or seen >> behind & 1:
            return False
        table[at + _SEEN] = seen | 1 << behind
        return True

    def _free_place(self, identity: int, now: float) -> int:
        """Where a nonce might go; -1 when its shelf is full."""
        return next((at for at in _places(identity) if self._table[at + _ENDS] <= now), -1)

    def _seal(self, parts: bytes) -> bytes:
        key = self._table[:_KEY_SLOTS]
        if not key[-1]:  # the last to be written
            with self._lock:
                if not key[-1]:
                    for slot in range(_KEY_SLOTS):
                        key[slot] = _random()
        return hmac.digest(key.tobytes(), parts, "sha256")[:16]


@cache
def shared() -> Nonces:
    """Those of this server; in a process that is no worker, those of this process."""
    worker = host.attached()
    return kept_in(worker.places.var) if worker is not None else of_process()


def of_process() -> Nonces:
    """Those of this process alone."""
    return Nonces(Memory.create(FILE, _SLOTS), ProcessLock(-1, 0))


def kept_in(folder: str) -> Nonces:
    """Those of all processes that name this folder."""
    try:
        memory = _mapped(os.path.join(folder, FILE))
    except OSError as error:
        # Clients that come to another worker then have to repeat their requests; no harm is done.
        log.warning("workers cannot share what digest authentication knows: %s", error)
        return of_process()
    return Nonces(memory, ProcessLock(memory.fd, 0))


def _mapped(path: str) -> Memory:
    """The table in a file, which is made if there is none."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, _SLOTS * SLOT_BYTES)  # or writing could find the disk full when nobody can be told
        return Memory.adopt(fd, _SLOTS)
    except OSError:
        os.close(fd)
        raise


def _places(identity: int) -> range:
    """The places on the shelf of a nonce."""
    first = _KEY_SLOTS + 4 * PLACES * (identity % SHELVES)
    return range(first, first + 4 * PLACES, 4)


def _random() -> int:
    return int.from_bytes(os.urandom(8), signed=True)
