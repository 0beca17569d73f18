"""Which request the running code works for."""

from __future__ import annotations

from contextvars import ContextVar

from skitai.exchange import Exchange

current: ContextVar[Exchange | None] = ContextVar("skitai_request", default=None)
"""The exchange of the running request, None outside of requests. App drivers set it before they call an app."""
