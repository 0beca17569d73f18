"""The modules in ``sys.modules`` that belong to an app, and putting fresh ones beside them.

An app owns the Python files in its folder and below, but no installed packages, no start script that runs as
``__main__``, and nothing that another app's load imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType

FOREIGN = ("site-packages", "dist-packages", "node_modules", "__pycache__")
RECENT_S = 10.0
NEVER = frozenset({"skitai", "__main__", "__mp_main__"})


def source_of(module: ModuleType) -> str:
    """The Python file of a module; "" when it has none."""
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) and file.endswith(".py") else ""


def place_of(module: ModuleType) -> str:
    """The Python file of a module, the folder of a package without ``__init__.py``; "" when it has neither."""
    if getattr(module, "__file__", None) is not None:
        return source_of(module)
    folders = {each for each in getattr(module, "__path__", ()) if isinstance(each, str)}
    return folders.pop() if len(folders) == 1 else ""


def is_own(name: str, file: str, home: str) -> bool:
    """Whether the module `name` with its `file` (`place_of`) belongs to an app in the folder `home`."""
    if not file.startswith(home.rstrip(os.sep) + os.sep) or name.partition(".")[0] in NEVER:
        return False
    return not any(part in FOREIGN for part in file[len(home) :].split(os.sep))


def own_modules(home: str) -> dict[str, ModuleType]:
    """Those imported by now that lie in `home`."""
    return {name: module for name, module in list(sys.modules.items()) if is_own(name, place_of(module), home)}


def shadowed(home: str, kept: Iterable[str]) -> set[str]:
    """Names of modules of other apps that files in `home` have, too: two apps with a ``models.py`` each."""
    names = set()
    for name in kept:
        top = name.partition(".")[0]
        module = sys.modules.get(name)
        beside = os.path.exists(os.path.join(home, f"{top}.py")) or os.path.isdir(os.path.join(home, top))
        if module is not None and beside and not is_own(name, place_of(module), home):
            names.add(name)
    return names


@contextmanager
def set_aside(names: Iterable[str], home: str) -> Iterator[None]:
    """Forget modules so that importing them gives fresh ones.

    When the block fails everything is as before, and what it imported from `home` is forgotten.
    """
    before = set(sys.modules)
    old = {name: sys.modules.pop(name) for name in list(names) if name in sys.modules}
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        for name in own_modules(home).keys() - before:
            del sys.modules[name]
        put_back(old)
        raise


def put_back(modules: dict[str, ModuleType]) -> None:
    """Make modules the ones that are found by their names, in their packages as well."""
    sys.modules.update(modules)
    for name, module in modules.items():
        package, _, last = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], last, module)


def forget_bytecode(files: Iterable[str]) -> None:
    """Delete the cached bytecode of files that have just changed: its time stamp knows seconds only."""
    recently_s = time.time() - RECENT_S
    for file in files:
        try:
            if os.stat(file).st_mtime > recently_s:
                os.unlink(importlib.util.cache_from_source(file))
        except (OSError, NotImplementedError):
            continue  # never written, or not ours to delete: then the time stamp has to do
