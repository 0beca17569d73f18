"""Shared memory, messages, the pid file and the run directory, in one process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.errors import StartError
from skitai.ipc import messages, pidfile, rundir
from skitai.ipc.lastupdate import Table
from skitai.ipc.memory import Memory
from skitai.ipc.messages import Failed, Message, Ready, Restart, Shutdown
from skitai.ipc.pidfile import PidFile
from skitai.ipc.scoreboard import ROWS, Scoreboard, State

# The scoreboard


def test_rows_keep_what_a_child_writes_and_do_not_overlap() -> None:
    board = Scoreboard.create()
    first, last = board.row(0), board.row(ROWS - 1)

    for number, row in enumerate((first, last)):
        row.pid, row.generation, row.state = 100 + number, 2, State.SERVING
        row.started_s, row.loop_beat_s, row.pool_beat_s = 1.5, 2.5, 3.5
        row.requests, row.connections, row.busy_threads, row.queued = 1 << 40, 3, 4, number

    assert repr(board.row(0)) == f"<Row 0 pid=100 SERVING requests={1 << 40} connections=3>"
    assert (first.started_s, first.loop_beat_s, first.pool_beat_s) == (1.5, 2.5, 3.5)
    assert (first.busy_threads, first.queued, last.queued) == (4, 0, 1)
    assert board.left_requests == 0
    last.clear()
    assert (last.pid, last.state, first.pid) == (0, State.BOOTING, 100)


@pytest.mark.parametrize("index", [-1, ROWS])
def test_there_are_only_so_many_rows(index: int) -> None:
    with pytest.raises(IndexError, match=f"there is no row {index}"):
        Scoreboard.create().row(index)


def test_the_next_program_sees_the_same_rows() -> None:
    board = Scoreboard.create()
    board.row(7).requests = 5
    board.left_requests = 9

    again = Scoreboard.adopt(os.dup(board.memory.hand_over()))

    assert again is not None
    assert (again.row(7).requests, again.left_requests) == (5, 9)
    again.row(7).requests = 6
    assert board.row(7).requests == 6


def test_rows_of_another_layout_are_not_read() -> None:
    board = Scoreboard.create()
    board.memory.ints[0] = 99

    assert Scoreboard.adopt(os.dup(board.memory.fd)) is None


def test_memory_survives_an_exec_only_when_it_is_handed_over() -> None:
    memory = Memory.create("test", 4)
    assert not os.get_inheritable(memory.fd)
    assert os.get_inheritable(memory.hand_over())
    assert list(memory.ints) == [0, 0, 0, 0]


# The last-update table


def test_names_never_set_have_the_server_s_start_time() -> None:
    table = Table.create(["users", "photos"], started_s=1000.5)

    assert table.get("users") == table.get("users", "photos") == table.get() == 1000.5
    table.set("photos", 1234.5)
    assert table.get("photos") == table.get("users", "photos") == 1234.5
    assert table.get("users") == 1000.5


def test_undeclared_names_are_errors_that_say_what_to_do() -> None:
    table = Table.create(["users"], started_s=1)

    for use in (lambda: table.get("phtos"), lambda: table.set("phtos", 1), lambda: table.get("users", "phtos")):
        with pytest.raises(KeyError, match=r"'phtos' is not declared: call skitai.deflu.*declared: users"):
            use()


def test_generations_agree_on_the_places_of_names() -> None:
    old = Table.create(["users", "photos"], started_s=1)
    old.set("photos", 5)

    new = Table.adopt(os.dup(old.memory.hand_over()), ["tags", "photos"], old.places)

    assert new.names == ("tags", "photos")
    assert (new.get("photos"), new.get("tags")) == (5, 1)
    new.set("tags", 7)
    new.set("photos", 8)
    assert (old.get("photos"), old.get("users")) == (8, 1)
    with pytest.raises(KeyError):
        new.get("users")


def test_a_generation_may_add_more_names_than_there_was_room_for() -> None:
    old = Table.create(["a"], started_s=1)
    names = [f"n{number}" for number in range(3000)]

    new = Table.adopt(os.dup(old.memory.fd), names, old.places)
    new.set("n2999", 3)

    assert (new.get("n2999"), new.get("n0"), old.get("a")) == (3, 1, 1)


# Messages


@given(st.one_of(st.just(Ready()), st.just(Restart()), st.just(Shutdown()), st.builds(Failed, st.text(max_size=100))))
def test_messages_arrive_as_they_were_sent(message: Message) -> None:
    assert messages.decode(messages.encode(message)) == message


def test_long_texts_are_cut_and_odd_ones_fit_into_a_packet() -> None:
    for text in ("x" * 100_000, "\0" * 100_000, "\U0001f600" * 100_000, "\ud800" * 100_000):
        data = messages.encode(Failed(text))
        assert len(data) < 65536
        assert isinstance(messages.decode(data), Failed)


def test_a_message_of_a_newer_program_is_ignored() -> None:
    assert messages.decode(b'{"kind": "Tomorrow", "when": 1}') is None


# The pid file


def test_the_pid_file_names_its_owner_as_long_as_he_holds_it(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert pidfile.read(folder) is None

    held = PidFile.acquire(folder)
    assert pidfile.read(folder) == os.getpid()
    with pytest.raises(StartError, match=rf"^already running, pid {os.getpid()} \(see .*\.pid\)$"):
        PidFile.acquire(folder)

    held.release()
    assert pidfile.read(folder) is None
    assert os.listdir(folder) == []


def test_a_file_left_behind_is_stale_whatever_it_says(tmp_path: Path) -> None:
    (tmp_path / ".pid").write_text("1\n")
    assert pidfile.read(str(tmp_path)) is None

    held = PidFile.acquire(str(tmp_path))

    assert (tmp_path / ".pid").read_text() == f"{os.getpid()}\n"
    held.release()


def test_a_pid_file_that_was_replaced_is_not_removed(tmp_path: Path) -> None:
    held = PidFile.acquire(str(tmp_path))
    (tmp_path / ".pid").unlink()
    (tmp_path / ".pid").write_text("another's")

    held.release()

    assert (tmp_path / ".pid").read_text() == "another's"


def test_a_link_is_no_pid_file(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / ".pid").symlink_to("target")

    assert pidfile.read(str(tmp_path)) is None
    with pytest.raises(StartError, match="it is a symbolic link"):
        PidFile.acquire(str(tmp_path))
    assert (tmp_path / "target").read_text() == "precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert pidfile.read(str(tmp_path / "no")) is None
    with pytest.raises(StartError, match="No such file or directory"):
        PidFile.acquire(str(tmp_path / "no"))


# The run directory


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_an_identity_is_16_digits_of_the_script_s_path() -> None:
    # as md5sum has it
    assert rundir.identity("/srv/app/app.py") == rundir.identity("/srv/app/../app/app.py") == "1f36abf97cce7528"
    assert rundir.identity("/srv/app/app2.py") != rundir.identity("/srv/app/app.py")


def test_the_usual_var_folder_is_private_below_a_sticky_one(tmp_path: Path) -> None:
    base = str(tmp_path / "skitai")

    folder = rundir.make_var_folder("/srv/app.py", base=base)

    assert folder == f"{base}/{rundir.user_name()}/{rundir.identity('/srv/app.py')}"
    assert folder == rundir.find_var_folder("/srv/app.py", base=base)
    assert [mode(each) for each in (base, os.path.dirname(folder), folder)] == [0o1777, 0o700, 0o700]
    assert rundir.make_var_folder("/srv/app.py", base=base) == folder


def test_a_user_s_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "skitai"
    base.mkdir()
    base.chmod(0o1777)
    (tmp_path / "mine").mkdir()
    (base / rundir.user_name()).symlink_to(tmp_path / "mine")

    with pytest.raises(StartError, match="it is not a folder, or a link"):
        rundir.make_var_folder("/srv/app.py", base=str(base))
    assert os.listdir(tmp_path / "mine") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_user_s_folder_that_is_another_s_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "skitai"
    base.mkdir()
    base.chmod(0o1777)
    (base / rundir.user_name()).mkdir()
    os.chown(base / rundir.user_name(), 65534, 65534)

    with pytest.raises(StartError, match="it belongs to another user"):
        rundir.make_var_folder("/srv/app.py", base=str(base))


@pytest.mark.skipif(os.geteuid() != 0, reason="root's own rule")
def test_root_takes_a_shared_folder_over(tmp_path: Path) -> None:
    base = tmp_path / "skitai"
    base.mkdir(0o777)
    os.chown(base, 65534, 65534)

    rundir.make_var_folder("/srv/app.py", base=str(base))

    assert (base.stat().st_uid, mode(base)) == (0, 0o1777)


def test_a_shared_folder_that_is_not_sticky_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "skitai"
    base.mkdir()
    base.chmod(0o777)

    with pytest.raises(StartError, match=f"it is not sticky; chmod 1777 {base}"):
        rundir.make_var_folder("/srv/app.py", base=str(base))


def test_a_private_folder_that_became_readable_is_closed_again(tmp_path: Path) -> None:
    folder = rundir.make_var_folder("/srv/app.py", base=str(tmp_path / "skitai"))
    os.chmod(folder, 0o755)

    rundir.make_var_folder("/srv/app.py", base=str(tmp_path / "skitai"))

    assert mode(folder) == 0o700


def test_a_named_var_folder_is_found_without_its_name(tmp_path: Path) -> None:
    base, var = str(tmp_path / "skitai"), str(tmp_path / "deep" / "var")

    assert rundir.make_var_folder("/srv/app.py", var, base) == var

    assert mode(var) == 0o700
    assert rundir.find_var_folder("/srv/app.py", base=base) == var
    assert list(rundir.running(base)) == []
    held = PidFile.acquire(var)
    assert list(rundir.running(base)) == [var]
    held.release()
    usual = rundir.make_var_folder("/srv/app.py", base=base)
    assert rundir.find_var_folder("/srv/app.py", base=base) == usual


def test_what_leads_to_a_named_var_folder_goes_with_the_server_or_the_folder(tmp_path: Path) -> None:
    base, var = str(tmp_path / "skitai"), str(tmp_path / "var")
    users = Path(base, rundir.user_name())
    rundir.make_var_folder("/srv/app.py", var, base)
    rundir.forget_var_folder("/srv/app.py", var, base)
    assert list(users.iterdir()) == []

    rundir.make_var_folder("/srv/app.py", var, base)
    os.rmdir(var)
    assert list(rundir.running(base)) == []
    assert list(users.iterdir()) == []


def test_a_named_var_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StartError, match="it is not a folder"):
        rundir.make_var_folder("/srv/app.py", str(tmp_path / "file"), str(tmp_path / "skitai"))


def test_logs_go_to_the_system_s_folder_or_below_var(tmp_path: Path) -> None:
    var, base = str(tmp_path), str(tmp_path / "logs")
    usual = f"{base}/{rundir.user_name()}/{rundir.identity('/srv/app.py')}"
    assert rundir.find_log_folder("/srv/app.py", var, base=base) == f"{var}/log"

    assert rundir.make_log_folder("/srv/app.py", var, base=base) == usual
    assert rundir.find_log_folder("/srv/app.py", var, base=base) == usual
    (tmp_path / "file").write_text("")
    assert rundir.make_log_folder("/srv/app.py", var, base=str(tmp_path / "file")) == f"{var}/log"
    assert mode(f"{var}/log") == 0o700
    assert rundir.make_log_folder("/srv/app.py", var, str(tmp_path / "named")) == f"{tmp_path}/named"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_log_files_are_given_to_the_workers_user_and_links_are_not_followed(tmp_path: Path) -> None:
    rundir.give_logs(str(tmp_path), 65534, 65534)
    assert {(each.name, each.stat().st_uid) for each in tmp_path.iterdir()} == {(name, 65534) for name in rundir.LOG_FILES}

    (tmp_path / "server.log").unlink()
    (tmp_path / "server.log").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link"):
        rundir.give_logs(str(tmp_path), 65534, 65534)
    assert os.stat("/etc/passwd").st_uid == 0
