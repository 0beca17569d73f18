"""A reverse proxy as one writes it with FastAPI and httpx: the answer is passed on as it comes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

BEHIND = f"http://127.0.0.1:{os.environ.get('BENCH_BEHIND', '80')}"
BETWEEN_NEIGHBOURS = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(base_url=BEHIND) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/{path:path}")
async def passed(request: Request, path: str) -> StreamingResponse:
    client: httpx.AsyncClient = app.state.client
    fields = {name: value for name, value in request.headers.items() if name not in {"host", "connection"}}
    answer = await client.send(client.build_request("GET", f"/{path}", headers=fields), stream=True)
    kept = {name: value for name, value in answer.headers.items() if name not in BETWEEN_NEIGHBOURS}
    return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))
