"""The client's address behind trusted proxies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http.forwarded import LOOPBACK, Trusted, client

PROXIES = Trusted(("10.0.0.0/8", "192.0.2.1", "2001:db8::/32"))


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert client("203.0.113.9", "198.51.100.1", Trusted(())) == "203.0.113.9"


def test_a_stranger_is_not_believed() -> None:
    assert client("203.0.113.9", "198.51.100.1", PROXIES) == "203.0.113.9"


def test_a_trusted_proxy_is_believed() -> None:
    assert client("10.1.2.3", "198.51.100.1", PROXIES) == "198.51.100.1"
    assert client("2001:db8::5", "198.51.100.1", PROXIES) == "198.51.100.1"


def test_the_chain_is_read_from_its_end() -> None:
    assert client("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", PROXIES) == "198.51.100.1"
    assert client("10.0.0.1", "6.6.6.6,198.51.100.1", PROXIES) == "198.51.100.1"


def test_a_chain_of_proxies_alone_ends_at_the_farthest() -> None:
    assert client("10.0.0.1", "10.0.0.3, 10.0.0.2", PROXIES) == "10.0.0.3"


@pytest.mark.parametrize("junk", ["", "unknown", "_hidden", "10.0.0.999", "<script>", "1.2.3.4.5", "a:b"])
def test_an_entry_that_is_no_address_ends_the_walk(junk: str) -> None:
    assert client("10.0.0.1", f"198.51.100.1, {junk}", PROXIES) == "10.0.0.1"


def test_ports_are_left_out() -> None:
    assert client("10.0.0.1", "198.51.100.1:4711", PROXIES) == "198.51.100.1"
    assert client("10.0.0.1", "[2001:db9::1]:4711", PROXIES) == "2001:db9::1"
    assert client("10.0.0.1", "2001:db9::1", PROXIES) == "2001:db9::1"


def test_ipv4_in_ipv6_is_ipv4() -> None:
    assert client("::ffff:10.0.0.1", "198.51.100.1", PROXIES) == "198.51.100.1"
    assert client("::ffff:203.0.113.9", "198.51.100.1", PROXIES) == "::ffff:203.0.113.9"


def test_peers_on_a_unix_socket_are_trusted_by_name() -> None:
    assert client("", "198.51.100.1", PROXIES) == ""
    assert client("", "198.51.100.1", Trusted(("unix",))) == "198.51.100.1"
    assert client("10.0.0.1", "198.51.100.1", Trusted(("unix",))) == "10.0.0.1"


def test_loopback_is_trusted_when_asked_for() -> None:
    assert client("127.0.0.1", "198.51.100.1", Trusted(LOOPBACK)) == "198.51.100.1"
    assert client("::1", "198.51.100.1", Trusted(LOOPBACK)) == "198.51.100.1"


def test_a_network_may_be_named_by_any_address_in_it() -> None:
    assert "10.9.9.9" in Trusted(("10.1.2.3/8",))


def test_a_name_that_is_no_network_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"proxy\.example"):
        Trusted(("proxy.example",))


def test_whom_it_trusts_is_shown() -> None:
    assert repr(Trusted(("10.0.0.0/8", "unix"))) == "<Trusted 10.0.0.0/8 unix>"
    assert not Trusted(())
    assert Trusted(("unix",))


@given(st.text(max_size=60))
def test_any_field_value_gives_an_address_that_was_named_or_the_peer(value: str) -> None:
    assert client("203.0.113.9", value, PROXIES) == "203.0.113.9"
    assert client("10.0.0.1", value, PROXIES)
