"""What is wrong with the options of the gateway, and with what is mounted without it."""

from __future__ import annotations

from typing import Any

import pytest

from skitai.config.aliases import Alias, Member, networks
from skitai.config.guards import check_gateway
from skitai.config.mounted import Folder, Mount, Upstream, View

LONG = "x" * 32
ALIASES = {
    "open": Alias("open", "http", (Member("http", "h"),)),
    "shut": Alias("shut", "http", (Member("http", "h"),), source=networks("10.0.0.0/8")),
    "rows": Alias("rows", "sqlite3", (Member("sqlite3", "/a.db"),)),
}


def checked(*targets: Any, **values: Any) -> tuple[list[str], list[str]]:
    faults: list[str] = []
    warnings: list[str] = []
    mounts = [Mount(f"/{number}/", target, source="app.py:3") for number, target in enumerate(targets)]
    labels = {name: f"app.py:1: {name}" for name in values}
    check_gateway(values, labels, mounts, ALIASES, faults, warnings)
    return faults, warnings


def test_nothing_is_wrong_with_what_is_meant_so() -> None:
    assert checked(Folder("/srv"), Upstream("open")) == ([], [])
    assert checked(
        Upstream("open"),
        Upstream("shut"),
        View("rows"),
        gateway_auth=True,
        gateway_secret=LONG,
        gateway_realm="Das Haus, ü",
        gateway_user_field="X-Authenticated-User",
    ) == ([], [])


def test_a_database_needs_the_gateway() -> None:
    (fault,), _ = checked(View("rows"))
    assert fault.startswith("app.py:3: mount '/0': the database @rows would be everybody's to read")


def test_roles_and_ranges_mean_nothing_without_the_gateway() -> None:
    _, (warning,) = checked(Upstream("open"), Upstream("shut"))
    assert warning.startswith("app.py:3: mount '/1': without the gateway everybody reaches @shut")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"gateway_secret": "-----BEGIN PRIVATE KEY-----\n..."}, "gateway_secret: is a private key"),
        ({"gateway_secret": "-----BEGIN RSA PRIVATE KEY-----\n..."}, "gateway_secret: is a private key"),
        ({"gateway_realm": "a\r\nSet-Cookie: b"}, "gateway_realm: holds what no field can hold"),
        ({"gateway_auth": True, "gateway_user_field": "X_User"}, "gateway_user_field: 'X_User' is no name"),
        ({"gateway_auth": True, "gateway_user_field": "a b"}, "gateway_user_field: 'a b' is no name"),
        ({"gateway_auth": True, "gateway_user_field": "Host"}, "gateway_user_field: 'Host' is no name"),
    ],
)
def test_faults(values: dict[str, Any], fault: str) -> None:
    (found,), _ = checked(**values)
    assert found.startswith(f"app.py:1: {fault}")
    assert "..." not in found


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"gateway_auth": True, "gateway_secret": "secret"}, "gateway_secret: has fewer than 32 bytes"),
        ({"gateway_user_field": "X-User"}, "gateway_user_field: without gateway_auth nobody is known"),
    ],
)
def test_doubts(values: dict[str, Any], warning: str) -> None:
    faults, (found,) = checked(**values)
    assert not faults
    assert found.startswith(f"app.py:1: {warning}")
