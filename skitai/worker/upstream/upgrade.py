"""WebSocket behind a mounted alias: the handshake is made anew with a member, then its bytes and the client's are passed on.

The key and the answer to it belong to each connection (RFC 6455, section 4), so that a client that speaks WebSocket over
HTTP/2 (RFC 8441) gets to members that know HTTP/1.1 alone. Subprotocols and extensions are agreed between the two ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
from base64 import b64encode
from functools import partial
from typing import Any

from skitai.backend.balance import Seat
from skitai.backend.errors import BackendError, Code
from skitai.config.aliases import Member
from skitai.errors import BadRequest
from skitai.exchange import Settled
from skitai.http.head import Fields
from skitai.log.txn import hand_on
from skitai.protocols.http1.answer import AnswerHead, AnswerHeads, Answers, BadAnswer
from skitai.protocols.websocket.handshake import Handshake, read
from skitai.worker.splice import Splice
from skitai.worker.upstream.answers import refusal
from skitai.worker.upstream.conversation import Conversation
from skitai.worker.upstream.heads import Lane
from skitai.worker.upstream.members import Members, speaks_against

log = logging.getLogger("skitai.server")

REFUSAL_BYTES = 1 << 20
"""Longest content of an answer that refuses a handshake."""

OF_THE_HANDSHAKE = frozenset(("sec-websocket-accept", "date", "server", "content-length"))


class Talk(asyncio.Protocol):
    """The handshake with one member.

    :param request: what it is sent.
    :ivar outcome: the head of its answer; where that refuses, once all of it is there.
    :ivar content: of a refusal.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, request: bytes) -> None:
        self.outcome: asyncio.Future[AnswerHead] = loop.create_future()
        self.content = b""
        self._request = request
        self._answers = Answers(AnswerHeads())
        self._answers.begin("GET", switching=True)
        self._transport: Any = None
        self._ended = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        answers = self._answers
        try:
            self.content += b"".join(answers.receive(data))
        except BadAnswer as error:
            self.fail(BackendError(Code.PROTOCOL, str(error), sent=True))
            return
        if len(self.content) > REFUSAL_BYTES:
            self.fail(BackendError(Code.TOO_LARGE, f"a refusal of more than {REFUSAL_BYTES} bytes", sent=True))
        elif answers.ended:
            self._settle()

    def eof_received(self) -> bool:
        self._ended = True
        if not self._answers.ended:
            try:
                self._answers.end()
            except BadAnswer as error:
                self.fail(BackendError(Code.PROTOCOL, str(error), sent=True))
            else:
                self._settle()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        said = f": {error}" if error is not None else ""
        self.fail(BackendError(Code.REFUSED, f"the connection broke within the handshake{said}", sent=True))

    def _settle(self) -> None:
        if not self.outcome.done():
            assert self._answers.head is not None
            self.outcome.set_result(self._answers.head)

    def fail(self, error: BackendError) -> None:
        """There is no answer."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def hand_over(self, splice: Splice) -> None:
        """Have the connection go on as a part of `splice`, with what has come already."""
        transport = self._transport
        if transport is None:
            splice.connection_lost(None)
            return
        transport.set_protocol(splice)
        splice.connection_made(transport)
        if self._answers.rest:
            splice.data_received(self._answers.rest)
        if self._ended:
            splice.eof_received()

    def close(self) -> None:
        if self.outcome.done() and not self.outcome.cancelled():
            self.outcome.exception()  # whoever waited has it, or is gone
        if self._transport is not None:
            self._transport.abort()


class Upgrade:
    """One handshake of a client, from member to member until one answers.

    :param trusted: a trusted proxy sends it.
    """

    def __init__(self, members: Members, exchange: Any, trusted: bool) -> None:
        self._members = members
        self._exchange = exchange
        self._trusted = trusted

    def begin(self) -> None:
        """Ask.

        :raises Answerable: it is no handshake.
        """
        exchange = self._exchange
        asked = read(exchange.head, deflate=False)
        exchange.task = task = self._members.loop.create_task(self._run(asked))
        exchange.when_gone(partial(self._give_up, task))

    def _give_up(self, task: asyncio.Task[None]) -> None:
        if task.cancel():
            self._exchange.fail(BadRequest("a WebSocket of a client that has said all"))

    async def _run(self, asked: Handshake) -> None:
        try:
            await self._ask(asked)
        except Exception as error:  # noqa: BLE001 - as in the pipeline: whatever it is becomes an answer
            self._exchange.fail(error)

    async def _ask(self, asked: Handshake) -> None:
        members, failed = self._members, None
        tried: tuple[Seat[Member], ...] = ()
        while (seat := members.pick(tried)) is not None:
            tried = (*tried, seat)
            try:
                await self._ask_one(seat, asked, len(tried))
            except BackendError as error:
                against = speaks_against(error)
                members.done(seat, False if against else None)
                failed = error.with_traceback(None)
                if not against:
                    break
            except BaseException:
                members.done(seat, None)
                raise
            else:
                return
        raise refusal(failed or BackendError(Code.REFUSED, "no server was there to ask"), members.name)

    async def _ask_one(self, seat: Seat[Member], asked: Handshake, attempt: int) -> None:
        members = self._members
        loop, options, way = members.loop, members.options, members.way(seat)
        key = b64encode(os.urandom(16))
        talk = Talk(loop, self._request(way.lane, key, attempt))
        until = loop.time() + options.upstream_first_byte_s
        try:
            await way.origin(False).lend(talk, until)
            async with asyncio.timeout_at(until):
                head = await talk.outcome
            if head.status == 101:
                self._join(seat, talk, head, asked, key)
            else:
                members.done(seat, head.status not in members.statuses)
                self._exchange.respond(
                    head.status, way.lane.answered(head.fields, self._exchange.head), talk.content, head.reason
                )
                talk.close()
        except TimeoutError:
            talk.close()
            message = f"no answer to a handshake within {options.upstream_first_byte_s:g} seconds"
            raise BackendError(Code.SLOW, message, sent=True) from None
        except BaseException:
            talk.close()
            raise

    def _request(self, lane: Lane, key: bytes, attempt: int) -> bytes:
        exchange = self._exchange
        passed = lane.passed(exchange.head, self._trusted)
        pseudo = {name: value for name, value in passed.pairs if name.startswith(b":")}
        fields = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-key", key)]
        fields += [each for each in passed.pairs if each[0] not in pseudo and each[0] not in (b"sec-websocket-key", b"te")]
        fields += lane.told(exchange.peer, exchange.head, passed, self._trusted).pairs
        fields += [(name.encode("ascii"), value.encode("ascii")) for name, value in hand_on(exchange.txn, attempt)]
        lines = b"".join([b"%b: %b\r\n" % (name.title(), value) for name, value in fields])
        return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (pseudo[b":path"], pseudo[b":authority"], lines)

    def _join(self, seat: Seat[Member], talk: Talk, head: AnswerHead, asked: Handshake, key: bytes) -> None:
        """The member speaks WebSocket: tell the client so, and let them talk."""
        members, exchange = self._members, self._exchange
        check(head.fields, asked, key)
        fields = list(answer(members.way(seat).lane.answered(head.fields, exchange.head), asked))
        who, where = exchange.peer.client or "a client", seat.member.node
        what = f"{who}: WebSocket to {members.name} {where[0]}:{where[1]}"
        members.balance.report(seat, True, members.loop.time())
        over = partial(self._over, seat)
        splice = Conversation(exchange.connection.services, what, members.options.upstream_websocket_s, over)
        tunnel = exchange.tunnel(asked.status, fields)
        talk.hand_over(splice)
        if tunnel is None:
            splice.drop()
            over(splice)
        else:
            splice.begin(tunnel)

    def _over(self, seat: Seat[Member], splice: Splice) -> None:
        self._members.done(seat, None)


def check(fields: Fields, asked: Handshake, key: bytes) -> None:
    """See to it that a member has answered this handshake (RFC 6455, section 4.1).

    :raises BackendError: PROTOCOL; it has not.
    """
    accept = dict(Handshake(key.decode("ascii"), (), "", 15).fields())["Sec-WebSocket-Accept"]
    options = {each.strip() for each in fields.text("connection").lower().split(",")}
    if fields.text("upgrade").lower() != "websocket" or "upgrade" not in options:
        raise BackendError(Code.PROTOCOL, "101 for another protocol than WebSocket", sent=True)
    if fields.text("sec-websocket-accept") != accept:
        raise BackendError(Code.PROTOCOL, "Sec-WebSocket-Accept is not that of the handshake", sent=True)
    chosen = fields.text("sec-websocket-protocol")
    if chosen and chosen not in asked.subprotocols:
        raise BackendError(Code.PROTOCOL, f"the subprotocol {chosen[:40]!r} was not asked for", sent=True)


def answer(fields: Settled, asked: Handshake) -> Settled:
    """The fields of the answer to the client."""
    own = [(name, value) for name, value in asked.fields() if not name.endswith("-Extensions")]
    return Settled([*own, *(each for each in fields if each[0] not in OF_THE_HANDSHAKE)])
