"""Saddle's hello, one with arguments, and one that reads a session."""

from __future__ import annotations

from skitai.saddle import Saddle, Was

app = Saddle(__name__)
app.securekey = "a secret of the benchmark, and of it alone"
app.session_timeout = 86400


@app.route("/")
def hello(was: Was) -> str:
    return "Hello, World!"


@app.route("/coroutine")
async def coroutine(was: Was) -> str:
    return "Hello, World!"


@app.route("/args/<int:number>")
def args(was: Was, number: int, name: str, page: int = 1) -> str:
    return f"{number} {name} {page}"


@app.route("/sign-in")
def sign_in(was: Was) -> str:
    was.session["user"] = "somebody"
    return "signed in"


@app.route("/session")
def session(was: Was) -> str:
    return f"Hello, {was.session['user']}!"
