"""A mounted folder: which paths mean which files, and what is kept of them."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.config.sections.serving import Responses
from skitai.http.dates import format_http_date
from skitai.worker.apps.entries import ENTRY_BYTES, Variant
from skitai.worker.apps.folder import Limits, StaticFolder

NOW = 1_790_000_000
OLD = NOW - 1000
TEXT = b"some text " * 500


def put(path: Path, content: bytes = b"content", modified: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(0, int(modified * 1_000_000_000)))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "secret.txt", b"outside")
    folder = tmp_path / "www"
    folder.mkdir()
    return folder


def plain(folder: StaticFolder, path: str, now: int = NOW) -> Variant:
    entry = folder.find(path, now)
    assert entry is not None
    assert entry.plain is not None
    return entry.plain


def read(folder: StaticFolder, path: str, now: int = NOW) -> bytes | None:
    entry = folder.find(path, now)
    assert entry is not None
    assert entry.plain is not None
    return folder.content(entry, entry.plain)


# What a path means


def test_a_path_below_the_point_means_the_file_below_the_folder(root: Path) -> None:
    put(root / "css/site.css", b"body {}")
    folder = StaticFolder("/static/", str(root), Limits())
    assert read(folder, "/static/css/site.css") == b"body {}"
    assert folder.find("/css/site.css", NOW) is None
    assert folder.find("/staticcss/site.css", NOW) is None
    assert folder.find("/static", NOW) is None


def test_a_folder_named_with_a_slash_at_its_end_is_the_same(root: Path) -> None:
    put(root / "a.txt")
    assert read(StaticFolder("/", f"{root}/", Limits()), "/a.txt") == b"content"


def test_names_are_decoded_once(root: Path) -> None:
    put(root / "a b.txt", b"space")
    put(root / "한.txt", b"korean")
    put(root / "100%25.txt", b"percent")
    folder = StaticFolder("/", str(root), Limits())
    assert read(folder, "/a%20b.txt") == b"space"
    assert read(folder, "/%ED%95%9C.txt") == b"korean"
    assert read(folder, "/100%2525.txt") == b"percent"
    assert folder.find("/100%25.txt", NOW) is None


def test_a_folder_means_its_index_htm_then_its_index_html(root: Path) -> None:
    put(root / "index.html", b"html")
    folder = StaticFolder("/", str(root), Limits())
    assert read(folder, "/") == b"html"
    put(root / "index.htm", b"htm")
    assert read(folder, "/", NOW + 1) == b"htm"


def test_a_folder_without_its_slash_is_redirected_when_it_has_an_index(root: Path) -> None:
    put(root / "docs/index.html")
    put(root / "images/a.png")
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/docs", NOW)
    assert entry is not None
    assert entry.redirect
    assert not folder.find("/docs/", NOW).redirect  # type: ignore[union-attr]
    assert folder.find("/images", NOW) is None
    assert folder.find("/images/", NOW) is None


def test_a_file_with_a_slash_behind_it_means_nothing(root: Path) -> None:
    put(root / "a.txt")
    assert StaticFolder("/", str(root), Limits()).find("/a.txt/", NOW) is None


# Path safety


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/..%5csecret.txt", "//secret.txt", "/./a.txt", "/a.txt%00"]
    + ["/.hidden", "/folder/.hidden", "/%2ehidden", "/" + "a" * 5000, "/" + "a/" * 3000, "", "*"],
)
def test_such_a_path_means_nothing(root: Path, path: str) -> None:
    for name in ("a.txt", ".hidden", "folder/.hidden"):
        put(root / name)
    assert StaticFolder("/", str(root), Limits()).find(path, NOW) is None


def test_links_are_followed_while_they_stay_inside(root: Path) -> None:
    put(root / "files/a.txt", b"inside")
    (root / "link.txt").symlink_to("files/a.txt")
    (root / "folder").symlink_to("files")
    folder = StaticFolder("/", str(root), Limits())
    assert read(folder, "/link.txt") == b"inside"
    assert read(folder, "/folder/a.txt") == b"inside"


def test_links_that_lead_outside_mean_nothing(root: Path) -> None:
    (root / "secret.txt").symlink_to("../secret.txt")
    (root / "up").symlink_to("..")
    (root / "absolute.txt").symlink_to(root.parent / "secret.txt")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    folder = StaticFolder("/", str(root), Limits())
    for path in ("/secret.txt", "/up/secret.txt", "/absolute.txt", "/loop", "/dangling"):
        assert folder.find(path, NOW) is None


def test_a_folder_beside_ours_with_a_longer_name_is_outside(root: Path) -> None:
    put(root.parent / "www-private/a.txt")
    (root / "a.txt").symlink_to("../www-private/a.txt")
    assert StaticFolder("/", str(root), Limits()).find("/a.txt", NOW) is None


def test_precompressed_siblings_and_indexes_that_lead_outside_are_not_taken(root: Path) -> None:
    put(root / "a.txt")
    (root / "a.txt.gz").symlink_to("../secret.txt")
    (root / "index.html").symlink_to("../secret.txt")
    folder = StaticFolder("/", str(root), Limits())
    assert folder.find("/a.txt", NOW).offered == ()  # type: ignore[union-attr]
    assert folder.find("/", NOW) is None


def test_the_mounted_folder_may_itself_be_a_link_that_is_switched(root: Path) -> None:
    put(root / "one/a.txt", b"one")
    put(root / "two/a.txt", b"two", OLD + 1)
    (root / "current").symlink_to("one")
    folder = StaticFolder("/", str(root / "current"), Limits())
    assert read(folder, "/a.txt") == b"one"
    (root / "current").unlink()
    (root / "current").symlink_to("two")
    assert read(folder, "/a.txt", NOW + 1) == b"two"


def test_special_files_mean_nothing_and_are_never_opened(root: Path) -> None:
    os.mkfifo(root / "fifo")  # opening it would wait for a writer for ever
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        folder = StaticFolder("/", str(root), Limits())
        assert folder.find("/fifo", NOW) is None
        assert folder.find("/socket", NOW) is None
    os.mkfifo(root / "index.html")
    assert folder.find("/", NOW) is None


def test_a_link_put_in_place_after_the_look_up_is_not_followed(root: Path) -> None:
    put(root / "files/secret.txt", b"inside")
    folder = StaticFolder("/", str(root), Limits())
    variant = plain(folder, "/files/secret.txt")
    (root / "files").rename(root / "moved")
    (root / "files").symlink_to("..")
    with pytest.raises(NotADirectoryError):
        folder.open(variant)
    (root / "files").unlink()
    (root / "moved").rename(root / "files")
    (root / "files/secret.txt").unlink()
    (root / "files/secret.txt").symlink_to("../../secret.txt")
    with pytest.raises(FileNotFoundError, match="became a link"):
        folder.open(variant)


def test_a_fifo_put_in_place_after_the_look_up_does_not_block(root: Path) -> None:
    path = put(root / "a.txt")
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/a.txt", NOW)
    assert entry is not None
    assert entry.plain is not None
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileNotFoundError, match="became something else"):
        folder.content(entry, entry.plain)
    path.unlink()
    path.mkdir()
    with pytest.raises(FileNotFoundError, match="became something else"):
        folder.content(entry, entry.plain)


SEGMENTS = st.sampled_from(
    ["a", "b.txt", "..", ".", "", "%2e%2e", "%2e", "%2f", "up", "in", "%00", ".git", "\\", "secret.txt"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.lists(SEGMENTS, min_size=1, max_size=6))
def test_no_path_ever_means_a_file_outside(root: Path, segments: list[str]) -> None:
    if not (root / "up").is_symlink():
        put(root / "a/b.txt")
        put(root / "b.txt")
        put(root / ".git/a")
        (root / "up").symlink_to("..")
        (root / "in").symlink_to("a")
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/" + "/".join(segments), NOW)
    if entry is not None and entry.plain is not None:
        assert entry.plain.path in {str(root / "a/b.txt"), str(root / "b.txt")}


# Fields


def test_the_fields_of_a_file(root: Path) -> None:
    put(root / "a.png", b"1234567")
    variant = plain(StaticFolder("/", str(root), Limits()), "/a.png")
    etag = f'"7-{OLD * 1_000_000_000:x}"'
    assert variant.fields == (
        ("Content-Type", "image/png"),
        ("Content-Length", "7"),
        ("Last-Modified", format_http_date(OLD)),
        ("ETag", etag),
        ("Accept-Ranges", "bytes"),
    )
    assert variant.unchanged == (("ETag", etag),)


def test_8_8_2_1_last_modified_never_lies_in_the_future(root: Path) -> None:
    put(root / "a.png", modified=NOW + 5)
    folder = StaticFolder("/", str(root), Limits())
    assert ("Last-Modified", format_http_date(NOW)) in plain(folder, "/a.png").fields
    assert ("Last-Modified", format_http_date(NOW + 1)) in plain(folder, "/a.png", NOW + 1).fields
    assert ("Last-Modified", format_http_date(NOW + 5)) in plain(folder, "/a.png", NOW + 9).fields


def test_a_file_older_than_the_epoch_is_as_old_as_the_epoch(root: Path) -> None:
    put(root / "a.png", modified=-2_000_000_000)
    assert ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT") in plain(
        StaticFolder("/", str(root), Limits()), "/a.png"
    ).fields


def test_the_entity_tag_changes_with_size_and_time(root: Path) -> None:
    folder = StaticFolder("/", str(root), Limits())
    tags = set()
    for second, (content, modified) in enumerate([(b"1", OLD), (b"12", OLD), (b"12", OLD + 1e-3), (b"12", OLD + 1)]):
        put(root / "a.txt", content, modified)
        tags.add(plain(folder, "/a.txt", NOW + second).etag)
    assert len(tags) == 4


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        ("/index.html", 300),
        ("/js/app.js", 0),
        ("/js", 0),
        ("/jsx.txt", 300),
        ("/images/a.png", 3600),
        ("/images/big/a.png", 60),
        ("/favicon.ico", 86400),
    ],
)
def test_the_longest_prefix_that_ends_at_a_slash_sets_the_age(root: Path, path: str, seconds: int) -> None:
    if path == "/js":
        put(root / "js", b"")
    else:
        put(root / path[1:])
    ages = (("/", 300), ("/js", 0), ("/images/big/", 60), ("/images", 3600), ("/favicon.ico", 86400))
    fields = dict(plain(StaticFolder("/", str(root), Limits(), ages), path).fields)
    assert fields.get("Cache-Control") == (f"max-age={seconds}" if seconds else None)
    assert fields.get("Expires") == (format_http_date(NOW + seconds) if seconds else None)


def test_the_age_goes_by_the_whole_request_path(root: Path) -> None:
    put(root / "images/a.png")
    folder = StaticFolder("/static/", str(root), Limits(), (("/images", 3600), ("/static/images", 60)))
    assert ("Cache-Control", "max-age=60") in plain(folder, "/static/images/a.png").fields


def test_expires_goes_with_the_time_and_nothing_else_does(root: Path) -> None:
    put(root / "aged/a.png")
    put(root / "b.png")
    folder = StaticFolder("/", str(root), Limits(), (("/aged", 60),))
    aged, other = plain(folder, "/aged/a.png").fields, plain(folder, "/b.png").fields
    assert plain(folder, "/aged/a.png").fields is aged
    assert ("Expires", format_http_date(NOW + 61)) in plain(folder, "/aged/a.png", NOW + 1).fields
    assert plain(folder, "/b.png", NOW + 1).fields is other


# Codings


def test_precompressed_siblings_are_offered_the_smaller_first(root: Path) -> None:
    put(root / "a.js", b"x" * 5000)
    put(root / "a.js.gz", b"gzip")
    put(root / "a.js.br", b"br")
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/a.js", NOW)
    assert entry is not None
    assert entry.offered == ("br", "gzip")
    zipped = folder.coded(entry, "gzip")
    assert zipped is not None
    assert folder.content(entry, zipped) == b"gzip"
    assert ("Content-Encoding", "gzip") in zipped.fields
    assert ("Content-Type", "text/javascript") in zipped.fields
    assert ("Vary", "Accept-Encoding") in zipped.fields
    assert ("Vary", "Accept-Encoding") in zipped.unchanged
    assert ("Vary", "Accept-Encoding") in entry.plain.fields  # type: ignore[union-attr]
    assert len({variant.etag for variant in entry.every()}) == 3


def test_a_sibling_older_than_the_file_is_out_of_date(root: Path) -> None:
    put(root / "a.png", b"x" * 5000)
    put(root / "a.png.gz", b"gzip", OLD - 1)
    assert StaticFolder("/", str(root), Limits()).find("/a.png", NOW).offered == ()  # type: ignore[union-attr]


def test_siblings_are_not_offered_when_the_option_says_so(root: Path) -> None:
    put(root / "a.png")
    put(root / "a.png.gz")
    folder = StaticFolder("/", str(root), Limits(precompressed=False))
    assert folder.find("/a.png", NOW).offered == ()  # type: ignore[union-attr]


def test_a_sibling_that_comes_later_is_found(root: Path) -> None:
    put(root / "a.png")
    folder = StaticFolder("/", str(root), Limits())
    assert folder.find("/a.png", NOW).offered == ()  # type: ignore[union-attr]
    put(root / "a.png.br")
    assert folder.find("/a.png", NOW + 1).offered == ("br",)  # type: ignore[union-attr]


def test_text_in_memory_is_compressed_once(root: Path) -> None:
    put(root / "a.txt", TEXT)
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/a.txt", NOW)
    assert entry is not None
    zipped, small = folder.coded(entry, "gzip"), folder.coded(entry, "br")
    assert zipped is not None
    assert small is not None
    assert gzip.decompress(folder.content(entry, zipped) or b"") == TEXT
    assert brotli.decompress(folder.content(entry, small) or b"") == TEXT
    assert folder.coded(entry, "gzip") is zipped
    assert folder.coded(folder.find("/a.txt", NOW + 1), "gzip") is zipped  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "limits"),
    [
        ("a.png", b"x" * 5000, Limits()),
        ("a.txt", b"x" * 100, Limits()),
        ("a.txt", b"x" * 70_000, Limits()),
        ("a.txt", b"x" * 5000, Limits(cache_bytes=0)),
        ("a.txt", b"x" * 5000, Limits(responses=Responses(compress=False))),
    ],
)
def test_other_files_are_not_compressed(root: Path, name: str, content: bytes, limits: Limits) -> None:
    put(root / name, content)
    entry = StaticFolder("/", str(root), limits).find("/" + name, NOW)
    assert entry is not None
    assert entry.offered == ()


def test_text_that_does_not_get_smaller_is_sent_as_it_is(root: Path) -> None:
    put(root / "a.txt", os.urandom(5000))
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/a.txt", NOW)
    assert entry is not None
    assert folder.coded(entry, "gzip") is None
    assert folder.coded(entry, "br") is None


class Later:
    """The background of a worker, one step at a time."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[..., None], tuple[object, ...]]] = []

    def run_in_thread(self, job: Callable[..., None], *args: object) -> None:
        self.jobs.append((job, args))

    on_loop = run_in_thread

    def run(self) -> None:
        while self.jobs:
            job, args = self.jobs.pop()
            job(*args)


def test_large_text_is_compressed_in_the_background_for_those_who_come_later(root: Path) -> None:
    put(root / "a.txt", TEXT * 20)
    later = Later()
    folder = StaticFolder("/", str(root), Limits(), background=later)
    entry = folder.find("/a.txt", NOW)
    assert entry is not None
    assert entry.offered == ("br", "gzip")
    assert folder.coded(entry, "gzip") is None
    assert folder.coded(entry, "gzip") is None
    assert len(later.jobs) == 1
    later.run()
    variant = folder.coded(entry, "gzip")
    assert variant is not None
    assert gzip.decompress(folder.content(entry, variant) or b"") == TEXT * 20


def test_text_too_large_for_memory_is_kept_when_it_is_compressed(root: Path) -> None:
    put(root / "a.txt", TEXT)
    folder = StaticFolder("/", str(root), Limits(file_bytes=4000))
    entry = folder.find("/a.txt", NOW)
    assert entry is not None
    variant = folder.coded(entry, "gzip")
    assert variant is not None
    assert gzip.decompress(folder.content(entry, variant) or b"") == TEXT
    assert folder.content(entry, entry.plain) is None  # type: ignore[arg-type]


def test_what_changes_while_it_is_compressed_is_not_kept(root: Path) -> None:
    path = put(root / "a.txt", TEXT * 20)
    later = Later()
    folder = StaticFolder("/", str(root), Limits(), background=later)
    first = folder.find("/a.txt", NOW)
    assert first is not None
    folder.coded(first, "gzip")
    put(path, TEXT * 30)
    later.run()
    assert folder.coded(first, "gzip") is None
    second = folder.find("/a.txt", NOW + 1)
    assert second is not None
    folder.coded(second, "gzip")
    path.unlink()
    later.run()
    assert folder.coded(second, "gzip") is None
    assert "1 entries 2048 bytes" in repr(folder)


def test_very_large_text_is_not_compressed_in_memory(root: Path) -> None:
    put(root / "a.txt", TEXT * 1200)
    folder = StaticFolder("/", str(root), Limits(), background=Later())
    assert folder.find("/a.txt", NOW).offered == ()  # type: ignore[union-attr]


# Memory


def test_the_disk_is_asked_once_a_second(root: Path) -> None:
    path = put(root / "a.txt", b"one")
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/a.txt", NOW)
    assert read(folder, "/a.txt") == b"one"
    path.unlink()
    assert folder.find("/a.txt", NOW) is entry
    assert folder.find("/a.txt", NOW + 1) is None
    put(path, b"two")
    assert folder.find("/a.txt", NOW + 1) is None
    assert read(folder, "/a.txt", NOW + 2) == b"two"


def test_an_unchanged_file_is_not_read_again(root: Path) -> None:
    put(root / "a.txt", b"one")
    folder = StaticFolder("/", str(root), Limits())
    content = read(folder, "/a.txt")
    assert read(folder, "/a.txt", NOW + 1) is content
    put(root / "a.txt", b"two", OLD + 1)
    assert read(folder, "/a.txt", NOW + 2) == b"two"


def test_a_file_changed_just_now_is_read_again_although_its_time_is_the_same(root: Path) -> None:
    path = put(root / "a.txt", b"one", NOW)
    folder = StaticFolder("/", str(root), Limits())
    assert read(folder, "/a.txt") == b"one"
    info = path.stat()
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert read(folder, "/a.txt", NOW + 1) == b"two"


def test_large_files_are_left_on_disk(root: Path) -> None:
    put(root / "a.bin", b"x" * 11)
    assert read(StaticFolder("/", str(root), Limits(file_bytes=10)), "/a.bin") is None
    assert read(StaticFolder("/", str(root), Limits(file_bytes=11)), "/a.bin") == b"x" * 11


def test_the_memory_is_bounded_and_the_least_recently_renewed_goes_first(root: Path) -> None:
    for number in range(4):
        put(root / f"{number}.bin", bytes([number]) * 1000)
    folder = StaticFolder("/", str(root), Limits(cache_bytes=3 * (ENTRY_BYTES + 1000)))
    contents = [read(folder, f"/{number}.bin", NOW) for number in range(3)]
    assert read(folder, "/0.bin", NOW + 1) is contents[0]
    assert read(folder, "/3.bin", NOW + 1) == b"\3" * 1000
    assert read(folder, "/0.bin", NOW + 2) is contents[0]
    assert read(folder, "/2.bin", NOW + 2) is contents[2]
    again = read(folder, "/1.bin", NOW + 2)
    assert again == contents[1]
    assert again is not contents[1]
    assert "3 entries 9144 bytes" in repr(folder)


def test_without_memory_every_file_is_read_when_it_is_wanted(root: Path) -> None:
    put(root / "a.txt", b"one")
    folder = StaticFolder("/", str(root), Limits(cache_bytes=0))
    assert read(folder, "/a.txt") == b"one"
    put(root / "a.txt", b"two")
    assert read(folder, "/a.txt") == b"two"
    assert "0 entries 0 bytes" in repr(folder)


def test_a_file_that_changed_since_it_was_found_is_not_taken_for_it(root: Path) -> None:
    put(root / "a.txt", b"one")
    folder = StaticFolder("/", str(root), Limits())
    entry = folder.find("/a.txt", NOW)
    assert entry is not None
    assert entry.plain is not None
    put(root / "a.txt", b"longer")
    assert folder.content(entry, entry.plain) is None


def test_many_paths_that_mean_nothing_do_not_fill_the_memory(root: Path) -> None:
    folder = StaticFolder("/", str(root), Limits())
    for number in range(3000):
        assert folder.find(f"/{number}", NOW) is None
    assert len(folder._misses) <= 1024
