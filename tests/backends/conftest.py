"""Servers that live as long as the test run, and who asks them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.asker import LOOPS, Asker
from tests.support.databases import PASSWORD, Mongo, Postgres, Redis, Relay, running


@pytest.fixture(params=LOOPS)
def asker(request: pytest.FixtureRequest) -> Iterator[Asker]:
    made = Asker(request.param)
    yield made
    made.close()


@pytest.fixture
def ask_with() -> Iterator[Callable[..., Asker]]:
    """Makes askers with options of their own."""
    made: list[Asker] = []

    def make(**options: object) -> Asker:
        made.append(Asker(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def relay() -> Iterator[Callable[..., Relay]]:
    made: list[Relay] = []

    def make(target: int, **options: object) -> Relay:
        made.append(Relay(target, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running(Postgres) as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    with running(lambda folder: Redis(folder, PASSWORD)) as server:
        yield server


@pytest.fixture(scope="session")
def mongo() -> Iterator[Mongo]:
    with running(Mongo) as server:
        yield server


class Authority:
    """Who signs certificates.

    :ivar file: what has to be trusted.
    """

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.file = str(folder / "authority.pem")
        self._ca.cert_pem.write_to_path(self.file)
        self.folder = folder

    def context(self, name: str) -> ssl.SSLContext:
        """For a server with a certificate for a name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(name).configure_cert(context)
        return context

    def pair(self, name: str) -> tuple[str, str]:
        """Files of a certificate, and of its key."""
        issued = self._ca.issue_cert(name)
        certificate, key = self.folder / "cert.pem", self.folder / "key.pem"
        certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, which the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    return authority
