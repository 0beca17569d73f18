"""TLS: the certificates of a server, each with its context, chosen by the name that a client asks for.

Contexts are made before the workers are forked: they hold the keys of session tickets, so that a client may resume its
session at any worker. A certificate that is renewed is loaded into the context that there is, for the same reason.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skitai.config.sections.serving import Tls
from skitai.errors import StartError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""

MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
DEMANDS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

UNREADABLE = "one of them is no PEM that can be read"
"""OpenSSL says no more, also of a key that stays encrypted."""

PROTOCOLS = ("h2", "http/1.1")
"""Offered by ALPN (RFC 7301)."""


Stamps = tuple[tuple[int, int, int], ...]


class Pair(NamedTuple):
    """Files of a certificate with its chain, and of its key."""

    certificate: str
    key: str

    def stamps(self) -> Stamps:
        """What shows that a file changed; of files that cannot be looked at, nothing."""
        found = []
        for path in dict.fromkeys(self):
            try:
                info = os.stat(path)
            except OSError:
                continue
            found.append((info.st_ino, info.st_mtime_ns, info.st_size))
        return tuple(found)


@dataclass(slots=True)
class Certificate:
    """A certificate that is served.

    :ivar stamps: of its files when they were read.
    :ivar seen: of its files when they were looked at last.
    """

    pair: Pair
    context: ssl.SSLContext
    names: frozenset[str]
    stamps: Stamps
    seen: Stamps


class Certificates:
    """All certificates of a server.

    :ivar context: for a listener: that of the first certificate, which changes to another when the client names its host.
    :raises StartError: a file cannot be read, is no certificate or key, or the two do not belong together.
    """

    def __init__(self, options: Tls, protocols: Sequence[str] = PROTOCOLS) -> None:
        self._options = options
        self._protocols = list(protocols)
        pairs = [Pair(options.certfile, options.keyfile or options.certfile)]
        for text in options.more_certificates:
            certificate, _, key = text.partition(":")
            pairs.append(Pair(certificate, key or certificate))
        self._served = [self._load(pair) for pair in pairs]
        self.context = self._served[0].context
        if len(pairs) > 1:
            self.context.sni_callback = self._choose

    def renew(self) -> list[tuple[str, str]]:
        """Read certificates again whose files have changed; new connections get the new ones.

        Files are read when two looks found the same: one of the two may have been written and the other not yet.

        :returns: the file of each, and why the old certificate goes on, "" where it does not.
        """
        told = []
        for served in self._served:
            stamps = served.pair.stamps()
            settled, served.seen = stamps == served.seen, stamps
            if stamps == served.stamps or not settled:
                continue
            served.stamps = stamps
            try:
                # Into a context of its own first: a key that does not fit would leave the live one with neither.
                fresh = self._load(served.pair)
                self._load_pair(served.context, served.pair)
            except StartError as error:
                told.append((served.pair.certificate, str(error)))
            else:
                served.names = fresh.names
                told.append((served.pair.certificate, ""))
        return told

    def are_for(self, host: str) -> bool:
        """Whether one of them names this very host, and not by a wildcard.

        :param host: in lower case.
        """
        return any(host in served.names for served in self._served)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """Take the certificate for the name that a client asks for (RFC 6066, section 3), or stay with the first."""
        if not name:
            return
        name = name.lower()
        wild = "*." + name.partition(".")[2]
        for served in self._served:
            if name in served.names or wild in served.names:
                connection.context = served.context
                return

    def _load(self, pair: Pair) -> Certificate:
        options = self._options
        stamps = pair.stamps()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = MINIMUM[options.tls_minimum]
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(self._protocols)
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.verify_mode = DEMANDS[options.client_certificates]
        if options.client_ca:
            try:
                context.load_verify_locations(options.client_ca)
            except (OSError, ssl.SSLError) as error:
                raise StartError(f"TLS: {options.client_ca} holds no authorities: {reason(error)}") from error
        self._load_pair(context, pair)
        return Certificate(pair, context, names_in(pair.certificate), stamps, stamps)

    def _load_pair(self, context: ssl.SSLContext, pair: Pair) -> None:
        asked = False

        def passphrase() -> str:
            nonlocal asked
            asked = True
            return self._options.passphrase

        try:
            context.load_cert_chain(*pair, password=passphrase)
        except (OSError, ssl.SSLError, ValueError) as error:
            why = reason(error)
            if asked and why == UNREADABLE:
                given = self._options.passphrase
                why = "the passphrase does not open the key" if given else "the key is encrypted, and there is no passphrase"
            raise StartError(f"TLS: {pair.certificate} with the key {pair.key}: {why}") from error


def reason(error: Exception) -> str:
    """Why, in a few words."""
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else UNREADABLE
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)


def names_in(path: str) -> frozenset[str]:
    """The host names that a certificate is for, lower-case; those with a wildcard begin with "*.".

    :raises StartError: the file holds no certificate.
    """
    from skitai.net import x509  # costs 40 ms, which servers without TLS need not pay

    try:
        with open(path, "rb") as file:
            return x509.names_in(file.read())
    except (OSError, ValueError) as error:
        raise StartError(f"TLS: {path} holds no certificate: {reason(error)}") from error
