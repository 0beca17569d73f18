"""A Flask app as anybody would write it: nothing in here knows under which prefix it is mounted."""

import time

from flask import Flask, Response, render_template, request, url_for
from werkzeug.utils import secure_filename

app = Flask(__name__)


@app.get("/")
def index():
    return render_template("index.html")


@app.get("/hello/<name>")
def hello(name):
    return {"hello": name, "here": url_for("hello", name=name), "home": url_for("index")}


@app.post("/upload")
def upload():
    """Say how large a file is. The server has the whole body ready, in a spool file when it is large."""
    file = request.files.get("file")
    if file is None or not file.filename:
        return render_template("index.html", problem="Please choose a file."), 422
    size = sum(len(piece) for piece in iter(lambda: file.stream.read(65536), b""))
    return render_template("index.html", name=secure_filename(file.filename), size=size)


@app.get("/stream")
def stream():
    """An answer that arrives piece by piece."""

    def lines():
        for number in range(5, 0, -1):
            yield f"{number}\n"
            time.sleep(0.2)
        yield "go\n"

    return Response(lines(), mimetype="text/plain", headers={"Cache-Control": "no-store"})
