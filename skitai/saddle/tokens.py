"""Tokens: for links that work once or for a while, for forms of ours, for other services."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from skitai.lib.jwt import ExpiredToken, InvalidToken, gen_token, read_token
from skitai.saddle.args import CSRF_NAME
from skitai.saddle.seal import Keys, SealBroken, keys_of
from skitai.saddle.user import User, sign_in

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.request import Request
    from skitai.saddle.session import Session

CSRF_FIELD = "x-csrf-token"
TIMEOUT_S = 1200
PURPOSE = "token"


class Token(NamedTuple):
    """What a token says.

    :ivar expiry: seconds since the epoch.
    :ivar session_key: the session knows the token under this name, while it is good; None when it needs no session.
    """

    expiry: float
    session_key: str | None
    id: str
    value: Any


class TokenFacet:
    """The members of `was` for tokens. All need ``app.securekey``.

    :ivar CSRF_NAME: of the form's field.
    :ivar refused: why `dejwt` last refused a token; "" when it refused none.
    """

    CSRF_NAME = CSRF_NAME

    app: Saddle
    refused = ""

    if TYPE_CHECKING:

        @property
        def request(self) -> Request: ...
        @property
        def session(self) -> Session: ...

    # For links

    def mktoken(self, obj: Any, timeout: float = TIMEOUT_S, session_key: str | None = None) -> str:
        """A text for URLs that holds a value, and that nobody else can read or make.

        :param obj: JSON's types, tuple, bytes, set, date, datetime, Decimal.
        :param timeout: seconds for which it is good.
        :param session_key: makes it good in this client's session alone, until `rmtoken` or the next token of this name; the
            session then lives as long as the token.
        :raises TypeError: another type.
        """
        token = Token(time.time() + timeout, session_key, secrets.token_hex(16), obj)
        sealed = self._keys().sealer(PURPOSE).seal(tuple(token))
        if session_key is not None:
            self.session[_slot(session_key)] = token.id
            self.session.prolong(timeout)
        return sealed

    def detoken(self, token: str | None) -> Any:
        """The value of a token; None when it is not one of ours, is no longer good, or belongs to another session."""
        read = self._token(token)
        return None if read is None else read.value

    def rmtoken(self, token: str) -> bool:
        """Make a token of this session good no more.

        :returns: False when it was not good, or was made without a session key: then it lasts until its time is over.
        """
        read = self._token(token)
        if read is None or read.session_key is None:
            return False
        self.session.remove(_slot(read.session_key))
        return True

    def _token(self, token: object) -> Token | None:
        if not isinstance(token, str):
            return None  # an argument that came twice is a list
        try:
            read = Token._make(self._keys().sealer(PURPOSE).open(token))
        except SealBroken:
            return None
        if read.expiry <= time.time():
            return None
        if read.session_key is not None and not _same(self.session.get(_slot(read.session_key)), read.id):
            return None
        return read

    # For forms

    @property
    def csrf_token(self) -> str:
        """What a form of ours is known by: a random text, kept in the session."""
        token: str | None = self.session.get(CSRF_NAME)
        if token is None:
            token = self.session[CSRF_NAME] = secrets.token_hex(16)
        return token

    @property
    def csrf_token_input(self) -> Markup:
        """The hidden input for a form."""
        return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_NAME, self.csrf_token)

    def csrf_verify(self, keep: bool = False) -> bool:
        """Whether the request comes from a form of ours: it carries `csrf_token`, as an argument or in X-CSRF-Token.

        :param keep: let the same token be good once more; by default the next form gets another.
        """
        sent = self.request.args.get(CSRF_NAME) or self.request.head.fields.text(CSRF_FIELD)
        if not _same(self.session.get(CSRF_NAME), sent):
            return False
        if not keep:
            self.session.remove(CSRF_NAME)
        return True

    # For other services

    def mkjwt(self, claim: Mapping[str, Any], alg: str = "HS256") -> str:
        """A JSON Web Token, signed with the securekey as it stands, so that whoever shares it can read the token.

        :param claim: JSON values; `exp` and `expires` are the time of its end, in seconds since the epoch.
        :param alg: HS256, HS384 or HS512.
        :raises ValueError: another algorithm.
        """
        return gen_token(self._keys().secrets[0], claim, alg)

    def dejwt(self, token: str) -> dict[str, Any] | None:
        """The claims of a token; None when it is forged or its time is over.

        If they have a `username`, ``was.user`` is that user, with the claims as attributes.
        """
        request = self.request
        try:
            claims = self._claims(token)
        except InvalidToken as error:
            self.refused = str(error)
            return None
        self.refused = ""
        request.claim = claims
        name = claims.get("username")
        if isinstance(name, str):
            sign_in(request, User(name, self.app.realm or "", claims))
        return claims

    def _claims(self, token: str) -> dict[str, Any]:
        """:raises InvalidToken: no key of the app's is its key, or its time is over."""
        *rest, last = self._keys().secrets
        for key in rest:
            try:
                return read_token(key, token)
            except ExpiredToken:
                raise
            except InvalidToken:
                continue
        return read_token(last, token)

    def _keys(self) -> Keys:
        """:raises ValueError: the app has no securekey."""
        return keys_of(self.app.securekey)


def _slot(session_key: str) -> str:
    return f"_{session_key}_token"


def _same(kept: Any, sent: Any) -> bool:
    if not isinstance(kept, str) or not isinstance(sent, str):
        return False
    return hmac.compare_digest(kept.encode("utf-8"), sent.encode("utf-8", "surrogatepass"))
