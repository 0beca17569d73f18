"""What the gateway decides, as pure functions: the token that a request brings, whom it stands for, whom an alias lets in.

Bearer tokens as RFC 6750 has them, in the Authorization field alone: tokens in queries and bodies are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from skitai.config.aliases import Network
from skitai.errors import Answerable
from skitai.http.authorization import challenge, split
from skitai.http.forwarded import parse_address
from skitai.http.head import Fields, Head

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII).fullmatch
_BETWEEN = re.compile(r"[,\s]+")

SAFE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""What a field may hold as it is."""


class Unauthorized(Answerable):
    """A token is wanted, or a better one (RFC 6750, section 3)."""

    status = 401


class Forbidden(Answerable):
    """Who asks is known, or need not be known, and may not pass."""

    status = 403


def wanted(realm: str) -> Unauthorized:
    """No token came: without an error, for there may be no need to know what is wrong (RFC 6750, section 3.1)."""
    return Unauthorized("a bearer token is wanted", fields=[("WWW-Authenticate", challenge("Bearer", realm=realm))])


def refused(realm: str, why: str) -> Unauthorized:
    """The token is of no use.

    :param why: for the client, in plain ASCII.
    """
    told = challenge("Bearer", realm=realm, error="invalid_token", error_description=why)
    return Unauthorized(why, fields=[("WWW-Authenticate", told)])


def forbidden(realm: str, why: str, role: str = "") -> Forbidden:
    """The token is good, but not for this.

    :param role: one of those that would be good for it, as the alias names them.
    """
    scope = " ".join(sorted(split_roles(role))) if role.isascii() else ""
    told = challenge("Bearer", realm=realm, error="insufficient_scope", error_description=why, scope=scope)
    return Forbidden(why, fields=[("WWW-Authenticate", told)])


def bearer(fields: Fields) -> str | None:
    """The token of a request: "" for one that is malformed, None when there is none."""
    given = fields.get(b"authorization")
    if given is None:
        return None
    scheme, token = split(given.decode("latin-1"))
    if scheme != "bearer":
        return None
    return token if _TOKEN(token) else ""


def is_jwt(token: str) -> bool:
    """Whether it looks like a signed JSON Web Token: three parts (RFC 7515, section 7.1)."""
    return token.count(".") == 2


class Holder(NamedTuple):
    """Whom a token stands for.

    :ivar name: "" for somebody without a name.
    """

    name: str
    roles: tuple[str, ...]


def holder(name: object, roles: object) -> Holder | None:
    """Whom an authorizer, or the claims of a token, name.

    :param name: text, a number, or None.
    :param roles: several texts, or one with commas or blanks between them. None says that the token is not known; an empty
        list is somebody without a role.
    :returns: None when the token is not known, or says what cannot be used.
    """
    if name is None:
        name = ""
    elif isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if isinstance(roles, str):
        roles = split_roles(roles)
    if not isinstance(name, str) or not isinstance(roles, list | tuple | set | frozenset):
        return None
    if not all(isinstance(each, str) and each for each in roles):
        return None
    return Holder(name, tuple(roles))


def split_roles(text: str) -> tuple[str, ...]:
    """Roles with commas or blanks between them."""
    return tuple(filter(None, _BETWEEN.split(text)))


def of_claims(claims: Mapping[str, Any]) -> Holder | None:
    """Whom the claims of a token name, where no authorizer says so."""
    return holder(claims.get("user"), claims.get("roles"))


def has_role(roles: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether one of the roles is among those that an alias wants; it may want none."""
    return not wanted or any(each in wanted for each in roles)


def within(address: str, networks: Sequence[Network]) -> bool:
    """Whether a client may come from where it does.

    :param address: "" on a Unix socket, which is in no network.
    :param networks: empty for everywhere. IPv4 in IPv6's clothes is IPv4.
    """
    if not networks:
        return True
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


def is_preflight(head: Head) -> bool:
    """Whether a browser asks what it may ask (Fetch standard, section 3.3.5): there is nothing in it but that."""
    fields = head.fields
    return (
        head.method == "OPTIONS" and not head.length and b"origin" in fields and b"access-control-request-method" in fields
    )


def _without_ours(pair: tuple[bytes, bytes], own: set[bytes]) -> tuple[bytes, bytes]:
    """A field; one that names the neighbour's own fields names none of ours, or it would be dropped on the way."""
    name, value = pair
    if name != b"connection" or not own:
        return pair
    named = [each.strip() for each in value.split(b",")]
    kept = [each for each in named if each.lower() not in own]
    return pair if len(kept) == len(named) else (name, b", ".join(kept))


def passed_on(head: Head, user: str, user_field: str, hide_token: bool) -> Head:
    """The head as the upstream gets it: what clients say of themselves in our field is not ours.

    :param user_field: the field that names the user; "" for none.
    """
    pairs = head.fields.pairs
    own = {user_field.lower().encode("ascii")} if user_field else set()
    if user_field:  # what others would take for it is no better
        own |= {name for name, _ in pairs if name.replace(b"_", b"-") in own}
    if hide_token:
        own.add(b"authorization")
    kept = [_without_ours(pair, own) for pair in pairs if pair[0] not in own]
    if user_field and user:
        kept.append((user_field.lower().encode("ascii"), quote(user, SAFE).strip().encode("ascii")))
    if kept == list(pairs):
        return head
    return head.with_fields(Fields(kept))
