"""The second version answers in JSON."""

import json


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"message": "Hello World", "version": 2}).encode()]
