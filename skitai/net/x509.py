"""Certificates as things: the names in one, and making one for development."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def names_in(data: bytes) -> frozenset[str]:
    """The host names that a certificate is for, lower-case; those with a wildcard begin with "*.".

    Where it lists none, as those that are made by `openssl req` alone, it is for its subject.

    :param data: PEM; the first certificate counts.
    :raises ValueError: there is none.
    """
    certificate = x509.load_pem_x509_certificate(data)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        subjects = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return frozenset(str(each.value).lower() for each in subjects)
    return frozenset(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def make_self_signed(names: Sequence[str], days: float, now: datetime.datetime) -> tuple[bytes, bytes]:
    """A certificate that vouches for itself, and its key.

    :param names: host names and IP addresses; the first is its subject.
    :returns: certificate and key, PEM.
    :raises ValueError: a name is none.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), encoded


def write_pair(certfile: str, keyfile: str, pair: tuple[bytes, bytes]) -> None:
    """Write certificate and key; the key for its owner alone.

    :raises FileExistsError: one of the files is there already; nothing is changed then.
    """
    for path in (certfile, keyfile):
        if os.path.lexists(path):
            raise FileExistsError(path)
    for path, data, mode in ((keyfile, pair[1], 0o600), (certfile, pair[0], 0o644)):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
