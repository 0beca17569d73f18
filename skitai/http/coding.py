"""Negotiation of the content coding (RFC 9110, section 12.5.3)."""

from __future__ import annotations

from functools import lru_cache

from skitai.http.qvalues import weights


@lru_cache(maxsize=256)
def choose(accept_encoding: str, offered: tuple[str, ...]) -> str | None:
    """The coding that the client likes best of those offered, or None to send the content as it is.

    None is also the answer when nothing offered is acceptable: content in a form that the client did not ask for serves it
    better than a 406 (section 12.1 leaves the choice to the server).

    :param accept_encoding: value of Accept-Encoding; "" when the request has none.
    :param offered: names of codings, for instance ``("br", "gzip")``, the server's favourite first: it wins ties.
    """
    if not accept_encoding:
        return None
    wanted = weights(accept_encoding)
    rest = wanted.get("*", 0.0)
    # Without a weight of its own identity is acceptable but never preferred; an explicit one may win.
    best, best_weight = None, wanted.get("identity", 0.0)
    for name in offered:
        weight = wanted.get(name)
        if weight is None:
            weight = wanted.get(f"x-{name}", rest)  # x-gzip is gzip (section 8.4.1.3)
        if weight > 0 and (weight > best_weight or (best is None and weight == best_weight)):
            best, best_weight = name, weight
    return best
