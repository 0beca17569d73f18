"""Mail outlives killed agents and full disks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skitai.helpers.smtpda import work
from skitai.ipc.envelope import Envelope
from skitai.ipc.spool import Spool
from tests.process.test_smtpda import Desk, desk, said
from tests.support.dialogue import ROOT, eventually
from tests.support.mailagent import survive
from tests.support.mailserver import Behaviour, mail_server

__all__ = ["desk", "said"]

pytestmark = pytest.mark.process


def test_every_message_arrives_although_the_agent_is_killed_again_and_again(tmp_path):
    twice = survive(tmp_path, kills=20, messages=100, seed=1)
    assert twice < 100


SEND = """
    import resource, skitai
    from skitai.ipc import rundir

    rundir.VAR_BASE = {base!r}
    email = skitai.email("x", "a@client.test", "b@mail.test")
    email.add_text("x" * 100_000)
    {before}
    try:
        email.send()
    except OSError as error:
        print(error.strerror)
"""


def sends(base: Path, before: str = "") -> str:
    """What a process says that sends a message from outside of a server."""
    script = textwrap.dedent(SEND).format(base=str(base), before=before)
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def test_send_raises_when_the_file_may_not_be_so_large(tmp_path):
    assert sends(tmp_path) == ""
    assert len(files(tmp_path)) == 1
    assert sends(tmp_path, "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))") == "File too large"
    assert len(files(tmp_path)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to its last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


def test_send_raises_when_the_disk_is_full(small_disk):
    (small_disk / "skitai").mkdir()
    fill(small_disk)
    assert sends(small_disk / "skitai") == "No space left on device"
    assert [each.name for each in files(small_disk)] == ["filler"]


def test_on_a_full_disk_mail_is_delivered_and_put_off(small_disk, said):
    desk = Desk(small_disk)
    long = "451 " + "x" * 400
    with mail_server(Behaviour(rcpt=lambda address: long if "busy" in address else None)) as (server, address):
        desk.put(*(f"busy{number}@mail.test" for number in range(20)))
        good = desk.put()
        filler = fill(small_disk)
        desk.start(server=str(address), retry_s=0.3, retry_most_s=0.3)
        eventually(lambda: [got.message_id for got in server.got] == [good], "the good one arrives")
        eventually(lambda: [name.attempts for name in desk.waiting if name.attempts > 1], "the other is tried again")
        assert "cannot write to its file: No space left" in said()
        filler.unlink()
        attempts = desk.waiting[0].attempts
        eventually(lambda: desk.waiting[0].attempts > attempts + 1, "its attempts are recorded again")
        assert desk.spool.peek(desk.waiting[0]).reason == long
        desk.leave()


def test_on_a_full_disk_nobody_gets_a_message_twice(small_disk, said, monkeypatch):
    monkeypatch.setattr(work, "DISK_S", 0.1)
    desk = Desk(small_disk)
    long = "451 " + "x" * 400
    with mail_server(Behaviour(rcpt=lambda address: long if "busy" in address else None)) as (server, address):
        desk.put("good@mail.test", *(f"busy{number}@mail.test" for number in range(20)))
        filler = fill(small_disk)
        desk.start(server=str(address), retry_s=0.05)
        eventually(lambda: "tried again" in said(), "it is said")
        time.sleep(0.5)
        assert [got.recipients for got in server.got] == [["good@mail.test"]]
        assert desk.waiting[0].attempts == 0
        filler.unlink()
        eventually(lambda: desk.waiting[0].attempts > 2, "it goes on")
        assert [got.recipients for got in server.got] == [["good@mail.test"]]
        desk.leave()


WRITE = """
    import skitai
    from skitai.ipc import rundir

    rundir.VAR_BASE = {base!r}
    while True:
        email = skitai.email("x", "a@client.test", "b@mail.test")
        email.add_text("text " * 10_000)
        print(email.send(), flush=True)
"""


def test_whatever_was_sent_is_whole_although_its_writer_is_killed(tmp_path):
    told: list[str] = []
    for number in range(5):
        script = textwrap.dedent(WRITE).format(base=str(tmp_path))
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            told.append(writer.stdout.readline().strip())
            time.sleep(0.01 * number)
            writer.kill()
            told += [line.strip() for line in writer.stdout if line.endswith("\n")]
    (folder,) = tmp_path.glob("*/default")
    spool = Spool(str(folder))
    found = {spool.peek(name).envelope.message_id for name in spool.scan().names}
    assert set(told) <= found
    assert len(found) <= len(told) + 5


def test_a_lease_ends_with_its_holder(tmp_path):
    spool = Spool(str(tmp_path))
    name = spool.put(Envelope("a@client.test", ("b@mail.test",)), b"\r\n")
    told, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        held = spool.lease(name)
        os.write(tells, b"yes" if held else b"no")
        time.sleep(60)
        os._exit(0)
    assert os.read(told, 3) == b"yes"
    assert taken(spool, name)
    os.close(told)
    os.close(tells)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert not taken(spool, name)


def taken(spool: Spool, name: object) -> bool:
    lease = spool.lease(name)  # type: ignore[arg-type]
    if lease is not None:
        lease.release()
    return lease is None
