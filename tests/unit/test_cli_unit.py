"""The text of systemd units."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skitai.cli.unit import Unit, check_name, command, name_of, service, socket, stream
from skitai.errors import StartError

UNIT = Unit(
    name="shop-app",
    description="skitai(shop/app) on Skitai",
    start=["/venv/bin/python", "/srv/shop/app.py", "run", "--port", "8080"],
    reload=["/venv/bin/python", "/srv/shop/app.py", "reload"],
    folder="/srv/shop",
    user="www-data",
)


def directives(text: str) -> dict[str, str]:
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def test_a_service_says_who_runs_what_and_how_it_is_watched() -> None:
    said = directives(service(UNIT))
    assert said["ExecStart"] == "/venv/bin/python /srv/shop/app.py run --port 8080"
    assert said["ExecReload"] == "/venv/bin/python /srv/shop/app.py reload"
    assert (said["Type"], said["NotifyAccess"], said["WatchdogSec"]) == ("notify", "main", "30")
    assert (said["User"], said["WorkingDirectory"]) == ("www-data", "/srv/shop")
    assert (said["KillMode"], said["Restart"]) == ("mixed", "on-failure")
    assert not {"Group", "Requires", "AmbientCapabilities"} & said.keys()


def test_systemd_waits_longer_than_the_server_does() -> None:
    said = directives(service(replace(UNIT, stop_s=90, start_s=240)))
    assert (said["TimeoutStopSec"], said["TimeoutStartSec"]) == ("95", "245")


def test_root_needs_no_user_and_a_home_no_path() -> None:
    said = directives(service(replace(UNIT, user="", folder="", low_port=True)))
    assert "User" not in said
    assert "AmbientCapabilities" not in said
    assert said["WorkingDirectory"] == "~"


def test_an_ordinary_user_may_be_let_bind_a_low_port() -> None:
    said = directives(service(replace(UNIT, low_port=True, group="shop")))
    assert (said["AmbientCapabilities"], said["Group"]) == ("CAP_NET_BIND_SERVICE", "shop")


def test_variables_are_quoted() -> None:
    text = service(replace(UNIT, environ=("SKITAI_WORKERS=2", "SKITAI_SERVER_NAME=50% $off")))
    assert "Environment=SKITAI_WORKERS=2\n" in text
    assert 'Environment="SKITAI_SERVER_NAME=50%% $$off"\n' in text


def test_a_socket_unit_listens_in_place_of_the_server() -> None:
    unit = replace(UNIT, sockets=("127.0.0.1:80", "/run/shop.sock"), backlog=100, unix_mode="0660")
    said = directives(service(unit))
    assert (said["Requires"], said["After"]) == ("shop-app.socket", "shop-app.socket")
    text = socket(unit)
    assert (
        "ListenStream=127.0.0.1:80\nListenStream=/run/shop.sock\nBacklog=100\nSocketMode=0660\nSocketUser=www-data\n" in text
    )
    assert "WantedBy=sockets.target" in text
    assert "SocketMode" not in socket(replace(unit, sockets=("[::1]:80",)))


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/srv/app.py", "/srv/app.py"),
        ("--port=80", "--port=80"),
        ("two words", '"two words"'),
        ('a "b"', '"a \\"b\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ("", '""'),
        ("a;b", '"a;b"'),
        ("Größe", '"Größe"'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, quoted: str) -> None:
    assert command(["/bin/x", word]) == f"/bin/x {quoted}"


def test_what_no_unit_can_hold_is_refused() -> None:
    for unit in (
        replace(UNIT, start=["/bin/x", "a\nb"]),
        replace(UNIT, folder="/srv/a\nb"),
        replace(UNIT, environ=("A=\n",)),
    ):
        with pytest.raises(StartError, match="cannot stand in a unit: it holds a control character"):
            service(unit)


@pytest.mark.parametrize(
    ("bind", "listens"),
    [("127.0.0.1:5000", "127.0.0.1:5000"), ("[::1]:80", "[::1]:80"), ("unix:/run/a.sock", "/run/a.sock")],
)
def test_what_systemd_can_listen_on(bind: str, listens: str) -> None:
    assert stream(bind) == listens


@pytest.mark.parametrize("bind", ["localhost:80", "127.0.0.1:0", "fd:3"])
def test_what_systemd_cannot_listen_on(bind: str) -> None:
    with pytest.raises(
        StartError, match=f"--socket: systemd cannot listen on {bind}: it should be an IP address with a port"
    ):
        stream(bind)


@pytest.mark.parametrize(
    ("title", "name"), [("skitai(shop/app)", "shop-app"), ("skitai(my shop/app)", "my-shop-app"), ("skitai(/ü)", "skitai")]
)
def test_a_name_is_made_from_the_title(title: str, name: str) -> None:
    assert check_name(name_of(title)) == name


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ä", "x" * 300])
def test_a_name_that_systemd_would_refuse(name: str) -> None:
    with pytest.raises(StartError, match="is no name for a unit"):
        check_name(name)
