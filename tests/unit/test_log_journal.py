import logging
import logging.config
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skitai.config.sections.running import Log
from skitai.errors import StartError
from skitai.log import journal
from skitai.log.appendfile import AppendFile


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    journal.setup(Log(), None, console=False)


def texts(file: Path) -> list[str]:
    return [line.split(" ", 2)[2] for line in file.read_text().splitlines()]


def test_files_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    logging.getLogger("skitai.server").info("started on %s", "http://127.0.0.1:5000")
    journal.log("app", "warn", "100%", "421a-1-2/1000")
    assert texts(tmp_path / "server.log") == ["[info] started on http://127.0.0.1:5000"]
    assert texts(tmp_path / "app.log") == ["[warn:421a-1-2/1000] 100%"]
    assert capfd.readouterr() == ("", "")


def test_console_only(capfd: pytest.CaptureFixture[str]) -> None:
    journal.setup(Log(), None, console=True)
    journal.server.info("started")
    assert capfd.readouterr().err.endswith(" [info] started\n")


def test_both(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal.setup(Log(verbose=True), str(tmp_path), console=True)
    journal.server.debug("detail")
    assert texts(tmp_path / "server.log") == ["[debug] detail"]
    assert capfd.readouterr().err.endswith(" [debug] detail\n")


def test_neither_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    journal.setup(Log(), None, console=False)
    journal.server.critical("over")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("debug", "debug"), ("warning", "warn"), ("critical", "fatal"), ("fail", "fail"), ("expt", "expt"), ("order", "order")],
)
def test_kinds_of_an_app(tmp_path: Path, kind: str, shown: str) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    journal.log("app", kind, "text")
    assert texts(tmp_path / "app.log") == [f"[{shown}] text"]


def test_a_traceback(tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    try:
        raise LookupError("nothing")
    except LookupError as error:
        journal.traceback("app", error, "421a-1-2/1000")
    head, row = (tmp_path / "app.log").read_text().splitlines()
    assert head.endswith("[expt:421a-1-2/1000] <class 'LookupError'> nothing")
    assert row.startswith(f"  - {__file__}|test_a_traceback|")


def test_an_unknown_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no log 'ap': 'server' or 'app'"):
        journal.log("ap", "info", "text")


def test_an_app_that_configures_logging_does_not_silence_the_server(tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    journal.server.info("still here")
    assert texts(tmp_path / "server.log") == ["[info] still here"]


def test_moved_files_are_left_behind_after_reopen(tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    number = journal.descriptor()
    journal.server.info("one")
    (tmp_path / "server.log").rename(tmp_path / "old.log")
    journal.server.info("two")
    journal.reopen()
    journal.server.info("three")
    assert texts(tmp_path / "old.log") == ["[info] one", "[info] two"]
    assert texts(tmp_path / "server.log") == ["[info] three"]
    assert journal.descriptor() == number


def test_a_folder_that_has_gone_keeps_the_old_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    journal.setup(Log(), str(folder), console=False)
    folder.rename(tmp_path / "moved")
    journal.reopen()
    journal.server.info("kept")
    assert "cannot open" in capfd.readouterr().err
    assert texts(tmp_path / "moved" / "server.log") == ["[info] kept"]


def test_rotation_renames_and_opens_again(tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    day = 86400.0
    journal.app.info("yesterday")
    now = (tmp_path / "app.log").stat().st_mtime
    assert not journal.rotate(now)
    assert journal.rotate(now + day)
    journal.app.info("today")
    assert texts(tmp_path / "app.log") == ["[info] today"]
    (old,) = tmp_path.glob("app-*.log")
    assert texts(old) == ["[info] yesterday"]


def test_without_files_there_is_nothing_to_rotate() -> None:
    journal.setup(Log(), None, console=False)
    journal.reopen()
    assert not journal.rotate(0.0)
    assert journal.descriptor() == 2


def test_a_folder_that_does_not_exist_is_a_start_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot write logs: .*missing/server.log: No such file or directory"):
        journal.setup(Log(), str(tmp_path / "missing"), console=False)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "server.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match="symbolic link"):
        journal.setup(Log(), str(tmp_path), console=False)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_told_once_and_writing_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    file = AppendFile(str(tmp_path / "app.log"))
    file.open()
    good, full = os.dup(file.fileno()), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file.fileno())
    file.write(b"lost\n")
    file.write(b"lost\n")
    assert capfd.readouterr().err == f"skitai: cannot write to {file.path}: No space left on device; lines are lost\n"
    os.dup2(good, file.fileno())
    file.write(b"kept\n")
    os.dup2(full, file.fileno())
    file.write(b"lost\n")
    assert "lines are lost" in capfd.readouterr().err
    for each in (good, full):
        os.close(each)
    file.close()
    assert (tmp_path / "app.log").read_text() == "kept\n"


def test_bad_arguments_of_a_log_call_hurt_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    journal.app.info("%d", "not a number")
    journal.app.info("next")
    assert texts(tmp_path / "app.log") == ["[info] next"]
    assert "not a number" in capfd.readouterr().err


def test_a_helper_has_a_log_of_its_own(tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    assert not (tmp_path / "cron.log").exists()

    cron = journal.join("cron", str(tmp_path), console=False)
    cron.info("job started")
    cron.debug("detail")
    journal.server.info("elsewhere")

    assert texts(tmp_path / "cron.log") == ["[info] job started"]


def test_the_log_of_a_helper_is_opened_again_with_the_others(tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    cron = journal.join("cron", str(tmp_path), console=False)
    cron.info("before")
    (tmp_path / "cron.log").rename(tmp_path / "cron-20261122.log")
    journal.reopen()
    cron.info("after")
    assert texts(tmp_path / "cron.log") == ["[info] after"]


def test_a_helper_on_the_console(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal.join("smtpda", None, console=True, verbose=True).debug("connecting")
    assert capfd.readouterr().err.endswith(" [debug] connecting\n")


def test_the_log_of_a_helper_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cron.log: No such file or directory"):
        journal.join("cron", str(tmp_path / "none"), console=False)


def test_a_helper_that_runs_alone_has_one_log_for_everything(tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False, sole="cron")
    cron = journal.join("cron", str(tmp_path), console=False)
    journal.server.info("started")
    cron.info("job started")
    os.write(journal.descriptor(), b"2026.11.22 10:00:00 a stack\n")
    (tmp_path / "cron.log").rename(tmp_path / "old.log")
    journal.reopen()
    journal.app.info("of a job")
    cron.info("job finished")
    assert texts(tmp_path / "old.log") == ["[info] started", "[info] job started", "a stack"]
    assert texts(tmp_path / "cron.log") == ["[info] of a job", "[info] job finished"]
    assert sorted(os.listdir(tmp_path)) == ["cron.log", "old.log"]


def test_it_rotates_no_log_of_another(tmp_path: Path) -> None:
    for name in ("cron", "smtpda"):
        (tmp_path / f"{name}.log").write_text("old\n")
        os.utime(tmp_path / f"{name}.log", (0, 0))
    journal.setup(Log(), str(tmp_path), console=False, sole="cron")
    assert journal.rotate(1_800_000_000)
    assert sorted(os.listdir(tmp_path)) == ["cron-19700101.log", "cron.log", "smtpda.log"]
