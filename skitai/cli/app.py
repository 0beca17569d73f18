"""Runs what the `skitai` command is told to serve: a script, a variable of a module, or a folder."""

from __future__ import annotations

import os
import re
import runpy
import sys

from skitai.errors import StartError

DEFAULT_SCRIPTS = ("service.py", "app.py")

_VARIABLE = re.compile(r"(?P<module>[^:]*[^:/]):(?P<variable>[^\W\d]\w*)")
_LINES = "import skitai; skitai.mount('/', {target!r}, {variable!r}, path={folder!r}); skitai.run()"
_FOLDER_LINES = "import skitai; skitai.mount('/', {target!r}); skitai.run()"


def identity(app: str, *, must_exist: bool = True) -> str:
    """The absolute path that stands for an app: the script, the folder, or FOLDER/MODULE:VARIABLE.

    The folder is the working directory, where the module's import starts.

    :param must_exist: a server whose script has been removed can still be stopped.
    :raises StartError: when there is no such app.
    """
    path = os.path.abspath(app)
    if os.path.isdir(path) and os.path.isfile(path + ".py") and not app.endswith("/"):
        raise StartError(f"{app} is a folder and {app}.py a file: write {app}/ or {app}.py")
    if os.path.exists(path) or _VARIABLE.fullmatch(path):
        return path
    if os.path.isfile(path + ".py"):
        return path + ".py"
    if must_exist:
        raise StartError(f"there is no {app}: name a script, a folder, or module:variable")
    return path


def default() -> str:
    """The app of this folder, when the command names none.

    :raises StartError: when there is none.
    """
    for name in DEFAULT_SCRIPTS:
        if os.path.isfile(name):
            return os.path.abspath(name)
    raise StartError(f"name an app: there is no {' and no '.join(DEFAULT_SCRIPTS)} in {os.getcwd()}")


def execute(app: str, words: list[str]) -> None:
    """Run an app's script as Python would, with `words` for its arguments.

    Without a script, for a folder or a variable, the three lines that serve it are run in its place.

    :param app: see `identity`.
    """
    folder = os.path.dirname(os.path.realpath(app))
    sys.argv[:] = [app, *words]
    sys.path[0 : 0 if sys.flags.safe_path else 1] = [folder]
    if os.path.isfile(app):
        runpy.run_path(app, run_name="__main__")
        return
    if os.path.isdir(app):
        lines = _FOLDER_LINES.format(target=app + "/")
    else:
        module, _, variable = app.rpartition(":")
        lines = _LINES.format(target=_source(module, folder), variable=variable, folder=folder)
    exec(compile(lines, "command line", "exec"), {"__name__": "__main__"})


def _source(module: str, folder: str) -> str:
    """The file of a module, found without importing anything.

    :param module: FOLDER/MODULE, dotted or with its ".py".
    """
    name = os.path.basename(module)
    if os.path.isfile(module):
        return module
    parts = name.split(".")
    for place in (folder, *sys.path):
        path = os.path.join(place, *parts)
        for candidate in (path + ".py", os.path.join(path, "__init__.py")):
            if os.path.isfile(candidate):
                return candidate
    raise StartError(f"there is no module {name} in {folder} nor on the path of Python")
