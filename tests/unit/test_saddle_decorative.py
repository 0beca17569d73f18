"""Saddle apps in several files: which modules decorate an app, in which order, with what options, and how they let go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from skitai.config.mounted import AppFile, Mount
from skitai.config.sections.running import Log
from skitai.errors import LoadError
from skitai.loading import Loaded, load, reload
from skitai.loading.app import _imported
from skitai.log import journal
from skitai.saddle import Saddle

APP = """
from skitai.saddle import Saddle
{imports}
app = Saddle(__name__)
app.said = []
{rest}
"""

SAYS = """
def decorate(app):
    app.said.append(__name__)

def dettach(app):
    app.said.append("no " + __name__)
"""


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """What a test imports is forgotten afterwards."""
    modules, path, imported = dict(sys.modules), list(sys.path), dict(_imported)
    yield
    sys.modules.clear()
    sys.modules.update(modules)
    sys.path[:] = path
    _imported.clear()
    _imported.update(imported)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Loaded]:
    """Writes files, ``a/b.py`` as ``a__b``, and loads the app."""

    def make(imports: str = "", rest: str = "", main: str = "app.py", **files: str) -> Loaded:
        for name, text in files.items():
            file = tmp_path / (name.replace("__", "/") + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        (tmp_path / main).write_text(APP.format(imports=dedent(imports), rest=dedent(rest)))
        return load(Mount("/", AppFile(str(tmp_path / main))))

    return make


def decorated(loaded: Loaded) -> list[str]:
    loaded.app.decorate(loaded.modules)
    said: list[str] = loaded.app.said
    return said


def let_go(app: Saddle) -> None:
    for dettach in app.dettachments():
        dettach()


@pytest.mark.parametrize(
    "imports",
    [
        "from decorative import two, one",
        "import decorative.two\nimport decorative.one",
        "import decorative.two as second, decorative.one as first",
        "from decorative.two import decorate as d\nfrom decorative.one import *",
        "if True:\n    from decorative import (two,\n one)",
    ],
)
def test_modules_decorate_in_the_order_of_their_imports(site: Callable[..., Loaded], imports: str) -> None:
    loaded = site(imports, decorative__one=SAYS, decorative__two=SAYS, decorative__unused=SAYS)
    assert decorated(loaded) == ["decorative.two", "decorative.one"]
    assert decorated(loaded) == ["decorative.two", "decorative.one"], "once is enough"


def test_modules_in_folders_below_and_those_that_modules_import(site: Callable[..., Loaded]) -> None:
    loaded = site(
        "from decorative.views import index\nfrom decorative import apis\nimport urls",
        decorative__views__index="from . import helpers\n" + SAYS,
        decorative__views__helpers="SHARED = 1",
        decorative__apis="from decorative import more\n" + SAYS,
        decorative__more=SAYS,
        package__one=SAYS,
        appack__two=SAYS,
        urls="from package import one\nimport appack.two\n" + SAYS,
    )
    assert decorated(loaded) == [
        "decorative.views.index",
        "decorative.more",
        "decorative.apis",
        "package.one",
        "appack.two",
    ]


def test_further_folders(site: Callable[..., Loaded]) -> None:
    loaded = site(
        "from parts import one\nfrom deep.parts import two",
        'app.add_package("parts", "deep/parts")',
        parts__one=SAYS,
        deep__parts__two=SAYS,
    )
    assert decorated(loaded) == ["parts.one", "deep.parts.two"]


@pytest.mark.parametrize("folder", ["../parts", "/parts", "."])
def test_further_folders_lie_beside_the_app(folder: str) -> None:
    with pytest.raises(ValueError, match="should be the name of a folder beside the app's file"):
        Saddle(__name__).add_package(folder)


def test_of_two_apps_in_one_folder_each_has_the_modules_that_it_imports(site: Callable[..., Loaded]) -> None:
    users = site("from decorative import users, both", main="users.py", decorative__users=SAYS, decorative__both=SAYS)
    photos = site("import decorative.photos\nfrom decorative import both", main="photos.py", decorative__photos=SAYS)
    assert decorated(users) == ["decorative.users", "decorative.both"]
    assert decorated(photos) == ["decorative.photos", "decorative.both"]


def test_of_two_apps_in_two_folders_each_has_its_own_modules(tmp_path: Path) -> None:
    loaded = []
    for name in ("users", "photos"):
        folder = tmp_path / name / "decorative"
        folder.mkdir(parents=True)
        (folder / "views.py").write_text(SAYS + f"\nWHERE = {name!r}\n")
        imports = "from decorative.views import WHERE"
        (tmp_path / name / "app.py").write_text(APP.format(imports=imports, rest="app.where = WHERE"))
        loaded.append(load(Mount(f"/{name}", AppFile(str(tmp_path / name / "app.py")))))
    for each in loaded:
        assert decorated(each) == ["decorative.views"]
        assert each.app.where == each.app._decoratives.attached[0].WHERE


def test_in_a_package_imports_are_relative(tmp_path: Path) -> None:
    folder = tmp_path / "offered"
    (folder / "decorative").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "decorative" / "views.py").write_text("from ..words import WORD\n" + SAYS)
    (folder / "words.py").write_text("WORD = 1")
    (folder / "app.py").write_text(APP.format(imports="from .decorative import views", rest=""))
    assert decorated(load(Mount("/", AppFile(str(folder / "app.py"), "offered")))) == ["offered.decorative.views"]


OPTIONS = """
def decorate(app):
    app.said.append(dict(__options__))

    @app.route("/login")
    def login(was):
        return __options__.get("redirect", "index")

    @app.route("/open", authenticate=False)
    def open_to_all(was):
        return ""
"""


def test_options_of_a_module_that_is_named(site: Callable[..., Loaded]) -> None:
    loaded = site(
        "from decorative import auth\nimport elsewhere",
        """
        app.decorate_with(auth, mount="/regist", ns="regist", authenticate="bearer", redirect="home")
        app.decorate_with(elsewhere, redirect="here")
        """,
        decorative__auth=OPTIONS,
        elsewhere=OPTIONS,
    )
    assert decorated(loaded) == [
        {"mount": "/regist", "ns": "regist", "authenticate": "bearer", "redirect": "home"},
        {"redirect": "here"},
    ]
    app = loaded.app
    assert app.build_url("regist.login") == "/regist/login"
    assert app.build_url("login") == "/login"
    named = {route.name: route.options for route in app._routes.all}
    assert named["regist.login"]["authenticate"] == "bearer"
    assert named["regist.open_to_all"]["authenticate"] is False
    assert "authenticate" not in named["login"]


def test_a_module_may_be_named_twice_and_is_dettached_once(site: Callable[..., Loaded]) -> None:
    loaded = site(
        "from decorative import auth, last",
        'app.decorate_with(auth, mount="/a", ns="a")\napp.decorate_with(auth, mount="/b", ns="b")',
        decorative__auth=OPTIONS + "\ndef dettach(app):\n    app.said.append('no auth')\n",
        decorative__last=SAYS,
    )
    decorated(loaded)
    app = loaded.app
    assert (app.build_url("a.login"), app.build_url("b.login")) == ("/a/login", "/b/login")
    app.said.clear()
    let_go(app)
    let_go(app)
    assert app.said == ["no auth", "no decorative.last"]


def test_modules_for_debugging_only(site: Callable[..., Loaded]) -> None:
    rest = "app.decorate_with(tools, debug_only=True)\napp.debug = {}"
    assert decorated(site("from decorative import tools", rest.format(False), decorative__tools=SAYS)) == []
    loaded = site("from decorative import tools", rest.format(True), main="other.py")
    assert decorated(loaded) == ["decorative.tools"]


@pytest.mark.parametrize("module", [sys, "auth", None])
def test_only_modules_that_decorate_can_be_named(module: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a module with a function decorate\(app\)"):
        Saddle(__name__).decorate_with(module)


def test_a_module_that_fails_takes_down_those_before_it(site: Callable[..., Loaded], tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    loaded = site(
        "from decorative import first, second, third, last",
        decorative__first=SAYS,
        decorative__second=SAYS + "\n    raise ValueError('stuck')\n",
        decorative__third="def decorate(app):\n    app.said.append('third')\n    raise LookupError('broken')\n",
        decorative__last=SAYS,
    )
    with pytest.raises(LoadError, match=r"third.py: decorate\(app\): LookupError: broken"):
        decorated(loaded)
    said = ["decorative.first", "decorative.second", "third", "no decorative.second", "no decorative.first"]
    assert loaded.app.said == said
    assert "stuck" in (tmp_path / "app.log").read_text()
    journal.setup(Log(), None, console=False)


def test_new_code_is_decorated_by_new_modules(site: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = site("from decorative import one", decorative__one=SAYS)
    decorated(loaded)
    (tmp_path / "decorative" / "one.py").write_text(SAYS.replace("append(__name__)", "append('new')"))
    again = reload(loaded)
    assert decorated(again) == ["new"]
    assert loaded.app.said == ["decorative.one"]
    let_go(loaded.app)
    assert loaded.app.said == ["decorative.one", "no decorative.one"]
    assert again.app.said == ["new"]


def test_outside_of_a_server_an_app_finds_what_is_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "decorative"
    folder.mkdir()
    (folder / "one.py").write_text(SAYS)
    (tmp_path / "alone.py").write_text(APP.format(imports="from decorative import one", rest=""))
    monkeypatch.syspath_prepend(str(tmp_path))
    import alone  # type: ignore[import-not-found]

    assert isinstance(alone, ModuleType)
    alone.app.decorate()
    assert alone.app.said == ["decorative.one"]


def test_what_modules_were_once_says_what_they_are_now() -> None:
    from skitai.saddle import Saddlery

    with pytest.raises(TypeError, match=r"superseded: modules decorate the app, see app.decorate_with\(\)"):
        Saddlery(__name__)
