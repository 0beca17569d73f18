"""Four processes fill one cache at once, and are killed while they do: the sums hold, and all that is read is as it was."""

from __future__ import annotations

import os
import random
import signal
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from skitai.cachefs.asked import digest
from skitai.cachefs.files import BLOCK_BYTES, blocks
from skitai.cachefs.folder import LOCK
from skitai.cachefs.host import Host
from skitai.cachefs.record import HEADER, Stored, decode, encode, lengths, whole
from skitai.config.sections.caching import CacheFs
from skitai.http.head import Fields

pytestmark = pytest.mark.process

MEMORY = 1 << 20
DISK = 2 << 20
KEYS = 400
WORKERS = 4
FIELDS = Fields([(b"cache-control", b"max-age=60")])

WRONG = 66
"""Exit code of a process that has read what nobody has written."""


def content(key: int, version: int) -> bytes:
    """Says of itself what it is, and is of any size."""
    size = (key * 7919 + version * 104729) % 30_000
    return b"%d %d " % (key, version) + random.Random(key + version).randbytes(size)


def is_right(key: int, data: bytes) -> bool:
    said, version, _ = bytes(data[:40]).split(b" ", 2)
    return int(said) == key and bytes(data) == content(key, int(version))


def fill(host: Host, seed: int) -> None:
    """Write and read in both tiers, until somebody ends this process."""
    chance = random.Random(seed)
    ring, files = host.stores().ring, host.stores().files
    assert ring is not None and files is not None
    while True:
        key = chance.randrange(KEYS)
        name = b"http://host/%d" % key
        data = content(key, chance.randrange(1000))
        parts = encode(Stored(name, 200, FIELDS, time.time(), 0.0, len(data), zlib.crc32(data)))
        ring.put(parts, [data])
        if chance.random() < 0.3:
            files.write(parts, [data])
        other = chance.randrange(KEYS)
        name = b"http://host/%d" % other
        found = ring.find(name, digest(name))
        if found is not None:
            got = ring.content(found)
            if got is not None and not is_right(other, bytes(got)):
                os._exit(WRONG)
        read = files.read(name)
        if read is not None and not is_right(other, read[1]):
            os._exit(WRONG)


def start(job: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            job()
        finally:
            os._exit(1)
    return pid


def files_in(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file() and each.name != LOCK]


def usage(folder: Path) -> int:
    """Bytes of the files that are there, written in full or not."""
    total = 0
    for each in files_in(folder):
        with suppress(FileNotFoundError):
            total += blocks(each.stat().st_size)
    return total


def test_the_sums_hold_whoever_writes_and_whoever_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    host = Host.open(CacheFs(cachefs_memmax=MEMORY, cachefs_diskmax=DISK), str(folder))
    assert host is not None and host.ring is not None
    chance = random.Random(1)
    seeds = iter(range(1_000_000))
    running = [start(lambda: fill(host, next(seeds))) for _ in range(WORKERS)]
    looks = killed = 0
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end or looks < 25 or killed < 6:
            looks += 1
            assert host.books.file_bytes <= DISK
            assert usage(folder) <= DISK
            assert os.fstat(host.ring.memory.fd).st_size <= MEMORY
            if looks % 4 == 0:
                victim = running.pop(chance.randrange(WORKERS))
                os.kill(victim, signal.SIGKILL)
                assert os.waitpid(victim, 0)[1] == signal.SIGKILL, "it had read what nobody wrote"
                killed += 1
                running.append(start(lambda: fill(host, next(seeds))))
            time.sleep(0.01)
    finally:
        ended = []
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            ended.append(os.waitpid(pid, 0)[1])
    assert set(ended) == {signal.SIGKILL}, "one had read what nobody wrote"
    assert host.books.file_bytes > DISK / 2 and host.ring.usage()[0] > 20, "and it was filled indeed"
    _nothing_half_is_found(host, folder)
    host.close()
    _the_next_start_counts_what_is_there(folder)


def _nothing_half_is_found(host: Host, folder: Path) -> None:
    """What was killed while it wrote has left files that no name leads to; the next writer takes their room back."""
    for each in files_in(folder):
        if each.parent.name != "new":
            written = each.read_bytes()
            head, sizes = decode(written, 0), lengths(written)
            assert isinstance(head, Stored) and sizes is not None and len(written) == HEADER.size + sum(sizes)
            data = whole(head, written, HEADER.size + sizes[0])
            assert data is not None
            assert is_right(int(head.key.rpartition(b"/")[2]), data)
    files = host.stores().files
    assert files is not None
    for number in range(DISK // BLOCK_BYTES):
        head = Stored(b"more %d" % number, 200, FIELDS, time.time(), 0.0, 0, 0)
        assert files.write(encode(head), ())
    assert not list((folder / "new").iterdir())
    assert usage(folder) <= host.books.file_bytes <= DISK


def _the_next_start_counts_what_is_there(folder: Path) -> None:
    again = Host.open(CacheFs(cachefs_diskmax=DISK), str(folder))
    assert again is not None
    assert again.books.file_bytes == usage(folder)
    assert again.books.file_count == len(files_in(folder))
    again.close()


def test_what_one_stores_all_find(tmp_path: Path) -> None:
    host = Host.open(CacheFs(cachefs_memmax=MEMORY, cachefs_diskmax=DISK), str(tmp_path / "cache"))
    assert host is not None and host.ring is not None

    def store() -> None:
        stores = host.stores()
        assert stores.ring is not None and stores.files is not None
        data = content(1, 2)
        parts = encode(Stored(b"http://host/1", 200, FIELDS, time.time(), 0.0, len(data), zlib.crc32(data)))
        stores.ring.put(parts, [data])
        stores.files.write(parts, [data])
        os._exit(0)

    os.waitpid(start(store), 0)
    found = host.ring.find(b"http://host/1", digest(b"http://host/1"))
    assert found is not None
    assert host.ring.content(found) == content(1, 2)
    files = host.stores().files
    assert files is not None
    read = files.read(b"http://host/1")
    assert read is not None and read[1] == content(1, 2)
    host.close()
