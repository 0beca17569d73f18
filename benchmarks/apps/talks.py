"""WebSocket apps: echoes and groups, in Saddle and without a framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import skitai
from skitai.saddle import Saddle, Was

app = Saddle(__name__)


@app.route("/echo")
@app.websocket_config(skitai.WS_SIMPLE, 0)
def echo(was: Was, message: Any) -> Any:
    return message


@app.route("/coroutine")
@app.websocket_config(skitai.WS_SIMPLE, 0)
async def coroutine(was: Was, message: Any) -> Any:
    return message


@app.route("/chat")
@app.websocket_config(skitai.WS_GROUPCHAT, 0)
def chat(was: Was, message: Any, room: str) -> Any:
    return message


members: set[Callable[[Any], Awaitable[None]]] = set()


async def asgi(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] != "websocket":
        raise RuntimeError(f"only websocket is spoken here, not {scope['type']}")
    in_group = scope["path"].startswith("/chat")
    await receive()
    await send({"type": "websocket.accept"})
    if in_group:
        members.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            answer = {"type": "websocket.send", "text": message["text"]}
            for each in list(members) if in_group else (send,):
                await each(answer)
    finally:
        members.discard(send)
