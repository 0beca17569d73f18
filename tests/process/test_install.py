"""``install``: what it writes, where, and what it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import sys

import pytest

from skitai.config.disk import look
from skitai.config.targets import Seen
from tests.support.dialogue import ROOT
from tests.support.place import Place
from tests.support.user import FOR_EVERYBODY, python_for_everybody

pytestmark = pytest.mark.process

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def bare(place: Place) -> Place:
    """A place whose options come from nowhere else."""
    for name in [each for each in place.environ if each.startswith("SKITAI_")]:
        del place.environ[name]
    return place


def unit(place: Place, name: str = "") -> str:
    return (place.folder / "units" / (name or f"{place.folder.name}-app.service")).read_text()


def install(place: Place, *words: str) -> str:
    (place.folder / "units").mkdir(exist_ok=True)
    done = place.python("app.py", "install", "--to", "units", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def refuses(place: Place, *words: str, code: int = 1) -> str:
    (place.folder / "units").mkdir(exist_ok=True)
    done = place.python("app.py", "install", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    return done.stderr


def test_a_script_gets_a_unit_and_is_told_what_to_run(bare: Place) -> None:
    name = f"{bare.folder.name}-app.service"

    said = install(bare, "--user", ME, "--port", "8080", "--no-compress")

    assert said.splitlines() == [
        f"written units/{name}",
        "now run:",
        f"  cp units/{name} /etc/systemd/system/",
        "  systemctl daemon-reload",
        f"  systemctl enable --now {name}",
    ]
    text = unit(bare)
    assert f"ExecStart={sys.executable} {bare.folder}/app.py run --port 8080 --no-compress\n" in text
    assert f"ExecReload={sys.executable} {bare.folder}/app.py reload\n" in text
    assert f"User={ME}\nWorkingDirectory={bare.folder}\n" in text
    assert stat.S_IMODE((bare.folder / "units" / name).stat().st_mode) == 0o644
    assert os.listdir(bare.folder / "units") == [name]


def test_what_is_there_is_kept_unless_forced(bare: Place) -> None:
    install(bare, "--user", ME)
    (bare.folder / "units" / f"{bare.folder.name}-app.service").write_text("mine")

    assert "is there already; --force writes over it" in refuses(bare, "--user", ME, "--to", "units")

    assert unit(bare) == "mine"
    install(bare, "--user", ME, "--force")
    assert "ExecStart=" in unit(bare)


def test_with_a_socket_there_are_two_units(bare: Place) -> None:
    said = install(
        bare, "--user", ME, "--socket", "--name", "shop", "--bind", "127.0.0.1:80", "--bind", "unix:/run/shop.sock"
    )
    assert "  systemctl enable --now shop.socket shop.service\n" in said
    assert "ListenStream=127.0.0.1:80\nListenStream=/run/shop.sock\n" in unit(bare, "shop.socket")
    assert "Requires=shop.socket\n" in unit(bare, "shop.service")


def test_a_place_and_a_file_that_were_named_count_for_the_reload_too(bare: Place) -> None:
    bare.write("site.toml", "[server]\nworkers = 2\n")
    install(bare, "--user", ME, "--varpath", "/srv/var", "--config", "site.toml")
    for line in ("ExecStart", "ExecReload"):
        [said] = [each for each in unit(bare).splitlines() if each.startswith(line)]
        assert f" --config {bare.folder}/site.toml --varpath /srv/var" in said


def test_options_of_the_environment_are_taken_along(bare: Place) -> None:
    bare.environ["SKITAI_WORKERS"] = "3"
    install(bare, "--user", ME)
    assert "Environment=SKITAI_WORKERS=3\n" in unit(bare)
    bare.environ["SKITAI_SMTPDA_PASSWORD"] = "sesame"
    said = refuses(bare, "--user", ME, "--to", "units", "--force")
    assert said == "SKITAI_SMTPDA_PASSWORD: a unit is everybody's to read; put it into a configuration file\n"


def test_low_ports_need_a_capability_unless_root_or_systemd_binds(bare: Place) -> None:
    install(bare, "--user", ME, "--port", "80")
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit(bare)
    install(bare, "--user", ME, "--port", "80", "--socket", "--force", "--address", "0.0.0.0")
    assert "AmbientCapabilities" not in unit(bare)


def test_a_variable_of_a_module_and_a_folder_are_installed_too(bare: Place) -> None:
    bare.write("shop/wsgi.py", "application = print")
    (bare.folder / "units").mkdir()
    for app, name in (("shop.wsgi:application", "shop"), ("shop", "files")):
        done = bare.skitai("install", app, "--user", ME, "--to", "units", "--name", name)
        assert (done.returncode, done.stderr) == (0, "")
        text = unit(bare, f"{name}.service")
        assert f"ExecStart={sys.executable} -m skitai run {bare.folder}/{app}\n" in text
        assert f"ExecReload={sys.executable} -m skitai reload {bare.folder}/{app}\n" in text


def test_a_script_that_names_its_user_is_started_by_root(bare: Place) -> None:
    bare.write("app.py", (bare.folder / "app.py").read_text().replace("port=0", "port=80, user='nobody'"))
    install(bare)
    assert "User=" not in unit(bare)
    assert "AmbientCapabilities" not in unit(bare)


@pytest.mark.parametrize("helper", ["smtpda", "cron"])
def test_a_helper_alone_is_installed_too(bare: Place, helper: str) -> None:
    option = "--max-retry" if helper == "smtpda" else "--jitter-s"
    done = bare.helper(helper, "install", "--as", ME, "--to", ".", option, "3", "--config", "my.conf")
    assert (done.returncode, done.stderr) == (0, "")
    text = (bare.folder / f"skitai-{helper}.service").read_text()
    begin = f"{sys.executable} {os.path.abspath('bin')}/skitai-{helper}"
    assert f"ExecStart={begin} run --config {bare.folder}/my.conf {option} 3\n" in text
    assert f"ExecReload={begin} reload --config {bare.folder}/my.conf\n" in text
    assert f"User={ME}\nWorkingDirectory=~\n" in text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--user", "nosuchuser", "--to", "units"], 1, "there is no user 'nosuchuser' on this machine\n"),
        (["--user", ME, "--to", "nowhere"], 1, "cannot write nowhere/"),
        (["--user", ME, "--to", "app.py"], 1, "cannot write app.py/"),
        (["--user", ME, "--to", "units", "--name", "a/b"], 1, "--name: 'a/b' is no name for a unit"),
        (["--user", ME, "--to", "units", "--socket"], 1, "--socket: systemd cannot listen on 127.0.0.1:0: "),
        (["--user", ME, "--to", "units", "--workers", "none"], 1, "--workers: 'none' is not a whole number\n"),
        (["--to"], 2, "--to needs a value\n"),
        (["-d", "--to", "units"], 2, "-d: install and start do not go together\n"),
    ],
)
def test_what_cannot_be_installed_is_one_line_and_a_code(bare: Place, words: list[str], code: int, message: str) -> None:
    assert refuses(bare, *words, code=code).startswith(message)
    assert os.listdir(bare.folder / "units") == []


def test_what_goes_with_install_goes_with_nothing_else(bare: Place) -> None:
    for word in ("--socket", "--force", "--to=x", "--as=x", "--name=x"):
        done = bare.python("app.py", "check", word)
        assert (done.returncode, done.stderr) == (2, f"{word.partition('=')[0]} goes with install\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to say whom")
def test_root_has_to_say_whom_and_whoever_it_is_has_to_be_able_to_read(bare: Place) -> None:
    assert refuses(bare, "--to", "units") == "say who it should be: --user NAME\n"
    bare.folder.chmod(0o700)
    assert refuses(bare, "--user", "nobody", "--to", "units").startswith("the user 'nobody' cannot read ")
    done = bare.helper("cron", "install", "--to", "units")
    assert (done.returncode, done.stderr) == (1, "say who it should be: --as NAME\n")
    command = shutil.copy(ROOT / "bin" / "skitai-cron", bare.folder)
    done = bare.python(str(command), "install", "--as", "nobody", "--to", "units")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the user 'nobody' cannot read ")


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes somebody else for it")
def test_others_than_root_are_shown_what_root_could_install(bare: Place, open_folder: object) -> None:
    script = f"{open_folder}/app.py"
    with open(script, "w", encoding="utf-8") as file:
        file.write((bare.folder / "app.py").read_text())
    assert look(script) is Seen.FILE
    bare.environ["PYTHONPATH"] = FOR_EVERYBODY
    command = ["import os, sys; os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"]
    done = bare.python("-c", *command, python_for_everybody(), script, "install")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# /etc/systemd/system/")
    assert "\nUser=nobody\n" in done.stdout
    assert done.stderr == "only root can install that: run this as root, or write it to a folder with --to FOLDER\n"
