"""Apps of 1,000 routes: for each of 250 things a list, an item, a part of one, and files."""

from __future__ import annotations

from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from skitai.saddle import Saddle, Was

THINGS = 250

saddle = Saddle(__name__)
flask = Flask(__name__)


def item(was: Was, id: int) -> str:
    return f"{id}"


def part(was: Was, id: int, name: str) -> str:
    return f"{id} {name}"


def file(was: Was, path: str) -> str:
    return path


async def starlette_part(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.path_params['id']} {request.path_params['name']}")


async def starlette_other(request: Request) -> PlainTextResponse:
    return PlainTextResponse("other")


def _starlette(n: int) -> list[Route]:
    return [
        Route(f"/thing{n}", starlette_other),
        Route(f"/thing{n}/{{id:int}}", starlette_other),
        Route(f"/thing{n}/{{id:int}}/part/{{name}}", starlette_part),
        Route(f"/thing{n}/files/{{path:path}}", starlette_other),
    ]


starlette = Starlette(routes=[route for n in range(THINGS) for route in _starlette(n)])

for n in range(THINGS):
    saddle.add_route(f"/thing{n}", lambda was: "a list", name=f"list{n}")
    saddle.add_route(f"/thing{n}/<int:id>", item, name=f"item{n}")
    saddle.add_route(f"/thing{n}/<int:id>/part/<name>", part, name=f"part{n}")
    saddle.add_route(f"/thing{n}/files/<path:path>", file, name=f"file{n}")
    flask.add_url_rule(f"/thing{n}", f"list{n}", lambda: "a list")
    flask.add_url_rule(f"/thing{n}/<int:id>", f"item{n}", lambda id: f"{id}")
    flask.add_url_rule(f"/thing{n}/<int:id>/part/<name>", f"part{n}", lambda id, name: f"{id} {name}")
    flask.add_url_rule(f"/thing{n}/files/<path:path>", f"file{n}", lambda path: path)
