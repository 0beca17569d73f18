"""`was.email`: write a message and leave it in the spool, from which the mail agent delivers it.

Works inside requests and outside of them. Where the running server has an agent (`skitai.enable_smtpda`) the message goes to
its spool, elsewhere to the user's default one, where `skitai-smtpda` looks.
"""

from __future__ import annotations

import mimetypes
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email import utils
from email.errors import NonASCIILocalPartDefect, ObsoleteHeaderDefect
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from typing import IO

from skitai.ipc import rundir
from skitai.ipc.envelope import Envelope, MailServer, whole_lines
from skitai.ipc.spool import Spool
from skitai.was import host

Recipients = str | Iterable[str]

# What could end a header, or a line of one, somewhere on its way (RFC 5322, section 2.2; the rest ends lines for Python).
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_HEADER_NAME = re.compile(r"[!-9;-~]+", re.ASCII)
_MIMETYPE = re.compile(r"text/([\w!#$&^.+-]+)", re.ASCII)
_DOMAIN = re.compile(r"[A-Za-z0-9._-]+|\[[A-Za-z0-9.:-]+\]", re.ASCII)
_CONTENT_ID = re.compile(r"[^\s<>]+")
_HARMLESS = (ObsoleteHeaderDefect, NonASCIILocalPartDefect)

_OTHERWISE = {
    "from": "the second argument of email()",
    "to": "the third argument of email()",
    "cc": "cc()",
    "bcc": "bcc()",
    "subject": "the first argument of email()",
    "mime-version": "nothing",
}
"""Who says what `set_header` does not, by the header's name."""

_SAFE = SMTP.clone(cte_type="7bit")  # every server takes it, 8BITMIME or not


def email(subject: str, snd: str, rcpt: Recipients) -> Email:
    """A new message; the parameters are those of `Email`."""
    return Email(subject, snd, rcpt)


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    subtype: str
    charset: str

    def add_to(self, part: MIMEPart, verb: str, **options: str) -> None:
        cte = "base64" if "\0" in self.text else None  # SMTP carries no NUL
        getattr(part, verb)(self.text, subtype=self.subtype, charset=self.charset, cte=cte, **options)


@dataclass(frozen=True, slots=True)
class _Attachment:
    data: bytes
    name: str
    kind: str
    cid: str

    def add_to(self, part: MIMEPart, verb: str, disposition: str) -> None:
        maintype, _, subtype = self.kind.partition("/")
        cid = f"<{self.cid}>" if self.cid else None
        params = {"charset": "utf-8"} if maintype == "text" and _is_utf8(self.data) else None
        options = {"disposition": disposition, "filename": self.name, "cid": cid, "params": params}
        getattr(part, verb)(self.data, maintype, subtype, **options)


class Email:
    """A message to be written and sent.

    :param subject: any text in one line.
    :param snd: who writes: ``name@example.com`` or ``Some Name <name@example.com>``.
    :param rcpt: to whom: addresses in the same form, with commas between them, or a list of such texts. May be empty when
        `cc` or `bcc` name somebody.
    :raises ValueError: an address that is none, or a control character where it could end a header.
    """

    def __init__(self, subject: str, snd: str, rcpt: Recipients) -> None:
        self._subject = _checked(subject, "the subject")
        senders = _addresses(snd, "the sender")
        if len(senders) != 1:
            raise ValueError(f"the sender is {snd!r}: it should be one address")
        self._sender = senders[0]
        self._to = _addresses(rcpt, "a recipient")
        self._cc: list[Address] = []
        self._bcc: list[Address] = []
        self._reply_to: list[Address] = []
        self._headers: dict[str, tuple[str, str]] = {}
        self._texts: list[_Text] = []
        self._attachments: list[_Attachment] = []
        self._server: MailServer | None = None

    def set_smtp(
        self,
        server: str,
        user: str | None = None,
        password: str | None = None,
        ssl: bool = False,
        starttls: str = "auto",
    ) -> None:
        """Name the server that delivers this message; the agent has one for those that name none.

        :param server: HOST or HOST:PORT; the port is 25 by default, 465 with `ssl`.
        :param password: kept in the spool, which only this server's user can read, until the message is delivered.
        :param ssl: TLS from the first byte.
        :param starttls: change to TLS after connecting: "auto" (where offered), "always" or "never".
        :raises ValueError: `server` is none.
        """
        for value, what in ((user, "the user name"), (password, "the password")):
            if value and _CONTROL.search(value):
                raise ValueError(f"{what} contains a control character")
        self._server = MailServer.parse(server, user or "", password or "", bool(ssl), starttls)

    def cc(self, rcpt: Recipients) -> None:
        """Add recipients of copies."""
        self._cc += _addresses(rcpt, "a recipient")

    def bcc(self, rcpt: Recipients) -> None:
        """Add recipients of copies whom nobody sees."""
        self._bcc += _addresses(rcpt, "a recipient")

    def reply_to(self, rcpt: Recipients) -> None:
        """Add addresses that answers go to."""
        self._reply_to += _addresses(rcpt, "an address for answers")

    def set_header(self, name: str, value: str) -> None:
        """Set a header that this class does not set by itself, or another Date, Message-ID or Reply-To.

        :raises ValueError: no name of a header, one that something else sets, or a control character in the value.
        """
        key = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if key in _OTHERWISE or key.startswith("content-"):
            raise ValueError(f"set_header() does not set {name}: {_OTHERWISE.get(key, 'add_content()')} does")
        value = _checked(value, f"the header {name}")
        if key == "reply-to":
            self._reply_to = _addresses(value, "an address for answers")
        else:
            self._headers[key] = (name, value)

    def add_content(self, text: str, mimetype: str = "text/plain", charset: str = "utf-8") -> None:
        """Add a text. Texts of different types are alternatives, of which the reader's program shows the one it likes best.

        :param mimetype: for instance ``text/html``.
        :raises ValueError: a type that is not text, an unknown charset, or a character that the charset does not have.
        """
        match = _MIMETYPE.fullmatch(mimetype)
        if match is None:
            raise ValueError(f"{mimetype!r} is no type of a text: add_attachment() takes files of all types")
        charset = {"utf8": "utf-8"}.get(charset.lower(), charset)
        try:
            text.encode(charset)
            as_ascii = "a\n".encode(charset) == b"a\n"
        except LookupError:
            raise ValueError(f"there is no charset {charset!r}") from None
        if not as_ascii:
            raise ValueError(f"the charset {charset!r} is not for mail: its line ends are not those of ASCII")
        self._texts.append(_Text(text, match[1].lower(), charset))

    def add_text(self, text: str, charset: str = "utf-8") -> None:
        """Add a plain text."""
        self.add_content(text, "text/plain", charset)

    def add_attachment(
        self, file: str | os.PathLike[str] | IO[bytes], name: str | None = None, cid: str | None = None
    ) -> None:
        """Add a file. It is read now, so it may go or change afterwards.

        :param file: a path, or an open binary file.
        :param name: what the reader sees; by default the file's own.
        :param cid: it belongs into the HTML text, which shows it by ``cid:`` and this word.
        :raises OSError: it cannot be read.
        """
        if isinstance(file, str | os.PathLike):
            with open(file, "rb") as opened:
                data = opened.read()
            source: object = os.fspath(file)
        else:
            data, source = file.read(), getattr(file, "name", None)
        if not isinstance(data, bytes):
            raise TypeError("add_attachment() file is open for text: open it for bytes")
        name = os.path.basename(name or (source if isinstance(source, str) else ""))
        if not name:
            raise ValueError("add_attachment() name: this file has none of its own")
        if cid and not _CONTENT_ID.fullmatch(_checked(cid, "the cid")):
            raise ValueError(f"the cid is {cid!r}: it should be a word, as in cid:word")
        self._attachments.append(_Attachment(data, _checked(name, "the name"), _type_of(name), cid or ""))

    def send(self) -> str:
        """Put the message into the spool. When this returns it is on the disk, and the agent will deliver it.

        :returns: its Message-ID.
        :raises ValueError: nobody is to get it.
        :raises OSError: the spool cannot be written, for instance because the disk is full; nothing is sent then.
        :raises StartError: the spool's folder cannot be made, or belongs to somebody else.
        """
        recipients = tuple(dict.fromkeys(each.addr_spec for each in (*self._to, *self._cc, *self._bcc)))
        if not recipients:
            raise ValueError("the message has no recipient")
        message = self._build()
        envelope = Envelope(
            self._sender.addr_spec,
            recipients,
            self._server,
            message_id=str(message["Message-ID"]),
            utf8=self._needs_utf8(),
        )
        Spool(_home()).put(envelope, whole_lines(message.as_bytes()))
        return envelope.message_id

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the message as a file that mail programs open (RFC 5322). Recipients of blind copies are not in it."""
        data = whole_lines(self._build().as_bytes())
        with open(path, "wb") as file:
            file.write(data)

    def _build(self) -> EmailMessage:
        message = EmailMessage(_SAFE.clone(utf8=True) if self._needs_utf8() else _SAFE)
        headers = dict(self._headers)
        message["Date"] = headers.pop("date", ("", utils.formatdate(time.time(), localtime=True)))[1]
        domain = self._sender.domain.strip("[]")
        message["Message-ID"] = headers.pop("message-id", ("", utils.make_msgid(domain=domain)))[1]
        message["From"] = self._sender
        for name, addresses in (("To", self._to), ("Cc", self._cc), ("Reply-To", self._reply_to)):
            if addresses:
                message[name] = tuple(addresses)
        message["Subject"] = self._subject
        for name, value in headers.values():
            message[name] = value
        self._fill(message)
        return message

    def _fill(self, message: EmailMessage) -> None:
        """The body: alternatives, in the HTML one of them what it shows, and then what is attached to all that."""
        alternatives: dict[str, _Text] = {}
        rest = []
        for text in sorted(self._texts or [_Text("", "plain", "utf-8")], key=lambda each: each.subtype != "plain"):
            if text.subtype not in alternatives:
                alternatives[text.subtype] = text
                text.add_to(message, "add_alternative" if len(alternatives) > 1 else "set_content")
            else:
                rest.append(text)
        html = message.get_body(("html",))
        for each in self._attachments:
            if html is not None and each.cid:
                each.add_to(html, "add_related", "inline")
        for text in rest:
            text.add_to(message, "add_attachment", disposition="inline")
        for each in self._attachments:
            if html is None or not each.cid:
                each.add_to(message, "add_attachment", "attachment")

    def _needs_utf8(self) -> bool:
        """Whether an address makes SMTPUTF8 necessary (RFC 6531); domains do not, for they have an ASCII form."""
        everybody = (self._sender, *self._to, *self._cc, *self._bcc, *self._reply_to)
        return not all(each.username.isascii() for each in everybody)

    def __repr__(self) -> str:
        return f"<Email {self._subject!r} from {self._sender.addr_spec}>"


def _home() -> str:
    worker = host.attached()
    return worker.places.home if worker is not None and worker.config.smtpda.enabled else rundir.default_home()


def _checked(value: str, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is {value!r}: it should be text")
    if found := _CONTROL.search(value):
        raise ValueError(f"{what} contains the control character {found[0]!r}: {value!r}")
    value.encode()  # half a surrogate pair is no character
    return value


def _addresses(given: Recipients, what: str) -> list[Address]:
    """The addresses in a text, or in several.

    :raises ValueError: what is none.
    """
    found: list[Address] = []
    try:
        texts = [given] if isinstance(given, str) else list(given)
    except TypeError as error:
        raise TypeError(f"{what} is {given!r}: it should be text, or a list of texts") from error
    for text in texts:
        _checked(text, what)
        wanted = f"{what} is {text!r}: it should be name@example.com, or Name <name@example.com>"
        try:
            header = SMTP.header_factory("To", text)
        except Exception as error:  # Python's parser fails on what is no address in ever so many ways
            raise ValueError(wanted) from error
        if any(not isinstance(defect, _HARMLESS) for defect in header.defects):
            raise ValueError(wanted)
        found += [_plain(each, what) for each in header.addresses]
    return found


def _plain(address: Address, what: str) -> Address:
    """The same address with a domain in ASCII (RFC 5890)."""
    try:
        domain = address.domain if address.domain.isascii() else address.domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{what} is {str(address)!r}: its domain is no name: {error}") from error
    if not address.username or not _DOMAIN.fullmatch(domain):
        raise ValueError(f"{what} is {str(address)!r}: it should be name@example.com")
    return Address(address.display_name, address.username, domain)


def _type_of(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name)
    if kind is None or encoding or kind.startswith(("multipart/", "message/")):
        return "application/octet-stream"
    return kind


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
