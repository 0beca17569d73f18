"""Apps in several files: modules with a function ``decorate(app)``, and one ``dettach(app)`` that undoes it.

Modules in the folders ``decorative``, ``package`` and ``appack`` beside the app's file decorate the app as soon as the file,
or another of its modules, imports them; others do when `Saddle.decorate_with` names them.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from skitai.errors import LoadError
from skitai.loading.importer import reason
from skitai.loading.modules import own_modules, source_of
from skitai.log import journal
from skitai.saddle.house import house

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle

FOLDERS = ("decorative", "package", "appack")


class Decoration(NamedTuple):
    """A module, and what `Saddle.decorate_with` was told about it."""

    module: ModuleType
    options: Mapping[str, Any]


class Decoratives:
    """The modules of an app.

    :ivar home: the app's folder.
    :ivar module: the app's own.
    :ivar folders: whose modules decorate the app by themselves; relative to `home`.
    :ivar named: those that `decorate_with` named.
    :ivar attached: those that have decorated the app, in order; what is left to dettach.
    """

    def __init__(self, home: str, module: ModuleType | None) -> None:
        self.home = home
        self.module = module
        self.folders = list(FOLDERS)
        self.named: list[Decoration] = []
        self.attached: list[ModuleType] = []
        self.done = False

    def all(self, modules: Mapping[str, ModuleType]) -> list[Decoration]:
        """In the order in which they decorate: those that were found, as they were imported, then those that were named."""
        named = {id(each.module) for each in self.named}
        folders = tuple(os.path.join(self.home, each) + os.sep for each in self.folders)
        found = imported(self.module, modules) if self.module is not None else []
        alone = [
            Decoration(module, {})
            for module in found
            if id(module) not in named
            and source_of(module).startswith(folders)
            and callable(getattr(module, "decorate", None))
        ]
        return [*alone, *self.named]


class DecorateFacet:
    """The methods of `Saddle` for apps in several files."""

    home: str
    name: str
    debug: bool
    route_scope: Callable[..., Any]

    def __init__(self) -> None:
        self._decoratives = Decoratives(self.home, sys.modules.get(self.name))

    def decorate_with(
        self,
        module: ModuleType,
        *,
        mount: str = "",
        ns: str = "",
        authenticate: str | bool | None = None,
        debug_only: bool = False,
        **options: Any,
    ) -> None:
        """Let a module decorate the app when it starts, wherever its file is; the same module may be named several times.

        All that is given here is the module's ``__options__`` then.

        :param mount: a prefix for the rules of its routes.
        :param ns: a namespace for their names: ``ns.name``.
        :param authenticate: as for `route`, for those of its routes that say nothing themselves.
        :param debug_only: leave the module out unless the app's `debug` is on.
        :param options: for the module itself.
        :raises TypeError: it is no module, or has no ``decorate(app)``.
        """
        if not isinstance(module, ModuleType) or not callable(getattr(module, "decorate", None)):
            raise TypeError(f"decorate_with() takes a module with a function decorate(app), not {module!r}")
        given = {"mount": mount, "ns": ns, "authenticate": authenticate, "debug_only": debug_only}
        said = {name: value for name, value in given.items() if value not in ("", None, False)}
        self._decoratives.named.append(Decoration(module, said | options))

    def add_package(self, *folders: str) -> None:
        """Let modules in further folders beside the app's file decorate the app as those in ``decorative`` do.

        :raises ValueError: a folder is not below the app's.
        """
        for each in folders:
            folder = os.path.normpath(each)
            if os.path.isabs(folder) or folder.split(os.sep)[0] in (os.curdir, os.pardir):
                raise ValueError(f"add_package({each!r}): it should be the name of a folder beside the app's file")
            self._decoratives.folders.append(folder)

    def decorate(self, modules: Mapping[str, ModuleType] | None = None) -> None:
        """Let all its modules decorate the app, unless they have.

        :param modules: of the app's folder, by name, as its file sees them; by default those that are imported now.
        :raises LoadError: one cannot; those before it are dettached again.
        """
        state = self._decoratives
        if state.done:
            return
        state.done = True
        if modules is None:
            modules = own_modules(self.home)
        for module, options in state.all(modules):
            if options.get("debug_only") and not self.debug:
                continue
            module.__options__ = dict(options)  # type: ignore[attr-defined]
            scope = {name: options[name] for name in ("mount", "ns", "authenticate") if name in options}
            if module not in state.attached:
                state.attached.append(module)
            try:
                with self.route_scope(**scope):
                    result = module.decorate(self)
                if inspect.iscoroutine(result):
                    result.close()
                    raise TypeError("it is a coroutine function, and the app cannot start before it has ended")
            except (Exception, SystemExit) as error:
                self._let_go()
                raise LoadError(f"{source_of(module) or module.__name__}: decorate(app): {reason(error)}") from error

    def _let_go(self) -> None:
        for dettach in self.dettachments():
            try:
                result = dettach()
                if inspect.iscoroutine(result):
                    house.run(result)
            except Exception as error:  # noqa: BLE001 - the module's own, whatever it is
                journal.traceback("app", error, text="dettach(app) of a module of an app that does not start")

    def dettachments(self) -> Iterator[Callable[[], Any]]:
        """What is left to call so that the modules let go of the app, the last first; nothing comes twice."""
        app = cast("Saddle", self)
        attached = self._decoratives.attached
        while attached:
            dettach = getattr(attached.pop(), "dettach", None)
            if callable(dettach):
                yield lambda dettach=dettach: dettach(app)  # type: ignore[misc]


def imported(module: ModuleType, modules: Mapping[str, ModuleType]) -> list[ModuleType]:
    """The modules that a module and those that it imports name in their import statements, as their imports end.

    :param modules: those that count, by name.
    :raises LoadError: a file cannot be read any more.
    """
    found: list[ModuleType] = []
    seen = {id(module)}

    def visit(importer: ModuleType) -> None:
        for name in _names(importer):
            each = modules.get(name)
            if each is not None and id(each) not in seen:
                seen.add(id(each))
                visit(each)
                found.append(each)

    visit(module)
    return found


def _names(module: ModuleType) -> Iterator[str]:
    """The names in a module's import statements that may be modules, in their order, outer packages first."""
    file = source_of(module)
    if not file:
        return
    try:
        with tokenize.open(file) as source:
            tree = ast.parse(source.read(), file)
    except (OSError, SyntaxError, ValueError) as error:
        raise LoadError(f"{file}: {reason(error)}") from error
    statements = [each for each in ast.walk(tree) if isinstance(each, ast.Import | ast.ImportFrom)]
    for statement in sorted(statements, key=lambda each: (each.lineno, each.col_offset)):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield from _outward(alias.name)
            continue
        base = _absolute(module, statement)
        yield from _outward(base)
        for alias in statement.names:
            yield f"{base}.{alias.name}"


def _absolute(module: ModuleType, statement: ast.ImportFrom) -> str:
    """What ``from ... import`` imports from."""
    name = "." * statement.level + (statement.module or "")
    try:
        return importlib.util.resolve_name(name, module.__package__)
    except ImportError:
        return name  # it has gone wrong already


def _outward(name: str) -> Iterator[str]:
    """A dotted name, its outer packages first."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
