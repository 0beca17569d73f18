"""When a message is tried again, and when it is given up. Pure."""

from __future__ import annotations

import enum

from skitai.ipc.envelope import Mail

FACTOR = 4.0
JITTER = 0.1

_ENOUGH = 32
"""Attempts after which any delay has reached its cap."""


class Fate(enum.Enum):
    """What becomes of a message after an attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    GIVEN_UP = "given up"


def fate(mail: Mail, attempts: int, max_retry: int) -> Fate:
    """What becomes of a message.

    :param mail: with what came of the last attempt.
    :param attempts: made so far.
    :param max_retry: attempts after the first.
    """
    if mail.pending:
        return Fate.DEFERRED if attempts <= max_retry else Fate.GIVEN_UP
    return Fate.GIVEN_UP if mail.refused else Fate.DELIVERED


def delay_s(attempts: int, first_s: float, most_s: float, spread: float) -> float:
    """How long to wait after so many attempts failed.

    :param attempts: made so far, at least one.
    :param first_s: after the first; after each next one it is `FACTOR` times as long.
    :param most_s: but not longer than this.
    :param spread: between -1 and 1, at random, so that what failed together is not tried together: changes up to `JITTER`.
    """
    return min(first_s * FACTOR ** min(attempts - 1, _ENOUGH), most_s) * (1 + JITTER * spread)
