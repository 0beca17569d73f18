"""The ends of log files, and what is added to them across a rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from skitai.cli.logs import Tail, print_logs
from skitai.errors import StartError


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_the_last_lines_and_then_what_is_added(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    append(path, "".join(f"line {number}\n" for number in range(10)))
    tail = Tail(str(path))
    assert tail.last(2) == [b"line 8", b"line 9"]
    assert tail.added() == []
    append(path, "line 10\nline ")
    assert tail.added() == [b"line 10"]
    append(path, "11\n")
    assert tail.added() == [b"line 11"]
    tail.close()


def test_a_long_file_is_read_from_a_whole_line_near_its_end(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    append(path, "".join(f"line {number:06}\n" for number in range(20_000)))
    tail = Tail(str(path))
    last = tail.last(10_000)
    assert last[-1] == b"line 019999"
    assert all(len(line) == len(b"line 000000") for line in last)
    tail.close()


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    append(path, "one\n")
    tail = Tail(str(path))
    tail.last(5)
    append(path, "two\n")
    path.rename(tmp_path / "app.log-20260101")
    assert tail.added() == [b"two"]
    append(path, "three\n")
    append(tmp_path / "app.log-20260101", "late\n")
    assert tail.added() == [b"late", b"three"]
    tail.close()


def test_a_file_that_comes_later_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    tail = Tail(str(path))
    assert tail.last(5) == []
    assert tail.added() == []
    append(path, "first\n")
    assert tail.added() == [b"first"]
    tail.close()


def test_printing_takes_the_first_folder_that_has_logs(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    append(tmp_path / "full" / "server.log", "started\n")
    append(tmp_path / "full" / "request.log", "GET /\n")
    assert print_logs([str(tmp_path / "empty"), str(tmp_path / "full")], follow=False) == 0
    out, _ = capfdbinary.readouterr()
    assert out.decode() == f"==> {tmp_path}/full/server.log\nstarted\n==> {tmp_path}/full/request.log\nGET /\n"


def test_no_logs_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^there are no log files in /a nor in /b; --file-logging makes"):
        print_logs(["/a", "/b"], follow=False)
