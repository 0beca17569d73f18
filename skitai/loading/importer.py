"""The only place of the package that imports by name or by path."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zlib
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from skitai.errors import LoadError


def load_object(name: str) -> Any:
    """The object that ``"package.module:attribute"`` names; the attribute may be dotted.

    :raises LoadError: the text has another form, the module cannot be imported, or has no such attribute.
    """
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise LoadError(f"{name!r} should be 'package.module:attribute'")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise LoadError(f"{module_name}: {reason(error)}") from error
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise LoadError(f"{name!r}: {found!r} has no {attribute!r}") from error
    return found


def load_package(name: str, folder: str) -> ModuleType:
    """Import the package in `folder` whose dotted name is `name`.

    When another package of that name was imported before, this one gets a name of its own, so that its relative imports
    work all the same.

    :raises Exception: whatever its code raises.
    """
    root = folder
    for _ in name.split("."):
        root = os.path.dirname(root)
    if root not in sys.path:
        sys.path.insert(0, root)
    held = sys.modules.get(name.partition(".")[0])
    if held is None or same_file(_folder(held), os.path.join(root, name.partition(".")[0])):
        package = importlib.import_module(name)
        if same_file(_folder(package), folder):
            return package
    name = unique_name(name.replace(".", "_"), folder)
    if name in sys.modules:
        return sys.modules[name]
    init = os.path.join(folder, "__init__.py")
    return _execute(
        importlib.util.spec_from_file_location(name, init, loader=_Source(name, init), submodule_search_locations=[folder])
    )


def load_file(name: str, path: str, alias: str = "") -> ModuleType:
    """Execute a Python file as the module `name`, from its source, whatever was imported before.

    :param alias: another name under which the files that it imports find it.
    :raises Exception: whatever its code raises; the module is forgotten again.
    """
    return _execute(importlib.util.spec_from_file_location(name, path, loader=_Source(name, path)), alias)


def unique_name(name: str, path: str) -> str:
    """A module name that belongs to one file or folder only."""
    return f"{name}_{zlib.crc32(os.fsencode(os.path.realpath(path))):08x}"


def same_file(one: str | None, other: str) -> bool:
    return one is not None and os.path.realpath(one) == os.path.realpath(other)


def reason(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, SystemExit):
        return f"it left with exit code {error.code}"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def without_importing(error: BaseException) -> BaseException:
    """The exception with a traceback that begins in the imported code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((_HERE, "<frozen importlib")):
        trace = trace.tb_next
    return error.with_traceback(trace)


_HERE = os.path.dirname(__file__)


class _Source(SourceFileLoader):
    """Always compiles: cached bytecode knows times only to the second and misses quick edits."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _execute(spec: ModuleSpec | None, alias: str = "") -> ModuleType:
    if spec is None or spec.loader is None:
        raise ImportError("no loader for a Python file")
    module = importlib.util.module_from_spec(spec)
    before = {name: sys.modules.get(name) for name in (spec.name, alias) if name}
    sys.modules.update(dict.fromkeys(before, module))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for name, held in before.items():
            if held is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = held
        raise
    return sys.modules[spec.name]  # as the import statement does: the code may have put something else in its place


def _folder(package: ModuleType) -> str | None:
    paths = list(getattr(package, "__path__", ()))
    return paths[0] if paths else None
