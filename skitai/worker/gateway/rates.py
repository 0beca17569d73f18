"""How much one client may ask for: 429 for more."""

from __future__ import annotations

from ipaddress import IPv6Address
from math import ceil
from time import monotonic

from skitai.config.sections.guarding import Rates
from skitai.errors import Answerable
from skitai.http.forwarded import parse_address
from skitai.ipc.buckets import Buckets, Taken

SITE_BITS = 64
"""Of an IPv6 address: the rest is the client's to choose (RFC 4291, section 2.5.1)."""


class TooMany(Answerable):
    """One client has asked for more than it may (RFC 6585, section 4)."""

    status = 429


class Limiter:
    """Counts the requests of each client.

    :param by_address: clients are addresses, whatever the options say: there are no tokens.
    """

    def __init__(self, options: Rates, *, by_address: bool) -> None:
        self._limit = options.rate_limit
        self._burst = options.rate_burst or options.rate_limit
        self._interval_s = options.rate_period_s / options.rate_limit if options.rate_limit else 0.0
        self._by_address = by_address or options.rate_by == "address"
        self._buckets: Buckets

    def open(self, buckets: Buckets | None) -> None:
        """:param buckets: of all workers; None for this process alone."""
        if self._limit:
            self._buckets = Buckets.alone() if buckets is None else buckets

    def check_address(self, address: str) -> None:
        """:raises TooMany: an address, and no token, is one client, and has asked too much."""
        if self._limit and self._by_address:
            self._check("address " + client_of(address))

    def check_token(self, token: str) -> None:
        """:raises TooMany: a token is one client, and has asked too much."""
        if self._limit and not self._by_address:
            self._check("token " + token)

    def _check(self, client: str) -> None:
        taken = self._buckets.take(client, monotonic(), self._interval_s, self._burst)
        if not taken.allowed:
            raise TooMany("too many requests", fields=self._fields(taken))

    def _fields(self, taken: Taken) -> list[tuple[str, str]]:
        return [
            ("Retry-After", str(max(ceil(taken.wait_s), 1))),
            ("RateLimit-Limit", str(self._burst)),
            ("RateLimit-Remaining", str(taken.left)),
            ("RateLimit-Reset", str(max(ceil(taken.wait_s), 1))),
        ]


def client_of(address: str) -> str:
    """Who stands behind an address: of IPv6, whoever has its network of 64 bits."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return f"{int(parsed) >> (128 - SITE_BITS):x}::/{SITE_BITS}"
    return address if parsed is None else str(parsed)
