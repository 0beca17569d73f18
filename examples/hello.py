"""The smallest app: ``python examples/hello.py``, then http://127.0.0.1:5000/."""

import skitai


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello World\n"]


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=5000)
