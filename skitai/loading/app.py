"""From a mount to the app behind it.

An app is imported in each worker, its file as a module of its own: under its natural name where that is free, so that
its siblings can import it, and under an unlike name where another file has it already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from skitai.config.mounted import AppFile, AppObject, Folder, Mount, Upstream, View
from skitai.config.pref import AttrDict, Preference
from skitai.errors import LoadError
from skitai.loading.importer import load_file, load_package, reason, same_file, unique_name, without_importing
from skitai.loading.modules import forget_bytecode, own_modules, put_back, set_aside, shadowed, source_of
from skitai.loading.recognise import is_django, kind_of
from skitai.log import journal

SWITCHES = ("debug", "use_reloader")
"""Attributes of an app that the server itself looks at; off in production."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An app, ready to be served.

    :ivar app: the callable; None for a static folder and for an alias.
    :ivar kind: "wsgi", "asgi", "static", "upstream", "view", or what the app says.
    :ivar home: its folder; what lies below is its own code. Empty for an alias.
    :ivar files: its Python files, as far as they are imported by now.
    :ivar modules: all modules of its folder, by name, as its file sees them; None when that is not known.
    :ivar debug: show tracebacks in error pages.
    :ivar use_reloader: look for changed files.
    :ivar needs_restart: new code needs a new process (Django).
    :ivar reloadable: its code can be loaded anew at all.
    """

    app: Any
    kind: str
    home: str
    mount: Mount
    files: tuple[str, ...] = ()
    debug: bool = False
    use_reloader: bool = False
    needs_restart: bool = False
    reloadable: bool = True
    modules: Mapping[str, ModuleType] | None = None


_imported: dict[str, set[str]] = {}
"""Names of the modules of each app that was loaded, by the path of its file."""


def load(mount: Mount) -> Loaded:
    """Load what is mounted.

    :raises LoadError: the reason in one line, its cause chained. What it imported of the app is forgotten.
    """
    return _load(mount, renew=False)


def reload(loaded: Loaded) -> Loaded:
    """Load an app's code anew, beside the old, which goes on working.

    Every module of the app is executed again; the new ones are those that later imports find.

    :raises LoadError: the new code is broken. Everything is as before.
    """
    if not loaded.reloadable:
        raise LoadError(f"the app at {loaded.mount.point} exists in the start script's memory only; it cannot be reloaded")
    return _load(loaded.mount, renew=True)


def home_of(mount: Mount) -> str:
    """The folder whose Python files are the app's own."""
    target = mount.target
    if isinstance(target, Folder):
        return target.path
    if isinstance(target, Upstream):
        return ""
    path = target.path if isinstance(target, AppFile) else target.script
    folder = os.path.dirname(path)
    return os.path.dirname(folder) if _is_django_project(mount) else folder


def _load(mount: Mount, *, renew: bool) -> Loaded:
    target = mount.target
    if isinstance(target, Folder):
        if not os.path.isdir(target.path):
            raise LoadError(f"there is no folder {target.path}")
        return Loaded(None, "static", target.path, mount)
    if isinstance(target, Upstream):
        return Loaded(None, "view" if isinstance(target, View) else "upstream", "", mount, reloadable=False)
    home = home_of(mount)
    with _searching(mount, home):
        app, found, reloadable = _find(mount, home, renew=renew)
    if not reloadable:
        journal.server.warning("the app at %s is no variable of the start script: it cannot be reloaded", mount.point)
    kind = kind_of(app)
    switches = _apply(mount.pref, app, mount.point)
    needs_restart = _is_django_project(mount) or is_django(app)
    files = found.files if found else ()
    modules = found.modules if found else None
    return Loaded(
        app, kind, home, mount, files, needs_restart=needs_restart, reloadable=reloadable, modules=modules, **switches
    )


def _is_django_project(mount: Mount) -> bool:
    """A ``wsgi.py`` or ``asgi.py`` of Django: its app is ``application`` and ``settings.py`` lies beside it."""
    if mount.app_name != "application" or not isinstance(mount.target, AppFile):
        return False
    return os.path.exists(os.path.join(os.path.dirname(mount.target.path), "settings.py"))


@contextmanager
def _searching(mount: Mount, home: str) -> Iterator[None]:
    """Let imports look into the app's own folders first, and afterwards as well, behind those of other apps."""
    packaged = isinstance(mount.target, AppFile) and mount.target.package and not _is_django_project(mount)
    if packaged and home not in sys.path:
        # At the end: a package may hold a types.py, which must not hide the standard library's.
        sys.path.append(home)
    first = [*mount.path] if packaged else [*mount.path, home]
    sys.path[:0] = first
    try:
        yield
    finally:
        for folder in first:
            sys.path.remove(folder)
        sys.path[:0] = [folder for folder in first if folder not in sys.path]


@dataclass(frozen=True, slots=True)
class _Found:
    """The module of an app's file, with what `Loaded` says of its files and modules."""

    module: ModuleType
    files: tuple[str, ...]
    modules: Mapping[str, ModuleType]


def _find(mount: Mount, home: str, *, renew: bool) -> tuple[Any, _Found | None, bool]:
    """The app, its module if it has one, and whether it can be loaded anew."""
    if isinstance(mount.target, AppFile):
        found = _import(mount.target.path, mount.target.package, home, renew=renew)
        return _variable(found.module, mount.app_name), found, True
    assert isinstance(mount.target, AppObject)
    script, variable, held = mount.target.script, mount.target.variable, mount.target.app
    if not variable:
        return held, None, False
    found = _import(script, "", home, renew=renew)
    if hasattr(found.module, variable):
        return getattr(found.module, variable), found, True
    return held, None, False  # made below `if __name__ == "__main__"`


def _variable(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as error:
        others = [repr(other) for other in ("app", "application", "wsgi", "api") if callable(getattr(module, other, None))]
        hint = f"; it has {' and '.join(others)}" if others else ""
        raise LoadError(f"{module.__file__} has no {name!r}{hint}") from error


def _import(path: str, package: str, home: str, *, renew: bool) -> _Found:
    """Import an app's file; its module, and what of the app is imported then."""
    others = {name for owner, names in _imported.items() if owner != path for name in names}
    hidden = {name: sys.modules[name] for name in shadowed(home, others)}
    old = {name: each for name, each in own_modules(home).items() if renew and name not in others}
    forget_bytecode(filter(None, map(source_of, old.values())))
    aside = hidden.keys() | old.keys()
    before = sys.modules.keys() - aside
    try:
        with set_aside(aside, home):
            module = _module(path, package, hidden)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an app may raise anything while it is imported
        raise LoadError(f"{path}: {reason(error)}") from without_importing(error)
    modules = own_modules(home)
    own = {name: each for name, each in modules.items() if name not in before or name not in others}
    _imported[path] = set(own) - set(hidden)
    put_back(hidden)
    return _Found(module, tuple(sorted(filter(None, {source_of(each) for each in own.values()}))), modules)


def _module(path: str, package: str, hidden: Container[str]) -> ModuleType:
    name = os.path.splitext(os.path.basename(path))[0].replace(".", "_")
    if package and name == "__init__":
        return load_package(package, os.path.dirname(path))
    if package:
        name = f"{load_package(package, os.path.dirname(path)).__name__}.{name}"
    own = unique_name(name, path)
    for known in (name, own):
        if same_file(source_of(sys.modules[known]) if known in sys.modules else None, path):
            return sys.modules[known]
    if name in hidden:
        return load_file(own, path, alias=name)
    return load_file(own if name in sys.modules or name in sys.stdlib_module_names else name, path)


def _apply(pref: Preference, app: Any, point: str) -> dict[str, bool]:
    """Give an app its preferences; what `SWITCHES` are then."""
    overrides = pref.overrides
    if os.environ.get("SKITAI_ENV") == "PRODUCTION":
        overrides |= {name: False for name in SWITCHES if name in overrides or getattr(app, name, False)}
    for name, value in overrides.items():
        try:
            setattr(app, name, value)
        except (AttributeError, TypeError) as error:
            if name not in SWITCHES:
                journal.server.warning("the app at %s takes no attribute %s: %s", point, name, error)
    if pref.config:
        _configure(pref.config, app, point)
    return {name: bool(overrides.get(name, getattr(app, name, False))) for name in SWITCHES}


def _configure(items: AttrDict, app: Any, point: str) -> None:
    config = getattr(app, "config", None)
    try:
        if config is None:
            app.config = AttrDict(items)
        elif hasattr(config, "__setitem__"):
            for name, value in items.items():
                config[name] = value
        else:
            for name, value in items.items():
                setattr(config, name, value)
    except (AttributeError, TypeError) as error:
        journal.server.warning("the app at %s takes no config: %s", point, error)
