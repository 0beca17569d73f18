"""A client that speaks HTTP/2, and says what it is told even where that is wrong."""

from __future__ import annotations

from typing import Any

import h2.events as its
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from hyperframe.frame import Frame

from tests.support.memory import Client, Wire

Fields = list[tuple[str, str]]


class Answer:
    """What has come of a response.

    :ivar informed: interim responses, status and fields.
    :ivar reset: the code of a reset, None without.
    """

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = b""
        self.trailers: dict[str, str] = {}
        self.informed: list[tuple[int, dict[str, str]]] = []
        self.ended = False
        self.reset: int | None = None


class Http2Client:
    """One connection.

    :param acknowledge: open the windows again as data comes.
    :param upgrade: begin behind a request of HTTP/1.1, whose sender calls `flush` once it is answered.
    :ivar settings: for that request.
    :ivar ends: the server's GOAWAYs: last stream and code.
    :ivar promises: what the server pushes: stream and path.
    """

    def __init__(self, client: Client, *, acknowledge: bool = True, checks: bool = True, upgrade: bool = False) -> None:
        self.client = client
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding="latin-1",
                validate_outbound_headers=checks,
                normalize_outbound_headers=checks,
            )
        )
        self.acknowledge = acknowledge
        self.answers: dict[int, Answer] = {}
        self.ends: list[tuple[int, int]] = []
        self.reasons: list[bytes] = []
        self.pings: list[bytes] = []
        self.closed = False
        self.promises: list[tuple[int, str]] = []
        self._partial = b""
        self.settings = ""
        if upgrade:
            self.settings = (self.h2.initiate_upgrade_connection() or b"").decode().rstrip("=")
        else:
            self.h2.initiate_connection()
            self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.client.send(data)

    def raw(self, *frames: Frame | bytes) -> None:
        """Send frames past h2."""
        self.client.send(b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames))

    def begin(self, path: str = "/", method: str = "GET", fields: Fields | None = None, ended: bool = True) -> int:
        """Send a request head; the stream."""
        stream = self.h2.get_next_available_stream_id()
        pairs = [(":method", method), (":scheme", "http"), (":authority", "example"), (":path", path), *(fields or [])]
        self.send_head(stream, pairs, ended)
        return stream

    def send_head(self, stream: int, pairs: Fields, ended: bool = True) -> None:
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, pairs, end_stream=ended)
        self.flush()

    def send(self, stream: int, data: bytes, ended: bool = False) -> None:
        """Send a piece of a body, at once: the windows have to be wide enough."""
        view = memoryview(data)
        while len(view) > 16384:
            self.h2.send_data(stream, bytes(view[:16384]))
            view = view[16384:]
        self.h2.send_data(stream, bytes(view), end_stream=ended)
        self.flush()

    def upload(self, stream: int, data: bytes, ended: bool = True) -> None:
        """Send a whole body at the pace of the server's windows, as long as it is wanted."""
        view = memoryview(data)
        if not view:
            self.send(stream, b"", ended)
        while view and self.answers[stream].reset is None:
            size = min(len(view), 16384, self.h2.local_flow_control_window(stream))
            if size > 0:
                self.h2.send_data(stream, bytes(view[:size]), end_stream=ended and size == len(view))
                self.flush()
                view = view[size:]
            else:
                self.receive()

    def receive(self) -> None:
        """Take in what has come; waits for something."""
        data = self.client.sock.recv(65536)
        if not data:
            self.closed = True
            return
        self.take_in(data)

    def take_in(self, data: bytes) -> None:
        for event in self.h2.receive_data(self.without_farewells(data)):
            self._note(event)
        self.flush()

    def without_farewells(self, data: bytes) -> bytes:
        """Whole frames but GOAWAY, behind which h2 would not go on: they are noted here."""
        self._partial += data
        rest = b""
        while len(self._partial) >= 9:
            end = 9 + int.from_bytes(self._partial[:3], "big")
            if len(self._partial) < end:
                break
            frame, self._partial = self._partial[:end], self._partial[end:]
            if frame[3] == 7:
                self.ends.append((int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big")))
                self.reasons.append(frame[17:])
            else:
                rest += frame
        return rest

    def _note(self, event: Any) -> None:
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        match event:
            case its.PingAckReceived():
                self.pings.append(event.ping_data)
            case its.PushedStreamReceived():
                promise = Answer()
                promise.fields = dict(event.headers)
                self.answers[event.pushed_stream_id] = promise
                self.promises.append((event.pushed_stream_id, promise.fields[":path"]))
            case its.InformationalResponseReceived() if answer:
                fields = dict(event.headers)
                answer.informed.append((int(fields.pop(":status")), fields))
            case its.ResponseReceived() if answer:
                answer.fields = dict(event.headers)
                answer.status = int(answer.fields.pop(":status"))
            case its.DataReceived() if answer:
                answer.body += event.data
                if self.acknowledge:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case its.TrailersReceived() if answer:
                answer.trailers = dict(event.headers)
            case its.StreamEnded() if answer:
                answer.ended = True
            case its.StreamReset() if answer and event.remote_reset:
                answer.reset = int(event.error_code)

    def wait(self, *streams: int) -> Answer:
        """The answer of the last of these streams, once all are complete or reset."""
        for stream in streams:
            answer = self.answers[stream]
            while not answer.ended and answer.reset is None:
                assert not self.closed, f"closed before stream {stream} was answered; {self.ends} {self.reasons}"
                self.receive()
        return answer

    def ask(self, path: str = "/", method: str = "GET", fields: Fields | None = None, body: bytes | None = None) -> Answer:
        """Send a request, read its response."""
        stream = self.begin(path, method, fields, ended=body is None)
        if body is not None:
            self.upload(stream, body)
        return self.wait(stream)

    def until_closed(self) -> None:
        while not self.closed:
            try:
                self.receive()
            except ConnectionResetError:
                self.closed = True

    def answer_pings(self) -> None:
        """A round trip: whatever the server has done so far is known behind it."""
        mark = len(self.pings).to_bytes(8, "big")
        self.h2.ping(mark)
        self.flush()
        while mark not in self.pings:
            assert not self.closed
            self.receive()


class Http2Pipe:
    """A stream that leaves HTTP (RFC 8441), for talking through it as through a connection of its own.

    :ivar answer: to its CONNECT.
    """

    def __init__(self, client: Http2Client, path: str, fields: Fields, protocol: str = "websocket") -> None:
        self.client = client
        self.stream = client.h2.get_next_available_stream_id()
        pairs = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":authority", "example")]
        client.send_head(self.stream, [*pairs, (":path", path), *fields], ended=False)
        self.answer = client.answers[self.stream]

    def begun(self) -> Answer:
        """The answer, once its head has come."""
        while not self.answer.status:
            assert self.answer.reset is None, ErrorCodes(self.answer.reset)
            self.client.receive()
        return self.answer

    def send(self, data: bytes) -> None:
        self.client.upload(self.stream, data, ended=False)

    def exactly(self, size: int) -> bytes:
        while len(self.answer.body) < size:
            if self.answer.ended or self.answer.reset is not None:
                raise EOFError(f"{size} bytes did not come; got {self.answer.body!r}")
            self.client.receive()
        data, self.answer.body = self.answer.body[:size], self.answer.body[size:]
        return data

    def closed(self) -> bool:
        """Whether the server has ended its side; waits for it, and ends ours."""
        while not self.answer.ended and self.answer.reset is None:
            self.client.receive()
        self.close()
        return not self.answer.body

    def close(self) -> None:
        """Send no more."""
        if self.answer.reset is None and not self.client.closed:
            self.client.h2.end_stream(self.stream)
            self.client.flush()


def http2(server: Wire, **options: Any) -> Http2Client:
    """A new connection, with prior knowledge."""
    return Http2Client(server.connect(), **options)
