"""gRPC in a real server: over TLS, with several workers, at a reload and at a stop."""

from __future__ import annotations

import datetime
import queue
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from skitai.net.x509 import make_self_signed
from tests.support.dialogue import eventually
from tests.support.guide import generate, pb, stubs
from tests.support.site import Site

pytestmark = pytest.mark.process

PATIENCE_S = 30

APP = """
    import os

    import guide_pb2 as pb
    from skitai.saddle import Saddle

    app = Saddle(__name__)
    app.set_mount_point("/guide.Guide")
    app.enable_grpc(reflection=True, health=True)


    @app.route("/GetFeature")
    def get(was, point):
        return pb.Feature(name=str(os.getpid()))


    @app.route("/RecordRoute")
    def record(was, points):
        return pb.Summary(points=sum(1 for _ in points))


    @app.route("/RouteChat")
    def chat(was, notes):
        for note in notes:
            yield pb.Note(text=f"{os.getpid()} {note.text}")
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Any]:
    made: list[Site] = []

    def start(**options: Any) -> Site:
        generate(tmp_path)
        made.append(Site(tmp_path, APP, **options))
        return made[-1].start()

    yield start
    for each in made:
        each.stop()


class Talk:
    """A conversation that goes on until it is ended."""

    def __init__(self, guide: Any) -> None:
        self._asking: queue.Queue[Any] = queue.Queue()
        self.answers = guide.RouteChat(iter(self._asking.get, None), timeout=PATIENCE_S)

    def ask(self, text: str) -> tuple[str, str]:
        """The worker that answers, and what it says."""
        self._asking.put(pb.Note(text=text))
        pid, _, said = next(self.answers).text.partition(" ")
        return pid, said

    def end(self) -> Any:
        """How it ended."""
        self._asking.put(None)
        assert list(self.answers) == []
        return self.answers.code()


def test_over_tls(site: Any, tmp_path: Path) -> None:
    pair = make_self_signed(["localhost"], 2, datetime.datetime.now(datetime.UTC))
    for suffix, data in zip(("crt", "key"), pair, strict=True):
        (tmp_path / f"server.{suffix}").write_bytes(data)
    server = site(certfile=str(tmp_path / "server.crt"), keyfile=str(tmp_path / "server.key"))
    port = server.hears_that(r"https://127\.0\.0\.1:\d+").split("127.0.0.1:")[1].split()[0].strip("/,")
    trust = grpc.ssl_channel_credentials((tmp_path / "server.crt").read_bytes())
    with grpc.secure_channel(f"localhost:{port}", trust) as channel:
        guide = stubs.GuideStub(channel)
        assert guide.GetFeature(pb.Point(), timeout=PATIENCE_S).name.isdigit()
        assert guide.RecordRoute(iter([pb.Point()] * 1000), timeout=PATIENCE_S).points == 1000
        talk = Talk(guide)
        assert [talk.ask(str(number))[1] for number in range(50)] == [str(number) for number in range(50)]
        assert talk.end() is grpc.StatusCode.OK


def test_a_reload_lets_streams_end_and_begins_new_ones_elsewhere(site: Any) -> None:
    server = site(workers=2)
    address = f"127.0.0.1:{server.port}"
    with grpc.insecure_channel(address) as channel:
        talk = Talk(stubs.GuideStub(channel))
        old, said = talk.ask("before")
        assert said == "before"
        assert server.ask("reload").ok
        assert talk.ask("after") == (old, "after")

        def fresh() -> str:
            with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as another:
                return str(stubs.GuideStub(another).GetFeature(pb.Point(), timeout=PATIENCE_S).name)

        assert fresh() != old
        elsewhere = stubs.GuideStub(channel).GetFeature(pb.Point(), timeout=PATIENCE_S, wait_for_ready=True)
        assert elsewhere.name != old
        assert talk.end() is grpc.StatusCode.OK
    eventually(lambda: any("/guide.Guide/RouteChat" in line for line in server.lines), "logged")


def test_a_stop_ends_what_does_not_end(site: Any) -> None:
    server = site(grace_s=1)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        talk = Talk(stubs.GuideStub(channel))
        assert talk.ask("hello")[1] == "hello"
        server.signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            next(talk.answers)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.leaves() == 0
    assert "Traceback" not in server.said
