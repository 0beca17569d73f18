"""What a start says on the console."""

from __future__ import annotations

import os

from skitai.config.tree import Config
from skitai.master.estate import Estate
from skitai.version import __version__


def banner(config: Config, estate: Estate) -> str:
    """Addresses, processes and folders, in a few lines."""
    threads = f"{config.server.threads} threads each" if config.server.threads else "apps in the event loop"
    lines = [
        f"Skitai {__version__} {estate.origin.title}, pid {os.getpid()}",
        *(f"  listens on {address}" for address in estate.addresses),
        f"  workers    {config.server.workers}, {threads}",
        f"  var        {estate.places.var}",
        f"  log        {estate.places.log or 'console'}",
    ]
    return "\n".join(lines) + "\n"
