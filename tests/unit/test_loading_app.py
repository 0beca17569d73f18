import functools
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from skitai.config.mounted import AppFile, AppObject, Folder, Mount
from skitai.config.pref import Preference
from skitai.config.sections.running import Log
from skitai.errors import LoadError
from skitai.loading import Loaded, load, reload
from skitai.loading import app as loading_app
from skitai.loading.importer import load_object
from skitai.loading.recognise import kind_of
from skitai.log import journal

HELLO = """
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]
"""


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules and paths of one test do not reach the next."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(loading_app, "_imported", {})
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, text: str = "") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write


Write = Callable[..., str]


def mounted(file: str, name: str = "app", package: str = "", **options: Any) -> Loaded:
    return load(Mount("/", AppFile(file, package), app_name=name, **options))


def ask(loaded: Loaded) -> bytes:
    return b"".join(loaded.app({}, lambda status, fields: None))


# What is mounted


def test_a_file(write: Write, tmp_path: Path) -> None:
    path = write("hello.py", HELLO)
    loaded = mounted(path)
    assert (loaded.kind, loaded.home, loaded.files) == ("wsgi", str(tmp_path), (path,))
    assert ask(loaded) == b"hello"
    assert loaded.app.__module__ == "hello"
    assert not (loaded.debug or loaded.use_reloader or loaded.needs_restart)


def test_a_static_folder(tmp_path: Path) -> None:
    loaded = load(Mount("/", Folder(str(tmp_path))))
    assert (loaded.kind, loaded.app, loaded.home) == ("static", None, str(tmp_path))
    with pytest.raises(LoadError, match=f"there is no folder {tmp_path}/missing"):
        load(Mount("/", Folder(f"{tmp_path}/missing")))


def test_a_variable_of_another_name(write: Write) -> None:
    path = write("hello.py", HELLO.replace("app", "application"))
    assert ask(mounted(path, "application")) == b"hello"
    with pytest.raises(LoadError, match=r"hello\.py has no 'app'; it has 'application'$"):
        mounted(path)


def test_the_siblings_of_an_app_can_be_imported(write: Write) -> None:
    write("words.py", "HELLO = b'from beside'")
    path = write("app.py", HELLO.replace("    def", "    from words import HELLO\n    def").replace('b"hello"', "HELLO"))
    loaded = mounted(path)
    assert ask(loaded) == b"from beside"
    assert [os.path.basename(file) for file in loaded.files] == ["app.py", "words.py"]


def test_a_sibling_can_import_the_app_module_back(write: Write) -> None:
    """As Flask apps do: models.py imports db from app.py."""
    path = write("site_app.py", "db = b'one'\nimport views\ndef app(e, s): return [views.answer()]")
    write("views.py", "import site_app\ndef answer(): return site_app.db")
    assert ask(mounted(path)) == b"one"


def test_an_app_in_a_package_imports_relatively(write: Write) -> None:
    write("shop/__init__.py")
    write("shop/web/__init__.py", "from ..words import HELLO")
    write("shop/words.py", "HELLO = b'shop'")
    path = write("shop/web/app.py", "from . import HELLO\nfrom .views import app")
    write("shop/web/views.py", "from . import HELLO\ndef app(e, s): return [HELLO]")
    loaded = mounted(path, package="shop.web")
    assert ask(loaded) == b"shop"
    assert loaded.app.__module__ == "shop.web.views"


def test_a_package_may_hold_names_of_the_standard_library(write: Write) -> None:
    write("shop/__init__.py")
    write("shop/types.py", "raise AssertionError('in the way')")
    path = write("shop/app.py", "import types\nimport words\ndef app(e, s): return [words.W, types.__name__.encode()]")
    write("shop/words.py", "W = b'w'")
    assert ask(mounted(path, package="shop")) == b"wtypes"


def test_two_apps_of_one_name_do_not_collide(write: Write) -> None:
    apps = []
    for name in ("one", "two"):
        write(f"{name}/words.py", f"WORD = b'{name}'")
        write(f"{name}/views.py", "import app, words\nMARK = app.MARK\ndef view(): return words.WORD + MARK")
        apps.append(write(f"{name}/app.py", f"MARK = b'!{name}'\nimport views\ndef app(e, s): return [views.view()]"))
    one, two = map(mounted, apps)
    assert (ask(one), ask(two)) == (b"one!one", b"two!two")
    assert one.app.__module__ != two.app.__module__
    assert sys.modules[one.app.__module__].__dict__ is one.app.__globals__
    assert sys.modules[two.app.__module__].__dict__ is two.app.__globals__


def test_two_packages_of_one_name_do_not_collide(write: Write) -> None:
    apps = []
    for name in ("one", "two"):
        write(f"{name}/shop/__init__.py")
        write(f"{name}/shop/words.py", f"WORD = b'{name}'")
        apps.append(write(f"{name}/shop/app.py", "from .words import WORD\ndef app(e, s): return [WORD]"))
    assert [ask(mounted(path, package="shop")) for path in apps] == [b"one", b"two"]


@pytest.mark.parametrize("name", ["hello.py", "token.py"])
def test_one_file_mounted_twice_is_loaded_once(write: Write, name: str) -> None:
    path = write(name, HELLO)
    assert mounted(path).app is mounted(path).app


def test_a_file_may_be_called_like_a_module_of_the_standard_library(write: Write) -> None:
    path = write("token.py", HELLO)
    loaded = mounted(path)
    assert ask(loaded) == b"hello"
    assert sys.modules["token"].__file__ != path


@pytest.mark.parametrize("name", ["my-app.py", "app.v2.py"])
def test_a_file_needs_no_identifier_as_its_name(write: Write, name: str) -> None:
    assert ask(mounted(write(name, HELLO))) == b"hello"


def test_folders_given_with_the_mount_come_first(write: Write, tmp_path: Path) -> None:
    write("lib/words.py", "WORD = b'lib'")
    write("web/words.py", "WORD = b'web'")
    path = write("web/app.py", "import words\ndef app(e, s): return [words.WORD]")
    assert ask(mounted(path, path=(str(tmp_path / "lib"), str(tmp_path / "other")))) == b"lib"
    assert sys.path[:2] == [str(tmp_path / "lib"), str(tmp_path / "other")]


def test_a_module_export(write: Write) -> None:
    write("unsub/__init__.py", "NAME = b'unsub'")
    write("unsub/export/skitai/__init__.py")
    path = write("unsub/export/skitai/__export__.py", "from ... import NAME\ndef app(e, s): return [NAME]")
    assert ask(mounted(path, package="unsub.export.skitai")) == b"unsub"
    import skitai

    assert "unsub" not in str(skitai.__file__)


# Apps of the start script


def test_the_script_is_imported_anew(write: Write) -> None:
    script = write("start.py", f"NAME = __name__\n{textwrap.dedent(HELLO)}")
    mine: Any = lambda environ, start_response: [b"the master's"]  # noqa: E731
    loaded = load(Mount("/", AppObject(script, "app", mine)))
    assert ask(loaded) == b"hello"
    assert loaded.app.__globals__["NAME"] == "start"
    assert loaded.reloadable


@pytest.mark.parametrize("variable", ["", "made_below_main"])
def test_an_app_that_is_no_variable_of_the_script_is_inherited(
    write: Write, variable: str, capfd: pytest.CaptureFixture[str]
) -> None:
    script = write("start.py", "made = 1")
    journal.setup(Log(), None, console=True)
    loaded = load(Mount("/x", AppObject(script, variable, lambda environ, start_response: [b"kept"])))
    journal.setup(Log(), None, console=False)
    assert ask(loaded) == b"kept"
    assert not loaded.reloadable
    assert "the app at /x is no variable of the start script: it cannot be reloaded" in capfd.readouterr().err
    with pytest.raises(LoadError, match="cannot be reloaded"):
        reload(loaded)


# What goes wrong


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("app = (", r"SyntaxError: '\(' was never closed \(broken\.py, line 1\)$"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'$"),
        ("1 / 0", "ZeroDivisionError: division by zero$"),
        ("import sys; sys.exit(3)", "it left with exit code 3$"),
        ("app = 'hello'", "'hello' is a str, not an app: nothing that can be called$"),
        ("def app(): return make()", "app takes no arguments: call it and mount the app that it returns$"),
        ("async def app(request): pass", "app is a coroutine function, but does not take scope, receive and send$"),
        ("async def app(a, b, c): yield", "app is an asynchronous generator, neither WSGI nor ASGI$"),
        ("def app(a, b, c): pass", "app takes three arguments, but is no coroutine function"),
        ("def app(a): pass", "app takes neither the two arguments of WSGI nor the three of ASGI$"),
        ("", r"broken\.py has no 'app'$"),
    ],
)
def test_the_reason_is_said_in_one_line(write: Write, text: str, reason: str) -> None:
    path = write("broken.py", text)
    with pytest.raises(LoadError, match=reason) as caught:
        mounted(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="No such file"):
        mounted(f"{tmp_path}/missing.py")


def test_a_failed_load_leaves_no_modules(write: Write) -> None:
    write("words.py", "W = 1")
    path = write("broken.py", "import words\n1 / 0")
    before = set(sys.modules)
    with pytest.raises(LoadError) as caught:
        mounted(path)
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code.co_filename == path, "what is shown begins in the app's own code"
    assert sys.modules.keys() == before


def test_what_an_app_prints_while_it_is_imported_is_its_own_business(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(mounted(write("loud.py", f"print('here I am')\n{textwrap.dedent(HELLO)}"))) == b"hello"
    assert capsys.readouterr().out == "here I am\n"


# Kinds


class Asynchronous:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Synchronous:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None: ...


class OfPep3333:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        return iter([])


async def coroutine(scope: Any, receive: Any, send: Any) -> None: ...


def wrapped(app: Any) -> Any:
    @functools.wraps(app)
    def wrapper(*args: Any) -> Any:
        return app(*args)

    return wrapper


def handing_on(scope: Any, receive: Any, send: Any) -> Any:
    return coroutine(scope, receive, send)


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (Flask(__name__), "wsgi"),
        (FastAPI(), "asgi"),
        (Asynchronous(), "asgi"),
        (Synchronous(), "wsgi"),
        (Synchronous().asgi, "asgi"),
        (OfPep3333, "wsgi"),
        (coroutine, "asgi"),
        (functools.partial(coroutine), "asgi"),
        (wrapped(coroutine), "asgi"),
        (handing_on, "asgi"),
        (lambda environ, start_response: [], "wsgi"),
        (lambda *args: [], "wsgi"),
        (functools.partial(lambda extra, environ, start_response: [], 1), "wsgi"),
    ],
)
def test_the_kind_of_an_app(app: Any, kind: str) -> None:
    assert kind_of(app) == kind


# Preferences


def test_preferences_are_attributes_and_config_items_of_the_app(write: Write) -> None:
    pref = Preference(debug=True, use_reloader=1, anything="else")
    pref.config.max_post_body_size = 100
    loaded = mounted(write("hello.py", HELLO), pref=pref)
    assert (loaded.debug, loaded.use_reloader) == (True, True)
    assert loaded.app.anything == "else"
    assert loaded.app.config.max_post_body_size == 100


def test_a_config_that_is_a_dictionary_gets_items(write: Write) -> None:
    pref = Preference()
    pref.config["SECRET_KEY"] = "s"
    loaded = mounted(write("web.py", "from flask import Flask\napp = Flask(__name__)\napp.debug = True"), pref=pref)
    assert loaded.app.config["SECRET_KEY"] == "s"
    assert loaded.debug


def test_the_environment_turns_debugging_off(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKITAI_ENV", "PRODUCTION")
    path = write("web.py", "from flask import Flask\napp = Flask(__name__)\napp.debug = app.use_reloader = True")
    loaded = mounted(path, pref=Preference(use_reloader=True))
    assert (loaded.debug, loaded.use_reloader) == (False, False)
    assert (loaded.app.debug, loaded.app.use_reloader) == (False, False)


def test_an_app_that_takes_no_attributes_is_served_all_the_same(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    text = "class A:\n    __slots__ = ()\n    def __call__(self, e, s): return [b'hello']\napp = A()"
    pref = Preference(debug=True, colour="red")
    pref.config.size = 1
    journal.setup(Log(), None, console=True)
    loaded = mounted(write("slots.py", text), pref=pref)
    journal.setup(Log(), None, console=False)
    assert ask(loaded) == b"hello"
    assert loaded.debug
    shown = capfd.readouterr().err
    assert "the app at / takes no attribute colour" in shown
    assert "the app at / takes no config" in shown


# Reloading


def test_new_code_is_loaded_beside_the_old(write: Write) -> None:
    write("words.py", "WORD = b'old'")
    path = write("app.py", "import words\ndef app(e, s): return [words.WORD]")
    old = mounted(path)
    write("words.py", "WORD = b'new'")
    new = reload(old)
    assert (ask(old), ask(new)) == (b"old", b"new")
    assert sys.modules["words"].WORD == b"new"  # type: ignore[attr-defined]


def test_edits_in_one_second_with_the_same_size_are_not_missed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = write("words.py", "W = b'0'")
    loaded = mounted(write("app.py", "import words\ndef app(e, s): return [words.W]"))
    second = os.stat(path).st_mtime_ns // 10**9 * 10**9
    for n in range(1, 5):
        write("words.py", f"W = b'{n}'")
        os.utime(path, ns=(second + n, second + n))
        loaded = reload(loaded)
        assert ask(loaded) == str(n).encode()


def test_an_app_that_did_not_load_is_loaded_anew_when_it_is_mended(write: Write) -> None:
    write("words.py", "import more\nW = b'old'")
    write("more.py")
    path = write("app.py", "import words\n1 / 0")
    with pytest.raises(LoadError):
        mounted(path)
    write("words.py", "W = b'newer'")
    write("app.py", "import words\ndef app(e, s): return [words.W]")
    assert ask(mounted(path)) == b"newer"


def test_a_django_project_needs_a_new_process(write: Write, tmp_path: Path) -> None:
    write("proj/proj/settings.py", "ONE = b'1'")
    path = write("proj/proj/wsgi.py", "from proj.settings import ONE\ndef application(e, s): return [ONE]")
    loaded = mounted(path, "application")
    assert ask(loaded) == b"1"
    assert loaded.needs_restart
    assert loaded.home == str(tmp_path / "proj") == sys.path[0]


def test_a_package_is_reloaded_with_its_sub_modules(write: Write) -> None:
    write("shop/__init__.py", "STATE = []")
    write("shop/deep/__init__.py")
    write("shop/deep/words.py", "WORD = b'old'")
    path = write("shop/app.py", "from .deep.words import WORD\nfrom . import STATE\ndef app(e, s): return [WORD]")
    old = mounted(path, package="shop")
    write("shop/deep/words.py", "WORD = b'newer'")
    new = reload(old)
    assert (ask(old), ask(new)) == (b"old", b"newer")
    assert old.app.__globals__["STATE"] is not new.app.__globals__["STATE"]


def test_broken_code_leaves_everything_as_it_was(write: Write) -> None:
    write("shop/__init__.py")
    write("shop/words.py", "WORD = b'old'")
    path = write("shop/app.py", "from . import words\ndef app(e, s): return [words.WORD]")
    old = mounted(path, package="shop")
    before = dict(sys.modules)
    write("shop/words.py", "WORD = b'new'")
    write("shop/app.py", "from . import words\nfrom . import extra\n1 / 0")
    write("shop/extra.py", "E = 1")
    with pytest.raises(LoadError, match="ZeroDivisionError"):
        reload(old)
    assert ask(old) == b"old"
    assert dict(sys.modules) == before
    assert sys.modules["shop"].words.WORD == b"old"


def test_reloading_one_app_leaves_the_modules_of_another_alone(write: Write) -> None:
    write("words.py", "WORD = b'outer'")
    outer = mounted(write("app.py", "import words\ndef app(e, s): return [words.WORD]"))
    write("inner/things.py", "WORD = b'inner'")
    inner = mounted(write("inner/inner_app.py", "import things\ndef app(e, s): return [things.WORD]"))
    things = sys.modules["things"]
    reload(outer)
    assert sys.modules["things"] is things
    words = sys.modules["words"]
    assert ask(reload(inner)) == b"inner"
    assert sys.modules["words"] is words
    assert sys.modules["things"] is not things


@pytest.mark.parametrize("turn", [0, 1])
def test_either_of_two_apps_of_one_name_is_reloaded(write: Write, turn: int) -> None:
    apps = []
    for name in ("one", "two"):
        write(f"{name}/words.py", f"WORD = b'{name}'")
        apps.append(write(f"{name}/app.py", "import words\ndef app(e, s): return [words.WORD]"))
    loaded = [mounted(path) for path in apps]
    name = ("one", "two")[turn]
    write(f"{name}/words.py", "WORD = b'new'")
    new = reload(loaded[turn])
    assert [ask(each) for each in (*loaded, new)] == [b"one", b"two", b"new"]
    found = sys.modules["words"].WORD  # type: ignore[attr-defined]
    assert found == (b"one" if turn else b"new")


def test_installed_packages_are_not_executed_again(write: Write) -> None:
    sys.path.append(os.path.dirname(write("venv/lib/site-packages/vendor.py", "COUNT = []")))
    old = mounted(write("app.py", "import vendor\ndef app(e, s): return []"))
    assert old.app.__globals__["vendor"] is reload(old).app.__globals__["vendor"]


# Objects by name


def test_an_object_by_its_name() -> None:
    assert load_object("os.path:join") is os.path.join
    assert load_object("skitai.config.tree:Mount.point") is Mount.point


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("os.path", "should be 'package.module:attribute'"),
        (":join", "should be 'package.module:attribute'"),
        ("no_such_module:x", "no_such_module: ModuleNotFoundError"),
        ("os.path:joined", "has no 'joined'"),
    ],
)
def test_a_name_that_leads_nowhere_is_said(name: str, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        load_object(name)


def test_modules_in_a_folder_without_an_init_file_are_reloaded(write: Write) -> None:
    write("parts/words.py", "WORD = b'old'")
    path = write("app.py", "from parts import words\ndef app(e, s): return [words.WORD]")
    old = mounted(path)
    write("parts/words.py", "WORD = b'newer'")
    new = reload(old)
    assert (ask(old), ask(new)) == (b"old", b"newer")
    write("parts/words.py", "WORD = =")
    with pytest.raises(LoadError, match="SyntaxError"):
        reload(new)
    write("parts/words.py", "WORD = b'newest'")
    assert (ask(new), ask(reload(new))) == (b"newer", b"newest")
