"""The stores of the HTTP cache in one process: rings that turn, damaged files, folders that are not free."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.cachefs import shared
from skitai.cachefs.asked import digest
from skitai.cachefs.files import BLOCK_BYTES, Files, blocks, halves, name_of, text_of
from skitai.cachefs.folder import LOCK, Folder
from skitai.cachefs.host import Host
from skitai.cachefs.infile import InFile
from skitai.cachefs.record import HEADER, Content, Parts, Selector, Stored, decode, encode
from skitai.cachefs.ring import Ring
from skitai.cachefs.shared import Books
from skitai.config.sections.caching import CacheFs
from skitai.errors import StartError
from skitai.http.head import Fields
from tests.support.scripted import open_descriptors

NOW = 1_800_000_000.0


def answer(key: bytes, content: bytes) -> tuple[Parts, list[bytes]]:
    import zlib

    fields = Fields([(b"cache-control", b"max-age=60"), (b"x-key", key)])
    return encode(Stored(key, 200, fields, NOW, 0.0, len(content), zlib.crc32(content))), [content]


def content_of(number: int, size: int = 100) -> bytes:
    return random.Random(number).randbytes(size)


@pytest.fixture
def ring() -> Ring:
    return Ring.create(1 << 16, Books.create(0))


def got(ring: Ring, key: bytes) -> Content | None:
    found = ring.find(key, digest(key))
    if found is None:
        return None
    assert isinstance(found.head, Stored) and found.head.key == key
    return ring.content(found)


# Records


@given(
    st.binary(max_size=40),
    st.lists(
        st.tuples(st.sampled_from([b"a", b"x-b"]), st.text("ab :%0A\xe9", max_size=9).map(lambda t: t.encode("latin-1")))
    ),
    st.integers(1, 599),
    st.binary(max_size=50),
)
def test_a_record_is_read_as_it_was_written(
    key: bytes, pairs: list[tuple[bytes, bytes]], status: int, content: bytes
) -> None:
    head = Stored(key, status, Fields(pairs), NOW, 1.5, len(content), 7)
    parts = encode(head)
    read = decode(parts.header(64) + parts.meta + content, 64)
    assert isinstance(read, Stored)
    assert (read.key, read.status, read.fields.pairs) == (key, status, tuple(pairs))
    assert (read.came, read.initial_age, read.size, read.check) == (NOW, 1.5, len(content), 7)
    assert decode(parts.header(64) + parts.meta, 72) is None, "it was written for another place"


@given(st.data())
def test_a_record_in_which_anything_is_changed_is_none(data: st.DataObject) -> None:
    parts, _ = answer(b"http://a/", b"")
    whole = bytearray(parts.header(0) + parts.meta)
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(whole), 0) is None
    assert decode(bytes(whole[: data.draw(st.integers(0, len(whole) - 1))]), 0) is None


def test_a_selector_is_read_as_it_was_written() -> None:
    selector = Selector(b"space http://a/%0A", (b"accept", b"x-user"), b"1234")
    parts = encode(selector)
    assert decode(parts.header(8) + parts.meta, 8) == selector


# The ring


def test_what_is_stored_is_found_until_the_ring_has_turned(ring: Ring) -> None:
    stored = [b"http://a/%d" % number for number in range(2000)]
    for number, key in enumerate(stored):
        assert ring.put(*answer(key, content_of(number)))
        assert got(ring, key) == content_of(number)
        assert ring.total == 1 << 16
    found = [number for number, key in enumerate(stored) if got(ring, key) is not None]
    assert found and min(found) > 1000, "the oldest went first"
    assert all(got(ring, stored[number]) == content_of(number) for number in found)
    count, used = ring.usage()
    assert count == len(found) and used < ring.total


def test_a_key_has_one_answer(ring: Ring) -> None:
    for number in range(5):
        ring.put(*answer(b"k", content_of(number)))
    assert got(ring, b"k") == content_of(4)
    assert ring.usage()[0] == 1
    ring.remove(digest(b"k"))
    assert got(ring, b"k") is None


def test_what_is_used_stays(ring: Ring) -> None:
    ring.put(*answer(b"used", content_of(7, 900)))
    for number in range(500):
        ring.put(*answer(b"other %d" % number, content_of(number, 900)))
        found = ring.find(b"used", digest(b"used"))
        assert found is not None, number
        if ring.is_old(found.place):
            ring.again(found)
    assert got(ring, b"used") == content_of(7, 900)


def test_what_is_too_large_for_the_ring_is_not_stored(ring: Ring) -> None:
    assert not ring.put(*answer(b"k", bytes(ring.longest)))
    assert ring.put(*answer(b"k", bytes(ring.longest - 300)))
    assert got(ring, b"k") == bytes(ring.longest - 300)


def test_large_contents_are_held_once() -> None:
    ring = Ring.create(1 << 21, Books.create(0))
    ring.put(*answer(b"k", bytes(300_000)))
    first = got(ring, b"k")
    assert got(ring, b"k") is first


def test_another_process_sees_the_same(ring: Ring) -> None:
    other = Ring.adopt(os.dup(ring.memory.fd), Books.create(0))
    assert other is not None
    ring.put(*answer(b"k", b"content"))
    assert got(other, b"k") == b"content"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9000)), max_size=60))
def test_any_answers_come_back_as_they_were_or_not_at_all(puts: list[tuple[int, int]]) -> None:
    ring = Ring.create(1 << 16, Books.create(0))
    last: dict[int, int] = {}
    for number, size in puts:
        if ring.put(*answer(b"key %d" % number, content_of(number, size))):
            last[number] = size
    for number, size in last.items():
        assert got(ring, b"key %d" % number) in (None, content_of(number, size))
    if puts and puts[-1][0] in last:
        assert got(ring, b"key %d" % puts[-1][0]) is not None


# Files


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = open_host(tmp_path)
    yield made
    made.close()


def open_host(tmp_path: Path, disk: int = 1 << 20) -> Host:
    made = Host.open(CacheFs(cachefs_diskmax=disk), str(tmp_path / "cache"))
    assert made is not None and made.folder is not None
    return made


def files_of(host: Host) -> Files:
    files = host.stores().files
    assert files is not None
    return files


def on_disk(tmp_path: Path) -> list[Path]:
    return sorted(each for each in (tmp_path / "cache").rglob("*") if each.is_file() and each.name != LOCK)


def test_files_hold_what_was_stored_within_the_limit(host: Host, tmp_path: Path) -> None:
    files = files_of(host)
    for number in range(600):
        assert files.write(*answer(b"%d" % number, content_of(number)))
        assert host.books.file_bytes <= 1 << 20
    found = on_disk(tmp_path)
    assert len(found) == host.books.file_count == 256
    assert sum(blocks(each.stat().st_size) for each in found) == host.books.file_bytes
    read = files.read(b"599")
    assert read is not None and read[1] == content_of(599)
    assert files.read(b"0") is None


def test_what_was_used_the_longest_ago_goes_first(host: Host) -> None:
    files = files_of(host)
    for number in range(256):
        files.write(*answer(b"%d" % number, b""))
    for number in range(128):
        files.touch(digest(b"%d" % number), time.time() + 10)
    for number in range(256, 356):
        files.write(*answer(b"%d" % number, b""))
    kept = [number for number in range(256) if files.knows(digest(b"%d" % number))]
    assert len(kept) >= 150 and len([number for number in kept if number < 128]) >= 120


def test_a_file_of_the_same_key_is_replaced(host: Host, tmp_path: Path) -> None:
    files = files_of(host)
    files.write(*answer(b"k", bytes(10)))
    files.write(*answer(b"k", bytes(9000)))
    assert len(on_disk(tmp_path)) == 1
    assert (host.books.file_bytes, host.books.file_count) == (3 * BLOCK_BYTES, 1)


@pytest.mark.parametrize("fault", ["shorter", "longer", "content", "head", "empty", "another's", "gone", "folder"])
def test_a_file_that_is_not_what_was_written_is_not_served_and_goes(host: Host, tmp_path: Path, fault: str) -> None:
    files = files_of(host)
    files.write(*answer(b"k", content_of(1)))
    files.write(*answer(b"l", content_of(2)))
    file = tmp_path / "cache" / text_of(halves(digest(b"k")))[:2] / text_of(halves(digest(b"k")))
    data = file.read_bytes()
    match fault:
        case "shorter":
            file.write_bytes(data[:-1])
        case "longer":
            file.write_bytes(data + b"x")
        case "content":
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "head":
            file.write_bytes(data[: HEADER.size] + b"x" + data[HEADER.size + 1 :])
        case "empty":
            file.write_bytes(b"")
        case "another's":
            other = text_of(halves(digest(b"l")))
            file.write_bytes((tmp_path / "cache" / other[:2] / other).read_bytes())
        case "gone":
            file.unlink()
    if fault != "folder":
        assert files.read(b"k") is None
        assert not file.exists() and not files.knows(digest(b"k"))
    assert host.books.file_count == (2 if fault == "folder" else 1)
    assert files.read(b"l") is not None


def test_a_large_content_stays_in_its_file_and_is_that_of_its_opening(tmp_path: Path) -> None:
    host = open_host(tmp_path, 1 << 25)
    files, data = files_of(host), content_of(1, 8_000_000)
    assert files.write(*answer(b"k", data))
    before = open_descriptors()
    tracemalloc.start()
    found = files.open(b"k")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000, "it was read in pieces"
    assert found is not None and isinstance(found[1], InFile)
    files.write(*answer(b"k", b"another"))
    content = found[1]
    assert len(content) == len(data) and content[7_000_000:7_500_000] == data[7_000_000:7_500_000]
    assert b"".join(content) == bytes(content) == data
    del found, content
    assert open_descriptors() == before
    read = files.read(b"k")
    assert read is not None and read[1] == b"another"
    host.close()


def test_of_a_large_content_a_change_is_seen_at_any_time(tmp_path: Path) -> None:
    host = open_host(tmp_path, 1 << 25)
    files, data = files_of(host), content_of(1, 1_000_000)
    files.write(*answer(b"k", data))
    for _ in range(2):
        found = files.open(b"k")
        assert found is not None and bytes(found[1]) == data
    del found
    file = tmp_path / "cache" / text_of(halves(digest(b"k")))[:2] / text_of(halves(digest(b"k")))
    with file.open("r+b") as changed:
        changed.seek(500_000)
        changed.write(bytes([data[500_000] ^ 1]))
    assert files.open(b"k") is None
    assert not file.exists()
    host.close()


def test_without_descriptors_nothing_is_thrown_away(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    files = files_of(host)
    files.write(*answer(b"k", b"x"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert files.open(b"k") is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "cannot read from the cache: Too many open files" in caplog.messages
    assert files.open(b"k") is not None


def test_a_disk_that_is_full_only_ends_storing(host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that may write no longer files gets the same kind of error."""
    files = files_of(host)
    assert files.write(*answer(b"before", b"x"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        assert not files.write(*answer(b"k", bytes(20_000)))
        assert not files.write(*answer(b"l", b"short"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [record.message for record in caplog.records if "stores nothing" in record.message] == caplog.messages
    assert len(caplog.messages) == 1
    assert (host.books.file_bytes, len(on_disk(tmp_path))) == (BLOCK_BYTES, 1)
    assert files.read(b"before") is not None


def test_a_folder_is_taken_over_at_the_next_start(tmp_path: Path) -> None:
    first = open_host(tmp_path)
    for number in range(100):
        files_of(first).write(*answer(b"%d" % number, content_of(number)))
    before = first.books.file_bytes
    first.close()
    (tmp_path / "cache" / "new" / "1-1").write_bytes(b"never finished")
    (tmp_path / "cache" / "00" / "notes.txt").write_text("somebody's")
    second = open_host(tmp_path)
    assert (second.books.file_bytes, second.books.file_count) == (before, 100)
    for number in range(100):
        read = files_of(second).read(b"%d" % number)
        assert read is not None and read[1] == content_of(number)
    assert not list((tmp_path / "cache" / "new").iterdir())
    assert (tmp_path / "cache" / "00" / "notes.txt").exists()
    second.close()
    third = open_host(tmp_path, disk=50 * BLOCK_BYTES)
    assert third.books.file_bytes <= 50 * BLOCK_BYTES
    assert len(on_disk(tmp_path)) == third.books.file_count + 1
    third.close()


def test_a_folder_belongs_to_one_server(tmp_path: Path) -> None:
    first = open_host(tmp_path)
    with pytest.raises(StartError, match=f"another server uses it, pid {os.getpid()}"):
        open_host(tmp_path)
    first.close()
    open_host(tmp_path).close()


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis.tex").write_text("x")
    with pytest.raises(StartError, match="there are other files in it"):
        open_host(tmp_path)
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("kind", ["a file", "a link for the lock", "no right"])
def test_a_folder_that_cannot_be_used_is_a_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cache"
    match kind:
        case "a file":
            path.write_text("x")
        case "a link for the lock":
            path.mkdir()
            (path / LOCK).symlink_to(tmp_path / "elsewhere")
        case _:
            path = Path("/proc/cache")
    with pytest.raises(StartError, match=f"cannot use the cache folder {path}"):
        Folder.acquire(str(path))
    assert not (tmp_path / "elsewhere").exists()


def test_names_of_files() -> None:
    name = halves(digest(b"k"))
    assert name_of(text_of(name)) == name
    for wrong in ("", "x", "0" * 31, "g" * 32, text_of(name).upper() + "0", "-" + "1" * 31):
        assert name_of(wrong) is None


def test_who_dies_in_the_middle_of_a_change_leaves_no_wrong_sums(host: Host, tmp_path: Path) -> None:
    """Killed with the lock and half a change, and with room reserved: the next one counts anew, and takes it back."""
    files_of(host).write(*answer(b"k", b"x"))
    died = os.fork()
    if died == 0:
        with host.books.changing(os.getpid()):
            host.books.reserve(os.getpid(), 900_000, 1, 2)
            host.books.ints[2] += 77
            os.kill(os.getpid(), 9)
    os.waitpid(died, 0)
    files = files_of(host)
    for number in range(200):
        assert files.write(*answer(b"%d" % number, b"x"))
    found = len(on_disk(tmp_path))
    assert found > 190 and host.books.file_bytes == found * BLOCK_BYTES


def test_clearing_by_the_beginning_of_uris(host: Host) -> None:
    files = files_of(host)
    for key in (b"/shop http://a/list?1", b"/shop http://a/list?2", b"was http://a/list", b"/shop http://a/other"):
        files.write(*answer(key, b"x"))
    assert files.remove_where(b"http://a/list") == 3
    assert files.read(b"/shop http://a/other") is not None
    assert files.remove_where(b"") == 1
    assert (host.books.file_bytes, host.books.file_count) == (0, 0)


def test_the_cache_is_cheap_to_leave_out() -> None:
    """Whoever imports the package does not load it."""
    code = "import sys, skitai; sys.exit(any(name.startswith('skitai.cachefs') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What the master holds


def test_a_reload_takes_over_what_still_fits(tmp_path: Path) -> None:
    path, other = str(tmp_path / "cache"), str(tmp_path / "other")
    options = CacheFs(cachefs_memmax=1 << 20, cachefs_diskmax=1 << 20)
    first = Host.open(options, path)
    assert first is not None
    adopted = Host.adopt(first.hand_over())
    assert adopted is not None and adopted.ring is not None and first.ring is not None
    first.keep()
    first.ring.put(*answer(b"k", b"content"))
    assert got(adopted.ring, b"k") == b"content"
    files_of(first).write(*answer(b"k", b"content"))

    same = Host.open(options, path, before=adopted)
    assert same is not None and same.ring is adopted.ring and same.folder is adopted.folder
    smaller = Host.open(CacheFs(cachefs_memmax=1 << 21, cachefs_diskmax=1 << 19), path, before=same)
    assert smaller is not None and smaller.ring is not same.ring and smaller.folder is same.folder
    assert smaller.books.limit == 1 << 20, "as it was, until nothing can fail any more"
    smaller.settle()
    assert smaller.books.limit == 1 << 19 and smaller.books.file_count == 1
    moved = Host.open(options, other, before=smaller)
    assert moved is not None and moved.folder is not None and moved.folder.path == other and moved.books.file_count == 0
    with pytest.raises(StartError, match="another server uses it"):
        Host.open(options, path, before=moved)
    assert Host.open(CacheFs(), path, before=moved) is None
    for closing, kept in ((smaller, moved), (moved, None)):
        closing.close(but=kept)


def reloaded(host: Host, tmp_path: Path, disk: int) -> Host:
    """What the next program makes of it; `host` is from then on what workers have that are still there."""
    adopted = Host.adopt(host.hand_over())
    made = Host.open(CacheFs(cachefs_diskmax=disk), str(tmp_path / "cache"), before=adopted)
    assert made is not None
    made.settle()
    return made


def test_a_reload_with_more_disk_has_room_for_more_files(tmp_path: Path) -> None:
    old = open_host(tmp_path)
    for number in range(256):
        assert files_of(old).write(*answer(b"%d" % number, content_of(number)))
    old.books.invalidate(digest(b"7"), NOW)
    before = old.books.file_count
    new = reloaded(old, tmp_path, 1 << 24)
    assert (new.books.file_count, new.books.file_bytes, new.books.limit) == (before, before * BLOCK_BYTES, 1 << 24)
    assert before == len(on_disk(tmp_path)) > 200
    assert new.books.void(digest(b"7"), NOW - 1, NOW + 1)
    files = files_of(new)
    for number in range(2000):
        assert files.write(*answer(b"%d" % number, content_of(number)))
    assert new.books.file_count == len(on_disk(tmp_path)) == 2000
    newer = reloaded(new, tmp_path, 1 << 25)
    assert newer.books.file_count == 2000
    for number in range(2000):
        read = files_of(newer).read(b"%d" % number)
        assert read is not None and read[1] == content_of(number)
    newer.books.recount()
    assert (newer.books.file_count, newer.books.file_bytes) == (2000, 2000 * BLOCK_BYTES)
    newer.close()


def test_who_has_the_old_table_changes_nothing_any_more(tmp_path: Path) -> None:
    old = open_host(tmp_path)
    late = files_of(old)
    late.write(*answer(b"k", b"before"))
    after: list[Host] = []

    def content() -> Iterator[bytes]:
        """While it is written, the server is reloaded."""
        after.append(reloaded(old, tmp_path, 1 << 24))
        yield b"late"

    assert not late.write(answer(b"late", b"late")[0], content())
    assert not late.knows(digest(b"k")) and late.read(b"k") is None
    assert not late.write(*answer(b"k", b"later"))
    late.remove(digest(b"k"))
    assert late.remove_where(b"") == 0
    read = files_of(after[0]).read(b"k")
    assert read is not None and read[1] == b"before"
    assert (after[0].books.file_count, after[0].books.file_bytes) == (1, BLOCK_BYTES) and len(on_disk(tmp_path)) == 1
    after[0].close()


def test_a_reload_with_less_disk_removes_what_is_beyond(tmp_path: Path) -> None:
    old = open_host(tmp_path, 1 << 23)
    for number in range(1500):
        files_of(old).write(*answer(b"%d" % number, b""))
    new = reloaded(old, tmp_path, 1 << 20)
    assert new.books.file_bytes <= 1 << 20 and len(on_disk(tmp_path)) == new.books.file_count > 200
    assert files_of(old).write(*answer(b"k", b"x")), "the table is the same"
    assert files_of(new).read(b"k") is not None
    new.close()


def test_a_worker_that_stands_still_with_the_lock_keeps_the_size_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared, "PATIENCE_S", 0.2)
    host = open_host(tmp_path)
    host.hand_over()
    ready, go_on = os.pipe(), os.pipe()
    stopped = os.fork()
    if stopped == 0:
        with host.books.changing(os.getpid()):
            os.write(ready[1], b"x")
            os.read(go_on[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    same = reloaded(host, tmp_path, 1 << 24)
    assert "cannot change the size of the cache: another process has stopped" in caplog.text
    assert same.books.entries == host.books.entries
    os.write(go_on[1], b"x")
    os.waitpid(stopped, 0)
    for fd in (*ready, *go_on):
        os.close(fd)
    later = reloaded(same, tmp_path, 1 << 24)
    assert later.books.entries > host.books.entries and host.books.moved
    later.close()


def test_a_cache_of_memory_alone_is_taken_over_as_well() -> None:
    options = CacheFs(cachefs_memmax=1 << 20)
    first = Host.open(options, "")
    assert first is not None and first.ring is not None
    first.ring.put(*answer(b"k", b"content"))
    adopted = Host.adopt(first.hand_over())
    assert adopted is not None and adopted.ring is not None
    assert got(adopted.ring, b"k") == b"content"
    same = Host.open(options, "", before=adopted)
    assert same is not None and same.ring is adopted.ring
    same.close()


def test_there_is_no_cache_without_a_size() -> None:
    assert Host.open(CacheFs(), "/nowhere") is None
    assert Host.adopt(None) is None


def test_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cachefs_memmax: 1125899906842624 bytes, where this machine has"):
        Host.open(CacheFs(cachefs_memmax=1 << 50), str(tmp_path))
