"""What a start says on the console."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from skitai.config.mounted import AppFile, AppObject, Folder, Mount, Upstream
from skitai.config.tree import Config
from skitai.master.estate import Estate
from skitai.master.program import Program
from skitai.version import __version__


def banner(config: Config, estate: Estate, kept: Iterable[Program]) -> str:
    """Addresses, mounts, processes and folders, in a few lines.

    :param kept: what the master keeps running.
    """
    if config.helper:
        return "".join(f"{line}\n" for line in _helper_lines(config, estate))
    helpers = ", ".join(each.name for each in kept if each.helper)
    threads = f"{config.server.threads} threads each" if config.server.threads else "apps in the event loop"
    lines = [
        f"Skitai {__version__} {estate.origin.title}, pid {os.getpid()}",
        *(f"  listens on {address}" for address in estate.addresses),
        *mount_lines(config, estate.addresses),
        *(["  passes on  what clients ask of other servers (forward proxy)"] if config.forward_proxy.forward_proxy else []),
        f"  workers    {config.server.workers}, {threads}",
        *([f"  helpers    {helpers}"] if helpers else []),
        f"  var        {estate.places.var}",
        f"  log        {estate.places.log or 'console'}",
    ]
    return "\n".join(lines) + "\n"


def _helper_lines(config: Config, estate: Estate) -> Iterator[str]:
    yield f"Skitai {__version__} {estate.origin.title}, pid {os.getpid()}"
    if config.helper == "smtpda":
        yield f"  server     {config.smtpda.server or 'that of each message'}"
    else:
        yield f"  jobs       {len(config.cron.jobs)}"
    yield f"  var        {estate.places.home}"
    yield f"  log        {estate.places.log or 'console'}"


def mount_lines(config: Config, addresses: list[str]) -> Iterator[str]:
    """A line for each mount: where to look at it, and what it is."""
    base = next((address for address in addresses if address.startswith("http")), "")
    places = [base + mount.point if mount.host == "default" else f"{mount.host} {mount.point}" for mount in config.mounts]
    width = max(map(len, places), default=0)
    folder = os.path.dirname(config.script)
    for number, (place, mount) in enumerate(zip(places, config.mounts, strict=True)):
        yield f"  {'' if number else 'serves':<11}{place:<{width}}  {_target(mount, folder)}"


def _target(mount: Mount, folder: str) -> str:
    """What is mounted, its path from the script's folder where it lies below."""
    match mount.target:
        case Folder(path):
            text = path + "/"
        case AppFile(path):
            text = path
        case AppObject(script, variable):
            text = f"{script}:{variable}" if variable else script
        case Upstream(alias):
            text = f"@{alias}"
    return text.removeprefix(folder.rstrip("/") + "/")
