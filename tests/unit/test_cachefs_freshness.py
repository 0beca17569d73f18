"""What may be stored, how long it is fresh, and what becomes of requests: RFC 9111, RFC 5861 and RFC 8246, rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.cachefs import directives
from skitai.cachefs.asked import Asked, selecting, vary_names
from skitai.cachefs.decision import Verdict, decide, helps, validators
from skitai.cachefs.freshness import age_value, initial_age, kept_fields, lifetime, may_store, policy, updated
from skitai.cachefs.record import Stored
from skitai.cachefs.reply import reply
from skitai.http.dates import format_http_date
from skitai.http.head import Fields

NOW = 1_800_000_000.0
DATE = ("Date", format_http_date(NOW))
LONG_AGO = ("Last-Modified", format_http_date(NOW - 10_000))
TAG = ("ETag", '"one"')


def fields(*pairs: tuple[str, str]) -> Fields:
    return Fields([(name.lower().encode(), value.encode("latin-1")) for name, value in pairs])


def cache_control(value: str) -> tuple[str, str]:
    return ("Cache-Control", value)


def asked(*pairs: tuple[str, str], method: str = "GET") -> Asked:
    return Asked(method, b"http://shop.example/list", fields(*pairs))


def stored(*pairs: tuple[str, str], age: float = 0.0, status: int = 200, size: int = 10) -> Stored:
    return Stored(b"key", status, fields(*pairs), NOW, age, size, 0)


# Reading Cache-Control


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("max-age=60", 60),
        ("MAX-AGE=60", 60),
        ('max-age="60"', 60),
        ("public , max-age=60 ,, ", 60),
        ("max-age=60, max-age=60", 60),
        ("extension=1;x, max-age=60", 60),
        ('extension="a, max-age=1", max-age=60', 60),
        ("max-age=99999999999999999999", directives.LONGEST_S),
        ("max-age=60, max-age=61", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=-1", 0),
        ("max-age=1.5", 0),
        ("max-age= 60", 0),
        ("max-age =60", 0),
        ("max-age=60s", 0),
        ("max-age='60'", 0),
        ("max-age=\u0660", 0),
        ("s-max-age=60", None),
        ("x-max-age=60", None),
        ("", None),
    ],
)
def test_the_argument_of_a_directive(value: str, seconds: int | None) -> None:
    assert directives.read(value).seconds("max-age") == seconds


@pytest.mark.parametrize(
    "value", ["no-store", "No-Store", "no-store=x", "no-store foo", " max-age=1,no-store", 'no-store="']
)
def test_what_forbids_is_seen_however_it_is_written(value: str) -> None:
    assert "no-store" in directives.read(value)


@given(st.text(alphabet=' \t,="\\;maxgenostrpi-0159', max_size=60))
def test_any_value_is_read(value: str) -> None:
    seconds = directives.read(value).seconds("max-age")
    assert seconds is None or 0 <= seconds <= directives.LONGEST_S


# Storing


@pytest.mark.parametrize(
    ("kept", "status", "answer"),
    [
        (True, 200, [cache_control("max-age=60")]),
        (True, 200, [cache_control("s-maxage=60")]),
        (True, 200, [("Expires", format_http_date(NOW + 60)), DATE]),
        (True, 200, [LONG_AGO, DATE]),
        (True, 200, [cache_control("no-cache"), TAG]),
        (True, 200, [cache_control("max-age=0"), LONG_AGO]),
        (True, 200, [cache_control("max-age=0, stale-while-revalidate=60")]),
        (True, 200, [("Pragma", "no-cache"), LONG_AGO]),
        (True, 404, [cache_control("max-age=60")]),
        (True, 302, [cache_control("max-age=60")]),
        (True, 500, [cache_control("max-age=60")]),
        (True, 299, [cache_control("max-age=60")]),
        (True, 404, [LONG_AGO]),
        (True, 302, [cache_control("public"), LONG_AGO]),
        (False, 302, [LONG_AGO]),
        (False, 500, [LONG_AGO]),
        (False, 200, []),
        (False, 200, [TAG]),
        (False, 200, [cache_control("no-cache")]),
        (False, 200, [cache_control("max-age=0")]),
        (False, 200, [("Expires", "0")]),
        (False, 200, [("Last-Modified", format_http_date(NOW + 60))]),
        (False, 206, [cache_control("max-age=60")]),
        (False, 200, [cache_control("max-age=60"), ("Content-Range", "bytes 0-1/2")]),
        (False, 304, [cache_control("max-age=60")]),
        (False, 401, [cache_control("max-age=60")]),
        (False, 407, [cache_control("max-age=60")]),
        (False, 412, [cache_control("max-age=60")]),
        (False, 416, [cache_control("max-age=60")]),
        (False, 199, [cache_control("max-age=60")]),
        (False, 600, [cache_control("max-age=60")]),
        (False, 200, [cache_control("max-age=60, no-store")]),
        (False, 200, [cache_control("max-age=60"), cache_control("no-store")]),
        (False, 200, [cache_control("max-age=60, private")]),
        (False, 200, [cache_control('max-age=60, private="x-user"')]),
        (False, 200, [cache_control("public, max-age=60"), ("Set-Cookie", "a=1")]),
        (False, 200, [cache_control("max-age=60"), ("Vary", "*")]),
        (False, 200, [cache_control("max-age=60"), ("Vary", "Accept, *")]),
    ],
)
def test_what_is_stored(kept: bool, status: int, answer: list[tuple[str, str]]) -> None:
    assert may_store(asked(), status, fields(*answer), NOW) is kept


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_answers_to_other_methods_are_not_stored(method: str) -> None:
    assert not may_store(asked(method=method), 200, fields(cache_control("public, max-age=60")), NOW)


def test_a_request_may_forbid_it() -> None:
    assert not may_store(asked(cache_control("no-store")), 200, fields(cache_control("max-age=60")), NOW)


@pytest.mark.parametrize("value", ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"])
def test_an_answer_to_credentials_is_stored_where_it_says_so(value: str) -> None:
    request = asked(("Authorization", "Bearer x"))
    assert may_store(request, 200, fields(cache_control(value)), NOW)
    assert decide(request.terms, stored(cache_control(value)), NOW) is Verdict.FRESH


@pytest.mark.parametrize(
    "answer", [[cache_control("max-age=60")], [LONG_AGO], [cache_control("max-age=60, proxy-revalidate")]]
)
def test_any_other_answer_to_credentials_is_not(answer: list[tuple[str, str]]) -> None:
    request = asked(("Authorization", "Bearer x"))
    assert not may_store(request, 200, fields(*answer), NOW)
    assert decide(request.terms, stored(*answer), NOW) is Verdict.MISS, "who shows credentials may get another answer"


def test_with_cookies_nothing_is_guessed() -> None:
    request = asked(("Cookie", "session=1"))
    assert not may_store(request, 200, fields(LONG_AGO, DATE), NOW)
    assert may_store(request, 200, fields(cache_control("max-age=60")), NOW)


def test_fields_of_a_connection_and_cookies_are_not_kept() -> None:
    came = fields(
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authenticate", "Basic"),
        ("Set-Cookie", "a=1"),
        ("Age", "5"),
        ("X-Cache", "HIT"),
        ("Content-Length", "3"),
        ("Content-Type", "text/plain"),
    )
    assert kept_fields(came) == ((b"content-type", b"text/plain"),)


# Lifetimes and ages


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ([cache_control("max-age=60, s-maxage=10")], 10),
        ([cache_control("max-age=60"), ("Expires", format_http_date(NOW + 600))], 60),
        ([cache_control("s-maxage=0, max-age=60")], 0),
        ([("Expires", format_http_date(NOW + 600)), ("Date", format_http_date(NOW + 500))], 100),
        ([("Expires", format_http_date(NOW + 600))], 600),
        ([("Expires", format_http_date(NOW - 600)), DATE], 0),
        ([("Expires", "tomorrow"), LONG_AGO], 0),
        ([("Expires", format_http_date(NOW + 9)), ("Expires", format_http_date(NOW + 9))], 0),
        ([LONG_AGO, DATE], 1000),
        ([LONG_AGO], 1000),
        ([("Last-Modified", format_http_date(NOW - 1e8)), DATE], 86400),
        ([("Last-Modified", format_http_date(NOW + 100)), DATE], 0),
        ([("Last-Modified", "never"), DATE], 0),
        ([cache_control("max-age=x"), LONG_AGO], 0),
        ([], 0),
    ],
)
def test_the_lifetime(answer: list[tuple[str, str]], seconds: int) -> None:
    made = fields(*answer)
    assert lifetime(200, made, policy(made, NOW), NOW) == seconds


@pytest.mark.parametrize(
    ("answer", "took", "age"),
    [
        ([DATE], 0, 0),
        ([], 3, 3),
        ([("Date", format_http_date(NOW - 40))], 3, 40),
        ([("Date", format_http_date(NOW + 40))], 3, 3),
        ([("Age", "100"), DATE], 3, 103),
        ([("Age", "100"), ("Date", format_http_date(NOW - 500))], 3, 500),
    ],
)
def test_the_age_at_arrival(answer: list[tuple[str, str]], took: float, age: float) -> None:
    assert initial_age(fields(*answer), NOW - took, NOW) == age


@pytest.mark.parametrize(
    ("value", "age"), [("7", 7), ("7, 9", 7), ("-1", 0), ("1.5", 0), ("abc", 0), ("9" * 30, directives.LONGEST_S), ("0", 0)]
)
def test_the_age_field(value: str, age: int) -> None:
    assert age_value(fields(("Age", value))) == age


def test_an_age_grows_and_a_clock_that_is_turned_back_makes_nothing_younger() -> None:
    answer = stored(cache_control("max-age=60"), age=5)
    assert [answer.age(NOW + 10), answer.age(NOW - 1000)] == [15, 5]


# Decisions


@pytest.mark.parametrize(
    ("answer", "age", "request_says", "verdict"),
    [
        ("max-age=60", 59, "", "FRESH"),
        ("max-age=60", 60, "", "VALIDATE"),
        ("max-age=60, no-cache", 0, "", "VALIDATE"),
        ('max-age=60, no-cache="x"', 0, "", "VALIDATE"),
        ("max-age=60", 0, "no-cache", "VALIDATE"),
        ("max-age=60", 20, "max-age=10", "VALIDATE"),
        ("max-age=60", 20, "max-age=20", "FRESH"),
        ("max-age=60", 1, "max-age=0", "VALIDATE"),
        ("max-age=60, immutable", 1, "max-age=0", "FRESH"),
        ("max-age=60, immutable", 1, "no-cache", "VALIDATE"),
        ("max-age=60, immutable", 61, "max-age=0", "VALIDATE"),
        ("max-age=60", 20, "min-fresh=40", "FRESH"),
        ("max-age=60", 20, "min-fresh=41", "VALIDATE"),
        ("max-age=60", 80, "max-stale", "STALE"),
        ("max-age=60", 80, "max-stale=30", "STALE"),
        ("max-age=60", 80, "max-stale=20", "VALIDATE"),
        ("max-age=60", 80, "max-stale=30, max-age=70", "VALIDATE"),
        ("max-age=60, must-revalidate", 80, "max-stale", "VALIDATE"),
        ("max-age=60, proxy-revalidate", 80, "max-stale", "VALIDATE"),
        ("s-maxage=60", 80, "max-stale", "VALIDATE"),
        ("max-age=60, stale-while-revalidate=30", 80, "", "STALE_WHILE_REVALIDATE"),
        ("s-maxage=60, stale-while-revalidate=30", 80, "", "STALE_WHILE_REVALIDATE"),
        ("max-age=60, stale-while-revalidate=20", 80, "", "VALIDATE"),
        ("max-age=60, stale-while-revalidate=30", 80, "no-cache", "VALIDATE"),
        ("max-age=60, stale-while-revalidate=30", 80, "max-age=60", "VALIDATE"),
        ("max-age=60, stale-while-revalidate=30, must-revalidate", 80, "", "VALIDATE"),
    ],
)
def test_what_becomes_of_a_request(answer: str, age: float, request_says: str, verdict: str) -> None:
    request = asked(cache_control(request_says)) if request_says else asked()
    assert decide(request.terms, stored(cache_control(answer), age=age), NOW).name == verdict


def test_pragma_counts_where_there_is_no_cache_control() -> None:
    answer = stored(cache_control("max-age=60"))
    assert decide(asked(("Pragma", "no-cache")).terms, answer, NOW) is Verdict.VALIDATE
    assert decide(asked(("Pragma", "no-cache"), cache_control("max-age=9")).terms, answer, NOW) is Verdict.FRESH


@pytest.mark.parametrize(
    ("answer", "age", "request_says", "served"),
    [
        ("max-age=60, stale-if-error=30", 80, "", True),
        ("max-age=60, stale-if-error=20", 80, "", False),
        ("max-age=60", 80, "", False),
        ("max-age=60", 80, "stale-if-error=30", True),
        ("s-maxage=60", 80, "stale-if-error=30", False),
        ("s-maxage=60, stale-if-error=30", 80, "", True),
        ("max-age=60, stale-if-error=30, must-revalidate", 80, "", False),
        ("max-age=60, stale-if-error=30, no-cache", 80, "", False),
        ("max-age=60, stale-if-error=30", 80, "no-cache", False),
    ],
)
def test_what_is_served_when_the_origin_fails(answer: str, age: float, request_says: str, served: bool) -> None:
    request = asked(cache_control(request_says)) if request_says else asked()
    assert helps(request.terms, stored(cache_control(answer), age=age), NOW) is served


@given(
    st.integers(0, 100),
    st.floats(0, 200),
    st.sampled_from(["", "no-cache", "max-age=5", "min-fresh=10", "max-stale=30", "max-stale"]),
    st.sampled_from(["", ", must-revalidate", ", proxy-revalidate", ", no-cache"]),
)
def test_nothing_stale_is_served_that_may_not_be(seconds: int, age: float, request_says: str, more: str) -> None:
    request = asked(cache_control(request_says)) if request_says else asked()
    answer = stored(cache_control(f"max-age={seconds}{more}"), age=age)
    verdict = decide(request.terms, answer, NOW)
    if verdict is Verdict.FRESH:
        assert age < seconds and "no-cache" not in more
    if age >= seconds and more:
        assert verdict is Verdict.VALIDATE
    if request_says == "no-cache":
        assert verdict is Verdict.VALIDATE


# Vary


def test_the_fields_on_which_an_answer_depends() -> None:
    assert vary_names(fields(("Vary", "Accept-Language, ACCEPT-encoding"), ("Vary", "Accept-Language"))) == (
        b"accept-encoding",
        b"accept-language",
    )
    assert vary_names(fields()) == ()
    assert vary_names(fields(("Vary", "a, *"))) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([("Accept-Encoding", "gzip, br")], [("Accept-Encoding", "BR,gzip")], True),
        ([("Accept-Encoding", "gzip;q=1")], [("Accept-Encoding", "gzip; q=1")], True),
        ([("Accept-Encoding", "gzip"), ("Accept-Encoding", "br")], [("Accept-Encoding", "gzip, br")], True),
        ([("Accept-Encoding", "gzip")], [("Accept-Encoding", "gzip, br")], False),
        ([("Accept-Encoding", "")], [], False),
        ([("X-User", "Anna")], [("X-User", "anna")], False),
        ([("X-User", "a")], [("X-User", " a ")], True),
    ],
)
def test_requests_that_select_the_same(one: list[tuple[str, str]], other: list[tuple[str, str]], same: bool) -> None:
    names = (b"accept-encoding", b"x-user")
    assert (selecting(fields(*one), names) == selecting(fields(*other), names)) is same


# Validation


def test_how_the_origin_is_asked() -> None:
    assert validators(stored(TAG, LONG_AGO)) == (
        (b"if-none-match", b'"one"'),
        (b"if-modified-since", format_http_date(NOW - 10_000).encode()),
    )
    assert validators(stored(("Last-Modified", "yesterday"))) == ()


def test_a_304_brings_news_of_the_fields_but_not_of_the_content() -> None:
    before = fields(
        TAG, ("Content-Type", "text/plain"), cache_control("max-age=1"), ("X-A", "1"), ("Content-Encoding", "gzip")
    )
    news = fields(cache_control("max-age=9"), ("Content-Type", "x/y"), ("X-B", "2"), ("Set-Cookie", "a=1"), ("Age", "3"))
    news = Fields((*news.pairs, (b"etag", b'"two"'), (b"content-encoding", b"br")))
    assert sorted(updated(before, news).pairs) == [
        (b"cache-control", b"max-age=9"),
        (b"content-encoding", b"gzip"),
        (b"content-type", b"x/y"),
        (b"etag", b'"one"'),
        (b"x-a", b"1"),
        (b"x-b", b"2"),
    ]


def test_what_has_to_be_understood_is_not_stored_for_a_strange_status() -> None:
    request = asked()
    assert may_store(request, 599, fields(cache_control("max-age=9")), NOW)
    assert not may_store(request, 599, fields(cache_control("max-age=9, must-understand")), NOW)
    assert may_store(request, 200, fields(cache_control("max-age=9, must-understand")), NOW)


# What clients get


@pytest.mark.parametrize(
    ("request_says", "status", "body"),
    [
        ([], 200, b"0123456789"),
        ([("If-None-Match", '"one"')], 304, b""),
        ([("If-None-Match", 'W/"one"')], 304, b""),
        ([("If-None-Match", '"two", "one"')], 304, b""),
        ([("If-None-Match", "*")], 304, b""),
        ([("If-None-Match", '"two"')], 200, b"0123456789"),
        ([("If-Modified-Since", format_http_date(NOW - 10_000))], 304, b""),
        ([("If-Modified-Since", format_http_date(NOW - 10_001))], 200, b"0123456789"),
        ([("If-None-Match", '"two"'), ("If-Modified-Since", format_http_date(NOW))], 200, b"0123456789"),
        ([("Range", "bytes=2-4")], 206, b"234"),
        ([("Range", "bytes=-3")], 206, b"789"),
        ([("Range", "bytes=20-")], 416, b""),
        ([("Range", "lines=1-2")], 200, b"0123456789"),
        ([("Range", "bytes=2-4"), ("If-Range", '"one"')], 206, b"234"),
        ([("Range", "bytes=2-4"), ("If-Range", '"two"')], 200, b"0123456789"),
        ([("Range", "bytes=2-4"), ("If-None-Match", '"one"')], 304, b""),
    ],
)
def test_what_a_client_gets(request_says: list[tuple[str, str]], status: int, body: bytes) -> None:
    answer = stored(TAG, LONG_AGO, cache_control("max-age=60"), ("Content-Type", "text/plain"), age=7)
    made = reply("GET", asked(*request_says).terms.wishes, answer, "HIT", NOW)
    assert (made.status, made.body(b"0123456789")) == (status, body)
    assert {"Age": "7", "X-Cache": "HIT"}.items() <= dict(made.fields).items()
    if status == 206:
        assert dict(made.fields)["Content-Range"].startswith("bytes ")
    if status == 304:
        assert "Content-Type" not in dict(made.fields) and dict(made.fields)["Etag"] == '"one"'


def test_several_parts() -> None:
    answer = stored(TAG, ("Content-Type", "text/plain"))
    made = reply("GET", asked(("Range", "bytes=0-1,8-9")).terms.wishes, answer, "HIT", NOW)
    body = made.body(b"0123456789")
    assert made.status == 206 and body.count(b"Content-Range: bytes ") == 2 and len(body) == made.size
    assert dict(made.fields)["Content-Type"].startswith("multipart/byteranges; boundary=")


def test_only_a_200_is_divided() -> None:
    answer = stored(TAG, cache_control("max-age=60"), status=404)
    assert (
        reply("GET", asked(("Range", "bytes=2-4"), ("If-None-Match", '"one"')).terms.wishes, answer, "HIT", NOW).status
        == 404
    )
