"""`skitai-smtpda` and `skitai-cron`: helpers that run alone, from start to stop, by their command lines and their file."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skitai.ipc import control, rundir
from skitai.ipc.envelope import Envelope
from skitai.ipc.spool import Spool
from tests.support.dialogue import ROOT, eventually
from tests.support.place import Place, alive

pytestmark = pytest.mark.process

CONF = """\
# mail and jobs

[smtpda]
max-retry = 4
smtp-server = 127.0.0.1:9
user = ann
password = sesame

[:crontab]
@yearly  echo "happy new year"
"""


class Home(Place):
    """A home with a ``.skitai.conf``, and the helpers that run there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.var = folder / "var"
        self.logs = folder / "logs"
        self.configure(CONF)

    def configure(self, text: str, mode: int = 0o600) -> None:
        self.write(".skitai.conf", text, mode)

    def did(self, name: str, *words: str) -> str:
        """What a command that succeeds prints."""
        done = self.helper(name, *words)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout

    def fails(self, name: str, *words: str, code: int = 1) -> str:
        """What a command that fails says, in lines."""
        done = self.helper(name, *words)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        return done.stderr

    def pid_of(self, name: str) -> int:
        return int((self.var / name / ".pid").read_text())

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    for name in ("smtpda", "cron"):
        if (made.var / name / ".pid").exists():
            made.helper(name, "stop")


@pytest.mark.parametrize("name", ["smtpda", "cron"])
def test_a_day_in_the_life_of_a_helper(home: Home, name: str) -> None:
    title = f"skitai-{name}"
    assert home.helper(name, "status").returncode == 3
    assert f" {title}, pid " in home.did(name, "start")

    pid = home.pid_of(name)
    status = home.did(name, "status")
    assert status.startswith(f"{title}: serving, pid {pid}, up ")
    assert f"{home.folder}/.skitai.conf" in status
    assert re.search(rf"\n  {name} +\d+ +serving ", status)
    assert "listening" not in status
    assert "requests" not in status
    children = [int(each) for each in re.findall(rf"\n  {name} +(\d+)", status)]
    titles = [Path(f"/proc/{each}/cmdline").read_text().strip("\0 ") for each in (pid, *children)]
    assert titles == [f"{title}: master", f"{title}: {name}"]
    assert home.fails(name, "-d") == f"already running, pid {pid} (see {home.var}/{name}/.pid)\n"

    assert home.did(name, "restart").startswith(f"{title} has stopped, pid {pid}\n")
    assert not alive(pid)
    pid = home.pid_of(name)

    assert home.did(name, "-s") == f"{title} has stopped, pid {pid}\n"
    assert not alive(pid)
    assert home.did(name, "stop") == f"{title} is not running\n"
    assert sorted(os.listdir(home.logs)) == [f"{name}.log"]
    assert f"{title} starts, pid {pid}" in home.log(name)


def test_both_run_at_once_and_keep_apart(home: Home) -> None:
    home.did("smtpda", "start")
    home.did("cron", "start")
    assert home.pid_of("smtpda") != home.pid_of("cron")
    assert sorted(os.listdir(home.logs)) == ["cron.log", "smtpda.log"]
    assert home.did("cron", "logs").startswith(f"==> {home.logs}/cron.log\n")
    assert "smtpda" not in home.did("cron", "logs")
    home.did("cron", "stop")
    assert home.did("smtpda", "status").startswith("skitai-smtpda: serving")


def test_without_varpath_they_share_the_default_folder_of_their_user(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SKITAI_VARPATH", "SKITAI_LOGPATH"):
        del home.environ[name]
    for name in ("smtpda", "cron"):
        folder = rundir.helper_folder(name)
        assert folder == f"/var/tmp/skitai/{rundir.user_name()}/default/{name}"
        if os.path.exists(f"{folder}/.pid"):
            pytest.skip(f"a {name} of this user is running")
        shown = home.did(name, "start")
        try:
            assert f"var        {os.path.dirname(folder)}\n" in shown
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
            assert f"skitai-{name}: serving" in home.skitai("status").stdout
        finally:
            assert home.did(name, "stop").startswith(f"skitai-{name} has stopped")


def test_there_is_one_whatever_is_asked_for(home: Home) -> None:
    home.did("smtpda", "start")
    refused = control.ask(str(home.var / "smtpda"), "workers", timeout_s=10, change=1)
    assert (refused.ok, refused.text) == (False, "there is one smtpda, always")


def test_a_spool_that_cannot_be_used_is_said_at_the_start(home: Home) -> None:
    (home.var / "smtpda").mkdir(parents=True)
    (home.var / "smtpda" / "mail").write_text("")
    assert f"cannot use {home.var}/smtpda/mail: it is not a folder" in home.fails("smtpda", "start")


def test_a_killed_helper_is_replaced(home: Home) -> None:
    home.did("smtpda", "start")
    [(_, pid)] = re.findall(r"\n  (smtpda) +(\d+)", home.did("smtpda", "status"))

    os.kill(int(pid), signal.SIGKILL)

    eventually(
        lambda: (
            "smtpda is ready" in home.log("smtpda").partition("SIGKILL")[2]
            or re.search(r"SIGKILL.*smtpda \(pid \d+\) is ready", home.log("smtpda"), re.DOTALL)
        ),
        "another",
    )
    assert re.search(r"\n  smtpda +\d+ +serving", home.did("smtpda", "status"))


def test_in_the_foreground_it_talks_and_stops_at_ctrl_c(home: Home) -> None:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / "skitai-smtpda"), "-v"],
        cwd=home.folder,
        env=home.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        heard = ""
        for line in process.stdout:
            heard += line
            if "is ready" in line:
                break
        process.send_signal(signal.SIGINT)
        heard += process.stdout.read()
        assert process.wait(10) == 0
    assert "server     127.0.0.1:9\n" in heard
    assert "sesame" not in heard
    assert "skitai-smtpda has stopped" in heard


def test_a_file_may_begin_with_a_byte_order_mark(home: Home) -> None:
    plain = home.did("cron", "check"), home.did("smtpda", "check")
    home.configure("\ufeff" + CONF.removeprefix("# mail and jobs\n\n"))
    marked = home.did("cron", "check"), home.did("smtpda", "check")
    assert "happy new year" in marked[0]
    assert [re.sub(r"conf:\d+", "", each) for each in marked] == [re.sub(r"conf:\d+", "", each) for each in plain]


def test_a_reload_reads_the_file_again(home: Home) -> None:
    home.did("cron", "start")
    pid = home.pid_of("cron")
    home.configure(CONF + "@monthly true\n")

    assert "generation 2 serves" in home.did("cron", "reload")

    assert home.pid_of("cron") == pid
    eventually(lambda: re.search(r"\n  cron +\d+ +serving +\S+ s +0 +0 +0 +2 ", home.did("cron", "status")), "two jobs")


def test_a_reload_of_a_faulty_file_is_refused_and_the_old_one_goes_on(home: Home) -> None:
    home.did("cron", "start")
    before = home.did("cron", "status").splitlines()[-1].split()[:2]
    home.configure(CONF + "@sometimes true\n")

    refused = home.helper("cron", "reload")

    assert refused.returncode == 1
    assert ".skitai.conf:11: " in refused.stderr
    assert home.did("cron", "status").splitlines()[-1].split()[:2] == before


def test_a_hangup_reloads(home: Home) -> None:
    home.did("smtpda", "start")
    os.kill(home.pid_of("smtpda"), signal.SIGHUP)
    eventually(lambda: "reload: generation 2 serves" in home.log("smtpda"), "the reload")


def test_a_service_manager_is_told_how_it_goes(home: Home) -> None:
    notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notes.bind(str(home.folder / "notify"))
    notes.settimeout(10)
    home.environ |= {"NOTIFY_SOCKET": str(home.folder / "notify"), "WATCHDOG_USEC": "400000"}

    def next_note(beginning: str) -> str:
        while not (note := notes.recv(4096).decode()).startswith(beginning):
            assert note.startswith("WATCHDOG=1")
        return note

    command = [sys.executable, str(ROOT / "bin" / "skitai-smtpda"), "run"]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with notes, subprocess.Popen(command, cwd=home.folder, env=home.environ, **streams) as process:
        assert f"MAINPID={process.pid}" in next_note("READY=1")
        next_note("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        next_note("RELOADING=1")
        assert next_note("WATCHDOG=1\nWATCHDOG_USEC=").endswith("=120000000")  # the script may take that long to load
        assert next_note("WATCHDOG=1\nWATCHDOG_USEC=").endswith("=400000")
        assert "STATUS=generation 2" in next_note("READY=1")
        process.terminate()
        next_note("STOPPING=1")
        assert process.wait(10) == 0


def test_the_command_line_beats_the_file(home: Home) -> None:
    shown = home.did("smtpda", "check", "--max-retry", "7", "--ssl")
    assert re.search(r"smtpda_max_retry +7 +--max-retry\n", shown)
    assert re.search(r"smtpda_server +127\.0\.0\.1:9 +\S+/\.skitai\.conf:5\n", shown)
    assert re.search(r"smtpda_password +\(not shown\) ", shown)
    assert "sesame" not in shown


def test_another_file_may_be_named(home: Home) -> None:
    home.write("other.conf", "[:crontab]\n@monthly other\n")
    assert "@monthly  other\n" in home.did("cron", "list", "--config", "other.conf")


def test_queue_shows_what_waits_and_what_was_given_up(home: Home) -> None:
    assert home.did("smtpda", "queue") == f"0 messages in {home.var}/smtpda/mail/spool\n"
    rundir.make_home(str(home.var))
    spool = Spool(str(home.var))
    spool.make()
    spool.put(Envelope("a@example.com", ("b@example.com", "c@example.com"), message_id="<1@x>"), b"Subject: x\r\n\r\n")
    lease = spool.lease(spool.put(Envelope("d@example.com", ("e@example.com",)), b"Subject: y\r\n\r\n"))
    assert lease
    lease.undeliver()
    (home.var / "smtpda" / "mail" / "spool" / "stranger").write_text("?")
    spool.put(Envelope("f@example.com", tuple(f"{n}@example.com" for n in range(300))), b"Subject: z\r\n\r\n")

    first, mail, letter, given_up, lost = home.did("smtpda", "queue").splitlines()

    assert first == f"2 messages in {home.var}/smtpda/mail/spool"
    assert re.fullmatch(r"  due, 0 attempts: a@example\.com -> b@example\.com, c@example\.com  <1@x>", mail)
    assert letter.endswith(" 3@example.com, 4@example.com and 295 more")
    assert given_up == f"1 message given up, in {home.var}/smtpda/mail/undeliver"
    assert re.fullmatch(r"  since \d s, 1 attempt: d@example\.com -> e@example\.com", lost)


def test_list_shows_when_jobs_run_next(home: Home) -> None:
    home.configure("[cron]\ntime-zone = UTC\n[:crontab]\n0 0 1 1 * first\n30 4 * * * second # nightly\n")
    listed = home.did("cron", "list").splitlines()
    assert listed[0] == "30 4 * * *  second # nightly"
    assert re.fullmatch(r"  (\d{4}-\d\d-\d\d 04:30 UTC(, )?){3}", listed[1])
    assert listed[2] == "0 0 1 1 *  first"
    assert re.fullmatch(r"  (\d{4}-01-01 00:00 UTC(, )?){3}", listed[3])


@pytest.mark.parametrize(
    ("name", "words", "code", "message"),
    [
        ("smtpda", ["strat"], 2, "unknown word 'strat'; did you mean start?"),
        ("smtpda", ["start", "--prot", "1"], 2, "unknown option '--prot'"),
        (
            "smtpda",
            ["start", "--password", "x"],
            2,
            "--password: a command line is everybody's to read; use SKITAI_SMTPDA_PASS",
        ),
        ("smtpda", ["start", "-v"], 2, "start and -v do not go together"),
        ("smtpda", ["--max-retry"], 2, "--max-retry needs a value"),
        ("smtpda", ["--max-retry", "x"], 1, "--max-retry: 'x' is not a whole number"),
        ("smtpda", ["start", "--config", "gone.conf"], 1, "{folder}/gone.conf: there is no such file"),
        ("smtpda", ["status", "--config", "gone.conf"], 1, "{folder}/gone.conf: there is no such file"),
        ("smtpda", ["reload"], 3, "skitai-smtpda is not running"),
        ("cron", ["queue"], 2, "unknown word 'queue'"),
        ("cron", ["logs"], 1, "there are no log files in "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(
    home: Home, name: str, words: list[str], code: int, message: str
) -> None:
    said = home.fails(name, *words, code=code)
    assert said.startswith(message.format(folder=home.folder))
    assert said.count("\n") == 1


def test_a_file_that_others_can_read_keeps_no_password(home: Home) -> None:
    home.configure(CONF, mode=0o644)
    file = f"{home.folder}/.skitai.conf"
    assert home.fails("smtpda", "start") == f"{file}: holds a password, and others may read it: chmod 600 {file}\n"
    home.configure(CONF.replace("password = sesame\n", ""), mode=0o644)
    home.did("smtpda", "start")


@pytest.mark.parametrize(("mode", "text"), [(0o602, CONF), (0o600, "[nonsense\n" + CONF), (0o644, CONF)])
def test_a_file_that_cannot_be_used_does_not_stand_in_the_way_of_a_stop(home: Home, mode: int, text: str) -> None:
    home.did("smtpda", "start")
    home.configure(text, mode)
    assert home.helper("smtpda", "restart").returncode == 1
    assert home.did("smtpda", "status").startswith("skitai-smtpda: serving")
    assert home.did("smtpda", "stop").startswith("skitai-smtpda has stopped")


def test_a_faulty_file_still_says_where_the_helper_is(home: Home) -> None:
    del home.environ["SKITAI_VARPATH"]
    home.write("other.conf", "[smtpda]\nvar-path = elsewhere\n")
    home.did("smtpda", "start", "--config", "other.conf")
    assert (home.folder / "elsewhere" / "smtpda" / ".pid").exists()
    home.write("other.conf", "[nonsense\n[smtpda]\nmax-retry = x\nvar-path = elsewhere\n")
    assert home.did("smtpda", "stop", "--config", "other.conf").startswith("skitai-smtpda has stopped")


def test_all_faults_of_a_file_are_said_with_their_lines(home: Home) -> None:
    home.configure("[smtpda]\nmax-retry = many\n\nsmtp-sever = x\n[:crontab]\n* * * * true\n")
    file = f"{home.folder}/.skitai.conf"
    for verb in ("run", "start", "restart", "check"):
        assert home.fails("smtpda", verb).splitlines() == [
            f"{file}:2: max-retry: 'many' is not a whole number",
            f"{file}:4: there is no option smtp-sever in [smtpda]; did you mean smtp-server?",
        ]
    [said] = home.fails("cron", "start").splitlines()
    assert said.startswith(f"{file}:6: '* * * * true' is no job: ")


def test_a_scheduler_without_jobs_says_where_to_write_them(home: Home) -> None:
    home.configure("")
    assert home.fails("cron", "start") == f"there are no jobs: write some below [:crontab] in {home.folder}/.skitai.conf\n"


def test_a_folder_that_cannot_be_made_is_said(home: Home) -> None:
    (home.folder / "file").write_text("")
    said = home.fails("smtpda", "start", "--varpath", f"{home.folder}/file")
    assert said.startswith(f"cannot use the var folder {home.folder}/file: it is not a folder")


@pytest.mark.parametrize("name", ["smtpda", "cron"])
def test_help_names_every_verb_and_flag(home: Home, name: str) -> None:
    text = home.did(name, "--help")
    assert f"usage: skitai-{name} " in text
    for word in ("start or -d", "stop or -s", "restart or -r", "status", "queue" if name == "smtpda" else "list"):
        assert f"\n  {word} " in text
    assert ("--max-retry N" in text, "--time-zone TEXT" in text) == (name == "smtpda", name == "cron")
    assert "password" not in text.replace("user name", "")
    assert home.did(name, "--version").startswith("Skitai ")
