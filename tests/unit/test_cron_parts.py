"""The scheduler's memory on disk, the output of runs, locks, and the command line of a job."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.helpers.cron import history
from skitai.helpers.cron.fork import shell_line
from skitai.helpers.cron.history import History, HistoryError, Past
from skitai.helpers.cron.lock import Lock
from skitai.helpers.cron.output import LINE_BYTES, Output

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LOG = logging.getLogger("cron-test")


def test_a_history_comes_back_as_it_was_written(tmp_path: Path) -> None:
    jobs = {"* * * * * größer \udc80": Past(NOON, NOON, -9, 1.25), "@daily b": Past(NOON)}
    history.write(str(tmp_path), jobs)
    assert history.read(str(tmp_path)) == jobs
    assert os.listdir(tmp_path) == ["history.json"]
    assert (tmp_path / "history.json").stat().st_mode & 0o777 == 0o600


def test_no_history_is_an_empty_one(tmp_path: Path) -> None:
    assert history.read(str(tmp_path)) == {}


GOOD = {"handled": "2026-11-22T12:00:00+00:00", "ran": None, "code": None, "duration_s": 0, "claimed": None}


@pytest.mark.parametrize("text", ["", "\x00" * 100, "[]", "{}", '{"version": 2, "jobs": {}}', '{"version": 1, "jobs": []}'])
def test_what_is_no_history_is_recognised(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.json").write_text(text)
    with pytest.raises(HistoryError):
        history.read(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"handled": "2026-11-22T12:00:00"},
        {"handled": 5},
        {"handled": None},
        {"ran": "yesterday"},
        {"code": "a"},
        {"duration_s": None},
        {"claimed": []},
    ],
    ids=str,
)
def test_a_past_that_is_none_is_recognised(tmp_path: Path, change: dict[str, object]) -> None:
    def write(job: object) -> None:
        (tmp_path / "history.json").write_text(json.dumps({"version": 1, "jobs": {"x": job}}))

    write(GOOD)
    assert history.read(str(tmp_path)) == {"x": Past(NOON)}
    for broken in (GOOD | change, {}):
        write(broken)
        with pytest.raises(HistoryError):
            history.read(str(tmp_path))


def test_a_history_that_cannot_be_understood_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "history.json").write_text("nonsense")
    memory = History(str(tmp_path), LOG)

    memory.load({"a"})

    assert memory.jobs == {}
    assert (tmp_path / "history.unreadable").read_text() == "nonsense"
    assert "cannot be understood and begins anew" in caplog.text


def test_a_history_that_is_a_link_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "elsewhere"
    history.write(str(tmp_path), {"a": Past(NOON)})
    (tmp_path / "history.json").rename(target)
    (tmp_path / "history.json").symlink_to(target)
    memory = History(str(tmp_path), LOG)

    memory.load({"a"})

    assert memory.jobs == {}
    assert "cannot be read and begins anew: Too many levels of symbolic links" in caplog.text


def test_jobs_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    history.write(str(tmp_path), {"a": Past(NOON), "b": Past(NOON)})
    memory = History(str(tmp_path), LOG)
    memory.load({"b", "c"})
    assert memory.handled == {"b": NOON}


def test_the_history_notes_runs(tmp_path: Path) -> None:
    memory = History(str(tmp_path), LOG)
    memory.note_handled({"a": NOON})
    memory.note_run("a", NOON)
    assert memory.save()
    assert history.read(str(tmp_path))["a"] == Past(NOON, NOON, None, 0.0)

    memory.note_run("a", NOON, 3, 1.23456)
    memory.note_run("a", NOON.replace(hour=11), 0, 99.0)  # began earlier and ended later
    memory.note_run("unknown", NOON, 0)
    assert memory.save()
    assert history.read(str(tmp_path)) == {"a": Past(NOON, NOON, 3, 1.235)}


def test_a_claim_stands_until_it_is_settled(tmp_path: Path) -> None:
    memory = History(str(tmp_path), LOG)
    memory.note_handled({"a": NOON})
    memory.claim("a", NOON)
    memory.note_run("a", NOON)
    assert memory.save()
    assert history.read(str(tmp_path))["a"] == Past(NOON, NOON, claimed=NOON)

    memory.settle("a", NOON.replace(hour=11))  # another run of the job
    assert memory.jobs["a"].claimed == NOON
    memory.settle("a", NOON)
    memory.settle("a")
    memory.settle("unknown")
    assert memory.jobs["a"].claimed is None


def test_a_full_disk_is_told_once_and_the_old_history_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = History(str(tmp_path), LOG)
    memory.note_handled({"a": NOON})
    assert memory.save()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        memory.note_handled({"a": NOON.replace(hour=13)})
        assert not memory.save()
        assert not memory.save()
    assert caplog.text.count("cannot be written: No space left on device") == 1
    assert history.read(str(tmp_path)) == {"a": Past(NOON)}
    assert os.listdir(tmp_path) == ["history.json"]

    caplog.set_level(logging.INFO)
    assert memory.save()
    assert "is written again" in caplog.text
    assert history.read(str(tmp_path)) == {"a": Past(NOON.replace(hour=13))}


def test_an_unchanged_history_is_not_written(tmp_path: Path) -> None:
    memory = History(str(tmp_path / "none"), LOG)
    assert memory.save()


# Output


def lines(output: Output, *chunks: bytes) -> list[str]:
    return [line for chunk in chunks for line in output.feed(chunk)] + output.end()


def test_output_comes_by_the_line() -> None:
    output = Output(1000)
    assert output.feed(b"one\ntw") == ["one"]
    assert output.feed(b"") == []
    assert output.feed(b"o\r\n\nthree") == ["two", ""]
    assert output.end() == ["three"]
    assert output.end() == []


def test_output_that_is_no_text() -> None:
    assert lines(Output(100), b"caf\xc3\xa9 \xff\x00\n") == ["café \\xff\x00"]


def test_output_is_bounded() -> None:
    output = Output(10)
    assert lines(output, b"12345\n", b"6789\nmore", b"and more") == ["12345", "6789"[:4]]
    assert output.dropped_bytes == len(b"\nmoreand more")


def test_a_line_without_end_is_cut() -> None:
    output = Output(1 << 20)
    found = lines(output, b"x" * 1000, b"y" * 9000, b"z\nend")
    assert "".join(found) == "x" * 1000 + "y" * 9000 + "zend"
    assert max(map(len, found)) == LINE_BYTES


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(0, 200))
def test_no_byte_is_lost_or_made(chunks: list[bytes], limit: int) -> None:
    output = Output(limit)
    text = b"".join(chunk.replace(b"\r", b"").replace(b"\xff", b"") for chunk in chunks)
    found = lines(output, *(chunk.replace(b"\r", b"").replace(b"\xff", b"") for chunk in chunks))
    assert output.dropped_bytes == max(0, len(text) - limit)
    assert [line.encode() for line in found] == [
        line.decode("utf-8", "backslashreplace").encode() for line in text[:limit].removesuffix(b"\n").split(b"\n")
    ] or not text[:limit]


# Locks


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    held = Lock.take(path)
    assert held is not None
    assert Lock.take(path) is None
    held.give_up()
    again = Lock.take(path)
    assert again is not None
    again.give_up()


def test_a_lock_that_a_forked_process_shares_can_be_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    held = Lock.take(path)
    assert held is not None
    shared = os.dup(held.fd)
    held.give_up()
    again = Lock.take(path)
    assert again is not None
    again.give_up()
    os.close(shared)


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        Lock.take(str(tmp_path / "lock"))


# Command lines


def test_a_python_file_without_execute_bit_gets_our_interpreter(tmp_path: Path) -> None:
    file = tmp_path / "job.py"
    file.write_text("")
    assert shell_line(f"{file} -x > /dev/null 2>&1") == f"{sys.executable} {file} -x > /dev/null 2>&1"
    file.chmod(0o755)
    assert shell_line(f"{file} -x") == f"{file} -x"


@pytest.mark.parametrize("command", ["echo $HOME `date`", "no/such.py", "python3 job.py", "echo 'unended", "# nothing", ""])
def test_other_commands_are_the_shells(command: str) -> None:
    assert shell_line(command) == command


def test_history_is_plain_json(tmp_path: Path) -> None:
    history.write(str(tmp_path), {"@daily true": Past(NOON, NOON, 0, 0.5)})
    assert json.loads((tmp_path / "history.json").read_text()) == {
        "version": 1,
        "jobs": {
            "@daily true": {
                "handled": "2026-11-22T12:00:00+00:00",
                "ran": "2026-11-22T12:00:00+00:00",
                "code": 0,
                "duration_s": 0.5,
                "claimed": None,
            }
        },
    }
