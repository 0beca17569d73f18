"""What is wrong with the options of the forward proxy, and what is hardly meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skitai.http.reach import Clients, port_range, rule


def _user(text: str) -> None:
    name, colon, password = text.partition(":")
    if not name or not colon or not password:
        raise ValueError("is not NAME:PASSWORD; what was given is not shown")


READERS: dict[str, Callable[[str], object]] = {
    "proxy_clients": lambda text: Clients((text,)),
    "proxy_users": _user,
    "proxy_allow": rule,
    "proxy_deny": rule,
    "proxy_ports": port_range,
    "proxy_tunnel_ports": port_range,
}


def check_forward_proxy(values: Mapping[str, Any], labels: Mapping[str, str], faults: list[str]) -> None:
    """Add to `faults` what cannot be read."""
    for name, read in READERS.items():
        for text in values.get(name, ()):
            try:
                read(text)
            except ValueError as error:
                faults.append(f"{labels[name]}: {error}")


def doubts_of_forward_proxy(values: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """What is allowed but hardly meant."""
    if values.get("forward_proxy") and "*" in values.get("proxy_clients", ()) and not values.get("proxy_users"):
        return [f"{labels['proxy_clients']}: everybody who reaches this server may use it as a proxy"]
    return []
