"""Transaction ids: one global id for a chain of calls across workers and hosts, one local id for each call in it.

A local id is four digits or more: the first says how deep the call is, the rest which call of its caller it is: 1000 for a
client's own request, 2001 and 2002 for the two calls that its handler makes, 3001 for a call below the first of them.
A caller hands both on in the fields X-Gtxn-Id and X-Ltxn-Id; W3C's traceparent and the common X-Request-Id are honoured
where those are missing, so that a chain that began elsewhere keeps its id.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from itertools import count

from skitai.http.head import Fields

GLOBAL_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}").fullmatch
LOCAL_ID = re.compile(rb"[0-9]{4,9}").fullmatch
TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?").fullmatch
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}").fullmatch

FIRST = "1000"
DEEPER = 1000

SERIAL_DIGITS = 15

MOST_HALVES = 256
_halves: dict[str, str] = {}
"""Digests of what global ids begin with."""


class Transactions:
    """Makes the ids of one worker. Ids of two workers never meet: the prefix holds host, start time and chance."""

    def __init__(self) -> None:
        host = sum(os.uname().nodename.encode()) % 0xFFFF if hasattr(os, "uname") else 0
        self.prefix = f"{host:04x}-{time.time_ns() // 1_000_000:x}{os.urandom(4).hex()}-"
        self._serials = count(1)
        self.next = self._serials.__next__
        """The serial of the next request; cheap, and safe from any thread."""

    def ids(self, serial: int, fields: Fields) -> tuple[str, str]:
        """Global and local id of a request."""
        handed = fields.forms["txn"] if "txn" in fields.forms else self.handed(fields)
        return handed or (f"{self.prefix}{serial}", FIRST)

    @staticmethod
    def handed(fields: Fields) -> tuple[str, str] | None:
        """What `handed_on` says of these fields; kept with them."""
        try:
            return fields.forms["txn"]  # type: ignore[no-any-return]
        except KeyError:
            handed = fields.forms["txn"] = handed_on(fields)
            return handed


def handed_on(fields: Fields) -> tuple[str, str] | None:
    """The ids that the caller handed on, its local id made one level deeper; None for a new chain. Malformed ones are
    ignored."""
    value = fields.get(b"x-gtxn-id")
    if value is not None and GLOBAL_ID(value):
        local = fields.get(b"x-ltxn-id")
        deeper = str(int(local) + DEEPER) if local is not None and LOCAL_ID(local) else FIRST
        return value.decode("ascii"), deeper
    value = fields.get(b"traceparent")
    if value is not None and (match := TRACEPARENT(value)):
        return match[1].decode("ascii"), FIRST
    value = fields.get(b"x-request-id")
    if value is not None and GLOBAL_ID(value):
        return value.decode("ascii"), FIRST
    return None


def hand_on(txn: tuple[str, str], number: int) -> list[tuple[str, str]]:
    """The fields that tell a server which we ask to which chain its request belongs.

    The global id stays. The local one says who asks, and his how manieth request it is; whoever is asked makes it one level
    deeper. The same goes into a traceparent (W3C Trace Context, section 3.2).

    :param txn: ids of the request for which we ask.
    :param number: of the requests that were made for it, this one included.
    """
    chain, local = txn
    sent = int(local) + number
    trace = trace_of(chain)
    return [("X-Gtxn-Id", chain), ("X-Ltxn-Id", str(sent)), ("traceparent", f"00-{trace}-{trace[16:24]}{sent:08x}-01")]


def hand_on_lines(txn: tuple[str, str], number: int) -> str:
    """The fields of `hand_on` as lines of HTTP/1."""
    chain, local = txn
    sent = int(local) + number
    trace = trace_of(chain)
    return f"X-Gtxn-Id: {chain}\r\nX-Ltxn-Id: {sent}\r\ntraceparent: 00-{trace}-{trace[16:24]}{sent:08x}-01\r\n"


def trace_of(chain: str) -> str:
    """The trace-id of a chain of calls: the global id, or what is made of it, everywhere the same.

    Of an id that ends with a serial, as ours do, it is that and a digest of the rest, which is the same for many.
    """
    beginning, _, serial = chain.rpartition("-")
    if beginning and serial.isdigit() and serial[0] != "0" and len(serial) <= SERIAL_DIGITS:
        half = _halves.get(beginning)
        if half is None:
            if len(_halves) >= MOST_HALVES:
                _halves.clear()
            half = _halves[beginning] = digest(beginning, 8)
        return f"{half}{int(serial):016x}"
    return chain if TRACE_ID(chain) else digest(chain, 16)


def digest(text: str, size: int) -> str:
    """:param size: in bytes."""
    return hashlib.blake2s(text.encode(), digest_size=size).hexdigest()
