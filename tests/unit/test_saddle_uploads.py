"""Uploaded files: their names, where they are, and that nothing is left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.saddle import uploads
from skitai.saddle.uploads import Spool, UploadedFile, clean_name, fitting

BIG = b"0123456789abcdef" * 70_000  # 1.1 MB


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = Spool(1 << 20)
    yield spool
    spool.discard()
    assert ours() == []


def ours() -> list[str]:
    """Temporary files of this process."""
    return [name for name in os.listdir(uploads.temporary_folder()) if name.startswith(f"upload-{os.getpid()}-")]


def received(spool: Spool, content: bytes, name: str = "photo.jpg", media_type: str = "") -> UploadedFile:
    file = spool.store(name, media_type)
    for at in range(0, len(content), 65536):
        file.write(content[at : at + 65536])
    file.end()
    return file


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("my  summer\tphoto.jpg", "my_summer_photo.jpg"),
        ("...hidden", "hidden"),
        (".htaccess", "htaccess"),
        ("", "noname"),
        ("..", "noname"),
        ("/", "noname"),
        ("dir/", "noname"),
        ("a\0b\x01\x7f.txt", "ab.txt"),
        ("a\r\nb.txt", "a_b.txt"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("a;b|c>d<e&f?g:h'i\"j.txt", "a_b_c_d_e_f_g_h_i_j.txt"),
        ("żółć 한글.txt", "żółć_한글.txt"),
        ("\x01.bashrc", "bashrc"),
        ("\ud800.txt", "txt"),
    ],
)
def test_the_clients_name_is_a_label(given: str, clean: str) -> None:
    assert clean_name(given) == clean


@given(st.text())
def test_any_name_becomes_one_that_is_harmless_anywhere(given: str) -> None:
    name = clean_name(given)
    assert name and not name.startswith(".") and len(name.encode()) <= 255
    assert os.path.basename(name) == name and name.isprintable()
    assert clean_name(name) == name


def test_long_names_keep_their_extension() -> None:
    assert clean_name("ü" * 300 + ".jpeg") == "ü" * 125 + ".jpeg"
    assert len(clean_name("x" * 300 + "." + "y" * 300)) == 255
    assert fitting("a.tar.gz", ".1") == "a.tar.1.gz"
    assert fitting("noext", ".1") == "noext.1"


def test_a_small_file_is_in_memory(spool: Spool) -> None:
    file = received(spool, b"content", "a.png")
    assert (file.name, file.size, file.mimetype, file.in_memory) == ("a.png", 7, "image/png", True)
    assert file.read() == file.read() == b"content"
    assert ours() == []
    assert received(spool, b"", "b.txt", "text/x-special").mimetype == "text/x-special"
    assert received(spool, b"", "b.txt").mimetype == "text/plain"


def test_a_large_file_is_on_disk_under_a_name_of_ours(spool: Spool) -> None:
    file = received(spool, BIG, "evil.sh")
    assert file.path is not None and file.path == file.file
    assert "evil" not in file.path and file.read() == Path(file.path).read_bytes() == BIG
    assert os.stat(os.path.dirname(file.path)).st_mode & 0o077 == 0


def test_many_small_files_do_not_fill_the_memory(spool: Spool) -> None:
    files = [received(spool, b"x" * 300_000) for _ in range(5)]
    assert [file.in_memory for file in files] == [True, True, True, False, False]
    assert all(file.read() == b"x" * 300_000 for file in files)


def test_whoever_asks_for_the_path_of_a_small_file_gets_a_file(spool: Spool) -> None:
    file = received(spool, b"content", "a.png")
    path = file.path
    assert path is not None and os.path.isabs(path) and path == file.path == file.file
    assert Path(path).read_bytes() == file.read() == b"content" and not file.in_memory
    spool.discard()
    assert not os.path.exists(path) and file.path is None


def test_nothing_is_left(spool: Spool) -> None:
    large, small, flushed = received(spool, BIG), received(spool, b"x"), received(spool, b"y")
    assert Path(flushed.flush()).read_bytes() == b"y" and flushed.flush() == flushed.path
    half = spool.store("half.bin", "")
    half.write(BIG)  # whose end does not come
    assert len(ours()) == 3
    spool.discard()
    assert ours() == []
    for file in (large, small, flushed, half):
        with pytest.raises(ValueError, match="request is over"):
            file.read()


@pytest.mark.parametrize("content", [b"small", BIG])
def test_saving(spool: Spool, tmp_path: Path, content: bytes) -> None:
    first, second, third = (received(spool, content, "a.txt") for _ in range(3))
    assert first.save(tmp_path) == first.path == str(tmp_path / "a.txt")
    assert second.save(str(tmp_path)) == str(tmp_path / "a.1.txt")
    assert third.save(tmp_path, dup="u") == str(tmp_path / "a.2.txt")
    spool.discard()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.1.txt", "a.2.txt", "a.txt"]
    assert all(each.read_bytes() == content for each in tmp_path.iterdir())
    assert first.read() == content


def test_saving_under_other_names(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("old")
    file = received(spool, b"new", "a.txt")
    file.save(tmp_path, name="b.txt", dup="o")
    assert (tmp_path / "b.txt").read_text() == "new"
    file.save(tmp_path / "deep" / "er", mkdir=True)
    assert not (tmp_path / "b.txt").exists()
    assert (tmp_path / "deep" / "er" / "a.txt").read_text() == "new"


def test_saved_files_have_the_usual_mode(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    for content in (b"x", BIG):
        path = received(spool, content).save(tmp_path)
        assert os.stat(path).st_mode == os.stat(tmp_path / "usual").st_mode


def test_overwriting_replaces_a_link_and_not_what_it_leads_to(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "a.txt").symlink_to(tmp_path / "target")
    received(spool, b"new", "a.txt").save(tmp_path, dup="o")
    assert (tmp_path / "target").read_text() == "precious" and not (tmp_path / "a.txt").is_symlink()


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "/etc/passwd", "a\0b"])
def test_a_name_to_save_under_is_no_path(spool: Spool, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="file's name"):
        received(spool, b"x").save(tmp_path, name=name)


def test_errors_of_saving(spool: Spool, tmp_path: Path) -> None:
    file = received(spool, b"x", "a.txt")
    with pytest.raises(ValueError, match="dup='x'"):
        file.save(tmp_path, dup="x")
    with pytest.raises(FileNotFoundError):
        file.save(tmp_path / "missing")
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError):
        file.save(tmp_path, dup="o")
    assert file.read() == b"x"
    assert file.save(tmp_path) == str(tmp_path / "a.1.txt")


def test_another_file_system(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or os.stat(shm).st_dev == os.stat(uploads.temporary_folder()).st_dev:
        pytest.skip("there is no second file system")
    folder = shm / f"skitai-test-{os.getpid()}"
    folder.mkdir()
    try:
        received(spool, BIG, "a.bin").save(folder)
        received(spool, BIG + b"2", "a.bin").save(folder, dup="o")
        assert [each.name for each in folder.iterdir()] == ["a.bin"]
        assert (folder / "a.bin").read_bytes() == BIG + b"2"
    finally:
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


def test_moving_and_removing(spool: Spool, tmp_path: Path) -> None:
    file = received(spool, b"x", "a.txt")
    assert file.move(tmp_path) == str(tmp_path / "a.txt")
    assert file.move(tmp_path / "b.txt") == str(tmp_path / "b.txt") == file.path
    file.remove()
    assert list(tmp_path.iterdir()) == [] and file.path is None
    with pytest.raises(ValueError, match="removed"):
        file.save(tmp_path)
    large = received(spool, BIG)
    large.remove()
    large.remove()
    assert ours() == []


def test_the_folder_is_made_again(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(uploads, "_folder", uploads._Folder())
    os.rmdir(uploads.temporary_folder())
    file = received(spool, BIG)
    assert file.read() == BIG and file.path is not None and file.path.startswith(str(tmp_path))
    spool.discard()


def test_what_a_killed_worker_left_is_removed() -> None:
    folder = Path(uploads.temporary_folder())
    dead, alive, other = folder / "upload-4194303-dead", folder / f"upload-{os.getppid()}-alive", folder / "else"
    for file in (dead, alive, other):
        file.write_text("")
    uploads._sweep(str(folder))
    left = [file.exists() for file in (dead, alive, other)]
    alive.unlink()
    other.unlink()
    assert left == [False, True, True]
