"""`python -m benchmarks.apps.websockets_server PORT`: the server of `websockets`; an echo, and at /chat a group."""

from __future__ import annotations

import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def talk(connection: ServerConnection) -> None:
    assert connection.request is not None
    if not connection.request.path.startswith("/chat"):
        async for message in connection:
            await connection.send(message)
        return
    members.add(connection)
    try:
        async for message in connection:
            broadcast(members, message)
    finally:
        members.discard(connection)


async def main(port: int) -> None:
    async with serve(talk, "127.0.0.1", port, backlog=2048) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
