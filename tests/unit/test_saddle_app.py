"""The app object: its attributes, its limits and its files."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from skitai.config.sections.running import Log
from skitai.errors import LoadError, NotFound
from skitai.loading.recognise import kind_of
from skitai.log import journal
from skitai.saddle import Saddle

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


def test_an_app_begins_with_documented_values(app: Saddle) -> None:
    assert (app.debug, app.use_reloader, app.securekey, app.session_timeout) == (False, False, None, None)
    assert (app.authenticate, app.authorization, app.realm, app.users) == (False, "digest", None, {})
    assert (app.access_control_allow_origin, app.access_control_max_age) == (None, 0)
    assert app.config == {
        "max_post_body_size": 5 * 1024 * 1024,
        "max_cache_size": 5 * 1024 * 1024,
        "max_multipart_body_size": 20 * 1024 * 1024,
        "max_upload_file_size": 20_000_000,
    }
    assert app.home == HERE


def test_its_config_takes_settings_as_items_and_as_attributes(app: Saddle) -> None:
    app.config["one"] = 1
    app.config.two = 2
    assert (app.config.one, app.config["two"]) == (1, 2)
    assert Saddle(__name__).config.get("one") is None


def test_one_limit_for_all_bodies(app: Saddle) -> None:
    assert app.max_client_body_size == 20 * 1024 * 1024
    app.max_client_body_size = "2M"
    assert app.max_client_body_size == 2 << 20
    names = ("max_post_body_size", "max_multipart_body_size", "max_upload_file_size")
    assert {app.config[name] for name in names} == {2 << 20}
    with pytest.raises(ValueError, match="'big' is not a size"):
        app.max_client_body_size = "big"


def test_resources_lie_beside_the_apps_file(app: Saddle) -> None:
    assert app.get_resource("db", "sqlite3.db") == os.path.join(HERE, "resources", "db", "sqlite3.db")
    assert app.joinpath("templates", "a.html") == os.path.join(HERE, "templates", "a.html")
    for out in ("../secret", "/etc/passwd"):
        with pytest.raises(ValueError, match="leads out of"):
            app.get_resource(out)
    with pytest.raises(NotFound):
        app.get_resource("../secret")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(("start_up", "before_mount"), ("startup", "before_mount"), ("onreload", "before_reload")),
        *(("reload", "before_reload"), ("umount", "before_umount"), ("shutdown", "umounted")),
    ],
)
def test_older_names_of_hooks_name_the_same_hook(app: Saddle, old: str, new: str) -> None:
    def hook(was: Any) -> None: ...

    assert getattr(app, old)(hook) is hook
    assert app._life[new].function is hook


def test_an_app_belongs_to_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"write Saddle\(__name__\)"):
        Saddle("no.such.module")
    module = types.ModuleType("a_site")
    module.__file__ = str(tmp_path / "a_site.py")
    monkeypatch.setitem(sys.modules, "a_site", module)
    assert Saddle("a_site").home == str(tmp_path)


def test_it_says_what_kind_of_app_it_is(app: Saddle) -> None:
    assert kind_of(app) == "saddle"
    with pytest.raises(LoadError):
        kind_of(Saddle)  # the class is none


def test_it_writes_to_the_log_outside_of_requests(app: Saddle, tmp_path: Path) -> None:
    journal.setup(Log(), str(tmp_path), console=False)
    try:
        app.log("made ready", "warn")
        with pytest.raises(RuntimeError, match="nothing to show"):
            app.trace()
        try:
            raise LookupError("nothing")
        except LookupError:
            app.trace("my-id")
        text = (tmp_path / "app.log").read_text()
    finally:
        journal.setup(Log(), None, console=False)
    assert "[warn] made ready" in text
    assert "[expt:my-id] <class 'LookupError'> nothing" in text


def test_both_switches_are_set_for_development(app: Saddle) -> None:
    app.set_devel()
    assert (app.debug, app.use_reloader) == (True, True)
    app.set_devel(use_reloader=False)
    assert (app.debug, app.use_reloader) == (True, False)
