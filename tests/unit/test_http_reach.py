"""Where a forward proxy may connect."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http.reach import PRIVATE, Address, Clients, Policy, is_loopback, port_range, rule, split_authority

ANY = ("*",)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def policy(allow: tuple[str, ...] = (), deny: tuple[str, ...] = (), **more: object) -> Policy:
    return Policy(allow, deny, ANY, ANY, **more)  # type: ignore[arg-type]


def against(what: Policy, address: str, *, host: str = "somewhere.example", port: int = 443, local: bool = False) -> str:
    return what.against_name(host, port, True) or what.against_address(host, address, port, local)


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "2001:db8::1", "10.1.2.3", "fd00::1"])
@pytest.mark.parametrize("local", [False, True])
def test_others_are_reached(address: str, local: bool) -> None:
    assert against(policy(), address, local=local) == ""


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "fe80::1",
        "fe80::1%eth0",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "nonsense",
        "",
    ],
)
@pytest.mark.parametrize("allow", [(), ("*", "169.254.0.0/16", "0.0.0.0/0", "::/0")])
def test_what_is_never_reached(address: str, allow: tuple[str, ...]) -> None:
    assert against(policy(allow), address, local=True)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"]
)
def test_loopback_is_for_those_who_are_there(address: str) -> None:
    assert "client is not" in against(policy(), address)
    assert against(policy(), address, local=True) == ""
    assert against(policy(ANY), address), "a name that leads there does not open it"
    assert against(policy(("somewhere.example",)), address)


def test_loopback_can_be_allowed_by_its_address() -> None:
    for allow in ("loopback", "localhost", "127.0.0.1", "127.0.0.0/8", "localhost:443", "[127.0.0.1]:443"):
        assert against(policy((allow,)), "127.0.0.1") == "", allow
    assert against(policy(("localhost:80", "*")), "127.0.0.1")
    assert against(policy(("[::1]:443",)), "::1") == ""


def test_only_what_is_allowed() -> None:
    some = policy(("example.com", ".example.org:443", "10.0.0.0/8", "192.0.2.0/24:8000-8999"))
    assert against(some, "198.51.100.1", host="example.com") == ""
    assert against(some, "198.51.100.1", host="www.example.com")
    assert against(some, "198.51.100.1", host="www.example.org") == against(some, "198.51.100.1", host="example.org") == ""
    assert against(some, "198.51.100.1", host="www.example.org", port=80)
    assert against(some, "198.51.100.1", host="notexample.org")
    assert against(some, "10.9.9.9") == against(some, "192.0.2.9", port=8999) == ""
    assert against(some, "192.0.2.9", port=9000)


def test_what_is_denied_goes_first() -> None:
    some = policy(("*", "10.0.0.1"), ("private", ".bad.example", "192.0.2.7:22"))
    for address in ("10.0.0.1", "192.168.1.1", "172.31.0.1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"):
        assert against(some, address) == "it is denied", address
    assert against(some, "198.51.100.1", host="very.bad.example") == "it is denied"
    assert against(some, "192.0.2.7", port=22)
    assert against(some, "192.0.2.7") == ""


def test_own_listeners_are_never_reached() -> None:
    def own(address: Address, port: int) -> bool:
        return str(address) == "127.0.0.1" and port == 5000

    some = policy(("*", "loopback"), own=own)
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        assert against(some, address, port=5000, local=True) == "it is this server itself"
    assert against(some, "127.0.0.1", port=5001) == ""


def test_ports_of_tunnels_and_of_requests() -> None:
    some = Policy((), (), ("80", "8000-8999"), ("443",))
    assert (
        some.against_name("a", 443, True) == some.against_name("a", 80, False) == some.against_name("a", 8000, False) == ""
    )
    assert some.against_name("a", 80, True) == "tunnels to port 80 are not allowed"
    assert some.against_name("a", 25, False) == "requests to port 25 are not allowed"
    assert Policy((), (), (), ANY).against_name("a", 0, True)


@given(ADDRESSES, st.booleans())
def test_a_mapped_address_is_judged_as_what_it_is(address: IPv4Address | IPv6Address, local: bool) -> None:
    if isinstance(address, IPv4Address):
        for prefix in ("::ffff:", "64:ff9b::"):
            assert bool(against(policy(), f"{prefix}{address}", local=local)) == bool(
                against(policy(), str(address), local=local)
            )


@given(ADDRESSES, st.booleans())
def test_no_address_of_this_host_or_link_is_reached_by_others(address: IPv4Address | IPv6Address, local: bool) -> None:
    said = against(policy(), str(address), local=local)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        assert said
    elif address.is_loopback:
        assert bool(said) is not local
    elif address.is_global and address.version == 4:
        assert said == ""


@given(ADDRESSES, st.lists(ADDRESSES, max_size=3), st.lists(ADDRESSES, max_size=3), st.booleans())
def test_lists_only_ever_say_less_but_for_loopback(
    address: IPv4Address | IPv6Address, allow: list[object], deny: list[object], local: bool
) -> None:
    free = against(policy(), str(address), local=local)
    bound = against(policy(tuple(map(str, allow)), tuple(map(str, deny))), str(address), local=local)
    if free and not is_loopback(str(address)):
        assert bound
    if address in deny:
        assert bound
    if allow and address not in allow and not bound:
        raise AssertionError(f"{address} is not allowed")


@given(st.text(max_size=30))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        rule(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "example.com:0-",
        "example.com:http",
        "10.0.0.0/40",
        "[::1",
        "[::1]x",
        "1.2.3",
        "1.2.3.4.5",
        "a:1:2",
        "-:70000",
    ],
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match="port|bracket|is not a host"):
        rule(text)


def test_ports_are_read() -> None:
    assert port_range("443") == (443, 443)
    assert port_range("1-65535") == (1, 65535)
    assert port_range("*") == (0, 65535)
    for text in ("", "x", "5-4", "65536", "1-2-3", "-1"):
        with pytest.raises(ValueError, match="no port"):
            port_range(text)


def test_clients() -> None:
    some = Clients(("loopback", "private", "192.0.2.1"))
    assert all(each in some for each in (ip_address("127.0.0.1"), ip_address("10.0.0.9"), ip_address("192.0.2.1"), None))
    assert ip_address("192.0.2.2") not in some
    assert ip_address("192.0.2.2") in Clients(ANY)
    assert None not in Clients(("private",))
    for text in ("example.com", "10.0.0.1:80"):
        with pytest.raises(ValueError, match="networks alone"):
            Clients((text,))


def test_authorities() -> None:
    assert split_authority("Example.COM.:443") == ("example.com", 443)
    assert split_authority("[::1]:443") == ("::1", 443)
    assert split_authority("a", 80) == split_authority("a:", 80) == ("a", 80)
    assert split_authority("[::1]", 80) == ("::1", 80)
    for text in ("", ":80", "a:0", "a:65536", "a:x", "[]:1", "a"):
        with pytest.raises(ValueError, match="not a host and a port"):
            split_authority(text)


def test_the_networks_of_a_word() -> None:
    assert ip_network("10.0.0.0/8") in PRIVATE
    assert is_loopback("") and is_loopback("::ffff:127.0.0.2")
    assert not is_loopback("10.0.0.1") and not is_loopback("x")
