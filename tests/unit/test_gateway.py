"""What the gateway decides: tokens, roles, addresses, and how much one client may ask for."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.config.aliases import networks
from skitai.http.head import Fields, Head
from skitai.ipc.buckets import PLACES, Buckets, take
from skitai.worker.gateway import decisions
from skitai.worker.gateway.rates import client_of


def head(method: str = "GET", *pairs: tuple[str, str], length: int = 0) -> Head:
    fields = Fields([(name.encode(), value.encode("latin-1")) for name, value in pairs])
    return Head(method, "/a?b", "origin", "/a", "/a", "b", "example", "1.1", fields, length=length)


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer   a.b.c==", "a.b.c=="),
        ("BEARER a-._~+/", "a-._~+/"),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Bearer a b", ""),
        ("Bearer a, Bearer b", ""),
        ('Bearer "a"', ""),
        ("Bearer ü", ""),
        ("Bearer a=b", ""),
        ("Basic YTpi", None),
        ("Bearerabc", None),
        ("", None),
    ],
)
def test_the_token_of_a_request(value: str, token: str | None) -> None:
    assert decisions.bearer(head("GET", ("authorization", value)).fields) == token


def test_a_request_without_the_field_has_no_token() -> None:
    assert decisions.bearer(head().fields) is None


@given(st.text(max_size=40))
def test_no_text_breaks_the_search_for_a_token(text: str) -> None:
    value = "Bearer " + text
    found = decisions.bearer(Fields([(b"authorization", value.encode("utf-8", "surrogatepass"))]))
    assert found is not None
    assert found == "" or found == text.strip()


@pytest.mark.parametrize(
    ("name", "roles", "found"),
    [
        ("hans", ["user", "admin"], ("hans", ("user", "admin"))),
        ("hans", "user, admin", ("hans", ("user", "admin"))),
        ("hans", [], ("hans", ())),
        (None, ["user"], ("", ("user",))),
        ("hans", None, None),
        (None, None, None),
        (5, ["user"], ("5", ("user",))),
        (True, ["user"], None),
        (b"hans", ["user"], None),
        ("hans", 5, None),
        ("hans", [["user"]], None),
        ("hans", [""], None),
        ("hans", {"user": 1}, None),
    ],
)
def test_whom_a_token_stands_for(name: object, roles: object, found: object) -> None:
    assert decisions.holder(name, roles) == found


def test_roles() -> None:
    assert decisions.has_role([], [])
    assert decisions.has_role(["user"], [])
    assert decisions.has_role(["user", "admin"], decisions.split_roles("admin,staff"))
    assert not decisions.has_role(["user"], ["admin"])
    assert not decisions.has_role([], ["admin"])
    assert not decisions.has_role(["administrator"], ["admin"])


@pytest.mark.parametrize(
    ("source", "address", "inside"),
    [
        ("", "10.0.0.1", True),
        ("", "", True),
        ("172.30.1.0/24,192.168.1/24", "172.30.1.255", True),
        ("172.30.1.0/24,192.168.1/24", "192.168.1.7", True),
        ("172.30.1.0/24,192.168.1/24", "192.168.2.7", False),
        ("10.1.0.0/12", "10.15.255.255", True),
        ("10.1.0.0/12", "10.16.0.0", False),
        ("2001:db8::/33", "2001:db8:7fff::1", True),
        ("2001:db8::/33", "2001:db8:8000::1", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "2001:db8::1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "", False),
        ("10.0.0.0/8", "not an address", False),
    ],
)
def test_where_a_client_may_come_from(source: str, address: str, inside: bool) -> None:
    assert decisions.within(address, networks(source)) is inside


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_range_is_what_its_mask_says(address: int, network: int, bits: int) -> None:
    ranges = networks(f"{ipaddress.IPv4Address(network)}/{bits}")
    mask = (2**bits - 1) << (32 - bits)
    assert decisions.within(str(ipaddress.IPv4Address(address)), ranges) is (address & mask == network & mask)


def test_challenges() -> None:
    def told(error: decisions.Answerable) -> tuple[int, str]:
        (field,) = error.fields
        assert field[0] == "WWW-Authenticate"
        return error.status, field[1]

    assert told(decisions.wanted("the house")) == (401, 'Bearer realm="the house"')
    assert told(decisions.refused("h", "gone")) == (
        401,
        'Bearer realm="h", error="invalid_token", error_description="gone"',
    )
    assert told(decisions.forbidden("h", "no", "staff,admin")) == (
        403,
        'Bearer realm="h", error="insufficient_scope", error_description="no", scope="admin staff"',
    )


def test_preflights() -> None:
    asks = ("origin", "https://a.example"), ("access-control-request-method", "PUT")
    assert decisions.is_preflight(head("OPTIONS", *asks))
    assert not decisions.is_preflight(head("GET", *asks))
    assert not decisions.is_preflight(head("OPTIONS", asks[0]))
    assert not decisions.is_preflight(head("OPTIONS", asks[1]))
    assert not decisions.is_preflight(head("OPTIONS", *asks, length=1))


def test_the_upstream_learns_who_asks_from_us_alone() -> None:
    came = head(
        "GET", ("authorization", "Bearer a"), ("x-user", "root"), ("x_user", "root"), ("accept", "*/*"), ("X-User2", "b")
    )
    told = decisions.passed_on(came, "Jürgen 100%\r\n", "X-User", hide_token=False)
    assert told.fields.pairs == (
        (b"authorization", b"Bearer a"),
        (b"accept", b"*/*"),
        (b"X-User2", b"b"),
        (b"x-user", b"J%C3%BCrgen 100%25%0D%0A"),
    )
    nobody = decisions.passed_on(came, "", "X-User", hide_token=True)
    assert nobody.fields.pairs == ((b"accept", b"*/*"), (b"X-User2", b"b"))
    assert decisions.passed_on(came, "hans", "", hide_token=False) is came
    stripping = head("GET", ("connection", "keep-alive, X-USER , close"), ("x-user", "root"))
    assert decisions.passed_on(stripping, "hans", "X-User", hide_token=False).fields.pairs == (
        (b"connection", b"keep-alive, close"),
        (b"x-user", b"hans"),
    )
    assert (nobody.method, nobody.target, nobody.query, nobody.host) == ("GET", "/a?b", "b", "example")


# Rates

intervals = st.floats(0.001, 1000)


@given(st.lists(st.floats(0, 5), max_size=80), intervals, st.integers(1, 20))
def test_never_more_than_the_burst_and_what_the_rate_gives(gaps: list[float], interval_s: float, burst: int) -> None:
    full_at, now, passed = 0.0, 1e6, []
    for gap in gaps:
        now += gap * interval_s
        result = take(full_at, now, interval_s, burst)
        full_at = result.full_at
        if result.allowed:
            passed.append(now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            most = burst + (passed[last] - passed[first]) / interval_s
            assert last - first + 1 <= most + 1e-3


@given(intervals, st.integers(1, 20), st.integers(1, 60))
def test_who_keeps_to_the_rate_always_passes(interval_s: float, burst: int, number: int) -> None:
    full_at, now = 0.0, 1000.0
    for each in range(number):
        result = take(full_at, now + each * interval_s * 1.0001, interval_s, burst)
        assert result.allowed
        full_at = result.full_at


@given(intervals, st.integers(1, 20))
def test_a_full_bucket_holds_its_burst_and_tells_when_to_come_back(interval_s: float, burst: int) -> None:
    full_at, now = 0.0, 1000.0
    for left in reversed(range(burst)):
        result = take(full_at, now, interval_s, burst)
        assert result.allowed
        assert result.left == left
        full_at = result.full_at
    refused = take(full_at, now, interval_s, burst)
    assert not refused.allowed
    assert refused.full_at == pytest.approx(full_at)
    assert refused.wait_s == pytest.approx(interval_s, abs=1e-6)
    assert not take(full_at, now + refused.wait_s * 0.98, interval_s, burst).allowed
    assert take(full_at, now + refused.wait_s * 1.001, interval_s, burst).allowed


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_what_lies_in_a_place_locks_nobody_out_for_longer_than_a_burst(left_over: float) -> None:
    result = take(left_over, 1000.0, 0.5, 10)
    assert result.wait_s <= 0.5 + 1e-6
    assert take(result.full_at, 1010.0, 0.5, 10).allowed


def test_clients_have_buckets_of_their_own_which_all_processes_see() -> None:
    ours = Buckets.create()
    theirs = Buckets.adopt(ours.memory.hand_over())
    assert ours.take("a", 100.0, 1.0, 2).left == 1
    assert theirs.take("a", 100.0, 1.0, 2).left == 0
    assert not ours.take("a", 100.0, 1.0, 2).allowed
    assert ours.take("b", 100.0, 1.0, 2).allowed
    assert theirs.take("a", 101.0, 1.0, 2).allowed


def test_more_clients_than_places_are_allowed_more_and_never_less() -> None:
    buckets = Buckets.alone()
    assert all(buckets.take(f"client {number}", 100.0, 1.0, 1).allowed for number in range(PLACES // 8))
    again = sum(buckets.take(f"client {number}", 100.0, 1.0, 1).allowed for number in range(PLACES // 8))
    assert again < PLACES // 8 / 50


def test_a_house_with_many_addresses_is_one_client() -> None:
    assert client_of("2001:db8:1:2::1") == client_of("2001:db8:1:2:ffff::9")
    assert client_of("2001:db8:1:2::1") != client_of("2001:db8:1:3::1")
    assert client_of("::ffff:10.0.0.1") == client_of("10.0.0.1") == "10.0.0.1"
    assert client_of("") == ""
