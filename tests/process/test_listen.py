import errno
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skitai.config.sections.serving import Server
from skitai.errors import StartError
from skitai.net.listen import Listener, open_listeners
from tests.support.user import ordinary_user

pytestmark = pytest.mark.process

FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


class Open:
    """Opens listeners and closes them all at the end."""

    def __init__(self) -> None:
        self.all: list[Listener] = []

    def __call__(self, *bind: str, inherited: tuple[Listener, ...] = (), **server: object) -> list[Listener]:
        self.all += (listeners := open_listeners(Server(bind=bind, **server), inherited, {}))  # type: ignore[arg-type]
        return listeners


@pytest.fixture
def listen() -> Iterator[Open]:
    yield (opened := Open())
    for each in opened.all:
        each.remove()


def answers(listener: Listener) -> bool:
    with socket.socket(listener.socket.family) as client:
        try:
            client.connect(listener.socket.getsockname())
        except ConnectionRefusedError:
            return False
        return True


def no_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
        return False


def test_address_and_port_listen_and_say_where(listen: Open) -> None:
    (listener,) = listen(address="127.0.0.1", port=0)
    port = listener.socket.getsockname()[1]
    assert port
    assert listener.name == f"http://127.0.0.1:{port}"
    assert answers(listener)
    assert not listener.socket.getblocking()
    assert not listener.socket.get_inheritable()


def test_bind_takes_the_place_of_address_and_port(listen: Open) -> None:
    listeners = listen("127.0.0.1:0", "127.0.0.2:0", address="192.0.2.1", port=1)
    assert [each.socket.getsockname()[0] for each in listeners] == ["127.0.0.1", "127.0.0.2"]


def test_a_host_name_is_listened_on_at_all_its_addresses_with_one_port(listen: Open) -> None:
    listeners = listen("localhost:0")
    assert "127.0.0.1" in [each.socket.getsockname()[0] for each in listeners]
    assert len({each.socket.getsockname()[1] for each in listeners}) == 1


@pytest.mark.skipif(no_ipv6(), reason="no IPv6 here")
def test_ipv6_stands_beside_ipv4_on_the_same_port(listen: Open) -> None:
    (four,) = listen("0.0.0.0:0")
    port = four.socket.getsockname()[1]
    (six,) = listen(f"[::]:{port}")
    assert six.name == f"http://[::]:{port}"
    assert six.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_busy_port_is_said_clearly(listen: Open) -> None:
    (listener,) = listen("127.0.0.1:0")
    port = listener.socket.getsockname()[1]
    with pytest.raises(StartError, match=f"^cannot listen on http://127.0.0.1:{port}: the address is already in use$"):
        listen(f"127.0.0.1:{port}")


def test_a_foreign_or_unknown_address_is_said_clearly(listen: Open) -> None:
    with pytest.raises(StartError, match=r"http://192\.0\.2\.1:80\d\d: this machine has no such address"):
        listen("192.0.2.1:8080")
    with pytest.raises(StartError, match=r"unknown address 'no-such-host\.invalid'"):
        listen("no-such-host.invalid:8080")
    with pytest.raises(StartError, match="twice"):
        listen("127.0.0.1:0", "127.0.0.1:0")


@pytest.mark.skipif(FIRST_FREE_PORT.read_text().strip() in ("0", "1"), reason="this kernel forbids no port to anybody")
def test_a_forbidden_port_is_said_clearly(listen: Open) -> None:
    with pytest.raises(StartError, match="^cannot listen on http://127.0.0.1:1: no permission"), ordinary_user():
        listen("127.0.0.1:1")


def test_when_one_fails_none_is_left_open(listen: Open, tmp_path: Path) -> None:
    with pytest.raises(StartError):
        listen(f"unix:{tmp_path}/app.sock", "192.0.2.1:8080")
    assert not list(tmp_path.iterdir())


def test_a_unix_socket_has_its_mode_and_its_file_goes_at_the_end(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    (listener,) = listen(f"unix:{path}", unix_mode="0600")
    assert listener.name == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert answers(listener)
    listener.close()
    assert path.exists(), "a worker that closes its descriptor does not own the file"
    listener.remove()
    assert not path.exists()


def test_a_dead_socket_file_is_replaced_a_living_one_is_not(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    (dead,) = listen(f"unix:{path}")
    dead.close()
    (living,) = listen(f"unix:{path}")
    assert answers(living)
    with pytest.raises(StartError, match="another program listens there"):
        listen(f"unix:{path}")
    assert answers(living)


def test_the_file_of_a_successor_stays(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    (first,) = listen(f"unix:{path}")
    first.close()
    time.sleep(0.02)  # file times have the grain of the kernel's tick
    (second,) = listen(f"unix:{path}")
    first.remove()
    assert answers(second)


def test_what_is_no_socket_is_never_deleted(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear")
    with pytest.raises(StartError, match="exists and is not a socket"):
        listen(f"unix:{path}")
    assert path.read_text() == "dear"


def test_the_faults_of_unix_paths_are_said_clearly(listen: Open, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file or directory"):
        listen(f"unix:{tmp_path}/missing/app.sock")
    with pytest.raises(StartError, match="too long"):
        listen(f"unix:{tmp_path}/{'x' * 120}")


def test_a_given_descriptor_is_listened_on(listen: Open) -> None:
    given = socket.create_server(("127.0.0.1", 0))
    (listener,) = listen(f"fd:{given.detach()}")
    assert listener.name.startswith("http://127.0.0.1:")
    assert answers(listener)


def test_a_wrong_descriptor_is_said_clearly(listen: Open, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="descriptor 987654 is no open socket"):
        listen("fd:987654")
    with (tmp_path / "file").open("w") as file, pytest.raises(StartError, match="is no open socket"):
        listen(f"fd:{file.fileno()}")
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(StartError, match="not a bound stream socket"):
        listen(f"fd:{datagrams.fileno()}")
    with socket.socket() as unbound, pytest.raises(StartError, match="not a bound stream socket"):
        listen(f"fd:{unbound.fileno()}")


def test_a_connection_is_no_listener(listen: Open) -> None:
    (listener,) = listen("127.0.0.1:0")
    with socket.create_connection(listener.socket.getsockname()) as client:
        accepted = os.dup(client.fileno())
        with pytest.raises(StartError, match=f"cannot listen on fd:{accepted}: Invalid argument"):
            listen(f"fd:{accepted}")


def test_a_new_generation_keeps_what_is_still_wanted_and_closes_the_rest(listen: Open, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    old = listen("127.0.0.1:0", f"unix:{path}")
    new = listen("127.0.0.1:0", "127.0.0.2:0", inherited=tuple(old))
    assert new[0].socket is old[0].socket
    assert answers(new[0])
    assert answers(new[1])
    assert old[1].socket.fileno() == -1
    assert not path.exists()


def test_the_same_address_under_another_name_is_kept_too(listen: Open) -> None:
    (old,) = listen("127.0.0.1:0")
    port = old.socket.getsockname()[1]
    new = listen(f"localhost:{port}", inherited=(old,))
    assert old.socket in [each.socket for each in new]
    assert {each.spec for each in new} == {f"localhost:{port}"}
    assert answers(old)


def test_a_generation_that_cannot_listen_leaves_the_old_listeners_alone(listen: Open, tmp_path: Path) -> None:
    old = listen("127.0.0.1:0", f"unix:{tmp_path}/app.sock")
    with pytest.raises(StartError):
        listen("127.0.0.1:0", f"unix:{tmp_path}/new.sock", "192.0.2.1:8080", inherited=tuple(old))
    assert answers(old[0])
    assert answers(old[1])
    assert [each.name for each in tmp_path.iterdir()] == ["app.sock"]


def test_a_listener_survives_an_exec(listen: Open, tmp_path: Path) -> None:
    (listener,) = listen(f"unix:{tmp_path}/app.sock")
    description = listener.hand_over()
    program = f"from skitai.net.listen import Listener\nl = Listener.adopt({description})\nprint(l.name)\nl.remove()"
    descriptor = listener.socket.fileno()
    done = subprocess.run(
        [sys.executable, "-c", program], pass_fds=[descriptor], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == f"unix:{tmp_path}/app.sock"
    assert not list(tmp_path.iterdir())


def test_sockets_of_the_service_manager_take_the_place_of_the_configuration() -> None:
    program = """if True:
        import os, socket
        given = socket.create_server(("127.0.0.1", 0))
        if given.fileno() != 3:
            os.dup2(given.fileno(), 3)
        os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        from skitai.config.sections.serving import Server
        from skitai.net.listen import open_listeners
        first = open_listeners(Server(address="192.0.2.1"))
        assert first[0].socket.getsockname() == given.getsockname()
        assert not [name for name in os.environ if name.startswith("LISTEN_")]
        assert open_listeners(Server(address="192.0.2.1"), first) == first
        print("well")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "well\n", done.stderr


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    (listener,) = open_listeners(Server(port=0), environ=environ)
    assert listener.name.startswith("http://127.0.0.1:")
    assert environ == {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    listener.remove()


def test_connections_send_small_pieces_at_once(listen: Open) -> None:
    (listener,) = listen("127.0.0.1:0")
    with socket.create_connection(listener.socket.getsockname()):
        accepted, _ = listener.socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
