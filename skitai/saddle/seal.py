"""Values that a client keeps for an app and cannot read or change: encrypted, authenticated, each for one purpose.

Every purpose has keys of its own, derived from the app's secret, so what was sealed for one cannot be passed off as another.
"""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from skitai.errors import LoadError, SkitaiError
from skitai.saddle import values

log = logging.getLogger("skitai.app")

Secret = str | bytes

MOST_NAMES = 64

WEAK_BYTES = 16
"""A shorter secret can be guessed by whoever has something that was sealed with it."""


class SealBroken(SkitaiError):
    """Nothing that was sealed with these keys for this purpose."""


class _Cipher(Protocol):
    def encrypt(self, data: bytes) -> bytes: ...
    def decrypt(self, token: bytes) -> bytes: ...


class Sealer:
    """Seals for one purpose with the first secret, and opens what was sealed with any of them."""

    __slots__ = ("_broken", "_cipher")

    def __init__(self, cipher: _Cipher, broken: type[Exception]) -> None:
        self._cipher = cipher
        self._broken = broken

    def seal(self, value: Any) -> str:
        """A value as letters, digits, "-" and "_", a third longer than its JSON and 76 characters more.

        :raises TypeError: see `values.pack`.
        """
        return self._cipher.encrypt(values.pack(value).encode("ascii")).decode("ascii").rstrip("=")

    def open(self, text: str) -> Any:
        """What was sealed.

        :raises SealBroken: it is forged, cut, or was sealed with other secrets or for another purpose.
        """
        return values.unpack(self.unseal(text))

    def unseal(self, text: str) -> str:
        """What was sealed, as `values.pack` made a text of it.

        :raises SealBroken: as `open`.
        """
        try:
            token = text.encode("ascii")
            data = self._cipher.decrypt(token + b"=" * (-len(token) % 4))
        except (self._broken, UnicodeEncodeError):
            raise SealBroken("the value does not verify") from None
        return data.decode("ascii")


class Keys:
    """The secrets of an app.

    :param secrets: free texts, the newest first.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self.secrets = tuple(secrets)
        self._sealers: dict[str, Sealer] = {}

    def sealer(self, purpose: str) -> Sealer:
        """What seals for a purpose, a short text that stays the same for ever."""
        sealer = self._sealers.get(purpose)
        if sealer is None:
            sealer = self._sealers[purpose] = self._derived(purpose)
        return sealer

    def _derived(self, purpose: str) -> Sealer:
        # Here, so that apps without sessions and tokens do not pay for the import.
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet

        return Sealer(MultiFernet([Fernet(urlsafe_b64encode(derive(each, purpose))) for each in self.secrets]), InvalidToken)


class Keyring:
    """The keys that sessions and message boxes of a name were mounted with, to know them again by the name alone."""

    def __init__(self) -> None:
        self._keys: dict[str, Keys] = {}

    def add(self, title: str, keys: Keys) -> None:
        """Remember the keys for a cookie; not those of ever new names."""
        if title in self._keys or len(self._keys) < MOST_NAMES:
            self._keys[title] = keys

    def get(self, title: str) -> Keys | None:
        """The keys that were last used for a cookie in this worker."""
        return self._keys.get(title)


def derive(secret: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose (HKDF with SHA-256, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt=b"skitai.saddle", info=purpose.encode("utf-8")).derive(secret)


def check_keys(securekey: Secret | Sequence[Secret] | None, point: str) -> None:
    """Warn of secrets of the app at `point` that are too short.

    :raises LoadError: they are none.
    """
    if not securekey:
        return
    try:
        secrets = keys_of(securekey).secrets
    except (TypeError, ValueError) as error:
        raise LoadError(f"the app at {point}: {error}") from error
    if any(len(each) < WEAK_BYTES for each in secrets):
        log.warning("the app at %s: its securekey is short, so it can be guessed; use a long random text", point)


def keys_of(securekey: Secret | Sequence[Secret] | None) -> Keys:
    """The keys for an app's `securekey`: one secret, or several, of which the first seals and all open.

    :raises ValueError: there is none, or an empty one.
    :raises TypeError: a secret is neither str nor bytes.
    """
    if isinstance(securekey, (str, bytes)):
        return _keys(securekey)
    return _keys(*(securekey or ()))


@lru_cache(maxsize=64)
def _keys(*secrets: Secret) -> Keys:
    for each in secrets:
        if not isinstance(each, (str, bytes)):
            raise TypeError(f"a securekey is a str or bytes, not a {type(each).__name__}")
    if not secrets or not all(secrets):
        raise ValueError("sessions, message boxes and tokens need app.securekey: a long random text")
    return Keys([each.encode("utf-8") if isinstance(each, str) else each for each in secrets])
