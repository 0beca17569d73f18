import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.config.pref import Preference
from skitai.config.tree import AppFile, Folder, Mount
from skitai.loading import app as loading_app
from skitai.loading.watch import LiveApp, Outcome, Watcher


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(loading_app, "_imported", {})
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]
    sys.modules.update(before)


_written = 0


def write(path: Path, text: str) -> Path:
    """Write a file whose time differs from that of any write before, however coarse the clock is, and lies in the past."""
    global _written  # noqa: PLW0603
    _written += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    time_ns = time.time_ns() - 10**9 + _written
    os.utime(path, ns=(time_ns, time_ns))
    return path


def answering(word: str) -> str:
    return f"def app(environ, start_response):\n    return [b'{word}']\n"


def live(path: Path, **pref: Any) -> LiveApp:
    app = LiveApp(Mount("/", AppFile(str(path)), pref=Preference(pref)))
    app.load()
    return app


def ask(app: LiveApp) -> bytes:
    assert app.loaded is not None
    return b"".join(app.loaded.app({}, None))


# Watcher


def test_files_that_change_appear_and_go_are_seen(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    write(one, "1")
    write(two, "2")
    watcher = Watcher(map(str, (one, two, three)))
    assert watcher.changed() == set()
    assert watcher.changed() == set()
    write(one, "x")
    two.unlink()
    write(three, "3")
    assert watcher.changed() == {str(one), str(two), str(three)}
    assert watcher.changed() == set()


def test_a_file_replaced_by_an_editor_is_seen_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "one", "1")
    watcher = Watcher([str(file)])
    watcher.changed()
    other = tmp_path / "other"
    other.write_text("2")
    os.utime(other, ns=(file.stat().st_mtime_ns,) * 2)
    other.rename(file)
    assert watcher.changed() == {str(file)}


def test_a_folder_stands_for_the_python_files_below_it(tmp_path: Path) -> None:
    write(tmp_path / "a.py", "")
    write(tmp_path / "deep" / "b.py", "")
    for name in (".git/c.py", "node_modules/d.py", "lib/site-packages/e.py", "env/f.py", "notes.txt"):
        write(tmp_path / name, "")
    write(tmp_path / "env" / "pyvenv.cfg", "")
    watcher = Watcher([str(tmp_path)])
    watcher.changed()
    for file in tmp_path.rglob("*.*"):
        if file.is_file():
            write(file, "changed")
    write(tmp_path / "deep" / "new.py", "")
    assert watcher.changed() == {str(tmp_path / name) for name in ("a.py", "deep/b.py", "deep/new.py")}


def test_what_changed_while_it_was_loaded_is_seen(tmp_path: Path) -> None:
    before, during = write(tmp_path / "before", ""), tmp_path / "during"
    watcher = Watcher()
    started_ns = time.time_ns()
    during.write_text("")
    os.utime(during, ns=(started_ns + 1, started_ns + 1))
    watcher.watch([str(before), str(during)], started_ns)
    assert watcher.changed() == {str(during)}
    assert watcher.changed() == set()


# LiveApp


def test_new_code_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = write(tmp_path / "app.py", answering("old"))
    app = live(path, use_reloader=True)
    assert app.poll() is Outcome.SAME
    write(path, answering("new"))
    assert app.poll() is Outcome.LOADED
    assert ask(app) == b"new"
    assert app.poll() is Outcome.SAME


def test_edits_in_one_second_with_the_same_size_are_not_missed(tmp_path: Path) -> None:
    write(tmp_path / "words.py", "W = b'0'")
    app = live(write(tmp_path / "app.py", "import words\ndef app(e, s): return [words.W]"), use_reloader=True)
    for n in range(1, 5):
        write(tmp_path / "words.py", f"W = b'{n}'")
        assert app.poll() is Outcome.LOADED
        assert ask(app) == str(n).encode()


def test_without_the_preference_nothing_is_watched(tmp_path: Path) -> None:
    path = write(tmp_path / "app.py", answering("old"))
    app = live(path)
    assert not app.watched
    write(path, answering("new"))
    assert app.poll() is Outcome.SAME
    assert ask(app) == b"old"


def test_in_production_nothing_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKITAI_ENV", "PRODUCTION")
    assert not live(write(tmp_path / "app.py", answering("old")), use_reloader=True).watched


def test_broken_code_keeps_the_old_and_the_error(tmp_path: Path) -> None:
    path = write(tmp_path / "app.py", answering("old"))
    app = live(path, use_reloader=True)
    write(path, "def app(:")
    assert app.poll() is Outcome.FAILED
    assert ask(app) == b"old"
    assert "SyntaxError" in str(app.error)
    assert app.poll() is Outcome.SAME, "a broken file is tried once, not at every look"
    write(path, answering("new"))
    assert app.poll() is Outcome.LOADED
    assert ask(app) == b"new"
    assert app.error is None


def test_an_app_that_never_loaded_is_tried_again_when_its_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "app.py", "import missing")
    app = live(path)
    assert app.loaded is None
    assert "No module named 'missing'" in str(app.error)
    assert app.poll() is Outcome.SAME
    write(path, answering("mended"))
    assert app.poll() is Outcome.LOADED
    assert ask(app) == b"mended"


def test_or_when_what_it_imports_changes_or_appears(tmp_path: Path) -> None:
    app = live(write(tmp_path / "app.py", "import words\ndef app(e, s): return [words.W]"))
    write(tmp_path / "words.py", "W = (")
    assert app.poll() is Outcome.FAILED
    write(tmp_path / "words.py", "W = b'w'")
    assert app.poll() is Outcome.LOADED
    assert ask(app) == b"w"


def test_a_sub_module_is_watched(tmp_path: Path) -> None:
    write(tmp_path / "views" / "__init__.py", "from views.front import W")
    front = write(tmp_path / "views" / "front.py", "W = b'old'")
    app = live(write(tmp_path / "app.py", "import views\ndef app(e, s): return [views.W]"), use_reloader=True)
    write(front, "W = b'new'")
    assert app.poll() is Outcome.LOADED
    assert ask(app) == b"new"


def test_a_module_that_is_imported_later_is_watched_from_then_on(tmp_path: Path) -> None:
    late = write(tmp_path / "late.py", "W = b'old'")
    text = "def app(e, s):\n    import late\n    return [late.W]"
    app = live(write(tmp_path / "app.py", text), use_reloader=True)
    assert ask(app) == b"old"
    assert app.poll() is Outcome.SAME
    write(late, "W = b'new'")
    assert app.poll() is Outcome.LOADED
    assert ask(app) == b"new"


def test_a_deleted_file_keeps_the_old_code_until_it_is_back(tmp_path: Path) -> None:
    path = write(tmp_path / "app.py", answering("old"))
    app = live(path, use_reloader=True)
    path.unlink()
    assert app.poll() is Outcome.FAILED
    assert ask(app) == b"old"
    write(path, answering("new"))
    assert app.poll() is Outcome.LOADED


def test_a_django_project_asks_for_a_new_process(tmp_path: Path) -> None:
    write(tmp_path / "proj" / "proj" / "settings.py", "")
    path = write(tmp_path / "proj" / "proj" / "wsgi.py", answering("old").replace("app", "application"))
    mount = Mount("/", AppFile(str(path)), app_name="application", pref=Preference(use_reloader=True))
    app = LiveApp(mount)
    app.load()
    assert app.loaded is not None
    assert app.loaded.home == str(tmp_path / "proj")
    assert str(tmp_path / "proj") in sys.path
    write(path, "def application(:")
    assert app.poll() is Outcome.FAILED
    assert "SyntaxError" in str(app.error)
    write(path, answering("new"))
    assert app.poll() is Outcome.RESTART
    assert app.error is None


def test_a_folder_has_no_code(tmp_path: Path) -> None:
    app = LiveApp(Mount("/", Folder(str(tmp_path))))
    app.load()
    assert app.poll() is Outcome.SAME
