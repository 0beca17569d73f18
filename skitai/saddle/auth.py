"""HTTP authentication of an app's clients: Basic (RFC 7617), Digest (RFC 7616) and Bearer (RFC 6750).

`authorized` is the one way in. It is a generator of steps, like all that happens to a request: asking the app for a password
is one of them.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Callable, Generator, Mapping
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from skitai.errors import Answerable, LoadError
from skitai.http import authorization as http
from skitai.saddle import nonces
from skitai.saddle.hooks import Function, Hook, Step, Steps
from skitai.saddle.user import User, sign_in, sign_out

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.context import Was

F = TypeVar("F", bound=Function)

Wanted = str | bool | None
"""A scheme, True for the app's usual one, or none."""

DEFAULT_REALM = "App"
MARK = "saddle_authenticate"
"""The attribute of a function that says what its routes want."""

_OF_DIGESTS = ("username", "realm", "nonce", "uri", "response", "nc", "cnonce", "qop")
_UNFIT = re.compile(r'[^\x20-\x7e]|["\\]')


class Unauthorized(Answerable):
    """The client has to say who it is (RFC 9110, section 15.5.2)."""

    status = 401

    def __init__(self, *challenges: str, message: str = "credentials are wanted") -> None:
        super().__init__(message, fields=[("WWW-Authenticate", each) for each in challenges])


class Users(Protocol):
    """What `app.users` is: a dictionary, or whatever else has `get`."""

    def get(self, username: str, /) -> Any:
        """The password, (password, encrypted), (password, encrypted, info), or None for nobody."""


class Account(NamedTuple):
    """What an app knows of a user.

    :ivar password: as it is, or the hash of "user:realm:password" in hexadecimal.
    """

    password: str
    encrypted: bool = False
    info: Any = None

    @classmethod
    def of(cls, found: Any) -> Account | None:
        """From what `Users.get` or the app's handler gave.

        :raises TypeError: it is nothing of what they may give.
        """
        given = (found,) if isinstance(found, str) else found
        if given is None:
            return None
        if not isinstance(given, (tuple, list)) or not 1 <= len(given) <= 3 or not isinstance(given[0], str):
            raise TypeError(
                f"a user is a password, (password, encrypted) or (password, encrypted, info), not a {_kind(found)}"
            )
        return cls(*given)

    @property
    def algorithm(self) -> str | None:
        """What an encrypted password was made with; None for any.

        :raises ValueError: with none that is known.
        """
        if not self.encrypted:
            return None
        for name, length in (("MD5", 32), ("SHA-256", 64)):
            if len(self.password) == length:
                return name
        raise ValueError("an encrypted password is the MD5 or SHA-256 hash of 'user:realm:password', in hexadecimal")

    def secret(self, algorithm: str, user: str, realm: str) -> str:
        """What stands for the password in digests."""
        return self.password.lower() if self.encrypted else http.secret_hash(algorithm, user, realm, self.password)

    def has(self, password: str, user: str, realm: str) -> bool:
        """Whether this is the password."""
        algorithm = self.algorithm
        if algorithm is None:
            return _equal(self.password, password)
        return _equal(self.password.lower(), http.secret_hash(algorithm, user, realm, password))


NOBODY = Account("")


class Authority:
    """What an app's authentication has besides its attributes.

    :ivar algorithms: of digests, offered in this order.
    """

    def __init__(self) -> None:
        self.provider: Hook | None = None
        self.bearer: Hook | None = None
        self.algorithms = tuple(http.ALGORITHMS)


class AuthFacet:
    """The attributes and decorators of `Saddle` for HTTP authentication.

    :ivar authenticate: what all routes want that do not say otherwise: "basic", "digest", "bearer", True for
        `authorization`, or False.
    :ivar authorization: the usual scheme.
    :ivar realm: shown to those who are asked for a password; it is part of encrypted passwords. "App" by default.
    :ivar users: by name; see `Users`.
    :ivar opaque: comes back from digest clients as it is; a hash of the realm by default.
    """

    authenticate: Wanted
    realm: str | None
    users: Users
    opaque: str | None

    def __init__(self) -> None:
        self.authenticate = False
        self.authorization = "digest"
        self.realm = None
        self.users = {}
        self.opaque = None
        self._authority = Authority()

    def authorization_handler(self, function: F) -> F:
        """Ask ``function(was, username)`` for users instead of `users`; it gives what `Users.get` does."""
        self._authority.provider = Hook.of(function)
        return function

    def bearer_handler(self, function: F) -> F:
        """Let ``function(was, token)`` decide on bearer tokens: it returns None, or why a token is refused.

        Without a handler, tokens are JWTs signed with the securekey.
        """
        self._authority.bearer = Hook.of(function)
        return function

    def authorization_required(self, scheme: str | bool = True) -> Callable[[F], F]:
        """A decorator of handlers: their routes want this scheme.

        :raises ValueError: it is neither "basic" nor "digest" nor "bearer", nor True for the app's `authorization`.
        """
        _checked(scheme, self.authorization)

        def mark(function: F) -> F:
            setattr(function, MARK, scheme)
            return function

        return mark

    def auth_not_required(self, function: F) -> F:
        """A decorator of handlers: their routes are open, though the app's `authenticate` says otherwise."""
        setattr(function, MARK, False)
        return function

    def _scheme(self, route: Any) -> str | None:
        """What a request to a route has to bring; None for nothing.

        :param route: None where there is none: the app's own wish holds, so that nobody can tell which routes there are.
        """
        wanted: Wanted = None
        if route is not None:
            wanted = getattr(route.function, MARK, None)
            if wanted is None:
                wanted = route.options.get("authenticate")
        if wanted is None:
            wanted = self.authenticate
        return _checked(wanted, self.authorization) if wanted else None


def check_schemes(app: Saddle, point: str) -> None:
    """See that all that an app and its routes want can be had.

    :raises LoadError: no such scheme.
    """
    for route in (None, *app._routes.all):
        try:
            app._scheme(route)
        except ValueError as error:
            whose = f"the app at {point}" if route is None else f"the route {route.name} of the app at {point}"
            raise LoadError(f"{whose}: {error}") from error


def authorized(was: Was, scheme: str) -> Steps:
    """See that the client may do what it wants: know who asks.

    :param scheme: what `AuthFacet._scheme` gave.
    :raises Unauthorized: the client has not said, or said wrong, who it is.
    """
    if was.admitted == scheme:
        return  # before the body came, or for another call in it
    given, rest = http.split(was.request.head.fields.text("authorization"))
    yield from _CHECKS[scheme](was, was.app.realm or DEFAULT_REALM, rest if given == scheme else "")
    was.admitted = scheme


Check = Generator[Step, Any, None]


def _basic(was: Was, realm: str, rest: str) -> Check:
    given = http.basic(rest) if rest else None
    if given is not None:
        user, password = given
        account = yield from _account(was, user)
        if (account or NOBODY).has(password, user, realm) and account is not None:
            sign_in(was.request, User(user, realm, account.info))
            return
    raise Unauthorized(http.challenge("Basic", realm=realm, charset="UTF-8"))


def _digest(was: Was, realm: str, rest: str) -> Check:
    given = http.parameters(rest) if rest else None
    verdict = Verdict.WRONG
    if given is not None and _fits(was, given, realm):
        verdict = yield from _judged(was, realm, given)
    if verdict is not Verdict.GOOD:
        raise Unauthorized(*_digest_challenges(was, realm, stale=verdict is Verdict.STALE))


class Verdict(enum.Enum):
    """On digest credentials. Stale ones are sent again with another nonce, and nobody has to type a password for that."""

    GOOD = enum.auto()
    STALE = enum.auto()
    WRONG = enum.auto()


def _judged(was: Was, realm: str, given: Mapping[str, str]) -> Generator[Step, Any, Verdict]:
    """Judge complete digest credentials; for good ones, let the client be its user."""
    authority = was.app._authority
    algorithm = given.get("algorithm", "MD5").upper()
    if algorithm not in authority.algorithms:
        return Verdict.STALE if algorithm in http.ALGORITHMS else Verdict.WRONG
    user = http.username(given) or ""
    account = yield from _account(was, user)
    needed = account.algorithm if account is not None else None
    if needed not in (None, algorithm):
        # The hash that is kept fits another algorithm than the client's. From now on only that is offered, to everybody: an
        # answer must not tell which users there are.
        authority.algorithms = (needed,)
        return Verdict.STALE
    secret = (account or NOBODY).secret(algorithm, user, realm)
    right = http.digest(algorithm, secret, was.request.head.method, given)
    if not _equal(right, given["response"].lower()) or account is None:
        return Verdict.WRONG
    if not nonces.shared().use(given["nonce"], given["nc"], time()):
        return Verdict.STALE
    sign_in(was.request, User(user, realm, account.info))
    return Verdict.GOOD


def _fits(was: Was, given: Mapping[str, str], realm: str) -> bool:
    """Whether digest credentials are complete, and for this realm and this request."""
    complete = all(given.get(name) for name in _OF_DIGESTS if name != "username") and http.username(given) is not None
    return (
        complete
        and _equal(given["realm"], realm.encode("utf-8").decode("latin-1"))
        and _equal(given["uri"], was.request.head.target)
        and given["qop"] == "auth"
    )


def _digest_challenges(was: Was, realm: str, stale: bool) -> list[str]:
    authority = was.app._authority
    opaque = was.app.opaque or hashlib.md5(realm.encode("utf-8"), usedforsecurity=False).hexdigest()
    nonce = nonces.shared().make(time())
    return [
        http.challenge(
            "Digest",
            realm=realm,
            qop="auth",
            algorithm=algorithm,
            nonce=nonce,
            opaque=opaque,
            charset="UTF-8",
            stale="true" if stale else "",
        )
        for algorithm in authority.algorithms
    ]


def _bearer(was: Was, realm: str, token: str) -> Check:
    if not token:
        raise Unauthorized(http.challenge("Bearer", realm=realm))
    handler = was.app._authority.bearer
    trouble: Any = None
    if handler is None:
        if was.dejwt(token) is None:
            trouble = was.refused
    else:
        try:
            trouble = yield Step(handler.is_async, handler.function, (was, token))
        except (TypeError, AttributeError):
            if not was.refused:
                raise
            trouble = was.refused  # the handler read the claims that a refused token does not have
    if trouble is not None:
        if not isinstance(trouble, str):
            raise TypeError(f"a bearer_handler returns None, or why it refuses the token, not a {_kind(trouble)}")
        sign_out(was.request)  # whom `dejwt` took the client for
        described = _UNFIT.sub("?", trouble)
        raise Unauthorized(
            http.challenge("Bearer", realm=realm, error="invalid_token", error_description=described), message=trouble
        )
    was.request.token = token


_CHECKS: dict[str, Callable[[Was, str, str], Check]] = {"basic": _basic, "digest": _digest, "bearer": _bearer}


def _account(was: Was, user: str) -> Generator[Step, Any, Account | None]:
    """What the app knows of a user."""
    provider, users = was.app._authority.provider, was.app.users
    if provider is not None:
        found = yield Step(provider.is_async, provider.function, (was, user))
    elif isinstance(users, dict):
        found = users.get(user)
    else:
        found = yield Step(False, users.get, (user,))  # which may have to ask a database
    return Account.of(found)


def _checked(wanted: Wanted, usual: str) -> str:
    """:raises ValueError: no scheme."""
    scheme = usual if wanted is True else wanted
    if not isinstance(scheme, str) or scheme.lower() not in _CHECKS:
        raise ValueError(f"authenticate is {', '.join(_CHECKS)}, True or False, not {scheme!r}")
    return scheme.lower()


def _equal(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _kind(value: object) -> str:
    return type(value).__name__
