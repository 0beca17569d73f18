"""Options of standing guard before what is mounted by an alias."""

from __future__ import annotations

from dataclasses import dataclass

from skitai.config.sections.declare import option


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway: who wants what is mounted by an alias has to show a bearer token."""

    gateway_auth: bool = option(False, "demand bearer tokens for what is mounted by an alias; `skitai.enable_gateway()`")
    gateway_secret: str = option(
        "",
        "what signs JSON Web Tokens: a secret, or a public key in PEM; for a file, the environment or the script",
        secret=True,
    )
    gateway_realm: str = option("Skitai API Gateway", "name that clients are asked for a token in")
    gateway_wait_s: float = option(10, "an authorizer may take to decide about a token", unit="s", minimum=0.01)
    gateway_preflight: bool = option(
        True, "CORS preflights need a token, too; browsers send none, so turn this off where upstreams answer preflights"
    )
    gateway_hide_token: bool = option(False, "do not pass the token on to the upstream")
    gateway_user_field: str = option("", "field that tells the upstream who asks, such as X-Authenticated-User")


@dataclass(frozen=True, slots=True)
class Rates:
    """How much one client may ask of mounted aliases; all workers count together."""

    rate_limit: int = option(0, "requests of one client in a period; 0 for no limit", minimum=0)
    rate_period_s: float = option(1, "the period", unit="s", minimum=0.001)
    rate_burst: int = option(0, "requests that may come at once; 0 for as many as in a period", minimum=0)
    rate_by: str = option(
        "token",
        "who is one client: a token, or an address; always an address without the gateway",
        choices=("token", "address"),
    )


@dataclass(frozen=True, slots=True)
class Views:
    """Databases that are mounted by their alias."""

    view_rows: int = option(1000, "most rows of one answer", minimum=1)
    view_page_rows: int = option(100, "rows of an answer where the client names no limit", minimum=1)
    view_wait_s: float = option(10, "a statement may take", unit="s", minimum=0.01)
