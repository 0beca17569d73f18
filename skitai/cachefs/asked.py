"""A request as the cache sees it. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from skitai.cachefs import directives
from skitai.cachefs.directives import LONGEST_S
from skitai.http.head import Fields
from skitai.http.selection import Wishes, read_wishes

if TYPE_CHECKING:
    from skitai.cachefs.hit import Hit

FORM = "cached"

NOT_OUR_MATTER = (b"if-match", b"if-unmodified-since")
"""Conditions that the origin alone evaluates (RFC 9111, section 4.3.2)."""

CONDITIONAL = frozenset((b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range"))
"""Fields that ask for a part, or for nothing new."""

_OF_COPIES = frozenset((b"if-none-match", b"if-modified-since"))
"""Conditions under which a client has what it asks for."""

_LISTS = frozenset((b"accept", b"accept-charset", b"accept-encoding", b"accept-language"))
"""Lists whose case and spaces mean nothing."""

_SPACES = re.compile(rb"[ \t]+")


class Asked:
    """A request: the same for all requests that carry the same bytes, where these are recognised. Immutable, but for `hit`.

    :ivar method: in upper case.
    :ivar uri: absolute, ``http://host/path?query``, as the client means it: whatever of it reaches the origin is in it.
    :ivar fields: of the request.
    :ivar space: whose answers these are: a mount's, a proxy's. What is stored for one space is never served in another, for
        not everybody may ask in all of them.
    :ivar key: by what its answers are found.
    :ivar hashed: the key's digest.
    :ivar terms: what its fields demand.
    :ivar served: whether it is of a method whose answers may be stored ones.
    :ivar hit: the answer that it got last, where the next one may get it, too; see `cachefs.hit`.
    """

    __slots__ = ("fields", "hashed", "hit", "key", "method", "served", "space", "terms", "uri")

    def __init__(self, method: str, uri: bytes, fields: Fields, space: bytes = b"") -> None:
        self.method = method
        self.uri = uri
        self.fields = fields
        self.space = space.replace(b" ", b"%20")
        self.key = self.space + b" " + uri
        self.hashed = digest(self.key)
        self.terms = Terms.of(fields)
        self.served = method in ("GET", "HEAD") and not self.terms.passes and not self.terms.no_store
        self.hit: Hit | None = None

    def at(self, uri: bytes) -> Asked:
        """The same for another URI."""
        return Asked(self.method, uri, self.fields, self.space)

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.key!r}>"


def digest(key: bytes) -> bytes:
    """16 bytes that stand for a key."""
    return hashlib.blake2b(key, digest_size=16).digest()


class Terms:
    """What the fields of a request demand of a cache (RFC 9111, section 5.2.1).

    :ivar plain: nothing at all: any fresh answer will do, whole.
    :ivar no_cache: nothing that the origin has not confirmed.
    :ivar no_store: nothing of this is to be kept.
    :ivar only_if_cached: nothing that has to be asked for.
    :ivar max_age: oldest age in seconds that is taken; None for any.
    :ivar min_fresh: seconds for which it has to stay fresh.
    :ivar max_stale: seconds for which it may have been stale.
    :ivar stale_if_error: seconds for which it may have been stale when the origin fails (RFC 5861, section 4).
    :ivar authorized: it carries credentials.
    :ivar cookies: it carries cookies.
    :ivar conditional: it asks for a part, or for nothing new.
    :ivar has_copies: all that it asks beside is whether there is something newer than what the client has.
    :ivar passes: it has conditions that the origin alone evaluates.
    :ivar wishes: its conditions and ranges.
    """

    __slots__ = (
        "authorized",
        "conditional",
        "cookies",
        "has_copies",
        "max_age",
        "max_stale",
        "min_fresh",
        "no_cache",
        "no_store",
        "only_if_cached",
        "passes",
        "plain",
        "stale_if_error",
        "wishes",
    )

    @classmethod
    def of(cls, fields: Fields) -> Terms:
        """Made once for all requests that carry the same bytes."""
        found: Terms | None = fields.forms.get(FORM)
        if found is None:
            found = fields.forms[FORM] = cls(fields)
        return found

    def __init__(self, fields: Fields) -> None:
        said = directives.of(fields)
        self.no_cache = "no-cache" in said
        self.no_store = "no-store" in said
        self.only_if_cached = "only-if-cached" in said
        self.max_age = said.seconds("max-age")
        self.min_fresh = said.seconds("min-fresh") or 0
        self.max_stale = LONGEST_S if said.bare("max-stale") else said.seconds("max-stale") or 0
        self.stale_if_error = said.seconds("stale-if-error") or 0
        self.authorized = b"authorization" in fields
        self.cookies = b"cookie" in fields
        conditions = {name for name, _ in fields.pairs} & CONDITIONAL
        self.conditional = bool(conditions)
        self.has_copies = bool(conditions) and conditions <= _OF_COPIES
        self.passes = any(name in fields for name in NOT_OUR_MATTER)
        self.wishes: Wishes = read_wishes(fields)
        self.plain = not (
            self.no_cache
            or self.no_store
            or self.max_age is not None
            or self.min_fresh
            or self.max_stale
            or self.authorized
            or self.conditional
        )


def vary_names(fields: Fields) -> tuple[bytes, ...] | None:
    """The request fields on which a response depends, in lower case and sorted; None for ``*``, which nobody else's request
    matches (RFC 9111, section 4.1)."""
    value = fields.get(b"vary")
    if value is None:
        return ()
    names = {name.strip(b" \t").lower() for name in value.split(b",")} - {b""}
    return None if b"*" in names else tuple(sorted(names))


def selecting(fields: Fields, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The values of these fields in a request, so written that what means the same is the same; b"\\n" for none."""
    return tuple(_normal(name, fields.get(name)) for name in names)


def _normal(name: bytes, value: bytes | None) -> bytes:
    if value is None:
        return b"\n"
    value = value.strip(b" \t")
    if name in _LISTS:
        return b",".join(sorted(_SPACES.sub(b"", each).lower() for each in value.split(b",") if each.strip(b" \t")))
    return value
