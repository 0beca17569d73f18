"""HTTP and HTTPS: the client of the project's own protocol cores."""

from skitai.backend.drivers.http.driver import HttpDriver
from skitai.backend.drivers.http.request import VERBS, HttpRequest, locate, make
from skitai.backend.drivers.http.result import HttpResult

__all__ = ["VERBS", "HttpDriver", "HttpRequest", "HttpResult", "locate", "make"]
