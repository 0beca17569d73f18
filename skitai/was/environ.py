"""The request as a WSGI environ (PEP 3333), in the parts that heads and peers keep."""

from __future__ import annotations

import re
from typing import Any

from skitai.http.head import Head

Environ = dict[str, Any]

SPECIAL = re.compile(r'[,+"\\<>;=#]')
ESCAPED = r"\\\g<0>"
ATTRIBUTES = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}
"""Short names of RFC 4514, section 3."""


def of_peer(peer: Any) -> Environ:
    """What the connection says.

    :param peer: a `skitai.exchange.Peer`.
    """
    return {
        **(client_certificate(peer.certificate) if peer.certificate else {}),
        "REMOTE_ADDR": peer.client,
        "REMOTE_PORT": str(peer.client_port),
        "SERVER_NAME": peer.server or "localhost",
        "SERVER_PORT": str(peer.server_port or (443 if peer.scheme == "https" else 80)),
        "wsgi.url_scheme": peer.scheme,
    }


def of_head(head: Head, script_name: str) -> Environ:
    """What the request line and the fields say.

    :param script_name: mount point without its slash at the end, as it compares with `Head.path`.
    """
    part: Environ = {
        "REQUEST_METHOD": head.method,
        "PATH_INFO": head.path[len(script_name) :],
        "QUERY_STRING": head.query,
        "REQUEST_URI": head.target,
        "RAW_URI": head.target,
        "SERVER_PROTOCOL": f"HTTP/{head.version}",
    }
    fields = head.fields.forms.get("environ")
    if fields is None:
        fields = head.fields.forms["environ"] = of_fields(head)
    return part | fields


def of_fields(head: Head) -> Environ:
    """The fields. Names with underscores are left out, for they would pass for others (X_Forwarded_For)."""
    items: Environ = {}
    for name, _ in head.fields.pairs:
        if b"_" in name:
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        items[key] = (head.fields.get(name) or b"").decode("latin-1")
    return items


def client_certificate(certificate: dict[str, Any]) -> Environ:
    """What the client's certificate says: its subject in one line (RFC 4514), by the names that other servers use.

    :param certificate: as `ssl.SSLSocket.getpeercert` tells it.
    """
    parts = [
        f"{ATTRIBUTES.get(name, name)}={SPECIAL.sub(ESCAPED, value)}"
        for group in reversed(certificate.get("subject", ()))
        for name, value in group
    ]
    return {"SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_S_DN": ",".join(parts)}
