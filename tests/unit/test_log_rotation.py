import os
import tempfile
from datetime import datetime
from pathlib import Path

import pytest

from skitai.log.rotation import Rotation, mark
from tests.support.user import ordinary_user


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def write(folder: Path, name: str, text: str, when: datetime) -> None:
    file = folder / name
    file.write_text(text)
    os.utime(file, (when.timestamp(), when.timestamp()))


def test_app_and_request_change_daily_server_monthly(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path), keep=30)
    late = datetime(2026, 11, 22, 23, 59, 59)
    for name in ("app.log", "request.log", "server.log"):
        write(tmp_path, name, "x\n", late)
    assert rotation.rotate(late) == []
    assert rotation.rotate(datetime(2026, 11, 23, 0, 0, 1)) == ["app", "request"]
    assert names(tmp_path) == ["app-20261122.log", "request-20261122.log", "server.log"]
    assert rotation.rotate(datetime(2026, 12, 1, 0, 0, 1)) == ["server"]
    assert "server-20261123.log" in names(tmp_path), "named by the last day that was seen"


def test_logs_of_helpers_change_weekly(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path), keep=30)
    sunday = datetime(2027, 1, 3, 23, 59, 59)
    for name in ("cron.log", "smtpda.log"):
        write(tmp_path, name, "x\n", sunday)
    assert rotation.rotate(sunday) == []
    assert rotation.rotate(datetime(2027, 1, 4, 0, 0, 1)) == ["smtpda", "cron"]
    assert names(tmp_path) == ["cron-20270103.log", "smtpda-20270103.log"]


def test_what_was_written_just_after_midnight_goes_with_its_file(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path), keep=30)
    rotation.rotate(datetime(2026, 11, 22, 12))
    write(tmp_path, "app.log", "x\n", datetime(2026, 11, 23, 0, 0, 3))
    assert rotation.rotate(datetime(2026, 11, 23, 0, 0, 5)) == ["app"]
    assert names(tmp_path) == ["app-20261122.log"]


def test_a_log_of_an_earlier_run_is_renamed_at_the_first_look(tmp_path: Path) -> None:
    write(tmp_path, "app.log", "x\n", datetime(2026, 11, 20, 12))
    assert Rotation(str(tmp_path), keep=30).rotate(datetime(2026, 11, 22, 12)) == ["app"]
    assert names(tmp_path) == ["app-20261120.log"]


def test_an_empty_log_is_left(tmp_path: Path) -> None:
    write(tmp_path, "app.log", "", datetime(2026, 11, 20, 12))
    assert Rotation(str(tmp_path), keep=30).rotate(datetime(2026, 11, 22, 12)) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path, "app-20261120.log", "kept\n", datetime(2026, 11, 20, 11))
    write(tmp_path, "app-20261120-120000.log", "kept too\n", datetime(2026, 11, 20, 11))
    write(tmp_path, "app.log", "new\n", datetime(2026, 11, 20, 12))
    Rotation(str(tmp_path), keep=30).rotate(datetime(2026, 11, 22, 12))
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        "app-20261120.log": "kept\n",
        "app-20261120-120000.log": "kept too\n",
        "app-20261120-120000-2.log": "new\n",
    }


def test_the_oldest_go_and_strangers_stay(tmp_path: Path) -> None:
    for day in range(1, 6):
        write(tmp_path, f"app-2026110{day}.log", "x\n", datetime(2026, 11, day))
    for name in ("app-notes.log", "app-20261101.log.bak", "request-20261101.log"):
        write(tmp_path, name, "x\n", datetime(2020, 1, 1))
    write(tmp_path, "app.log", "x\n", datetime(2026, 11, 21))
    Rotation(str(tmp_path), keep=2).rotate(datetime(2026, 11, 22))
    assert names(tmp_path) == [
        "app-20261101.log.bak",
        "app-20261105.log",
        "app-20261121.log",
        "app-notes.log",
        "request-20261101.log",
    ]


def test_a_folder_that_has_gone_is_no_error(tmp_path: Path) -> None:
    assert Rotation(str(tmp_path / "missing"), keep=2).rotate(datetime(2026, 11, 22)) == []


def test_a_folder_that_may_not_be_changed_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, "app.log", "x\n", datetime(2026, 11, 20))
        folder.chmod(0o555)
        with pytest.raises(PermissionError), ordinary_user():
            Rotation(name, keep=2).rotate(datetime(2026, 11, 22))
        assert names(folder) == ["app.log"]


def test_logs_of_apps_are_rotated_as_often_as_they_say(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path), keep=30)
    tuesday = datetime(2026, 11, 24, 12)
    for name, frequency in (("login", "daily"), ("sales", "monthly"), ("sales", "weekly")):
        mark(str(tmp_path), name, frequency)
        write(tmp_path, f"{name}.log", "x\n", tuesday)
    assert rotation.rotate(tuesday) == []

    assert rotation.rotate(datetime(2026, 11, 25, 0, 0, 1)) == ["login"]
    assert rotation.rotate(datetime(2026, 11, 29, 23, 59, 59)) == []
    assert rotation.rotate(datetime(2026, 11, 30, 0, 0, 1)) == ["sales"]
    assert {"login-20261124.log", "sales-20261129.log"} <= set(names(tmp_path))
