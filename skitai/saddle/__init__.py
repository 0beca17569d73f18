"""Saddle, the framework: apps whose handlers get the running request as their first argument.

::

    from skitai.saddle import Saddle

    app = Saddle(__name__)


    @app.route("/")
    def index(was):
        return "Hello"
"""

from skitai.saddle.app import Saddle
from skitai.saddle.context import Was

__all__ = ["Saddle", "Was"]
