"""Starlette's hello, one with arguments, and one that reads a session."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello, World!")


async def args(request: Request) -> PlainTextResponse:
    query = request.query_params
    return PlainTextResponse(f"{request.path_params['number']} {query['name']} {int(query.get('page', 1))}")


async def sign_in(request: Request) -> PlainTextResponse:
    request.session["user"] = "somebody"
    return PlainTextResponse("signed in")


async def session(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"Hello, {request.session['user']}!")


app = Starlette(routes=[Route("/", hello), Route("/coroutine", hello), Route("/args/{number:int}", args)])

with_sessions = Starlette(
    routes=[Route("/sign-in", sign_in), Route("/session", session)],
    middleware=[Middleware(SessionMiddleware, secret_key="a secret of the benchmark, and of it alone")],
)
