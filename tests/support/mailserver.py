"""Mail servers for tests: aiosmtpd's, which do as they should or fail in a certain way, and one that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from skitai.ipc.envelope import MailServer


@dataclass
class Got:
    """A message that a server has taken."""

    sender: str
    recipients: list[str]
    data: bytes
    options: list[str]
    peer: Any
    secured: bool
    at_s: float = field(default_factory=time.monotonic)

    @property
    def message_id(self) -> str:
        for line in self.data.split(b"\r\n"):
            if line.lower().startswith(b"message-id:"):
                return line.partition(b":")[2].strip().decode()
        return ""


class Behaviour:
    """What a server does; the methods are aiosmtpd's hooks.

    :param rcpt: answers a recipient: text, or None for "250 OK".
    :param taken: answers a whole message; it is kept when the answer begins with 250.
    :param pause_s: before that answer.
    :param pipelining: offer PIPELINING.
    :param per_connection: messages that a connection is good for; 0 for any number.
    :param drop_after_data: so many messages are taken, and then the connection is cut instead of an answer.
    """

    def __init__(
        self,
        rcpt: Callable[[str], str | None] = lambda address: None,
        taken: Callable[[], str] = lambda: "250 OK",
        pause_s: float = 0,
        pipelining: bool = False,
        drop_after_data: int = 0,
        per_connection: int = 0,
        users: dict[str, str] | None = None,
    ) -> None:
        self.rcpt, self.taken, self.pause_s, self.pipelining = rcpt, taken, pause_s, pipelining
        self.drop_after_data = drop_after_data
        self.per_connection = per_connection
        self.asked: dict[Session, int] = {}
        self.users = users
        self.got: list[Got] = []
        self.connections = 0

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if self.pipelining:
            responses.insert(1, "250-PIPELINING")
        return responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        self.asked[session] = self.asked.get(session, 0) + 1
        if self.per_connection and self.asked[session] > self.per_connection:
            return "421 4.7.0 enough for one connection"
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        answer = self.rcpt(address)
        if answer is None or answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        answer = self.taken()
        if answer.startswith("250"):
            content = envelope.original_content or b""
            assert server.transport
            secured = server.transport.get_extra_info("ssl_object") is not None
            options = [str(each) for each in envelope.mail_options]
            recipients = [str(each) for each in envelope.rcpt_tos]
            got = Got(str(envelope.mail_from), recipients, content, options, session.peer, secured)
            self.got.append(got)
        if self.drop_after_data:
            self.drop_after_data -= 1
            assert server.transport
            server.transport.abort()
        return answer

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        users = self.users or {}
        right = isinstance(data, LoginPassword) and users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=right, handled=False)  # or it would never answer a wrong password


@contextlib.contextmanager
def mail_server(
    behaviour: Behaviour | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    **options: Any,
) -> Iterator[tuple[Behaviour, MailServer]]:
    """A server of aiosmtpd on a port of its own; what it does and what it got, and its address.

    :param tls: its certificate; STARTTLS is offered, or demanded with ``require_starttls=True``.
    :param implicit: TLS from the first byte instead.
    :param options: of `aiosmtpd.smtp.SMTP`.
    """
    behaviour = behaviour or Behaviour()
    if behaviour.users is not None:
        options |= {
            "authenticator": behaviour.authenticate,
            "auth_require_tls": options.pop("auth_require_tls", tls is not None),
        }
        options.setdefault("auth_required", True)
    loop = asyncio.new_event_loop()
    made: list[SMTP] = []

    def make() -> SMTP:
        behaviour.connections += 1
        starttls = tls if not implicit else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it finds asking for passwords without TLS unwise
            made.append(
                SMTP(behaviour, hostname="mail.test", enable_SMTPUTF8=True, tls_context=starttls, loop=loop, **options)
            )
        return made[-1]

    async def listen() -> asyncio.Server:
        return await loop.create_server(make, host, port, ssl=tls if implicit else None)

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield behaviour, MailServer(host, server.sockets[0].getsockname()[1], ssl=implicit)
    finally:

        async def stop() -> None:
            server.close()
            tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in made:
                if each.transport is not None:
                    each.transport.abort()
            await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def scripted(talk: Callable[[socket.socket], None]) -> Iterator[MailServer]:
    """A server that does what `talk` does with each connection, one after the other; errors of sockets end a talk."""
    listener = socket.create_server(("127.0.0.1", 0))
    failures: list[BaseException] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(10)
                try:
                    talk(client)
                except OSError:
                    continue
                except BaseException as error:  # noqa: BLE001 - raised again in the test
                    failures.append(error)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield MailServer("127.0.0.1", listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
    if failures:
        raise failures[0]


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Everything up to and with `end`, in capitals or not."""
    data = b""
    while not data.lower().endswith(end.lower()):
        more = client.recv(65536)
        if not more:
            raise EOFError(f"{end!r} did not come; got {data!r}")
        data += more
    return data
