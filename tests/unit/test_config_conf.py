"""The configuration file of helpers that run alone: its form, its faults with their lines, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.cli import conffile
from skitai.cli.helper import grammar
from skitai.cli.line import UsageError, understand
from skitai.cli.world import WORLD
from skitai.config.alone import build_alone
from skitai.config.conf import parse
from skitai.config.tree import Config
from skitai.errors import ConfigError, StartError
from tests.support.user import ordinary_user

PATH = "/home/ann/.skitai.conf"


def built(text: str, helper: str = "smtpda", environ: Mapping[str, str] | None = None, **flags: Any) -> Config:
    return build_alone(helper, PATH, parse("ann.conf", text), flags, environ or {}, WORLD)


def faults(text: str, helper: str = "smtpda", **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        built(text, helper, **more)
    return list(caught.value.faults)


# What is understood


def test_the_documented_file() -> None:
    text = """\
        # mail and jobs of this account
        [smtpda]
        verbose = false
        max-retry = 7
        keep-days = 1
        smtp-server = mail.example.com
        user = ann
        password = open; sesame # or not
        ssl = true

        [:crontab]
        ; every hour
        0 * * * * echo "Hello World" # said twice
        @daily  bin/tidy  --all
        """
    config = built(text)
    smtpda = config.smtpda
    assert (smtpda.server, smtpda.user, smtpda.ssl) == ("mail.example.com", "ann", True)
    assert (smtpda.max_retry, smtpda.keep_days, smtpda.enabled) == (7, 1, True)
    assert smtpda.password == "open; sesame # or not"
    assert (config.log.verbose, config.cron.jobs) == (False, ())
    assert (config.helper, config.script, config.title) == ("smtpda", PATH, "skitai-smtpda")
    assert config.sources["smtpda_max_retry"] == "ann.conf:4"

    jobs = built(text, "cron").cron.jobs
    assert [(job.schedule, job.command, job.source) for job in jobs] == [
        ("0 * * * *", 'echo "Hello World" # said twice', "ann.conf:13"),
        ("@daily", "bin/tidy  --all", "ann.conf:14"),
    ]


@pytest.mark.parametrize(("text", "is_on"), [("true", True), ("Yes", True), ("no", False), ("off", False), ("", False)])
def test_a_switch_left_empty_is_off(text: str, is_on: bool) -> None:
    assert built(f"[smtpda]\nssl = {text}").smtpda.ssl is is_on


def test_a_value_left_empty_is_not_given() -> None:
    config = built("[smtpda]\nuser =\nmax-retry =\n")
    assert (config.smtpda.user, config.smtpda.max_retry, config.sources) == ("", 10, {})


def test_flags_beat_the_environment_and_that_the_file() -> None:
    text = "[smtpda]\nserver = one:1\nuser = one\nhelo = one"
    config = built(text, environ={"SKITAI_SMTPDA_USER": "two", "SKITAI_SMTPDA_SERVER": "two:2"}, smtpda_server="three:3")
    assert (config.smtpda.helo, config.smtpda.user, config.smtpda.server) == ("one", "two", "three:3")
    assert config.sources["smtpda_server"] == "--server"


def test_defaults_of_jobs_stand_in_a_section_of_their_own() -> None:
    [job] = built("[cron]\ntime-zone = Europe/Berlin\noverlap = wait\n[:crontab]\n0 4 * * 1-5 x", "cron").cron.jobs
    assert (job.time_zone, job.overlap, job.name) == ("Europe/Berlin", "wait", "x")


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    assert built("[cron]\nlog-path = logs\nvar-path = var", "cron").log.logpath == "/home/ann/logs"


def test_without_a_file_everything_is_default() -> None:
    config = build_alone("smtpda", PATH, None, {}, {}, WORLD)
    assert (config.smtpda.server, config.smtpda.max_retry, config.sources) == ("", 10, {})


# Faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("max-retry = 1", "ann.conf:1: 'max-retry = 1' stands in no section"),
        ("\n[smptda]", "ann.conf:2: there is no section [smptda]; did you mean smtpda?"),
        ("[smtpda", "ann.conf:1: there is no section [smtpda; did you mean smtpda?"),
        ("[smtpda]\nmax-retry", "ann.conf:2: 'max-retry' is neither [section] nor key = value"),
        ("[smtpda]\n\nmax-rety = 1", "ann.conf:3: there is no option max-rety in [smtpda]; did you mean max-retry?"),
        ("[smtpda]\nenabled = no", "ann.conf:2: there is no option enabled in [smtpda]"),
        ("[smtpda]\nmax-retry = many", "ann.conf:2: max-retry: 'many' is not a whole number"),
        ("[smtpda]\nmax-retry = -1", "ann.conf:2: max-retry: -1 is below 0"),
        ("[smtpda]\nssl = perhaps", "ann.conf:2: ssl: 'perhaps' is neither yes nor no"),
        ("[smtpda]\nsmtp-server = a b", "ann.conf:2: smtp-server: 'a b' is no mail server: "),
        ("[smtpda]\nserver = mail:99999", "ann.conf:2: server: 'mail:99999' is no mail server: "),
        ("[smtpda]\nca-file = /nowhere.pem", "ann.conf:2: ca-file: there is no readable file /nowhere.pem"),
        ("[smtpda]\npassword = a\0b", "ann.conf:2: password: is not plain text; what was given is not shown"),
    ],
)
def test_each_fault_names_its_line(text: str, fault: str) -> None:
    [found] = faults(text)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("* * * * *", "'* * * * *' is no job: it should be five fields of time, or a word such as @daily, and a command"),
        ("@daily", "'@daily' is no job: "),
        ("99 * * * * x", "minute 99 is outside 0-59"),
        ("[smptda]", "'[smptda]' is no job: "),
        ("@reboot x", ""),
    ],
)
def test_each_fault_of_a_crontab_names_its_line(line: str, fault: str) -> None:
    [found] = faults(f"[:crontab]\n0 4 * * * fine\n{line}", "cron")
    assert found.startswith(f"ann.conf:3: {fault}")


def test_an_unknown_time_zone_is_a_fault_of_the_jobs() -> None:
    assert any(
        "Middle-Earth" in each for each in faults("[cron]\ntime-zone = Middle-Earth\n[:crontab]\n* * * * * x", "cron")
    )


def test_all_faults_come_together() -> None:
    found = faults("[smtpda]\nmax-retry = x\nwhat = 1\n[gone]\n", environ={"SKITAI_SMTPDA_SLS": "1"}, smtpda_keep_days="x")
    assert [each.split(": ")[0] for each in found] == [
        "ann.conf:4",
        "ann.conf:2",
        "ann.conf:3",
        "SKITAI_SMTPDA_SLS",
        "--keep-days",
    ]


def test_the_faults_of_one_helper_do_not_hold_up_the_other() -> None:
    text = "[smtpda]\nmax-retry = x\n[:crontab]\n* * * * * x\nbad"
    assert [each.split(":")[1] for each in faults(text, "smtpda")] == ["2"]
    assert [each.split(":")[1] for each in faults(text, "cron")] == ["5"]


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for helper in ("smtpda", "cron"):
        try:
            built(text, helper)
        except ConfigError as error:
            assert all(fault.startswith("ann.conf:") for fault in error.faults)


# The file itself


def test_a_file_with_a_password_is_its_owners_alone_to_read(tmp_path: Path) -> None:
    file = tmp_path / "conf"
    file.write_text("[smtpda]\npassword = sesame\n")
    for mode in (0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(StartError, match=f"holds a password, and others may read it: chmod 600 {file}"):
            conffile.read(str(file), must_exist=True)
    file.chmod(0o600)
    read = conffile.read(str(file), must_exist=True)
    assert read is not None
    assert read.holds_secret
    file.write_text("[smtpda]\npassword =\n")
    file.chmod(0o644)
    assert conffile.read(str(file), must_exist=True)


def test_what_cannot_be_trusted_or_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "conf"
    assert conffile.read(str(file), must_exist=False) is None
    with pytest.raises(StartError, match="conf: there is no such file"):
        conffile.read(str(file), must_exist=True)
    with pytest.raises(StartError, match="is not a file"):
        conffile.read(str(tmp_path), must_exist=True)
    file.write_bytes(b"[smtpda]\nuser = \xff\n")
    with pytest.raises(StartError, match="not UTF-8"):
        conffile.read(str(file), must_exist=True)
    file.chmod(0o602)
    with pytest.raises(StartError, match="everybody may write to it: chmod o-w"):
        conffile.read(str(file), must_exist=True)


def test_an_unreadable_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "conf"
    file.write_text("")
    file.chmod(0)
    tmp_path.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    with ordinary_user(), pytest.raises(StartError, match=f"{file}: Permission denied"):
        conffile.read(str(file), must_exist=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "conf"
    file.write_text("[:crontab]\n* * * * * rm -rf ~\n")
    os.chown(file, 65534, 65534)
    with pytest.raises(StartError, match="belongs to another user, who could have anything run as you"):
        conffile.read(str(file), must_exist=True)


# Command lines


def test_the_flags_of_a_helper_are_the_keys_of_its_section() -> None:
    words = ["start", "--max-retry", "3", "--smtp-server=a:25", "--ssl", "--log-path", "/l", "--config", "f"]
    line = understand(words, grammar("smtpda"))
    assert line.flags == {"smtpda_max_retry": "3", "smtpda_server": "a:25", "smtpda_ssl": True, "logpath": "/l"}
    assert (line.verb, line.config, line.daemon) == ("start", "f", True)
    assert understand(["-v"], grammar("cron")).flags == {"verbose": True}


@pytest.mark.parametrize(
    ("helper", "words", "message"),
    [
        (
            "smtpda",
            ["--password", "x"],
            "--password: a command line is everybody's to read; use SKITAI_SMTPDA_PASSWORD or a ",
        ),
        ("smtpda", ["--max-rety", "3"], "unknown option '--max-rety'; did you mean --max-retry?"),
        ("smtpda", ["--port", "3"], "unknown option '--port'"),
        ("smtpda", ["list"], "unknown word 'list'"),
        ("smtpda", ["qeue"], "unknown word 'qeue'; did you mean queue?"),
        ("cron", ["queue"], "unknown word 'queue'"),
        ("cron", ["app.py"], "unknown word 'app.py'"),
        ("cron", ["status", "--time-zone", "UTC"], "--time-zone has no effect on status"),
        ("cron", ["-d", "-v"], "start and -v do not go together"),
        ("cron", ["--enabled"], "unknown option '--enabled'"),
    ],
)
def test_what_a_helper_does_not_know_is_one_line(helper: str, words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        understand(words, grammar(helper))
    assert str(caught.value).startswith(message)
