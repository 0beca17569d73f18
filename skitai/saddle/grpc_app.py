"""What a Saddle app says of its calls of gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.config.values import size
from skitai.protocols.grpc.compression import is_known

if TYPE_CHECKING:
    from skitai.saddle.grpc_methods import Method
    from skitai.saddle.routing import Route


class Options:
    """What an app wants of its calls.

    :ivar message_bytes: longest message; None for the server's limit.
    :ivar compression: of responses; None for what the client's messages have.
    :ivar built_in: routes of services that come with the server, by path.
    :ivar health: how services are, where that is one of them.
    """

    def __init__(self) -> None:
        self.message_bytes: int | None = None
        self.compression: str | None = None
        self.built_in: dict[str, tuple[Route, Method]] = {}
        self.health: Any = None


class GrpcAppFacet:
    """What `Saddle` has for gRPC. Calls reach its routes without any of it."""

    def __init__(self) -> None:
        self._grpc = Options()

    def enable_grpc(
        self,
        reflection: bool = False,
        health: bool = False,
        message_bytes: int | str | None = None,
        compression: str | None = None,
    ) -> None:
        """Say what calls should have beside the app's routes.

        :param reflection: let clients ask for the services of this host and their messages (``grpc.reflection``, v1 and
            v1alpha).
        :param health: let clients ask how services are (``grpc.health.v1``); `set_health` says it.
        :param message_bytes: longest message, unpacked; "16M" is accepted. By default that of the server,
            `grpc_message_bytes`.
        :param compression: of responses: "gzip" or "deflate" where the client reads that, "identity" for none; by default
            what the client's own messages have.
        :raises ImportError: protobuf is not installed, and is wanted for a service.
        :raises ValueError: no such compression, or no size.
        """
        if compression is not None and not is_known(compression):
            raise ValueError(f"compression is gzip, deflate or identity, not {compression!r}")
        options = self._grpc
        if message_bytes is not None:
            options.message_bytes = size(message_bytes)
        options.compression = compression
        if reflection or health:
            from skitai.saddle import grpc_services  # protobuf is an extra

            if reflection:
                options.built_in |= grpc_services.reflection(self)
            if health:
                options.health, routes = grpc_services.health(self)
                options.built_in |= routes

    def set_health(self, service: str, serving: bool) -> None:
        """Say how a service is, in this worker; those that nobody speaks of are well as long as they are served.

        :param service: its full name; "" for the server as a whole.
        :raises RuntimeError: `enable_grpc` was not called with health.
        """
        if self._grpc.health is None:
            raise RuntimeError("set_health() says it to those who ask: call app.enable_grpc(health=True) first")
        self._grpc.health.set(service, serving)
