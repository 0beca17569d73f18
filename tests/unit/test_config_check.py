"""From a draft, a file, the environment and flags to a tree: precedence, sources, and all faults at once."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.config.aliases import Means
from skitai.config.check import World, build, build_without_mounts
from skitai.config.draft import AliasCall, CronCall, Draft, Given, MountCall
from skitai.config.mounted import AppFile, AppObject, Folder, Upstream
from skitai.config.pref import AttrDict, Preference
from skitai.config.sources import OPTIONS, ConfigFile, environment_name
from skitai.config.targets import Seen
from skitai.config.tree import Config
from skitai.errors import ConfigError
from skitai.net.address import parse

FILES = {
    "/srv/site/static": Seen.FOLDER,
    "/srv/site/locked": Seen.UNREADABLE,
    "/srv/site/app.py": Seen.FILE,
    "/srv/site/notes.txt": Seen.FILE,
    "/srv/site/both": Seen.FOLDER,
    "/srv/site/both.py": Seen.FILE,
    "/srv/site/shop/app.py": Seen.FILE,
    "/srv/site/shop/__init__.py": Seen.FILE,
    "/srv/site/shop/v2/app.py": Seen.FILE,
    "/srv/site/shop/v2/__init__.py": Seen.FILE,
}
WORLD = World(lambda path: FILES.get(path, Seen.NOTHING), parse)


def draft(**options: object) -> Draft:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "static")
    for name, value in options.items():
        made.set(name, value, "service.py:9")
    return made


def mount(into: Draft, point: str, target: object, **fields: Any) -> None:
    path = into.absolute(target) + "/" * target.endswith("/") if isinstance(target, str) else target
    given = {"app_name": "app", "host": "default", "pref": Preference(), "path": ()} | fields
    line = len(into.mounts) + 3
    into.mounts.append(MountCall(point, path, source=f"service.py:{line}", **given))  # type: ignore[arg-type]


def built(
    of: Draft, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, toml: str = ""
) -> Config:
    return build(of, flags or {}, environ or {}, ConfigFile("site.toml", toml) if toml else None, WORLD)


def faults(
    of: Draft, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, toml: str = ""
) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        built(of, flags, environ, toml)
    return caught.value.faults


# Precedence -----------------------------------------------------------------------------------------------------------


def test_without_a_word_everything_is_default() -> None:
    config = built(draft())
    assert config.server.port == 5000
    assert config.server.address == "127.0.0.1"
    assert config.sources == {}


def test_each_source_beats_those_before_it() -> None:
    toml = "[server]\nport = 1\nworkers = 1\nthreads = 1\nbacklog = 1"
    environ = {"SKITAI_PORT": "2", "SKITAI_WORKERS": "2", "SKITAI_THREADS": "2", "PATH": "/bin"}
    config = built(draft(port=3, workers=3), {"port": "4"}, environ, toml)
    server, sources = config.server, config.sources
    assert (server.backlog, server.threads, server.workers, server.port) == (1, 2, 3, 4)
    assert sources["backlog"] == "site.toml"
    assert sources["threads"] == "SKITAI_THREADS"
    assert sources["workers"] == "service.py:9"
    assert sources["port"] == "--port"


def test_a_later_call_beats_an_earlier_one() -> None:
    made = draft(keep_alive=5)
    made.set("keep_alive", 7, "service.py:10")
    config = built(made)
    assert config.timeouts.keep_alive == 7
    assert config.sources["keep_alive"] == "service.py:10"


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_option_can_come_from_every_source(name: str) -> None:
    option = OPTIONS[name]
    special = {"user": "nobody", "group": "users", "bind": ("fd:3",), "unix_mode": "0600"}
    files = ("smtpda_ca_file", "smtpda_dkim_key", "certfile", "keyfile", "client_ca")
    special |= dict.fromkeys(files, "/srv/site/notes.txt")
    special["gateway_user_field"] = "X-User"
    special |= dict.fromkeys(("cachefs_memmax", "cachefs_diskmax"), 1 << 26)
    special |= dict.fromkeys(("smtpda_helo", "smtpda_dkim_selector", "smtpda_dkim_domain"), "mail.example.com")
    value = special.get(name, option.default)
    if option.type == "bool":
        value = not value
    elif option.type == "str" and not value:
        value = "/srv/other"
    elif isinstance(value, int | float):
        value = value - 1 if value == option.maximum else value + 1
    certificate = {"certfile": "/srv/site/notes.txt"}
    needs: dict[str, dict[str, str]] = {"group": {"user": "nobody"}, "smtpda_dkim_key": {"smtpda_dkim_selector": "mail"}}
    needs |= dict.fromkeys(("keyfile", "client_ca", "forward_port", "hsts_s"), certificate)
    needed = needs.get(name, {})
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    toml = f"[{option.section}]\n{option.field} = {_toml(value)}\n"
    toml += "".join(f"{OPTIONS[other].field} = {each!r}\n" for other, each in needed.items())
    for config in (
        built(draft(**needed, **{name: value})),
        built(draft(**needed), environ={environment_name(name): text}),
        built(draft(**needed), {name: text}),
        built(draft(), toml=toml),
    ):
        assert getattr(getattr(config, option.section), option.field) == value
        assert name in config.sources


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else repr(value)


def test_an_older_spelling_is_the_same_option() -> None:
    config = built(draft(network_timeout=20))
    assert config.timeouts.request_timeout == 20
    assert config.sources["request_timeout"] == "service.py:9"


# What follows from what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"certfile": "none.crt"}, "certfile: there is no readable file /srv/site/none.crt"),
        ({"keyfile": "notes.txt"}, "keyfile: goes with the option certfile, which is not set"),
        ({"more_certificates": ["a:b"]}, "more_certificates: goes with the option certfile, which is not set"),
        ({"forward_port": 80}, "forward_port: goes with the option certfile, which is not set"),
        (
            {"certfile": "notes.txt", "client_certificates": "required"},
            "client_certificates: goes with the option client_ca, which is not set",
        ),
        ({"tls_minimum": "1.1"}, "tls_minimum: '1.1' is not one of 1.2, 1.3"),
    ],
)
def test_https_is_whole_or_not_at_all(options: dict[str, Any], fault: str) -> None:
    assert faults(draft(**options)) == (f"service.py:9: {fault}",)


def test_paths_of_certificates_start_at_the_script() -> None:
    tls = built(draft(certfile="notes.txt", more_certificates=["a.crt:keys/a.key", "/etc/b.pem"])).tls
    assert tls.certfile == "/srv/site/notes.txt"
    assert tls.more_certificates == ("/srv/site/a.crt:/srv/site/keys/a.key", "/etc/b.pem")


def test_a_short_request_timeout_shortens_the_time_of_the_head() -> None:
    assert built(draft(request_timeout=4)).timeouts.head_s == 4
    assert built(draft(request_timeout=60)).timeouts.head_s == 10
    assert built(draft(request_timeout=4, head_s=8)).timeouts.head_s == 8


def test_naming_a_log_folder_turns_file_logging_on() -> None:
    config = built(draft(logpath="logs"))
    assert config.log.file_logging
    assert config.log.logpath == "/srv/site/logs"
    assert not built(draft(logpath="logs", file_logging=False)).log.file_logging


def test_relative_folders_start_at_the_script() -> None:
    assert built(draft(), {"varpath": "../var"}).paths.varpath == "/srv/var"
    assert built(draft(), {"varpath": "/var/x"}).paths.varpath == "/var/x"


def test_relative_unix_sockets_too() -> None:
    assert built(draft(bind=["unix:run/s", "unix:/s", "fd:3"])).server.bind == ("unix:/srv/site/run/s", "unix:/s", "fd:3")
    (found,) = faults(draft(bind=["unix:"]))
    assert found.startswith("service.py:9: bind: cannot listen on 'unix:'")


# Faults ---------------------------------------------------------------------------------------------------------------


def test_all_faults_are_reported_at_once_each_with_its_source() -> None:
    made = draft(port="eighty", wrokers=2)
    mount(made, "/docs", "missing")
    toml = "[server]\nbacklog = 0\nuser = 1"
    assert faults(made, {"threads": "-1"}, {"SKITAI_KEEP_ALIVE": "long", "SKITAI_PROT": "1"}, toml) == (
        "site.toml: [server] backlog: 0 is below 1",
        "site.toml: [server] user: 1 is not text",
        "SKITAI_KEEP_ALIVE: 'long' is not a number (s)",
        "SKITAI_PROT: there is no such option; did you mean SKITAI_PORT?",
        "service.py:9: port: 'eighty' is not a whole number",
        "service.py:9: wrokers: there is no such option; did you mean workers?",
        "--threads: -1 is below 0",
        "service.py:4: mount '/docs': there is no folder /srv/site/missing and no file /srv/site/missing.py",
    )


def sweep(folder: str, *, days: int, keep: bool = True) -> None: ...


@pytest.mark.parametrize(
    ("command", "options", "fault"),
    [
        (sweep, {}, "the job sweep() wants arguments (folder, days), and gets none"),
        (lambda: None, {"name": "two\nlines"}, "cron() name: 'two\\nlines' is not a line of text"),
        (lambda: None, {"name": 5}, "cron() name: 5 is not a line of text"),
    ],
)
def test_a_job_that_could_not_run_is_no_job(command: Any, options: dict[str, Any], fault: str) -> None:
    made = draft()
    made.jobs.append(CronCall("@daily", command, options, "service.py:9"))
    assert faults(made) == (f"service.py:9: {fault}",)


def test_a_job_may_have_arguments_that_need_no_value() -> None:
    made = draft()
    made.jobs.append(CronCall("@daily", lambda days=3, *more, **options: None, {}, "service.py:9"))
    made.jobs.append(CronCall("@daily", functools.partial(sweep, "/tmp", days=3), {}, "service.py:10"))
    assert len(built(made).cron.jobs) == 2


def test_a_fault_counts_although_a_later_source_overrides_the_value() -> None:
    assert faults(draft(port=8080), environ={"SKITAI_PORT": "x"}) == ("SKITAI_PORT: 'x' is not a whole number",)


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ("[server", "site.toml: not TOML: "),
        ("port = 1", "site.toml: there is no section [port]"),
        ("[sever]", "site.toml: there is no section [sever]; did you mean server?"),
        ("[server]\nprot = 1", "site.toml: [server] prot: there is no such option; did you mean port?"),
        ("[server]\nkeep_alive = 1", "site.toml: [server] keep_alive: belongs in section [timeouts]"),
    ],
)
def test_a_file_is_as_strict_as_a_call(toml: str, fault: str) -> None:
    (found,) = faults(draft(), toml=toml)
    assert found.startswith(fault)


def test_our_own_other_variables_are_no_options() -> None:
    assert built(draft(), environ={"SKITAI_ENV": "STAGING", "SKITAI_INHERIT": "7"}).sources == {}


def test_variables_are_upper_case() -> None:
    (found,) = faults(draft(), environ={"SKITAI_Port": "1"})
    assert found == "SKITAI_Port: there is no such option; did you mean SKITAI_PORT?"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"bind": ["nowhere"]}, "service.py:9: bind: cannot listen on 'nowhere'"),
        (
            {"trusted_proxies": ["::1", "banana"]},
            "service.py:9: trusted_proxies: 'banana' is not an address (10.0.0.1), a network (10.0.0.0/8) or unix",
        ),
        ({"unix_mode": "rw"}, "service.py:9: unix_mode: 'rw' is no octal file mode such as 0660"),
        ({"unix_mode": "7777"}, "service.py:9: unix_mode: '7777' is no octal file mode such as 0660"),
        ({"address": ""}, "service.py:9: address: is empty"),
        ({"group": "users"}, "service.py:9: group: goes with the option user, which is not set"),
        ({"smtpda_helo": "a.example\r\nDATA"}, "service.py:9: smtpda_helo: 'a.example\\r\\nDATA' is no name of a host"),
        ({"smtpda_dkim_selector": "a b"}, "service.py:9: smtpda_dkim_selector: 'a b' is no name of a host"),
    ],
)
def test_values_are_checked_together(options: dict[str, object], fault: str) -> None:
    (found,) = faults(draft(**options))
    assert found.startswith(fault)


# Mounts ---------------------------------------------------------------------------------------------------------------


def test_a_script_without_mounts_gets_one_clear_line() -> None:
    assert faults(Draft("/srv/site/service.py")) == (
        "/srv/site/service.py: nothing is mounted; call skitai.mount() before skitai.run()",
    )


def test_a_forward_proxy_needs_no_mounts() -> None:
    made = Draft("/srv/site/service.py")
    made.set("forward_proxy", True, "service.py:9")
    assert built(made).mounts == ()


def test_a_cache_folder_that_nothing_is_kept_in_is_a_doubt_and_no_fault() -> None:
    config = built(draft(cachefs_path="/srv/cache", cachefs_memmax=0, cachefs_diskmax=0))
    assert not config.cachefs.enabled
    assert config.warnings == ("service.py:9: cachefs_path: nothing is kept there, for the option cachefs_diskmax is 0",)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("static", Folder("/srv/site/static")),
        ("./static/", Folder("/srv/site/static")),
        ("app", AppFile("/srv/site/app.py")),
        ("app.py", AppFile("/srv/site/app.py")),
        ("both/", Folder("/srv/site/both")),
        ("both.py", AppFile("/srv/site/both.py")),
        ("shop/app", AppFile("/srv/site/shop/app.py", "shop")),
        ("shop/v2/app.py", AppFile("/srv/site/shop/v2/app.py", "shop.v2")),
        (AppFile("/srv/site/shop/app.py", "x.shop"), AppFile("/srv/site/shop/app.py", "x.shop")),
        (AppObject("/srv/site/service.py", "app", print), AppObject("/srv/site/service.py", "app", print)),
    ],
)
def test_a_target_is_recognised(target: object, expected: object) -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", target)
    (only,) = built(made).mounts
    assert only.target == expected


def test_an_alias_is_mounted_also_where_it_is_declared_later() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/pets", Upstream("pets"))
    made.aliases.append(AliasCall("@pets", "https", ("pets.example.com",), "", "", Means(), "service.py:9"))
    (only,) = built(made).mounts
    assert only.target == Upstream("pets")


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        ("dogs", "http", "there is no alias @dogs; there are @pets"),
        ("pets", "ws", "@pets is a back-end of ws; PROTO_HTTP and PROTO_HTTPS can be mounted"),
        ("pets", "*redis", "@pets is a back-end of redis; PROTO_HTTP"),
        ("pets", "*postgresql", "the database @pets would be everybody's to read"),
    ],
)
def test_an_alias_that_cannot_be_mounted_is_a_fault(name: str, kind: str, fault: str) -> None:
    made = Draft("/srv/site/service.py")
    made.aliases.append(AliasCall("@pets", kind, ("127.0.0.1",), "", "", Means(), "service.py:9"))
    mount(made, "/pets", Upstream(name))
    with pytest.raises(ConfigError, match=re.escape(f"mount '/pets': {fault}")):
        built(made)


def test_options_of_mounted_aliases_are_checked() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "static")
    made.set("upstream_eject_statuses", ["502", "many"], "service.py:3")
    made.set("upstream_check", "health", "service.py:4")
    with pytest.raises(ConfigError) as caught:
        built(made)
    assert [fault.rpartition(": ")[2] for fault in caught.value.faults] == [
        "'many' is no status of an error, 502 say",
        "'health' is no path, /health say",
    ]


def test_an_alias_is_mounted_without_any_alias() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/pets", Upstream("pets"))
    with pytest.raises(ConfigError, match="there is no alias @pets; there is none at all"):
        built(made)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("gone", "there is no folder /srv/site/gone and no file /srv/site/gone.py"),
        ("gone.py", "there is no file /srv/site/gone.py"),
        ("notes.txt", "/srv/site/notes.txt is neither a folder nor a Python file"),
        ("locked", "/srv/site/locked is not readable"),
        ("both", "/srv/site/both is a folder and /srv/site/both.py a file: write '/srv/site/both/' or '/srv/site/both.py'"),
        (AppFile("/srv/x.py"), "there is no file /srv/x.py"),
        (AppFile("/srv/site/static"), "/srv/site/static is a folder, not a file"),
    ],
)
def test_a_target_that_cannot_be_served_is_a_fault(target: object, fault: str) -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/x", target)
    assert faults(made) == (f"service.py:3: mount '/x': {fault}",)


@pytest.mark.parametrize(("point", "expected"), [("/", "/"), ("/v1", "/v1/"), ("/v1/", "/v1/"), ("/a/b", "/a/b/")])
def test_a_point_ends_with_a_slash(point: str, expected: str) -> None:
    made = Draft("/srv/site/service.py")
    mount(made, point, "app")
    assert built(made).mounts[0].point == expected


@pytest.mark.parametrize("point", ["", "v1", "/a//b", "/a?b", "/a b", "/a/../b", "/%20", "/a#b"])
def test_a_point_is_a_plain_path(point: str) -> None:
    made = Draft("/srv/site/service.py")
    mount(made, point, "app")
    (found,) = faults(made)
    assert found.startswith(f"service.py:3: mount point {point!r} ")


def test_a_folder_and_an_app_share_a_point() -> None:
    made = draft()
    mount(made, "/", "app")
    config = built(made)
    assert [type(each.target) for each in config.mounts] == [Folder, AppFile]
    assert config.warnings == ()


def test_of_two_apps_on_one_point_the_later_wins_and_a_warning_says_so() -> None:
    made = draft()
    mount(made, "/", "app")
    mount(made, "/", "shop/app")
    config = built(made)
    assert [each.source for each in config.mounts] == ["service.py:3", "service.py:5"]
    assert config.warnings == ("service.py:5 mounts at / in place of what service.py:4 mounts there",)


def test_hosts_have_points_of_their_own() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "app", host="www.A.com .b.org")
    mount(made, "/", "app", host="c.net")
    assert [each.host for each in built(made).mounts] == ["www.a.com .b.org", "c.net"]
    mount(made, "/", "shop/app", host="d.net .b.org")
    config = built(made)
    assert [each.host for each in config.mounts] == ["www.a.com", "c.net", "d.net .b.org"]
    assert config.warnings == ("service.py:5 mounts at / of .b.org in place of what service.py:3 mounts there",)


@pytest.mark.parametrize(
    ("host", "fault"), [("", "host names nothing; leave it out for every host"), ("a/b", "'a/b' is no host name")]
)
def test_a_host_is_a_name(host: str, fault: str) -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "app", host=host)
    assert faults(made) == (f"service.py:3: mount '/': {fault}",)


def test_the_folders_of_a_path_exist() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "app", path=("/srv/site/static", "/gone"))
    assert faults(made) == ("service.py:3: mount '/': path: there is no folder /gone",)


# Preferences ----------------------------------------------------------------------------------------------------------


def test_one_size_sets_all_body_limits_unless_one_is_set_itself() -> None:
    pref = Preference(max_client_body_size="1G", config=AttrDict(max_upload_file_size=5))
    made = Draft("/srv/site/service.py")
    mount(made, "/", "app", pref=pref)
    config = built(made).mounts[0].pref.config
    assert config == {"max_post_body_size": 1 << 30, "max_multipart_body_size": 1 << 30, "max_upload_file_size": 5}
    assert pref.config == {"max_upload_file_size": 5}, "the caller's own object stays as it was"


def test_a_size_that_is_none_is_a_fault() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "app", pref=Preference(config=AttrDict(max_post_body_size="big")))
    (found,) = faults(made)
    assert found.startswith("service.py:3: mount '/': max_post_body_size: 'big' is not a size")


def test_production_switches_debug_and_reloader_off() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "app", pref=Preference(debug=True, use_reloader=True))
    mount(made, "/v1", "app")
    for each in built(made, environ={"SKITAI_ENV": "PRODUCTION"}).mounts:
        assert each.pref.debug is False
        assert each.pref.use_reloader is False
    first, second = built(made, environ={"SKITAI_ENV": "production"}).mounts
    assert first.pref.debug is True
    assert "debug" not in second.pref


# The rest -------------------------------------------------------------------------------------------------------------


def test_lists_keep_their_order_and_lose_their_doubles() -> None:
    made = draft()
    made.max_ages = [Given(("/", 300), "s:1"), Given(("/js", 0), "s:2"), Given(("/", 60), "s:3")]
    made.last_updates = [Given("a", "s:4"), Given("b", "s:4"), Given("a", "s:5")]
    made.log_off = [Given("*.css", "s:6")]
    config = built(made)
    assert config.max_ages == (("/", 60), ("/js/", 0))
    assert config.last_updates == ("a", "b")
    assert config.log_off == ("*.css",)


def test_a_max_age_is_for_a_path() -> None:
    made = draft()
    made.max_ages = [Given(("js", 5), "s:1")]
    assert faults(made) == ("s:1: set_max_age: 'js' does not begin with '/'",)


def test_a_broken_script_can_still_be_found() -> None:
    made = Draft("/srv/site/service.py")
    mount(made, "/", "gone")
    made.set("varpath", "var", "s:1")
    assert build_without_mounts(made, {}, {}, None).paths.varpath == "/srv/site/var"


def test_the_title_names_folder_and_script_up_to_its_first_dot() -> None:
    assert Draft("/srv/site/service.v2.py").title == "skitai(site/service)"


ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()), st.binary())


@given(
    st.dictionaries(st.sampled_from([*OPTIONS, "prot"]), ANYTHING, max_size=4),
    st.dictionaries(st.sampled_from(sorted(OPTIONS)), st.text(), max_size=4),
    st.text(),
)
def test_any_values_become_a_tree_or_faults(calls: dict[str, object], flags: dict[str, str], toml: str) -> None:
    try:
        config = built(draft(**calls), flags, {environment_name(name): text for name, text in flags.items()}, toml)
    except ConfigError as error:
        assert error.faults
        assert all(": " in fault for fault in error.faults)
        return
    assert set(flags) <= set(config.sources)
