"""`was`: the services of the running request. ``from skitai import was`` gives this module, which behaves as `proxy.was`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from skitai.was import services
from skitai.was.context import current
from skitai.was.host import WorkerServices, attach
from skitai.was.proxy import was
from skitai.was.verbs import VERBS

__all__ = ["WorkerServices", "attach", "current", "services", "was"]


def __getattr__(name: str) -> Any:
    return getattr(was, name)


class _Module(ModuleType):
    """Attributes that are set on the module are the running request's, as with `proxy.was`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) or name.startswith("__"):
            super().__setattr__(name, value)  # the import system's
        elif name in self.__dict__:
            raise AttributeError(f"was.{name} is Skitai's own")
        else:
            setattr(was, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(was, name)

    def __dir__(self) -> list[str]:
        return sorted({*__all__, *dir(was)})

    def __repr__(self) -> str:
        return repr(was)


globals().update({name: getattr(was, name) for name in VERBS})  # used for every request to a back-end
sys.modules[__name__].__class__ = _Module
