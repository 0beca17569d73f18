"""What the command may be told to serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from skitai.cli.app import default, identity
from skitai.cli.probe import explained
from skitai.errors import StartError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.py").touch()
    (tmp_path / "public").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("site.py", "site.py"),
        ("site", "site.py"),
        ("./public/../site.py", "site.py"),
        ("public", "public"),
        ("public/", "public"),
        ("package.module:app", "package.module:app"),
        ("site.py:app", "site.py:app"),
    ],
)
def test_an_app_has_an_absolute_path_for_its_identity(here: Path, app: str, expected: str) -> None:
    assert identity(app) == str(here / expected)


@pytest.mark.parametrize("app", ["gone.py", "gone", "a:b:", ":app", "module:1"])
def test_an_app_that_is_not_there_is_one_clear_line(app: str) -> None:
    with pytest.raises(StartError) as caught:
        identity(app)
    assert str(caught.value) == f"there is no {app}: name a script, a folder, or module:variable"


def test_a_server_whose_script_is_gone_has_an_identity_still(here: Path) -> None:
    assert identity("gone.py", must_exist=False) == str(here / "gone.py")


def test_a_folder_and_a_script_of_one_name_are_told_apart(here: Path) -> None:
    (here / "site").mkdir()
    with pytest.raises(StartError, match=r"^site is a folder and site\.py a file: write site/ or site\.py$"):
        identity("site")
    assert identity("site/") == str(here / "site")
    assert identity("site.py") == str(here / "site.py")


def test_without_a_name_it_is_service_then_app(here: Path) -> None:
    with pytest.raises(StartError, match=r"^name an app: there is no service\.py and no app\.py in "):
        default()
    (here / "app.py").touch()
    assert default() == str(here / "app.py")
    (here / "service.py").touch()
    assert default() == str(here / "service.py")


def test_an_error_is_explained_in_one_line_with_its_place(here: Path) -> None:
    try:
        compile("def f(:\n  pass", "broken.py", "exec")
    except SyntaxError as error:
        assert explained(error) == "SyntaxError: invalid syntax (broken.py:1)"
    try:
        raise LookupError("two\nlines")
    except LookupError as error:
        assert explained(error).startswith("LookupError: two lines (")
