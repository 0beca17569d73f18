"""Flask's hello, one with arguments, and one that reads a session."""

from __future__ import annotations

from flask import Flask, request, session

app = Flask(__name__)
app.secret_key = "a secret of the benchmark, and of it alone"


@app.route("/")
def hello() -> str:
    return "Hello, World!"


@app.route("/args/<int:number>")
def args(number: int) -> str:
    query = request.args
    return f"{number} {query['name']} {query.get('page', 1, type=int)}"


@app.route("/sign-in")
def sign_in() -> str:
    session["user"] = "somebody"
    return "signed in"


@app.route("/session")
def read_session() -> str:
    return f"Hello, {session['user']}!"
