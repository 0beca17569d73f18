"""The options of the forward proxy."""

from __future__ import annotations

from typing import Any

import pytest

from skitai.config.check import World, build
from skitai.config.draft import Draft, MountCall
from skitai.config.pref import Preference
from skitai.config.targets import Seen
from skitai.config.tree import Config
from skitai.errors import ConfigError

WORLD = World(look=lambda path: Seen.FOLDER, address=lambda text: text)


def built(**options: Any) -> Config:
    draft = Draft("/site/app.py")
    draft.closed = True
    for name, value in options.items():
        draft.set(name, value, "app.py:1")
    draft.mounts.append(MountCall("/", "/site/static/", "app", "default", Preference(), (), "app.py:2"))
    return build(draft, {}, {}, None, WORLD)


def test_it_is_off_and_careful_by_default() -> None:
    options = built().forward_proxy
    assert not options.forward_proxy
    assert options.proxy_clients == ("loopback", "private")
    assert options.proxy_tunnel_ports == ("443",)
    assert (options.proxy_channel_s, options.proxy_tunnel_s) == (60, 600)


def test_lists_may_be_text() -> None:
    options = built(proxy_allow="example.com, .example.org:443", proxy_tunnel_ports="443 8000-8999").forward_proxy
    assert options.proxy_allow == ("example.com", ".example.org:443")
    assert options.proxy_tunnel_ports == ("443", "8000-8999")


@pytest.mark.parametrize(
    ("option", "value", "fault"),
    [
        ("proxy_clients", ["example.com"], "clients are known by their networks"),
        ("proxy_allow", ["example.com/path"], "is not a host"),
        ("proxy_deny", ["10.0.0.0/99"], "is not a host"),
        ("proxy_ports", ["http"], "is no port"),
        ("proxy_tunnel_ports", ["9-1"], "is no port"),
        ("proxy_users", ["secretword"], "is not NAME:PASSWORD"),
        ("proxy_users", [":secretword"], "is not NAME:PASSWORD"),
    ],
)
def test_what_cannot_be_read_is_a_fault(option: str, value: list[str], fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        built(**{option: value})
    assert any(line.startswith("app.py:1") and fault in line for line in refused.value.faults), refused.value.faults
    assert "secretword" not in str(refused.value)


def test_a_proxy_for_everybody_is_doubted() -> None:
    assert any("may use it as a proxy" in line for line in built(forward_proxy=True, proxy_clients="*").warnings)
    assert not built(forward_proxy=True, proxy_clients="*", proxy_users=["ann:secret"]).warnings
    assert not built(proxy_clients="*").warnings
