import os
import time
from pathlib import Path

import pytest

from skitai.errors import LoadError
from skitai.loading.watch import Watcher, check_syntax

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


def test_what_changed_since_the_watcher_was_made_is_seen(tmp_path: Path) -> None:
    before, after = write(tmp_path / "before", ""), tmp_path / "after"
    watcher = Watcher([str(before), str(after)])
    after.write_text("")
    later_ns = time.time_ns() + 1
    os.utime(after, ns=(later_ns, later_ns))
    assert watcher.changed() == {str(after)}
    assert watcher.changed() == set()


def test_syntax_is_checked_without_running(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.py", "1 / 0"), write(tmp_path / "bad.py", "def app(:")
    check_syntax([str(good), str(tmp_path / "gone.py")])
    with pytest.raises(LoadError, match=r"bad\.py: SyntaxError: invalid syntax \(bad\.py, line 1\)"):
        check_syntax([str(good), str(bad)])
    write(bad, "\0")
    with pytest.raises(LoadError, match="null bytes"):
        check_syntax([str(bad)])
