"""The command line in processes of its own: of a script and of the `skitai` command, with and without a server."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys

import pytest

from tests.support.dialogue import ROOT
from tests.support.place import SCRIPT, Place

pytestmark = pytest.mark.process


def mounts(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.partition("[mounts]\n")[2].splitlines()
    return [" ".join(line.split()) for line in lines]


# Without a server -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["check"], ["app.py", "check"], ["check", "app"], ["check", "./app.py"]])
def test_the_command_runs_a_script_as_python_does(place: Place, words: list[str]) -> None:
    direct = place.python("app.py", "check", cwd=None)
    assert mounts(place.skitai(*words)) == mounts(direct) == [f"/ {place.folder}/app.py:app app.py:8"]


@pytest.mark.parametrize("words", [["app.py", "check"], ["app.py", "--help"], ["-m", "skitai", "check"]])
def test_who_reads_has_read_enough(place: Place, words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as out:
        done = subprocess.run(
            [place.interpreter, *words], cwd=place.folder, env=place.environ, stdout=out, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_script_sees_the_arguments_and_the_path_that_python_gives(place: Place) -> None:
    place.write(
        "sub/args.py",
        """\
        import sys, os
        print(__name__, sys.argv[1:], sys.path[0], os.path.samefile(sys.argv[0], __file__), file=sys.stderr)
        import sibling
        assert sys.modules["__main__"].__dict__ is globals()
        """,
    )
    place.write("sub/sibling.py", "")
    words = ["check", "--port", "1", "--", "stop", "-x"]
    direct = place.python("sub/args.py", *words)
    command = place.skitai("sub/args.py", *words)
    assert direct.stderr == f"__main__ {words} {place.folder}/sub True\n"
    assert command.stderr.splitlines()[0] == direct.stderr.strip()


def test_a_variable_of_a_module_is_served_without_a_script(place: Place) -> None:
    file = place.write("shop/web/wsgi.py", "application = print")
    place.write("shop/__init__.py", "")
    (line,) = mounts(place.skitai("check", "shop.web.wsgi:application", "--port", "1"))
    assert line == f"/ {file}:application command line:1"
    (line,) = mounts(place.skitai("check", "shop/web/wsgi.py:application"))
    assert line == f"/ {file}:application command line:1"


def test_a_folder_is_served_without_a_script(place: Place) -> None:
    (place.folder / "public").mkdir()
    assert mounts(place.skitai("check", "public")) == [f"/ {place.folder}/public/ command line:1"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "say what to do, for instance: skitai run app.py (skitai --help prints everything)"),
        (["strat", "app.py"], 2, "unknown word 'app.py'"),
        (["run", "gone.py"], 1, "there is no gone.py: name a script, a folder, or module:variable"),
        (["check", "gone:app"], 1, "there is no module gone in {folder} nor on the path of Python"),
        (["run", "--prot", "1"], 2, "unknown option '--prot'; did you mean --port?"),
        (["run", "quiet.py"], 1, "{folder}/quiet.py does not call skitai.run(); to serve a variable of it: skitai run "),
        (["run", "bare.py"], 1, "{folder}/bare.py: nothing is mounted; call skitai.mount() before skitai.run()"),
        (["start", "-v"], 2, "start and -v do not go together: a server in the background has no console"),
        (["reload"], 3, "skitai({name}/app) is not running"),
        (["logs"], 1, "there are no log files in "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(place: Place, words: list[str], code: int, message: str) -> None:
    place.write("quiet.py", "")
    place.write("bare.py", "import skitai; skitai.run()")
    done = place.skitai(*words)
    expected = message.format(folder=place.folder, name=place.folder.name)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1


def test_nothing_runs_yet(place: Place) -> None:
    for run in (lambda *words: place.python("app.py", *words), place.skitai):
        status, stop = run("status", *(["app.py"] if run == place.skitai else [])), run("stop")
        assert (status.returncode, status.stdout) == (3, f"skitai({place.folder.name}/app) is not running\n")
        assert (stop.returncode, stop.stdout) == (0, f"skitai({place.folder.name}/app) is not running\n")


@pytest.mark.parametrize("name", ["skitai", "skitai-smtpda", "skitai-cron"])
def test_the_launchers_of_the_distribution_are_the_same_commands(name: str) -> None:
    launcher = ROOT / "bin" / name
    assert os.access(launcher, os.X_OK)
    done = subprocess.run([sys.executable, str(launcher), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Skitai ")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    [entry] = re.findall(rf"^{name} = (\S+)$", setup["options.entry_points"]["console_scripts"], re.MULTILINE)
    module, _, function = entry.partition(":")
    assert f"from {module} import {function}\n" in launcher.read_text()


def test_a_server_without_jobs_does_not_load_calendars() -> None:
    code = "import sys; from skitai import cli; print('croniter' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# The probe ------------------------------------------------------------------------------------------------------------


def probe(place: Place, *words: str) -> tuple[int, dict[str, object]]:
    done = place.skitai("_probe", *words)
    (line,) = done.stdout.splitlines()
    return done.returncode, json.loads(line)


def test_a_probe_loads_everything_and_answers_in_one_line(place: Place) -> None:
    place.write("app.py", "print('loading', flush=True)\n" + SCRIPT)
    assert probe(place, "app.py", "start") == (0, {"ok": True, "reason": ""})


def test_a_probe_does_not_wait_for_threads(place: Place) -> None:
    place.write("app.py", "import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + SCRIPT)
    assert probe(place, "app.py") == (0, {"ok": True, "reason": ""})


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def app(:", "SyntaxError: invalid syntax ({folder}/app.py:1)"),
        ("import gone_for_good", "ModuleNotFoundError: No module named 'gone_for_good' ({folder}/app.py:1)"),
        ("x = 1", "{folder}/app.py does not call skitai.run(); to serve a variable of it: skitai run MODULE:VARIABLE"),
        ("import sys; sys.exit('no key')", "{folder}/app.py ended before it called skitai.run(): no key"),
        (
            "import skitai; skitai.mount('/', 'a'); skitai.mount('/b', 'b'); skitai.run(prot=1)",
            "app.py:1: prot: there is no such option; did you mean port?; "
            "app.py:1: mount '/': there is no folder {folder}/a and no file {folder}/a.py; "
            "app.py:1: mount '/b': there is no folder {folder}/b and no file {folder}/b.py",
        ),
        (
            "import skitai; skitai.mount('/', 'broken'); skitai.run()",
            "{folder}/broken.py: SyntaxError",
        ),
    ],
)
def test_a_probe_says_why_it_would_not_do(place: Place, code: str, reason: str) -> None:
    place.write("app.py", code)
    place.write("broken.py", "app = (")
    path = str(place.folder / "app.py")
    exit_code, answer = probe(place, path)
    assert exit_code == 1
    assert answer["ok"] is False
    assert str(answer["reason"]).startswith(reason.format(folder=place.folder))
