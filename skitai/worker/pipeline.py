"""The way of every request through a worker, from its head to the app that answers; errors on it surface here."""

from __future__ import annotations

from skitai.worker.http1.exchange import Http1Exchange
from skitai.worker.site import Site


class Pipeline:
    """:ivar site: where requests go; replaced as a whole by a reload."""

    __slots__ = ("site",)

    def __init__(self, site: Site) -> None:
        self.site = site

    def dispatch(self, exchange: Http1Exchange) -> None:
        """Bring a request whose head has been read to its app. Belongs to the loop; never raises."""
        head = exchange.head
        plan = head.route
        if plan is None or plan.site is not self.site:
            plan = self.site.plan(head)
        target = plan.choose(head) if plan.folders else plan.target
        exchange.app = target
        try:
            if not head.length:
                target.handle(exchange)
            elif target.looks_first is None or not target.looks_first(exchange):
                exchange.connection.receive_body(exchange, target, target.body_mode, target.limit(head))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it is becomes an answer
            exchange.fail(error)
