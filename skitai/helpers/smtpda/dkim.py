"""Signing messages (DKIM, RFC 6376) with dkimpy, which comes with the extra ``dkim``."""

from __future__ import annotations

import logging
from email import message_from_bytes
from email.policy import compat32
from email.utils import parseaddr
from importlib import import_module
from typing import Any

from skitai.config.sections.helping import Smtpda
from skitai.errors import StartError

log = logging.getLogger("skitai.smtpda")


class Signer:
    """Signs with one key.

    :param domain: that signs; "" for that of the From address.
    """

    def __init__(self, dkim: Any, key: bytes, selector: str, domain: str) -> None:
        self._dkim = dkim
        self._key = key
        self._selector = selector.encode()
        self._domain = domain

    @classmethod
    def of(cls, options: Smtpda) -> Signer | None:
        """The signer that is configured; None when none is.

        :raises StartError: it cannot sign: no selector, no dkimpy, or no key that can be read.
        """
        if not options.dkim_key:
            return None
        if not options.dkim_selector:
            raise StartError("smtpda_dkim_key needs smtpda_dkim_selector: where the public key is published")
        try:
            dkim = import_module("dkim")
        except ImportError as error:
            raise StartError("signing mail needs the package dkimpy: pip install 'skitai[dkim]'") from error
        try:
            with open(options.dkim_key, "rb") as file:
                key = file.read()
            signer = cls(dkim, key, options.dkim_selector, options.dkim_domain)
            signer.signature(b"From: a@example.com\r\n\r\n")
        except OSError as error:
            raise StartError(f"cannot read the DKIM key {options.dkim_key}: {error.strerror}") from error
        except (dkim.DKIMException, ValueError) as error:
            raise StartError(f"cannot sign with the DKIM key {options.dkim_key}: {error}") from error
        return signer

    def sign(self, message: bytes) -> bytes:
        """The message with its signature in front; without one, which the log says, when it is too odd to be signed."""
        try:
            return self.signature(message) + message
        except (self._dkim.DKIMException, ValueError) as error:
            log.error("a message cannot be signed, and goes without: %s", error)
            return message

    def signature(self, message: bytes) -> bytes:
        """:raises ValueError, DKIMException: it cannot be signed."""
        domain = self._domain or _domain_of(message)
        signature: bytes = self._dkim.sign(message, self._selector, domain.encode("idna"), self._key)
        return signature


def _domain_of(message: bytes) -> str:
    """The domain of the From address; of a message without one, a name that stands for none (RFC 2606)."""
    head = message_from_bytes(message[: message.find(b"\r\n\r\n") + 4], policy=compat32)
    return parseaddr(str(head["From"]))[1].rpartition("@")[2] or "invalid"
