"""The public functions: what each writes into the draft, and what it refuses at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import skitai
from skitai.config import draft as drafts
from skitai.config.check import World, build
from skitai.config.disk import look
from skitai.config.draft import Draft
from skitai.config.mounted import AppFile, AppObject, Folder, Upstream
from skitai.config.tree import Config
from skitai.errors import ConfigError
from skitai.net.address import parse


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Draft]:
    """The draft of a script in a folder of its own, with a static folder in it."""
    (tmp_path / "static").mkdir()
    fresh = Draft(str(tmp_path / "service.py"))
    monkeypatch.setattr(drafts, "_drafts", [fresh])
    path, modules = list(sys.path), set(sys.modules)
    yield fresh
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def built(draft: Draft) -> Config:
    if not draft.mounts:
        skitai.mount("/", "static")
    return build(draft, {}, {}, None, World(look, parse))


def write(folder: Path, name: str, code: str = "app = print\n") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))
    return str(path)


def hello(environ: Any, start_response: Any) -> list[bytes]:
    return []


# mount ----------------------------------------------------------------------------------------------------------------


def test_a_folder_is_found_from_the_script_not_from_the_working_directory(
    draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    skitai.mount("/", "./static")
    assert built(draft).mounts[0].target == Folder(str(tmp_path / "static"))


@pytest.mark.parametrize("target", ["shop/app", "shop/app.py"])
def test_a_file_is_found_with_and_without_its_suffix(draft: Draft, tmp_path: Path, target: str) -> None:
    path = write(tmp_path, "shop/app.py")
    skitai.mount("/shop", target, "application", host="shop.example.com")
    (mount,) = built(draft).mounts
    assert (mount.point, mount.target, mount.app_name, mount.host) == (
        "/shop/",
        AppFile(path),
        "application",
        "shop.example.com",
    )


def test_a_path_object_is_a_path(draft: Draft, tmp_path: Path) -> None:
    skitai.mount("/", tmp_path / "static")
    assert built(draft).mounts[0].target == Folder(str(tmp_path / "static"))


def test_an_alias_is_no_path(draft: Draft) -> None:
    skitai.alias("@pets", skitai.PROTO_HTTP, "127.0.0.1:9")
    skitai.mount("/pets", "@pets")
    assert built(draft).mounts[0].target == Upstream("pets")


def test_an_app_is_found_under_its_variable_in_the_script(draft: Draft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "site", hello, raising=False)
    skitai.mount("/", hello)
    assert draft.mounts[0].target == AppObject(draft.script, "site", hello)


def test_the_given_variable_is_preferred_when_it_holds_the_app(draft: Draft, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        monkeypatch.setattr(sys.modules["__main__"], name, hello, raising=False)
    skitai.mount("/", hello, "two")
    assert draft.mounts[0].target == AppObject(draft.script, "two", hello)


def test_an_app_that_no_variable_holds_has_none(draft: Draft) -> None:
    skitai.mount("/", hello)
    assert draft.mounts[0].target == AppObject(draft.script, "", hello)


def test_a_package_offers_apps_in_its_export_folder(draft: Draft, tmp_path: Path) -> None:
    write(tmp_path, "unsub/__init__.py", "")
    default = write(tmp_path, "unsub/export/skitai/__export__.py")
    other = write(tmp_path, "unsub/export/skitai/app_v1.py")
    unsub = ModuleType("unsub")
    unsub.__file__, unsub.__path__ = str(tmp_path / "unsub/__init__.py"), [str(tmp_path / "unsub")]
    skitai.mount("/", unsub)
    skitai.mount("/v1", (unsub, "app_v1.py"))
    skitai.mount("/v1b", (unsub, "app_v1"))
    assert [each.target for each in built(draft).mounts] == [
        AppFile(default, "unsub.export.skitai"),
        AppFile(other, "unsub.export.skitai"),
        AppFile(other, "unsub.export.skitai"),
    ]


def test_a_module_without_an_export_is_a_fault(draft: Draft) -> None:
    skitai.mount("/", textwrap)
    with pytest.raises(ConfigError, match=r"test_api\.py:\d+: mount '/': there is no file .*/export/skitai/__export__\.py"):
        built(draft)


def test_bootstrap_beside_an_app_gets_the_preference_when_it_is_mounted(draft: Draft, tmp_path: Path) -> None:
    write(tmp_path, "shop/app.py")
    write(tmp_path, "shop/prices.py", "LIST = [1, 2]")
    write(
        tmp_path,
        "shop/__init__.py",
        """\
        import skitai
        from . import prices

        def bootstrap(pref):
            pref.config.prices = [price * pref.config.factor for price in prices.LIST]
            skitai.mount("/shop/static", "static")
        """,
    )
    pref = skitai.pref()
    pref.config.factor = 3
    skitai.mount("/shop", "shop/app", "app", pref)
    assert pref.config.prices == [3, 6]
    shop, static = built(draft).mounts
    assert shop.pref.config.prices == [3, 6]
    assert static.target == Folder(str(tmp_path / "static"))
    assert draft.mounts[1].source == "shop/__init__.py:6"


def test_a_bootstrap_may_bring_jobs_of_its_app(draft: Draft, tmp_path: Path) -> None:
    write(tmp_path, "shop/app.py")
    write(tmp_path, "shop/sweep.py")
    write(
        tmp_path,
        "shop/__init__.py",
        """\
        import skitai
        from . import sweep

        def bootstrap(pref):
            if pref.config.get("sweeps"):
                skitai.cron("*/10 * * * *", sweep.__file__)
        """,
    )
    pref = skitai.pref()
    pref.config.sweeps = True
    skitai.mount("/shop", "shop/app", "app", pref)
    [job] = built(draft).cron.jobs
    assert (job.command, job.source) == (str(tmp_path / "shop" / "sweep.py"), "shop/__init__.py:6")


def test_a_bootstrap_that_fails_is_the_scripts_own_error(draft: Draft, tmp_path: Path) -> None:
    write(tmp_path, "bad/app.py")
    write(tmp_path, "bad/__init__.py", "def bootstrap(pref): raise LookupError('no list')")
    with pytest.raises(LookupError, match="no list"):
        skitai.mount("/", "bad/app.py")


def test_an_init_without_bootstrap_is_imported_only(draft: Draft, tmp_path: Path) -> None:
    write(tmp_path, "plain/app.py")
    write(tmp_path, "plain/__init__.py", "")
    skitai.mount("/", "plain/app.py")
    assert built(draft).mounts[0].target == AppFile(str(tmp_path / "plain/app.py"), "plain")


def test_a_package_that_is_the_app_itself_is_not_imported_yet(draft: Draft, tmp_path: Path) -> None:
    path = write(tmp_path, "whole/__init__.py", "raise LookupError('too early')")
    skitai.mount("/", "whole/__init__.py")
    assert built(draft).mounts[0].target == AppFile(path, "whole")


def test_path_goes_to_the_front_before_bootstrap_needs_it(draft: Draft, tmp_path: Path) -> None:
    write(tmp_path, "lib/helper_of_shop.py", "FACTOR = 2")
    write(tmp_path, "shop2/app.py")
    write(tmp_path, "shop2/__init__.py", "import helper_of_shop\ndef bootstrap(pref): pref.factor = helper_of_shop.FACTOR")
    pref = skitai.pref()
    skitai.mount("/", "shop2/app", "app", pref, path="lib")
    assert pref.factor == 2
    assert built(draft).mounts[0].path == (str(tmp_path / "lib"),)
    assert sys.path[0] == str(tmp_path / "lib") or str(tmp_path / "lib") in sys.path[:2]


def test_what_a_preference_is_told_after_the_mount_counts(draft: Draft) -> None:
    pref = skitai.pref()
    skitai.mount("/", hello, pref=pref)
    pref.debug = True
    assert built(draft).mounts[0].pref.debug is True


def test_each_mount_without_preference_has_its_own(draft: Draft) -> None:
    skitai.mount("/", hello)
    skitai.mount("/v2", hello)
    assert draft.mounts[0].pref is not draft.mounts[1].pref


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, "static"), "mount() point is 5: it should be text"),
        (("/", 5), "mount() target is 5: it should be a folder, a file, an app, a module, (module, 'file.py'), or '@alias'"),
        (("/", ""), "mount() target is '': a path must be text and not empty"),
        (("/", None), "mount() target is None: it should be"),
        (("/", (sys, 5)), "it should be a folder, a file, an app, a module, (module, 'file.py'), or '@alias'"),
        (("/", sys), "mount() target: the module sys has no file, so it cannot offer an app"),
        (("/", "static", 5), "mount() app_name is 5: it should be text"),
        (("/", "static", "app", {}), "mount() pref is {}: it should be what skitai.pref() returns"),
        (("/", "static", "app", None, 5), "mount() host is 5: it should be text"),
        (("/", "static", "app", None, "a", 5), "mount() path is 5: it should be a path or a list of them"),
        (("/", "static", "app", None, "a", [5]), "mount() path is 5: it should be a path or a list of them"),
    ],
)
def test_mount_refuses_wrong_types_at_once(draft: Draft, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        skitai.mount(*arguments)
    assert message in str(caught.value)
    assert not draft.mounts


# Setters --------------------------------------------------------------------------------------------------------------


def test_timeouts(draft: Draft) -> None:
    skitai.set_keep_alive(300)
    skitai.set_request_timeout(5)
    timeouts = built(draft).timeouts
    assert (timeouts.keep_alive, timeouts.request_timeout, timeouts.head_s) == (300, 5, 5)
    skitai.set_network_timeout(20)
    assert built(draft).timeouts.request_timeout == 20


def test_critical_point(draft: Draft) -> None:
    assert built(draft).supervision.critical_cpu_percent == 0
    skitai.set_worker_critical_point()
    supervision = built(draft).supervision
    assert (supervision.critical_cpu_percent, supervision.critical_continuous, supervision.critical_interval_s) == (
        90,
        3,
        20,
    )
    skitai.set_worker_critical_point(cpu_percent=50.5, continuous=2, interval=5)
    supervision = built(draft).supervision
    assert (supervision.critical_cpu_percent, supervision.critical_continuous, supervision.critical_interval_s) == (
        50.5,
        2,
        5,
    )
    skitai.set_worker_critical_point(interval=0)
    assert built(draft).supervision.critical_cpu_percent == 0


def test_max_ages(draft: Draft) -> None:
    skitai.set_max_age("/", 300)
    skitai.set_max_age("/js", 0)
    assert built(draft).max_ages == (("/", 300), ("/js/", 0))


def test_log_off_and_its_several_arguments(draft: Draft) -> None:
    skitai.log_off("/static/")
    skitai.log_off("*.css", ["/js/"])
    assert built(draft).log_off == ("/static/", "*.css", "/js/")


def test_file_logging(draft: Draft, tmp_path: Path) -> None:
    assert not built(draft).log.file_logging
    skitai.enable_file_logging()
    log = built(draft).log
    assert (log.file_logging, log.logpath) == (True, "")
    skitai.enable_file_logging("logs")
    assert built(draft).log.logpath == str(tmp_path / "logs")


def test_a_mail_agent_has_only_what_it_was_given(draft: Draft) -> None:
    assert not built(draft).smtpda.enabled
    skitai.enable_smtpda()
    smtpda = built(draft).smtpda
    assert (smtpda.enabled, smtpda.server, smtpda.max_retry) == (True, "", 10)
    skitai.enable_smtpda("127.0.0.1:25", "ann", "sesame", ssl=False, max_retry=0, keep_days=0.5, bounce=True)
    smtpda = built(draft).smtpda
    assert (smtpda.server, smtpda.user, smtpda.password, smtpda.ssl) == ("127.0.0.1:25", "ann", "sesame", False)
    assert (smtpda.max_retry, smtpda.keep_days, smtpda.bounce) == (0, 0.5, True)
    assert "sesame" not in repr(built(draft))


def test_the_gateway_as_it_is_documented(draft: Draft) -> None:
    skitai.enable_gateway(True, b"a key of bytes")
    gateway = built(draft).gateway
    assert (gateway.gateway_auth, gateway.gateway_secret) == (True, "a key of bytes")
    assert gateway.gateway_realm == "Skitai API Gateway"
    assert "a key of bytes" not in repr(built(draft))
    skitai.enable_gateway(False, "a key", "The Club")
    gateway = built(draft).gateway
    assert (gateway.gateway_auth, gateway.gateway_secret, gateway.gateway_realm) == (False, "a key", "The Club")
    with pytest.raises(ValueError, match="text in UTF-8"):
        skitai.enable_gateway(True, b"\xff")
    with pytest.raises(TypeError, match="secure_key should be text or bytes$"):
        skitai.enable_gateway(True, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="True or False"):
        skitai.enable_gateway("yes")  # type: ignore[arg-type]


def test_jobs_come_in_order_with_defaults_and_options_of_their_own(draft: Draft) -> None:
    def tidy() -> None: ...

    skitai.cron("*/2  */2 * * *", "bin/monitor  > /dev/null 2>&1")
    skitai.cron("@daily", tidy, timeout_s=60, overlap="wait", missed="last", time_zone="UTC", name="tidy up")
    draft.set("cron_jitter_s", 5, "service.py:1")
    first, second = built(draft).cron.jobs
    assert (first.schedule, first.command, first.name) == ("*/2 */2 * * *",) + 2 * ("bin/monitor  > /dev/null 2>&1",)
    assert (first.overlap, first.timeout_s, first.jitter_s, first.missed, first.time_zone) == ("skip", 0, 5, "none", "")
    assert (second.command, second.name) == (tidy, "tidy up")
    assert (second.overlap, second.timeout_s, second.jitter_s, second.missed, second.time_zone) == (
        "wait",
        60,
        5,
        "last",
        "UTC",
    )


@pytest.mark.parametrize("name", ["deflu", "addlu", "trackers", "lukeys"])
def test_last_updates_in_all_spellings(draft: Draft, name: str) -> None:
    getattr(skitai, name)("weather", ["news", "users"])
    assert built(draft).last_updates == ("weather", "news", "users")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: skitai.set_keep_alive("2"), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.set_keep_alive(True), TypeError),
        (lambda: skitai.set_request_timeout(-1), ValueError),
        (lambda: skitai.set_worker_critical_point("90"), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.set_worker_critical_point(90, 2.5), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.set_max_age(300, "/"), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.set_max_age("/", "300"), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.set_max_age("/", -1), ValueError),
        (lambda: skitai.log_off(5), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.log_off(""), ValueError),
        (lambda: skitai.deflu([1]), TypeError),  # type: ignore[list-item]
        (lambda: skitai.enable_file_logging(5), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.abspath(5), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.cron(5, "true"), TypeError),  # type: ignore[arg-type]
        (lambda: skitai.cron("* * * * *", 5), TypeError),  # type: ignore[arg-type]
    ],
)
def test_setters_refuse_wrong_values_at_once(draft: Draft, call: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="should be|means nothing"):
        call()
    assert not draft.options


def test_a_value_out_of_bounds_is_reported_with_its_line(draft: Draft) -> None:
    skitai.set_request_timeout(0.5)
    with pytest.raises(ConfigError, match=r"test_api\.py:\d+: request_timeout: 0\.5 is below 1$"):
        built(draft)


# The script and its surroundings --------------------------------------------------------------------------------------


def test_paths_of_the_script(draft: Draft, tmp_path: Path) -> None:
    assert skitai.getswd() == str(tmp_path)
    assert skitai.abspath("package", "monitor.py") == str(tmp_path / "package/monitor.py")
    assert skitai.joinpath("..") == str(tmp_path.parent)
    assert skitai.abspath("/var", "log") == "/var/log"
    assert skitai.get_proc_title() == f"skitai({tmp_path.name}/service)"


def test_production_is_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKITAI_ENV", "PRODUCTION")
    assert not skitai.is_devel()
    monkeypatch.setenv("SKITAI_ENV", "production")
    assert skitai.is_devel()
    monkeypatch.delenv("SKITAI_ENV")
    assert skitai.is_devel()


def test_a_preference_can_start_with_the_limits() -> None:
    assert skitai.pref().config == {}
    assert skitai.pref(preset=True).config == {
        "max_post_body_size": 5 << 20,
        "max_cache_size": 5 << 20,
        "max_multipart_body_size": 20 << 20,
        "max_upload_file_size": 20_000_000,
    }
    assert skitai.pref(True).overrides == {}


# run ------------------------------------------------------------------------------------------------------------------


def run(draft: Draft, monkeypatch: pytest.MonkeyPatch, *words: str, **options: Any) -> int:
    monkeypatch.setattr(sys, "argv", [draft.script, *words])
    with pytest.raises(SystemExit) as leaving:
        skitai.run(**options)
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


def test_run_takes_every_option_and_check_prints_where_each_came_from(
    draft: Draft, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SKITAI_BACKLOG", "100")
    given = {"address": "0.0.0.0", "port": 8080, "workers": 2, "threads": 8, "engine": "asyncio", "varpath": "var"}
    more = {"mount": {"/": "static"}, "log_off": ["*.css"], "max_ages": {"/": 300}, "network_timeout": 5}
    code = run(draft, monkeypatch, "check", "--workers", "3", "--max-post-body-size=64M", **given, **more)
    out = capsys.readouterr().out
    shown = [" ".join(line.split()) for line in out.splitlines()]
    source = next(line.rsplit(" ", 1)[1] for line in shown if line.startswith("port "))
    assert code == 0
    assert source.endswith(tuple("0123456789"))
    for line in (
        f"address 0.0.0.0 {source}",
        f"port 8080 {source}",
        "workers 3 --workers",
        f"threads 8 {source}",
        f"engine asyncio {source}",
        f"varpath {tmp_path}/var {source}",
        "backlog 100 SKITAI_BACKLOG",
        "max_post_body_size 67108864 bytes --max-post-body-size",
        f"request_timeout 5 s {source}",
        "unix_mode 0660",
        f"/ {tmp_path}/static/ {source}",
        "max_age / 300 s",
        "log_off *.css",
    ):
        assert line in shown


def test_check_shows_the_switches_of_a_preference_and_no_secrets(
    draft: Draft, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pref = skitai.pref()
    pref.debug = True
    pref.config.password = "hunter2"
    skitai.mount("/", hello, pref=pref)
    monkeypatch.setenv("SKITAI_ENV", "PRODUCTION")
    assert run(draft, monkeypatch, "check") == 0
    out = capsys.readouterr().out
    assert "debug no, use_reloader no" in out
    assert "hunter2" not in out


def test_check_prints_all_faults(
    draft: Draft, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = run(draft, monkeypatch, "check", "--threads=x", prot=1, workers=0)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert code == 1
    assert out == ""
    assert [line.split(": ", 1)[1] for line in lines] == [
        "prot: there is no such option; did you mean port?",
        "workers: 0 is below 1",
        "'x' is not a whole number",
        "nothing is mounted; call skitai.mount() before skitai.run()",
    ]


def test_a_configuration_file_is_read_only_when_named(
    draft: Draft, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    named = write(tmp_path, "site.toml", "[server]\nport = 7000\n")
    assert run(draft, monkeypatch, "check", "--config", named, mount={"/": "static"}) == 0
    assert f"{'port':<24} {'7000':<32} {named}" in capsys.readouterr().out


def test_a_configuration_file_with_a_password_is_its_owners_alone_to_read(
    draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "site.toml"
    file.write_text("[smtpda]\npassword = 'sesame'\n")
    file.chmod(0o644)
    skitai.mount("/", "static")
    assert run(draft, monkeypatch, "check", "--config", str(file)) == 1
    assert capsys.readouterr().err == f"{file}: holds a password, and others may read it: chmod 600 {file}\n"
    file.chmod(0o600)
    draft.closed = False
    assert run(draft, monkeypatch, "check", "--config", str(file)) == 0
    shown = capsys.readouterr().out
    assert "smtpda_password          (not shown)" in shown
    assert "sesame" not in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["strat"], 2, "unknown word 'strat'; did you mean start?\n"),
        (["--prot", "1"], 2, "unknown option '--prot'; did you mean --port?\n"),
        (["--config", "/no.toml"], 1, "--config /no.toml: No such file or directory\n"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    draft: Draft,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert run(draft, monkeypatch, *words, mount={"/": "static"}) == code
    assert capsys.readouterr() == ("", message)


def test_help_and_version(draft: Draft, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(draft, monkeypatch, "--help") == 0
    assert "usage: python3 service.py [VERB] [OPTION]..." in capsys.readouterr().out
    draft.closed = False
    assert run(draft, monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"Skitai {skitai.__version__}\n"


def test_after_run_nothing_changes_any_more(draft: Draft, monkeypatch: pytest.MonkeyPatch) -> None:
    run(draft, monkeypatch, "check", mount={"/": "static"})
    skitai.mount("/late", 5)
    skitai.set_keep_alive(1)
    skitai.log_off("/x/")
    skitai.run(port=1)
    assert len(draft.mounts) == 1
    assert not draft.options
    assert not draft.log_off


@pytest.mark.parametrize(("name", "value"), [("mount", [("/", "static")]), ("max_ages", 5)])
def test_run_refuses_what_is_no_dictionary(draft: Draft, name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"run\(\) {name} is .*: it should be a dictionary"):
        skitai.run(**{name: value})


# The package ----------------------------------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    for name in skitai.__all__:
        assert hasattr(skitai, name), name
    with pytest.raises(AttributeError, match="module 'skitai' has no attribute 'runn'"):
        _ = skitai.runn  # type: ignore[attr-defined]


def test_importing_skitai_is_cheap() -> None:
    code = "import skitai, sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"asyncio", "uvloop", "httptools", "requests", "ssl", "psutil", "tomllib", "http.client"}


def test_a_forward_proxy_is_options(draft: Draft) -> None:
    skitai.enable_proxy(deny="10.0.0.0/8", users={"ann": "secret"}, tunnel_ports="*")
    skitai.set_proxy_keep_alive(channel=10, tunnel=20)
    assert {name: given.value for name, given in draft.options.items()} == {
        "forward_proxy": True,
        "proxy_deny": ["10.0.0.0/8"],
        "proxy_users": ["ann:secret"],
        "proxy_tunnel_ports": "*",
        "proxy_channel_s": 10,
        "proxy_tunnel_s": 20,
    }
    skitai.enable_proxy(["example.com", ".example.org"])
    assert draft.options["proxy_allow"].value == ["example.com", ".example.org"]
    skitai.set_proxy_keep_alive()
    assert (draft.options["proxy_channel_s"].value, draft.options["proxy_tunnel_s"].value) == (60, 600)
    with pytest.raises(TypeError, match="passwords by name"):
        skitai.enable_proxy(users=["ann:secret"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tunnel"):
        skitai.set_proxy_keep_alive(tunnel="long")  # type: ignore[arg-type]
