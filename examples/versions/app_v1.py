"""The first version answers in plain text."""


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello World Ver.1\n"]
