"""This server's start script; what it mounts comes in the environment, the rest on its command line."""

from __future__ import annotations

import os
import tempfile

import skitai

target, _, name = os.environ["BENCH_MOUNT"].partition(":")
if target == "@behind":
    skitai.alias(target, skitai.PROTO_HTTP, f"127.0.0.1:{os.environ['BENCH_BEHIND']}")
if target == "@forward":
    skitai.enable_proxy(tunnel_ports="*")
    target = tempfile.gettempdir() + "/skitai-bench-static"
if name:
    skitai.mount("/", target, name)
else:
    skitai.mount("/", target)

if __name__ == "__main__":
    skitai.run()
