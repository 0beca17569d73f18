"""What is mounted by an alias, behind the gateway: who comes in, who does not, and how the others hear of it."""

from __future__ import annotations

import asyncio
import gc
import hmac
import json
import logging
import socket
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.server import serve as websocket_server

from skitai.config.aliases import Alias, member, networks
from skitai.config.mounted import Upstream as Target
from skitai.lib.jwt import gen_token
from skitai.saddle.wac import wac
from skitai.was import was
from skitai.worker.gateway.guard import NO_HANDLER, Pending
from skitai.worker.http1.exchange import Http1Exchange
from tests.support.http2 import http2
from tests.support.memory import Wire, mounted, wait_for, wire
from tests.support.upstream import Upstream, upstream
from tests.support.websocket import handshake, opened

KEY = "8fa06210-e109-11e6-934f-001b216d6e71"
GOOD = gen_token(KEY, {"user": "hans", "roles": ["user"]})
Served = Callable[..., Wire]


class Authorizer:
    """As the documentation has it."""

    def __init__(self) -> None:
        self.tokens = {"12345678-1234-123456": ("hansroh", ["user", "admin"], 0), "old": ("old", ["user"], 1)}
        self.threads: list[int] = []

    def handle_token(self, handler: Any, request: Any) -> None:
        self.threads.append(threading.get_ident())
        username, roles, expires = self.tokens.get(request.token, (None, None, 0))
        if expires and expires < time.time():
            handler.continue_request(request)
            return
        handler.continue_request(request, username, roles)

    def handle_claim(self, handler: Any, request: Any) -> None:
        claim = request.claim
        handler.continue_request(request, claim.get("user"), claim.get("roles"))


@pytest.fixture(scope="module")
def members() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture
def serve(members: Upstream, threads: int) -> Iterator[Served]:
    """A gateway before `members`, at ``/members``."""
    with ExitStack() as running:

        def start(role: str = "", source: str = "", authorizer: Any = None, **values: Any) -> Wire:
            made = Alias("members", "http", (member("http", members.place),), role, networks(source))
            options = {"gateway_auth": True, "gateway_secret": KEY, "trusted_proxies": ("unix",)} | values
            mount = mounted("/members/", Target("members"))
            served = running.enter_context(wire(mount, aliases=(made,), threads=threads, **options))
            wac.handler.set_auth_handler(authorizer)
            return served

        yield start
        wac.handler.set_auth_handler(None)


def ask(server: Wire, token: str | None = None, path: str = "/members/a", **fields: str) -> tuple[int, Any, Any]:
    if token is not None:
        fields["Authorization"] = f"Bearer {token}"
    status, told, body = server.get(path, **fields)
    return status, told, json.loads(body) if told.get("content-type") == "application/json" else body


def test_without_a_token_nobody_comes_in(serve: Served, members: Upstream) -> None:
    server = serve(authorizer=Authorizer())
    before = len(members.asked)
    status, fields, _ = ask(server)
    assert (status, fields["www-authenticate"]) == (401, 'Bearer realm="Skitai API Gateway"')
    status, fields, _ = server.get("/members/a", Authorization="Basic YTpi")
    assert (status, fields["www-authenticate"]) == (401, 'Bearer realm="Skitai API Gateway"')
    for token in ("", "a b", "unknown", "old", "a.b.c", "a.b.c.d.e", '"x"'):
        status, fields, _ = ask(server, token)
        assert status == 401, token
        assert fields["www-authenticate"].startswith('Bearer realm="Skitai API Gateway", error="invalid_token"')
    status, _, _ = ask(server, path="/members/a?access_token=12345678-1234-123456")
    assert status == 401
    assert len(members.asked) == before


def test_a_known_token_comes_in(serve: Served) -> None:
    server = serve(authorizer=Authorizer())
    status, _, said = ask(server, "12345678-1234-123456", "/members/a?b=c")
    assert (status, said["query"]) == (200, {"b": "c"})
    assert said["fields"]["authorization"] == "Bearer 12345678-1234-123456"
    wait_for(lambda: server.log.lines)
    assert ' "hansroh" ' in server.log.lines[-1]
    assert "12345678-1234-123456" not in server.log.lines[-1]


def test_a_body_comes_in_with_its_token_and_not_without(serve: Served, members: Upstream) -> None:
    server = serve(authorizer=Authorizer())
    body = b"x" * 300_000
    lines = "POST /members/a HTTP/1.1\r\nHost: example\r\nContent-Length: 300000\r\n"
    good = f"{lines}Authorization: Bearer 12345678-1234-123456\r\n\r\n".encode()
    status, _, said = server.ask(good + body)
    assert (status, json.loads(said)["body"]) == (200, body.decode())
    before = len(members.asked)
    client = server.connect()
    status, fields, _ = client.ask(f"{lines}Expect: 100-continue\r\n\r\n".encode())  # and nobody says 100
    assert (status, fields["www-authenticate"]) == (401, 'Bearer realm="Skitai API Gateway"')
    assert len(members.asked) == before


def test_a_connection_survives_a_refusal(serve: Served) -> None:
    client = serve().connect()
    post = b"POST /members/a HTTP/1.1\r\nHost: example\r\nContent-Length: 300000\r\n\r\n"
    for _ in range(2):
        assert client.ask(post + b"x" * 300_000)[0] == 401
        good = f"GET /members/a HTTP/1.1\r\nHost: example\r\nAuthorization: Bearer {GOOD}\r\n\r\n"
        assert client.ask(good.encode())[0] == 200


def test_json_web_tokens_need_no_authorizer(serve: Served, caplog: pytest.LogCaptureFixture) -> None:
    server = serve()
    token = gen_token(KEY, {"user": "Hans Roh", "roles": ["user"]})
    assert ask(server, token)[0] == 200
    wait_for(lambda: server.log.lines)
    assert ' "Hans Roh" ' in server.log.lines[-1]
    status, fields, _ = ask(server, "12345678-1234-123456")
    assert status == 401
    assert 'error="invalid_token"' in fields["www-authenticate"]
    assert NO_HANDLER in caplog.text
    assert "12345678-1234-123456" not in caplog.text


now = time.time()
HOUR = 3600
"""The tests that this file is collected with may run for so long before its own."""


@pytest.mark.parametrize("authorizer", [None, Authorizer()], ids=["claims", "authorizer"])
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"user": "a", "roles": ["user"], "exp": now + HOUR, "expires": now + HOUR, "nbf": now - 1}, 200),
        ({"user": "a", "roles": "user, other"}, 200),
        ({"user": "a", "roles": []}, 200),
        ({"roles": ["user"]}, 200),
        ({"user": "a", "roles": ["user"], "exp": now - 1}, 401),
        ({"user": "a", "roles": ["user"], "expires": now - 1}, 401),
        ({"user": "a", "roles": ["user"], "exp": now + HOUR, "expires": now - 1}, 401),
        ({"user": "a", "roles": ["user"], "nbf": now + HOUR}, 401),
        ({"user": "a", "roles": ["user"], "exp": "soon"}, 401),
        ({"user": "a"}, 401),
        ({"user": ["a"], "roles": ["user"]}, 401),
        ({"user": "a", "roles": 5}, 401),
        ({"user": "a", "roles": [5]}, 401),
        ({}, 401),
    ],
)
def test_claims(serve: Served, claims: dict[str, Any], status: int, authorizer: Any) -> None:
    server = serve(authorizer=authorizer)
    for _ in range(2):
        assert ask(server, gen_token(KEY, claims))[0] == status


def test_no_changed_token_comes_in(serve: Served) -> None:
    server = serve()
    assert ask(server, GOOD)[0] == 200
    client = server.connect()

    @given(
        st.integers(0, len(GOOD) - 1), st.sampled_from("Aa0-_.=/ZQ"), st.sampled_from(["replace", "insert", "cut", "drop"])
    )
    def changed(place: int, letter: str, how: str) -> None:
        token = {
            "replace": GOOD[:place] + letter + GOOD[place + 1 :],
            "insert": GOOD[:place] + letter + GOOD[place:],
            "cut": GOOD[:place],
            "drop": GOOD[:place] + GOOD[place + 1 :],
        }[how]
        status, _, _ = client.ask(f"GET /members/a HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert status == (200 if token == GOOD else 401), token

    changed()


def test_tokens_do_not_choose_their_key(serve: Served) -> None:
    import jwt

    server = serve()
    claims = {"user": "root", "roles": ["admin"]}
    own = "a key of the sender's own, of more than thirty-two bytes"
    url = {"jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/keys"}
    for token in (
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, own, "HS256", headers={"jwk": {"kty": "oct", "k": "YQ"}}),
        jwt.encode(claims, own, "HS256", headers=url),
        jwt.encode(claims, own, "HS256", headers={"kid": "../../dev/null"}),
        jwt.encode(claims, KEY, "HS256", headers={"crit": ["x"], "x": 1}),
    ):
        assert ask(server, token)[0] == 401


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_takes_its_own_algorithms_alone(serve: Served, algorithm: str) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    private: Any = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }[algorithm]()
    secret = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    server = serve(gateway_secret=public.decode())
    claims = {"user": "hans", "roles": ["user"]}
    assert ask(server, gen_token(secret, claims, algorithm))[0] == 200
    forged = gen_token("x" * 40, claims)
    head, _, _ = forged.rpartition(".")
    signed = hmac.digest(public, head.encode(), "sha256")  # the public key as the secret of HS256
    confused = head + "." + urlsafe_b64encode(signed).decode().rstrip("=")
    for token in (forged, confused):
        assert ask(server, token)[0] == 401


def test_roles_of_the_alias(serve: Served) -> None:
    server = serve(role="admin, staff", authorizer=Authorizer())
    assert ask(server, "12345678-1234-123456")[0] == 200
    assert ask(server, gen_token(KEY, {"user": "a", "roles": ["staff"]}))[0] == 200
    status, fields, _ = ask(server, gen_token(KEY, {"user": "a", "roles": ["user"]}))
    assert status == 403
    assert 'error="insufficient_scope"' in fields["www-authenticate"]
    assert 'scope="admin staff"' in fields["www-authenticate"]
    assert ask(server, gen_token(KEY, {"user": "a", "roles": []}))[0] == 403


def test_where_the_alias_lets_in_from(serve: Served) -> None:
    server = serve(source="172.30.1.0/24,192.168.1/24,2001:db8::/32")
    for address, status in (
        ("172.30.1.9", 200),
        ("192.168.1.200", 200),
        ("2001:db8::9", 200),
        ("172.30.2.9", 403),
        ("2001:db9::9", 403),
        ("nonsense", 403),
    ):
        assert ask(server, GOOD, X_Forwarded_For=address)[0] == status, address
    status, fields, _ = ask(server, GOOD)  # from a Unix socket, which is nowhere
    assert status == 403
    assert 'error="insufficient_scope"' in fields["www-authenticate"]
    assert ask(server, X_Forwarded_For="10.0.0.1")[0] == 401


def test_who_is_no_trusted_proxy_does_not_say_where_he_is(serve: Served) -> None:
    server = serve(source="172.30.1.0/24", trusted_proxies=())
    assert ask(server, GOOD, X_Forwarded_For="172.30.1.9")[0] == 403


# Authorizers


class Does:
    """Does what a test wants."""

    def __init__(self, token: Any) -> None:
        self.handle_token = token


def test_one_that_raises_is_a_fault_of_ours(serve: Served, caplog: pytest.LogCaptureFixture) -> None:
    def raises(handler: Any, request: Any) -> None:
        raise LookupError("no such table")

    server = serve(authorizer=Does(raises))
    status, _, body = ask(server, "abc")
    assert status == 500
    assert b"no such table" not in body
    assert "no such table" in caplog.text


async def raises_later(handler: Any, request: Any) -> None:
    await asyncio.sleep(0)
    raise LookupError("no such table")


def test_a_coroutine_that_raises_is_one_too(serve: Served, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(authorizer=Does(raises_later))
    assert ask(server, "abc")[0] == 500
    assert "no such table" in caplog.text


def leaves(handler: Any, request: Any) -> None:
    raise SystemExit(3)


def test_one_that_wants_to_end_the_process_ends_its_request(serve: Served) -> None:
    server = serve(authorizer=Does(leaves))
    assert ask(server, "abc")[0] == 500
    assert ask(server, GOOD)[0] == 200


def forgets(handler: Any, request: Any) -> None: ...


async def sleeps(handler: Any, request: Any) -> None:
    await asyncio.get_running_loop().create_future()


def decides_at_once(handler: Any, request: Any) -> None:
    handler.continue_request(request, "hans", ["user"] if request.token == "abc" else None)


async def decides_in_the_loop(handler: Any, request: Any) -> None:
    await asyncio.sleep(0)
    decides_at_once(handler, request)


@pytest.mark.parametrize("function", [forgets, sleeps])
def test_one_that_never_decides_is_waited_for_so_long(serve: Served, function: Any, members: Upstream) -> None:
    server = serve(authorizer=Does(function), gateway_wait_s=0.1)
    before = len(members.asked)
    assert ask(server, "abc")[0] == 504
    assert len(members.asked) == before


def test_what_is_decided_too_late_or_twice_changes_nothing(serve: Served, members: Upstream) -> None:
    kept: list[Any] = []

    def twice(handler: Any, request: Any) -> None:
        kept.append((handler, request))
        if request.token != "late":
            handler.continue_request(request)
            handler.continue_request(request, "root", ["admin"])

    server = serve(authorizer=Does(twice), gateway_wait_s=0.1)
    before = len(members.asked)
    assert ask(server, "abc")[0] == 401
    assert ask(server, "late")[0] == 504
    handler, request = kept[-1]
    handler.continue_request(request, "root", ["admin"])
    assert ask(server, "abc")[0] == 401
    assert len(members.asked) == before
    with pytest.raises(TypeError, match="request of the gateway"):
        handler.continue_request(None, "root", ["admin"])


def test_an_authorizer_decides_later_from_any_thread(serve: Served) -> None:
    def later(handler: Any, request: Any) -> None:
        threading.Timer(0.02, handler.continue_request, (request, "hans", ["user"])).start()

    server = serve(authorizer=Does(later))
    status, _, said = ask(server, "abc")
    assert (status, said["path"]) == (200, "/a")


def test_coroutine_functions_have_was_and_the_loop(serve: Served, members: Upstream) -> None:
    async def asks(handler: Any, request: Any) -> None:
        result = await was.get(f"http://{members.place}/text/hans")
        handler.continue_request(request, result.content.decode(), ["user"])

    server = serve(authorizer=Does(asks))
    assert ask(server, "abc")[0] == 200
    wait_for(lambda: server.log.lines)
    assert ' "hans" ' in server.log.lines[-1]


def test_callbacks_of_requests_decide(serve: Served, members: Upstream) -> None:
    class Asking:
        def handle_answer(self, response: Any, handler: Any, request: Any) -> None:
            if response.content == b"broken":
                raise LookupError("in a callback")
            handler.continue_request(request, response.content.decode(), ["user"])

        def handle_token(self, handler: Any, request: Any) -> None:
            was.get(f"http://{members.place}/text/{request.token}", callback=(self.handle_answer, (handler, request)))

    server = serve(authorizer=Asking())
    assert ask(server, "hans")[0] == 200
    wait_for(lambda: server.log.lines)
    assert ' "hans" ' in server.log.lines[-1]
    assert ask(server, "broken")[0] == 500


def test_plain_functions_run_in_threads_where_there_are_some(serve: Served, threads: int) -> None:
    authorizer = Authorizer()
    server = serve(authorizer=authorizer)
    loop = server.on_loop(threading.get_ident)
    assert ask(server, "12345678-1234-123456")[0] == 200
    assert (authorizer.threads[-1] == loop) is (threads == 0)


def test_what_an_authorizer_sees(serve: Served) -> None:
    seen: list[Any] = []

    def looks(handler: Any, request: Any) -> None:
        seen.append((request.token, request.claim, request.user, request.method, request.uri, request.alias))
        seen.append((request.get_header("X-Word"), request.headers["x-word"], request.get_remote_addr(), repr(request)))
        handler.continue_request(request, "hans", ["user"])
        seen.append((request.user.name, request.user.roles, request.user.realm, str(request.user)))

    server = serve(authorizer=Does(looks), gateway_realm="here")
    assert ask(server, "abc", "/members/a?b", X_Word="w", X_Forwarded_For="10.0.0.9")[0] == 200
    assert seen == [
        ("abc", None, None, "GET", "/members/a?b", "members"),
        ("w", "w", "10.0.0.9", "<GatewayRequest GET /members/a?b @members>"),
        ("hans", ("user",), "here", "hans"),
    ]


def decides_later(handler: Any, request: Any) -> None:
    threading.Timer(0.02, handler.continue_request, (request, "hans", ["user"] if request.token == "abc" else None)).start()


def count(kind: type) -> int:
    return sum(type(each) is kind for each in gc.get_objects())


@pytest.mark.parametrize("function", [decides_at_once, decides_in_the_loop, raises_later, forgets, sleeps])
def test_a_request_that_is_answered_is_gone(serve: Served, function: Any) -> None:
    server = serve(authorizer=Does(function), gateway_wait_s=0.02)
    statuses = {ask(server, token)[0] for token in ("abc", "no", GOOD)}
    assert statuses
    gc.collect()
    others = {kind: count(kind) for kind in (Pending, Http1Exchange)}  # what tests before this one have left
    gc.disable()
    logging.disable()  # for pytest keeps what is logged, and with it the frames of a traceback
    try:
        for _ in range(10):
            for token in ("abc", "no", GOOD):
                ask(server, token)
        server.on_loop(lambda: None)
        for kind, before in others.items():
            assert count(kind) <= before + 2
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


def test_a_client_that_leaves_is_not_waited_for(serve: Served, members: Upstream) -> None:
    kept: list[Any] = []

    def keeps(handler: Any, request: Any) -> None:
        kept.append((handler, request))

    server = serve(authorizer=Does(keeps))
    client = server.connect()
    before = len(members.asked)
    client.send(b"GET /members/a HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer a\r\n\r\n")
    wait_for(lambda: kept)
    client.close()
    wait_for(lambda: not server.services.connections)
    handler, request = kept[0]
    handler.continue_request(request, "hans", ["user"])
    assert ask(server, GOOD)[0] == 200
    assert len(members.asked) == before + 1


def test_a_client_that_sends_no_more_is_answered_or_let_go(serve: Served) -> None:
    server = serve(authorizer=Does(decides_later), gateway_wait_s=0.5)
    client = server.connect()
    client.send(b"GET /members/a HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer no\r\n\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.response()[0] == 401
    wac.handler.set_auth_handler(Does(forgets))
    client = server.connect()
    client.send(b"GET /members/a HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer no\r\n\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    client.read()
    wait_for(lambda: not server.services.connections)


def test_only_who_can_decide_becomes_an_authorizer(serve: Served) -> None:
    serve()
    with pytest.raises(TypeError, match="neither"):
        wac.handler.set_auth_handler(object())


# Other protocols


def test_over_http2_with_a_body(serve: Served, members: Upstream) -> None:
    server = serve(authorizer=Does(decides_later))
    client = http2(server)
    before = len(members.asked)
    assert client.ask("/members/a", "POST", body=b"x" * 40_000).status == 401
    refused = client.ask("/members/a", "POST", [("authorization", "Bearer a b")], body=b"x")
    assert (refused.status, 'error="invalid_token"' in refused.fields["www-authenticate"]) == (401, True)
    assert len(members.asked) == before
    fields = [("authorization", "Bearer abc"), ("content-length", "40000")]
    passed = client.ask("/members/a", "POST", fields, body=b"x" * 40_000)
    assert (passed.status, json.loads(passed.body)["body"]) == (200, "x" * 40_000)
    assert client.ask("/members/b", fields=[("authorization", f"Bearer {GOOD}")]).status == 200


def test_calls_of_grpc_are_refused_in_their_own_words(serve: Served, members: Upstream) -> None:
    client = http2(serve(role="admin"))
    before = len(members.asked)
    grpc = [("content-type", "application/grpc"), ("te", "trailers")]
    for fields, status in ((grpc, "16"), ([*grpc, ("authorization", f"Bearer {GOOD}")], "7")):
        answer = client.ask("/members/Service/Method", "POST", fields, body=b"\0\0\0\0\0")
        assert (answer.status, {**answer.fields, **answer.trailers}["grpc-status"]) == (200, status)
    assert len(members.asked) == before


def test_handshakes_of_websocket_need_a_token(serve: Served, members: Upstream) -> None:
    server = serve(authorizer=Does(decides_later))
    before = len(members.asked)
    assert server.ask(handshake("/members/ws"))[0] == 401
    assert server.ask(handshake("/members/ws", Authorization="Bearer no"))[0] != 101
    assert len(members.asked) == before


def test_a_connection_of_websocket_is_opened_once_its_authorizer_has_decided(threads: int) -> None:
    def echo(connection: Any) -> None:
        for message in connection:
            connection.send(message)

    with websocket_server(echo, "127.0.0.1", 0) as upstream_:
        running = threading.Thread(target=upstream_.serve_forever)
        running.start()
        made = Alias("members", "http", (member("http", f"127.0.0.1:{upstream_.socket.getsockname()[1]}"),), "", ())
        mount = mounted("/members/", Target("members"))
        with wire(mount, aliases=(made,), threads=threads, gateway_auth=True) as server:
            wac.handler.set_auth_handler(Does(decides_later))
            socket_ = opened(server, "/members/ws", Authorization="Bearer abc")
            socket_.text("hello")
            assert socket_.hears() == "hello"
            socket_.client.close()
        wac.handler.set_auth_handler(None)
        upstream_.shutdown()
        running.join(10)


# What the upstream hears


def test_the_upstream_hears_who_asks_where_that_is_wanted(serve: Served) -> None:
    server = serve(gateway_user_field="X-Authenticated-User", gateway_hide_token=True)
    for _ in range(2):
        _, _, said = ask(server, GOOD, X_Authenticated_User="root")
        assert said["fields"]["x-authenticated-user"] == "hans"
        assert "authorization" not in said["fields"]


def test_a_client_does_not_keep_it_from_hearing(serve: Served) -> None:
    server = serve(gateway_user_field="X-Authenticated-User")
    _, _, said = ask(server, GOOD, Connection="X-Authenticated-User", X_Authenticated_User="root")
    assert said["fields"]["x-authenticated-user"] == "hans"


def test_preflights_need_a_token_unless_told_otherwise(serve: Served) -> None:
    lines = "OPTIONS /members/a HTTP/1.1\r\nHost: e\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n"
    asked = f"{lines}\r\n".encode()
    assert serve().ask(asked)[0] == 401
    open_to_them = serve(gateway_preflight=False)
    assert open_to_them.ask(asked)[0] == 200
    assert open_to_them.ask(asked.replace(b"OPTIONS", b"DELETE"))[0] == 401
    assert open_to_them.ask(f"{lines}Content-Length: 1\r\n\r\nx".encode())[0] == 401
    assert serve(gateway_preflight=False, source="10.0.0.0/8").ask(asked)[0] == 403


# Rates


def test_a_token_may_ask_for_so_much(serve: Served) -> None:
    server = serve(rate_limit=3, rate_period_s=60)
    other = gen_token(KEY, {"user": "other", "roles": ["user"]})
    assert [ask(server, GOOD)[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    status, fields, _ = ask(server, GOOD)
    assert (status, fields["retry-after"], fields["ratelimit-limit"]) == (429, "20", "3")
    assert (fields["ratelimit-remaining"], fields["ratelimit-reset"]) == ("0", "20")
    assert ask(server, other)[0] == 200
    assert ask(server)[0] == 401


def test_an_address_may_ask_for_so_much_whatever_its_tokens(serve: Served) -> None:
    server = serve(rate_limit=60, rate_period_s=3600, rate_burst=2, rate_by="address")
    one, two = {"X_Forwarded_For": "10.0.0.1"}, {"X_Forwarded_For": "10.0.0.2"}
    assert [ask(server, each, **one)[0] for each in ("bad", GOOD, GOOD)] == [401, 200, 429]
    assert ask(server, GOOD, **two)[0] == 200


def test_addresses_are_limited_without_the_gateway_as_well(serve: Served) -> None:
    server = serve(gateway_auth=False, rate_limit=1, rate_period_s=60)
    assert [ask(server)[0] for _ in range(2)] == [200, 429]


def test_no_limit_and_no_gateway_is_no_guard(serve: Served) -> None:
    server = serve(gateway_auth=False)
    assert [ask(server)[0] for _ in range(3)] == [200, 200, 200]
