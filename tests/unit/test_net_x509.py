"""For which hosts a certificate is."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from skitai.net.x509 import make_self_signed, names_in

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def named_by_its_subject(name: str) -> bytes:
    """What `openssl req -x509 -subj /CN=...` makes."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tea"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    certificate = x509.CertificateBuilder(subject, subject, key.public_key(), 7, NOW, NOW + datetime.timedelta(days=1))
    return certificate.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_names_that_are_listed() -> None:
    pem, _ = make_self_signed(["Shop.example", "*.shop.example", "127.0.0.1"], 1, NOW)
    assert names_in(pem) == {"shop.example", "*.shop.example"}


def test_the_subject_where_none_is_listed() -> None:
    assert names_in(named_by_its_subject("Shop.example")) == {"shop.example"}


def test_what_is_no_certificate() -> None:
    with pytest.raises(ValueError, match="PEM"):
        names_in(b"tea")
