"""Saddle, the framework: apps whose handlers get the running request as their first argument.

::

    from skitai.saddle import Saddle

    app = Saddle(__name__)


    @app.route("/")
    def index(was):
        return "Hello"
"""

from typing import Any, NoReturn

from skitai.protocols.grpc.status import RpcError, StatusCode
from skitai.saddle.app import Saddle
from skitai.saddle.context import Was
from skitai.saddle.events import (
    app_mounted,
    app_restarted,
    app_restarting,
    app_started,
    app_starting,
    app_unmounting,
    request_failed,
    request_finished,
    request_starting,
    request_success,
    request_tearing_down,
    template_rendered,
    template_rendering,
)
from skitai.saddle.promise import Promise
from skitai.saddle.uploads import UploadedFile

__all__ = [
    "Promise",
    "RpcError",
    "Saddle",
    "StatusCode",
    "UploadedFile",
    "Was",
    "app_mounted",
    "app_restarted",
    "app_restarting",
    "app_started",
    "app_starting",
    "app_unmounting",
    "request_failed",
    "request_finished",
    "request_starting",
    "request_success",
    "request_tearing_down",
    "template_rendered",
    "template_rendering",
]


def Saddlery(*_args: Any, **_options: Any) -> NoReturn:  # noqa: N802 - a class once
    """Superseded.

    :raises TypeError: always; it says by what.
    """
    raise TypeError("Saddlery is superseded: modules decorate the app, see app.decorate_with()")
