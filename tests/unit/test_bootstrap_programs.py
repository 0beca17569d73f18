"""The programs of a server, and of a helper that runs alone."""

from __future__ import annotations

import os

import pytest

from skitai.bootstrap.programs import programs, run_helper
from skitai.config.sections.guarding import Gateway
from skitai.config.sections.helping import Cron, Job, Smtpda
from skitai.config.sections.serving import Server
from skitai.config.tree import Config
from skitai.errors import StartError


def named(config: Config) -> list[tuple[str, int, bool, str]]:
    return [(each.name, each.count, each.helper, each.label(3)) for each in programs(config)]


def test_helpers_stand_beside_the_workers_where_they_are_wanted() -> None:
    assert named(Config(server=Server(workers=2))) == [("worker", 2, False, "worker #3")]
    both = Config(smtpda=Smtpda(enabled=True), cron=Cron(jobs=(Job("@daily", "true"),)))
    assert named(both)[1:] == [("smtpda", 1, True, "smtpda"), ("cron", 1, True, "cron")]


@pytest.mark.parametrize("helper", ["smtpda", "cron"])
def test_a_helper_alone_has_no_workers(helper: str) -> None:
    assert named(Config(helper=helper)) == [(helper, 1, True, helper)]


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StartError, match="no engine is named 'turbo'"):
        programs(Config(server=Server(engine="turbo")))


def test_a_public_key_that_is_none_is_refused() -> None:
    broken = "-----BEGIN PUBLIC KEY-----\nnone\n-----END PUBLIC KEY-----"
    with pytest.raises(StartError, match="gateway_secret: it is no public key"):
        programs(Config(gateway=Gateway(gateway_auth=True, gateway_secret=broken)))


def secret_in_sight(child: object) -> int:
    return int("SKITAI_SMTPDA_PASSWORD" in os.environ)


def test_what_a_helper_starts_finds_no_password_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKITAI_SMTPDA_PASSWORD", "sesame")
    assert secret_in_sight(None) == 1
    assert run_helper(f"{__name__}:secret_in_sight", None) == 0  # type: ignore[arg-type]
