"""Saddle apps in several workers: what they tell each other, and their lives from start to stop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support.dialogue import eventually
from tests.support.site import Site

pytestmark = pytest.mark.process

TALKATIVE = """
    import os, time
    from skitai.saddle import Saddle

    app = Saddle(__name__)
    heard = []

    @app.on_broadcast("said")
    def in_thread(was, *args, **kwargs):
        request = "request"
        try:
            was.request
        except RuntimeError:
            request = "none"
            if args[0] == "slowly":
                time.sleep(0.001)
        heard.append([request, list(map(repr, args)), kwargs])

    @app.on_broadcast("said")
    async def in_loop(was, *args, **kwargs):
        app.storage["loop"] = app.storage.get("loop", 0) + 1

    @app.on_broadcast("model-changed:users", "users")
    def changed(was, *args, **kwargs):
        heard.append([was.getlu("users") > 0, args, kwargs])

    @app.route("/say")
    def say(was, what, times=1):
        for number in range(int(times)):
            was.broadcast("said", what, number, {1, 1}, more=(1, None))
        return str(os.getpid())

    @app.route("/odd")
    def odd(was):
        was.broadcast("said", object())
        return ""

    @app.route("/large")
    def large(was):
        was.broadcast("said", "x" * 1000000)
        return str(os.getpid())

    @app.route("/update")
    def update(was):
        was.setlu("users", "rosa", kind="C")
        return str(os.getpid())

    @app.route("/heard")
    def what_was_heard(was):
        return was.response.API(pid=os.getpid(), heard=heard[-20:], count=len(heard), loop=app.storage.get("loop", 0))

    @app.route("/counted")
    def counted(was):
        with app.plock:
            path = app.joinpath("count")
            number = int(open(path).read() or 0) if os.path.exists(path) else 0
            time.sleep(0.002)
            open(path, "w").write(str(number + 1))
        return ""
"""


class Workers(Site):
    """A site of several workers, which can be asked one by one."""

    def text(self, path: str) -> str:
        with closing(self.client()) as client:
            client.request("GET", path)
            response = client.getresponse()
            body = response.read().decode()
            assert response.status == 200, f"{path}: {response.status} {body}\n{self.said}"
            return body

    def of_all(self, path: str, key: str = "pid") -> dict[int, Any]:
        """What each worker answers, by pid."""
        pids = set(self.workers().values())

        def answers() -> dict[int, Any]:
            found = json.loads(self.text(path))
            known[found[key]] = found
            return known if pids <= known.keys() else {}

        known: dict[int, Any] = {}
        return dict(eventually(answers, f"all of {pids} answer"))

    def all_heard(self, true: Callable[[dict[str, Any]], bool], what: str) -> dict[int, Any]:
        found: dict[int, Any] = {}

        def they_did() -> bool:
            found.update(self.of_all("/heard"))
            return all(true(found[pid]) for pid in self.workers().values())

        eventually(they_did, what)
        return {pid: found[pid] for pid in self.workers().values()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def make(app: str, pref: str = "", **options: Any) -> Workers:
        made.append(Workers(tmp_path, app, pref, **options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.mark.parametrize("threads", [4, 0])
def test_all_workers_hear_a_broadcast_the_own_one_at_once(site: Callable[..., Workers], threads: int) -> None:
    server = site(TALKATIVE, workers=3, threads=threads)

    own = int(server.text("/say?what=hello"))

    heard = server.all_heard(lambda told: told["count"] == 1 and told["loop"] == 1, "everybody heard it")
    assert len(heard) == 3
    mine = heard.pop(own)
    assert mine["heard"] == [["request", ["'hello'", "0", "{1}"], {"more": [1, None]}]]
    for told in heard.values():
        assert told["heard"] == [["none", ["'hello'", "0", "[1]"], {"more": [1, None]}]]


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
def test_many_broadcasts_come_in_order_and_large_ones_whole(site: Callable[..., Workers], engine: str) -> None:
    server = site(TALKATIVE, workers=3, engine=engine)

    server.text("/say?what=much&times=3000")

    heard = server.all_heard(lambda told: told["count"] == 3000 and told["loop"] == 3000, "everybody heard all")
    for told in heard.values():
        assert [args[1] for _, args, _ in told["heard"]] == [str(number) for number in range(2980, 3000)]
    server.text("/large")
    heard = server.all_heard(lambda told: told["count"] == 3001, "everybody heard the large one")
    assert all(len(told["heard"][-1][1][0]) == 1_000_002 for told in heard.values())


def test_workers_that_hear_slowly_hear_everything(site: Callable[..., Workers]) -> None:
    server = site(TALKATIVE, workers=2)

    own = int(server.text("/say?what=slowly&times=2500"))

    behind = [told["count"] for pid, told in server.of_all("/heard").items() if pid != own]
    assert behind[0] < 2500, "it has more to do than it can"
    heard = server.all_heard(lambda told: told["count"] == 2500 and told["loop"] == 2500, "everybody heard all")
    for told in heard.values():
        assert [args[1] for _, args, _ in told["heard"]] == [str(number) for number in range(2480, 2500)]


def test_an_update_is_an_event_in_every_worker(site: Callable[..., Workers]) -> None:
    server = site(TALKATIVE, workers=2, pref="skitai.deflu('users')")

    server.text("/update")

    heard = server.all_heard(lambda told: told["count"] == 2, "everybody heard both events")
    assert all(told["heard"] == [[True, ["rosa"], {"kind": "C"}]] * 2 for told in heard.values())


def test_what_has_no_json_form_is_the_app_s_error_where_there_are_others(site: Callable[..., Workers]) -> None:
    server = site(TALKATIVE, workers=2)

    with closing(server.client()) as client:
        client.request("GET", "/odd")
        assert client.getresponse().status == 500

    server.hears_that("broadcast 'said' cannot go to other workers: .*not JSON serializable: object")
    assert server.all_heard(lambda told: True, "")


def test_one_worker_passes_anything(site: Callable[..., Workers]) -> None:
    assert site(TALKATIVE, workers=1).text("/odd") == ""


def test_a_killed_worker_is_replaced_and_hears_what_comes_then(site: Callable[..., Workers]) -> None:
    server = site(TALKATIVE, workers=2)
    server.text("/say?what=before")
    server.all_heard(lambda told: told["count"] == 1, "both heard it")

    numbers = server.workers()
    os.kill(numbers[1], signal.SIGKILL)
    server.has_workers(0, 2)
    server.text("/say?what=after")

    heard = server.all_heard(lambda told: told["heard"][-1:] and told["heard"][-1][1][0] == "'after'", "both heard it")
    assert sorted(told["count"] for told in heard.values()) == [1, 2]


def test_a_new_generation_and_the_old_one_hear_each_other(site: Callable[..., Workers]) -> None:
    server = site(TALKATIVE, workers=2, keep_alive=20)
    with closing(server.client()) as old:  # as long as it idles, a worker of the old generation lingers
        old.request("GET", "/heard")
        before = json.loads(old.getresponse().read())["pid"]
        assert server.ask("reload").ok
        server.text("/say?what=new")
        server.all_heard(lambda told: told["count"] == 1, "the new ones heard it")
        old.request("GET", "/heard")
        told = json.loads(old.getresponse().read())
    assert told["pid"] == before
    assert told["heard"][-1][1][0] == "'new'"


def test_the_process_lock_is_for_all_workers_and_ends_with_its_holder(site: Callable[..., Workers]) -> None:
    server = site(TALKATIVE, workers=3)

    def count() -> None:
        for _ in range(20):
            server.text("/counted")

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (server.folder / "count").read_text() == "120"


# From start to stop

LIVING = """
    import os, time
    from skitai import saddle
    from skitai.saddle import Saddle
    from decorative import parts

    app = Saddle(__name__)
    app.use_reloader = True

    def note(text):
        with open(app.joinpath("life"), "a") as file:
            file.write(f"{VERSION} {text}\\n")

    VERSION = parts.VERSION

    @app.on(saddle.app_starting)
    def starting(wac):
        note(f"starting {wac.numthreads}")

    @app.on(saddle.app_started)
    async def started(wac):
        note("started")

    @app.on(saddle.app_mounted)
    def mounted_event(was):
        note(f"mounted event {was.app is app}")

    @app.on(saddle.app_restarting)
    def restarting(wac):
        note(f"restarting {wac.engine}")

    @app.on(saddle.app_restarted)
    def restarted(wac):
        note("restarted")

    @app.on(saddle.app_unmounting)
    def umounting(was):
        note("umounting event")

    @app.before_mount
    def before_mount(wac):
        wac.register("engine", "the engine")
        wac.logger.make_logger("login", "daily").log("login is open", "warn")
        wac.logger.get("app")("app is open")
        note(f"before_mount {wac.config.server.workers}")

    @app.mounted
    async def mounted(was):
        note(f"mounted {was.engine}")

    @app.mounted_or_reloaded
    def mounted_or_reloaded(was):
        note("mounted_or_reloaded")
        raise LookupError("in a hook")

    @app.before_reload
    def before_reload(was):
        note("before_reload")

    @app.reloaded
    def reloaded(was):
        note("reloaded")
        app.config.max_post_body_size = parts.SIZE

    @app.before_umount
    def before_umount(was):
        note("before_umount")

    @app.umounted
    async def umounted(wac):
        wac.unregister("engine")
        note(f"umounted {hasattr(wac, 'engine')}")

    @app.route("/")
    def index(was):
        return VERSION + " " + was.engine

    @app.route("/ping")
    @app.broadcast_after("ping")
    def ping(was):
        return ""

    @app.route("/slow")
    def slow(was):
        while not os.path.exists(app.joinpath("go")):
            time.sleep(0.01)
        note("slow request over")
        return VERSION
"""

PARTS = """
    VERSION = "one"
    SIZE = 1000
    SCHEME = None

    def decorate(app):
        @app.route("/part", authenticate=SCHEME)
        def part(was):
            return f"part {VERSION}"

        @app.on_broadcast("ping")
        def ping(was):
            with open(app.joinpath("life"), "a") as file:
                file.write(f"{VERSION} ping\\n")

    def dettach(app):
        with open(app.joinpath("life"), "a") as file:
            file.write(f"{VERSION} dettach\\n")
"""

AT_START = [
    "starting 4",
    "started",
    "before_mount 1",
    "mounted the engine",
    "mounted_or_reloaded",
    "mounted event True",
]


@pytest.fixture
def living(site: Callable[..., Workers], tmp_path: Path) -> Workers:
    (tmp_path / "decorative").mkdir()
    (tmp_path / "decorative" / "parts.py").write_text(dedent(PARTS))
    return site(LIVING)


def life(server: Workers) -> list[str]:
    return (server.folder / "life").read_text().splitlines()


def test_an_app_s_hooks_are_called_in_order_at_start_and_stop(living: Workers) -> None:
    assert living.text("/") == "one the engine"
    assert living.text("/part") == "part one"
    assert life(living) == [f"one {each}" for each in AT_START]
    assert "in a hook" in living.said, "errors in hooks are logged and the app stays mounted"
    assert "[warn] login is open" in (living.logs / "login.log").read_text()
    assert "app is open" in living.said

    living.signal(signal.SIGTERM)
    living.leaves()

    ends = ["umounting event", "before_umount", "dettach", "umounted False"]
    assert life(living)[len(AT_START) :] == [f"one {each}" for each in ends]


def test_new_code_takes_over_in_order_and_the_old_lets_go_after_its_last_request(living: Workers) -> None:
    slow: list[str] = []
    waiting = threading.Thread(target=lambda: slow.append(living.text("/slow")))
    waiting.start()
    time.sleep(0.1)
    file = living.folder / "decorative" / "parts.py"
    file.write_text(file.read_text().replace('"one"', '"two"'))

    eventually(lambda: living.text("/") == "two the engine", "the new code serves")
    assert living.text("/part") == "part two"
    (living.folder / "go").touch()
    waiting.join()
    assert slow == ["one"]
    eventually(lambda: life(living)[-1] == "one dettach", "the old code lets go")
    taken_over = [
        "one before_reload",
        "one restarting the engine",
        "two restarted",
        "two reloaded",
        "two mounted_or_reloaded",
        "one slow request over",
        "one dettach",
    ]
    assert life(living)[len(AT_START) :] == taken_over
    living.text("/ping")
    assert life(living)[-2:] == ["one dettach", "two ping"], "handlers of the old code hear nothing any more"

    living.signal(signal.SIGTERM)
    living.leaves()
    assert life(living)[-4:] == ["two umounting event", "two before_umount", "two dettach", "two umounted False"]
    assert life(living).count("one dettach") == 1


def test_a_module_that_cannot_decorate_keeps_the_old_code(living: Workers) -> None:
    file = living.folder / "decorative" / "parts.py"
    good = file.read_text()
    raising = "def decorate(app):\n    raise LookupError('no part')"
    file.write_text(good.replace('"one"', '"two"').replace("def decorate(app):", raising))

    living.hears_that(r"parts.py: decorate\(app\): LookupError: no part; the old code goes on")

    assert living.text("/") == "one the engine"
    assert living.text("/part") == "part one"
    assert life(living)[len(AT_START) :] in ([], ["two dettach"])
    file.write_text(good.replace('"one"', '"three"'))
    eventually(lambda: living.text("/part") == "part three", "the repaired code serves")
    assert "one dettach" in eventually(lambda: [each for each in life(living) if each == "one dettach"], "it lets go")


@pytest.mark.parametrize(
    ("change", "why", "noted"),
    [
        (("SCHEME = None", 'SCHEME = "password"'), "the route part of the app at /: ", ["two dettach"]),
        (
            ("SIZE = 1000", 'SIZE = "much"'),
            "the app at /: config.max_post_body_size: ",
            [
                "one before_reload",
                "one restarting the engine",
                "two restarted",
                "two reloaded",
                "two mounted_or_reloaded",
                "two dettach",
            ],
        ),
    ],
)
def test_an_app_that_will_not_do_leaves_the_old_one_whole(
    living: Workers, change: tuple[str, str], why: str, noted: list[str]
) -> None:
    file = living.folder / "decorative" / "parts.py"
    good = file.read_text()
    file.write_text(good.replace('"one"', '"two"').replace(*change))

    living.hears_that(f"{why}.*the old code goes on")

    assert life(living)[len(AT_START) :] == noted
    living.text("/ping")
    assert life(living)[-1] == "one ping"
    living.signal(signal.SIGTERM)
    living.leaves()
    assert life(living)[-4:] == ["one umounting event", "one before_umount", "one dettach", "one umounted False"]
