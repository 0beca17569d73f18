"""The mail spool on a real disk."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from skitai.errors import StartError
from skitai.ipc import rundir
from skitai.ipc.envelope import Attempt, CorruptMail, Envelope, Name
from skitai.ipc.spool import Spool

TO_B = Envelope("a@example.com", ("b@example.com",), message_id="<1@example.com>")
MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(str(tmp_path))


def test_constructing_makes_nothing(tmp_path):
    Spool(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_message_is_put_leased_and_removed(spool):
    name = spool.put(TO_B, MESSAGE)
    assert spool.scan().names == [name]
    lease = spool.lease(name)
    assert lease.message == MESSAGE
    assert lease.mail.envelope.recipients == ("b@example.com",)
    assert abs(lease.mail.envelope.made_s - time.time()) < 5
    lease.remove()
    assert spool.scan().names == []
    assert spool.lease(name) is None


def test_nobody_else_may_look(spool, tmp_path):
    name = spool.put(TO_B, MESSAGE)
    assert stat.S_IMODE(os.stat(os.path.join(spool.folder, str(name))).st_mode) == 0o600
    for folder in (tmp_path / "smtpda", tmp_path / "smtpda/mail", spool.folder, spool.undeliver):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_only_one_has_a_message_at_a_time(spool):
    name = spool.put(TO_B, MESSAGE)
    lease = spool.lease(name)
    assert spool.lease(name) is None
    lease.release()
    again = spool.lease(name)
    assert again is not None
    again.release()


def test_a_deferred_message_has_a_new_name_and_its_history(spool):
    name = spool.put(TO_B, MESSAGE)
    lease = spool.lease(name)
    lease.note(Attempt(1.5, deferred={"b@example.com": "451 later"}))
    later = lease.defer(1_900_000_000)
    assert (later.due_s, later.attempts, later.identity) == (1_900_000_000, 1, name.identity)
    assert spool.scan().names == [later]
    assert spool.lease(name) is None
    lease = spool.lease(later)
    assert lease.message == MESSAGE
    assert lease.mail.attempts == (Attempt(1.5, deferred={"b@example.com": "451 later"}),)
    lease.release()
    assert spool.peek(later).reason == "451 later"


def test_the_first_due_comes_first(spool):
    first, second, third = (spool.put(TO_B, MESSAGE) for _ in range(3))
    late = spool.lease(first).defer(time.time() + 60)
    assert [each.identity for each in spool.scan().names][-1] == late.identity
    assert {each.identity for each in spool.scan().names[:2]} == {second.identity, third.identity}


def test_a_line_that_a_crash_cut_does_not_count(spool):
    name = spool.put(TO_B, MESSAGE)
    path = Path(spool.folder, str(name))
    lease = spool.lease(name)
    lease.note(Attempt(1, deferred={"b@example.com": "451 one"}))
    lease.release()
    with path.open("ab") as file:
        file.write(b'{"at_s": 2, "deferred": {"b@ex')
    lease = spool.lease(name)
    assert len(lease.mail.attempts) == 1
    lease.note(Attempt(3, deferred={"b@example.com": "451 three"}))
    lease.release()
    assert [each.at_s for each in spool.peek(name).attempts] == [1, 3]


def test_what_is_given_up_moves_with_its_reason(spool):
    lease = spool.lease(spool.put(TO_B, MESSAGE))
    lease.note(Attempt(1, refused={"b@example.com": "550 no such user"}))
    lease.undeliver()
    assert spool.scan().names == []
    (name,) = spool.given_up().names
    assert spool.peek(name, given_up=True).refused == {"b@example.com": "550 no such user"}
    Path(spool.undeliver, "2024-notes.txt").write_text("somebody's own")
    assert spool.expire(time.time() - 60) == []
    assert spool.expire(time.time() + 60) == [str(name)]
    assert spool.given_up().names == []


def test_a_folder_that_somebody_has_removed_is_made_again(spool):
    lease = spool.lease(spool.put(TO_B, MESSAGE))
    os.rmdir(spool.undeliver)
    lease.undeliver()
    assert len(spool.given_up().names) == 1
    with pytest.raises(FileNotFoundError):
        spool.set_aside("nothing")


def test_a_cut_message_is_corrupt(spool):
    name = spool.put(TO_B, MESSAGE)
    path = Path(spool.folder, str(name))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CorruptMail, match="of the 25 bytes"):
        spool.lease(name)


def test_a_link_a_folder_and_a_pipe_are_no_messages(spool, tmp_path):
    good = spool.put(TO_B, MESSAGE)
    link, folder, pipe = (Name(good.due_ms, 0, good.lane, digit * 32) for digit in "123")
    os.rename(os.path.join(spool.folder, str(good)), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", os.path.join(spool.folder, str(link)))
    os.mkdir(os.path.join(spool.folder, str(folder)))
    os.mkfifo(os.path.join(spool.folder, str(pipe)))
    for name, why in ((link, "symbolic link"), (folder, "folder"), (pipe, "not a plain file")):
        with pytest.raises(CorruptMail, match=why):
            spool.lease(name)
        assert os.path.lexists(spool.set_aside(str(name)))
    assert spool.scan().names == []
    assert (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_of_another_user_is_no_message(spool):
    name = spool.put(TO_B, MESSAGE)
    os.chown(os.path.join(spool.folder, str(name)), 65534, 65534)
    with pytest.raises(CorruptMail, match="another user"):
        spool.lease(name)


def test_files_of_other_names_are_strangers(spool):
    spool.put(TO_B, MESSAGE)
    Path(spool.folder, "3.D41D8CD98F00B204E9800998ECF8427E").write_bytes(b"\x80\x04pickle")
    assert spool.scan().strangers == ["3.D41D8CD98F00B204E9800998ECF8427E"]
    spool.set_aside("3.D41D8CD98F00B204E9800998ECF8427E")
    assert spool.scan().strangers == []
    assert len(spool.expire(time.time() + 60)) == 1


def test_a_message_that_cannot_be_written_leaves_nothing(spool):
    spool.make()
    os.rmdir(spool.folder)
    Path(spool.folder).write_bytes(b"")
    with pytest.raises(OSError, match="Not a directory"):
        spool.put(TO_B, MESSAGE)


def test_a_spool_behind_a_link_is_refused(spool, tmp_path):
    os.symlink(tmp_path, tmp_path / "smtpda")
    with pytest.raises(StartError, match="not a folder, or a link"):
        spool.put(TO_B, MESSAGE)


def test_what_killed_writers_left_is_swept(spool):
    spool.make()
    old, new = Path(spool.folder, ".new-1"), Path(spool.folder, ".new-2")
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert spool.scan().names == spool.scan().strangers == []
    assert spool.sweep(time.time() - 60) == [".new-1"]
    assert new.exists()


def test_the_home_of_helpers_without_a_server_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(rundir, "VAR_BASE", str(tmp_path / "skitai"))
    name = Spool(rundir.default_home()).put(TO_B, MESSAGE)
    assert (tmp_path / "skitai" / rundir.user_name() / "default/smtpda/mail/spool" / str(name)).exists()


def test_a_message_is_synced_before_it_gets_its_name_and_its_folder_before_put_returns(spool, monkeypatch):
    spool.make()
    done = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(fd):
        found = os.fstat(fd)
        done.append("folder" if stat.S_ISDIR(found.st_mode) else "file" if found.st_size > len(MESSAGE) else "empty file")
        fsync(fd)

    def watched_rename(source, target):
        done.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    name = spool.put(TO_B, MESSAGE)
    assert done == ["file", "rename", "folder"]
    lease = spool.lease(name)
    done.clear()
    lease.note(Attempt(1, deferred={"b@example.com": "451"}))
    assert done == []
    lease.note(Attempt(2, ("b@example.com",)))
    assert done == ["file"]
    lease.release()
