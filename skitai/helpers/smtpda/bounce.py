"""The message that tells a sender what could not be delivered (RFC 3464). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import formatdate, make_msgid

from skitai.ipc.envelope import Envelope, Mail

TEXT = """\
This is the mail agent of {host}.

A message of yours could not be delivered to:

{failures}

It is not tried any more. Its headers are attached.
"""

_STATUS = re.compile(r"\d{3} ([245]\.\d{1,3}\.\d{1,3})\b", re.ASCII)
_SAFE = SMTP.clone(cte_type="7bit")


def bounce(mail: Mail, message: bytes, failures: Mapping[str, str], host: str, now_s: float) -> tuple[Envelope, bytes]:
    """The envelope and the bytes of the bounce of a message.

    :param message: whose sender is told.
    :param failures: why, by recipient.
    :param host: our name.
    """
    sender = mail.envelope.sender
    domain = host if "." in host and not host.startswith("[") else sender.rpartition("@")[2]
    report = EmailMessage(_SAFE if sender.isascii() else _SAFE.clone(utf8=True))
    report["Date"] = formatdate(now_s, localtime=True)
    report["Message-ID"] = make_msgid(domain=domain)
    report["From"] = Address("Mail Delivery", "mailer-daemon", domain)
    report["To"] = sender
    report["Subject"] = "Undelivered mail"
    report["Auto-Submitted"] = "auto-replied"
    if mail.envelope.message_id:
        report["In-Reply-To"] = mail.envelope.message_id
    report["MIME-Version"] = "1.0"
    report["Content-Type"] = "multipart/report; report-type=delivery-status"
    for part in (_text(failures, host), _status(failures, host), _headers(message)):
        report.attach(part)
    envelope = Envelope(
        "",
        (sender,),
        mail.envelope.server,
        message_id=str(report["Message-ID"]),
        utf8=not sender.isascii(),
    )
    return envelope, report.as_bytes()


def _text(failures: Mapping[str, str], host: str) -> EmailMessage:
    lines = "\n".join(f"    {recipient}\n        {why}" for recipient, why in failures.items())
    part = EmailMessage(_SAFE)
    part.set_content(TEXT.format(host=host, failures=lines))
    return part


def _status(failures: Mapping[str, str], host: str) -> EmailMessage:
    """The part for programs: a block for the message, and one for each recipient (RFC 3464, section 2)."""
    blocks: list[Message | str] = [_block({"Reporting-MTA": f"dns; {host}"})]
    for recipient, why in failures.items():
        kind = "rfc822" if recipient.isascii() else "utf-8"  # RFC 6533, section 3
        found = _STATUS.match(why)
        fields = {
            "Final-Recipient": f"{kind}; {recipient if recipient.isascii() else _escaped(recipient)}",
            "Action": "failed",
            "Status": found[1] if found else "5.0.0" if why.startswith("5") else "4.4.7",
            "Diagnostic-Code": f"smtp; {_escaped(why)}",
        }
        blocks.append(_block(fields))
    part = EmailMessage(_SAFE)
    part["Content-Type"] = "message/delivery-status"
    part.set_payload(blocks)
    return part


def _block(fields: Mapping[str, str]) -> Message:
    block = Message(SMTP)
    for name, value in fields.items():
        block[name] = value
    return block


def _headers(message: bytes) -> EmailMessage:
    part = EmailMessage(_SAFE)
    part.set_content(message.partition(b"\r\n\r\n")[0].decode("utf-8", "replace") + "\n", subtype="rfc822-headers")
    return part


def _escaped(text: str) -> str:
    r"""ASCII, other characters as RFC 6533 writes them: ``\x{20AC}``."""
    return "".join(char if " " <= char <= "~" else f"\\x{{{ord(char):X}}}" for char in text)
