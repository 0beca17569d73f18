"""Mounting: folders, apps, aliases."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from skitai.api.saying import caller, expect
from skitai.config.disk import look
from skitai.config.draft import Draft, MountCall
from skitai.config.draft import own as own_draft
from skitai.config.mounted import AppFile, AppObject, Upstream
from skitai.config.pref import Preference
from skitai.config.targets import APP_KIND, Said, Seen, resolve
from skitai.loading.importer import load_package

EXPORT = os.path.join("export", "skitai")
"""Where a module keeps the apps that it offers, below its own folder."""


def mount(
    point: str,
    target: object,
    app_name: str = "app",
    pref: Preference | None = None,
    host: str = "default",
    path: str | os.PathLike[str] | list[str] | tuple[str, ...] = (),
) -> None:
    """Mount a folder or an app at a path prefix.

    :param target: a folder; an app's file, with or without ``.py``; an app itself (a WSGI or ASGI callable); a module that
        offers an app in ``export/skitai/__export__.py``; ``(module, "file.py")`` for another file of that folder; or
        ``"@members"``, for the servers of an alias, to which requests are passed on. Relative paths start at the folder of
        the start script.
    :param app_name: the variable that holds the app in its file.
    :param pref: attributes and config items that override the app's own; see `pref`.
    :param host: names of a virtual host, separated by spaces; ".example.com" stands for the domain and all below it.
    :param path: a folder, or several, to put in front of `sys.path`.
    :raises TypeError: for an argument of a wrong type. Anything else that is wrong, a missing folder for instance, is
        reported by `run`, together with all other faults.

    When ``__init__.py`` stands beside an app's file, it is imported now and its ``bootstrap(pref)`` called if it has one.
    """
    draft = own_draft()
    if draft.closed:
        return
    for name, value in (("point", point), ("app_name", app_name), ("host", host)):
        expect(value, str, f"mount() {name}")
    preference = Preference() if pref is None else pref
    expect(preference, Preference, "mount() pref", "what skitai.pref() returns")
    folders = tuple(draft.absolute(each) for each in _paths(path))
    found = _target(draft, target, app_name)
    draft.mounts.append(MountCall(point, found, app_name, host, preference, folders, caller(draft)))
    sys.path[:0] = [each for each in folders if each not in sys.path]
    _bootstrap(found, preference)


mount_django = mount


def _target(draft: Draft, target: object, app_name: str) -> Said:
    match target:
        case str() if target.startswith("@"):
            return Upstream(target[1:])
        case str() | os.PathLike():
            text = os.fspath(target)
            if not isinstance(text, str) or not text:
                raise TypeError(f"mount() target is {target!r}: a path must be text and not empty")
            return draft.absolute(text) + ("/" if text.endswith("/") else "")
        case ModuleType():
            return _export(target, "__export__.py")
        case (ModuleType() as module, str(file)):
            return _export(module, file)
        case _ if callable(target) or hasattr(target, APP_KIND):
            return AppObject(draft.script, _variable(target, app_name), target)
    raise TypeError(
        f"mount() target is {target!r}: it should be a folder, a file, an app, a module, (module, 'file.py'), or '@alias'"
    )


def _export(module: ModuleType, file: str) -> AppFile:
    if getattr(module, "__file__", None) is None:
        raise TypeError(f"mount() target: the module {module.__name__} has no file, so it cannot offer an app")
    home = os.path.dirname(os.path.abspath(str(module.__file__)))
    path = os.path.normpath(os.path.join(home, EXPORT, file if file.endswith(".py") else file + ".py"))
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    below = os.path.relpath(os.path.dirname(path), home)
    return AppFile(path, ".".join(filter(None, (package, *below.split(os.sep)))))


def _variable(app: object, app_name: str) -> str:
    """The name under which the start script holds an app; empty when it does not."""
    held = vars(sys.modules["__main__"])
    if held.get(app_name) is app:
        return app_name
    return next((name for name, value in held.items() if value is app), "")


def _bootstrap(target: Said, preference: Preference) -> None:
    """Import the package that an app's file lies in, and call its ``bootstrap(pref)`` if it has one.

    A package that is the app itself is the workers' to import.
    """
    try:
        found = resolve(target, look)
    except ValueError:
        return  # `run` reports it with the rest
    if isinstance(found, AppFile) and found.package:
        folder = os.path.dirname(found.path)
        init = os.path.join(folder, "__init__.py")
        if init != found.path and look(init) is Seen.FILE:
            bootstrap = getattr(load_package(found.package, folder), "bootstrap", None)
            if bootstrap is not None:
                bootstrap(preference)


def _paths(path: str | os.PathLike[str] | list[str] | tuple[str, ...]) -> list[str]:
    given = [path] if isinstance(path, str | os.PathLike) else path
    expect(given, list | tuple, "mount() path", "a path or a list of them")
    for each in given:
        expect(each, str | os.PathLike, "mount() path", "a path or a list of them")
    return [os.fspath(each) for each in given]
