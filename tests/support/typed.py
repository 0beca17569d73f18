"""An app as people with a type checker write it. ``make test`` has mypy read it, strictly; nobody runs it.

Where a comment ignores an error mypy has to find one, or it complains of the comment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, assert_type

import skitai
from skitai import was as anywhere
from skitai.saddle import Saddle, UploadedFile, Was

app = Saddle(__name__)
app.debug = True
app.use_reloader = True
app.securekey = "a secret of this app"
app.session_timeout = 1200
app.authenticate = "bearer"
app.authorization = "digest"
app.realm = "Partners"
app.users = {"ann": ("open sesame", False, {"role": "buyer"})}
app.access_control_allow_origin = ["*"]
app.access_control_max_age = 3600
app.max_client_body_size = "8M"
app.config["shelf"] = 1
app.config.shelf = 2
app.enable_docs("/docs")


@dataclass
class Order:
    item: str
    count: int = 1


@app.route("/")
def index(was: Was) -> str:
    assert_type(was.app, Saddle)
    assert_type(was.request.method, str)
    assert_type(was.request.body, bytes)
    assert_type(was.render("index.html", choice=2), str)
    assert_type(was.ab(index), str)
    was.session.set("number", 1)
    was.mbox.send("Hello", "greeting", valid=60, icon="sun")
    was.cookie.set("name", "value", expires="never", path="/")
    was.response.set_header("X-Number", 7)
    was.g.anything = was.request.args.anything
    was.session.no_such_thing()  # type: ignore[attr-defined]
    was.ab()  # type: ignore[call-arg]
    return was.ab("order", 3)


@app.route("/orders", methods=["POST"])
async def order(was: Was, order: Order, scan: UploadedFile | None = None) -> dict[str, Any]:
    if scan is not None:
        assert_type(scan.read(), bytes)
        scan.save("inbox", dup="o")
    return {"item": order.item, "ip": was.request.get_remote_addr()}


@app.route("/lines")
def lines(was: Was) -> Iterator[str]:
    yield "a line\n"


@app.route("/later")
async def later(was: Was) -> AsyncIterator[str]:
    yield "a line\n"


def note(was: Was) -> None:
    was.log("called", "info")


@app.route("/private")
@app.login_required
@app.permission_required(["admin"])
@app.staff_member_required
@app.authorization_required("basic")
@app.auth_not_required
@app.run_before(note)
@app.run_after(note)
@app.emit_after("seen")
@app.broadcast_after("seen")
def private(was: Was, page: int = 1) -> int:
    return page


private(7)  # type: ignore[arg-type]


@app.before_request
@app.finish_request
@app.teardown_request
def around(was: Was) -> None:
    was.traceback()


@app.failed_request
def failed(was: Was, exc_info: Any) -> str:
    return "There is nothing of that name"


@app.error_handler(404)
@app.default_error_handler
async def missing(was: Was, error: Any) -> str:
    return f"{error.code}"


@app.login_handler
@app.staff_member_check_handler
def login(was: Was) -> Any:
    return was.redirect("/sign-in")


@app.permission_check_handler
def permitted(was: Was, permissions: list[str]) -> bool:
    return "admin" in permissions


@app.bearer_handler
@app.authorization_handler
def known(was: Was, name: str) -> str | None:
    return None


@app.before_mount
@app.umounted
def life(wac: Any) -> None:
    wac.register("searcher", object())


@app.on("seen")
@app.on_broadcast("seen")
def seen(was: Was, number: int) -> None: ...


@app.template_global("price")
def price(was: Was, cents: int) -> str:
    return f"{cents / 100:.2f}"


@app.template_filter
def shout(text: str) -> str:
    return text.upper()


shout(7)  # type: ignore[arg-type]


def outside_of_handlers() -> None:
    assert_type(anywhere.txnid(), str)
    anywhere.log("a line")
    anywhere.log("a line", 7)  # type: ignore[arg-type]


def test() -> None:
    with app.make_client("/shop") as client:
        assert_type(client.get("/").status_code, int)
    with skitai.launch("app.py", port=0) as server:
        assert server.v1.user("ann").get(full="yes").data.name == "ann"


if __name__ == "__main__":
    pref = skitai.pref()
    pref.config.shelf = 3
    skitai.mount("/", app, "app", pref)
    skitai.run(port=5000)
