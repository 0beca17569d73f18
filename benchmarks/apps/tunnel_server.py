"""A proxy for CONNECT by hand, on uvloop, as one writes it in a quarter of an hour."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import uvloop

PIECE = 65536


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(PIECE):
            sink.write(data)
            await sink.drain()
        sink.write_eof()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line, _, _ = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    method, target, _ = line.decode("latin-1").split(" ")
    if method != "CONNECT":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        return
    host, _, port = target.rpartition(":")
    theirs, there = await asyncio.open_connection(host, int(port), limit=PIECE)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(pump(reader, there), pump(theirs, writer))
    there.close()
    writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=PIECE)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
