"""Prints the effective configuration: every option with its value and, unless it is the default, its source."""

from __future__ import annotations

from collections.abc import Iterator

from skitai.config.mounted import AppFile, AppObject, Folder, Mount, Upstream
from skitai.config.tree import SECTIONS, Config, options
from skitai.config.values import shown

SWITCHES = ("debug", "use_reloader")
"""Of a mount's preference only these are shown; its config may hold secrets."""


def print_config(config: Config) -> int:
    for line in config_lines(config):
        print(line)
    return 0


def config_lines(config: Config) -> Iterator[str]:
    yield f"{config.title}: {config.script}"
    for section in (config.helper, "log", "paths") if config.helper else SECTIONS:
        yield f"\n[{section}]"
        for option in options():
            if option.section == section:
                value = shown(getattr(getattr(config, section), option.field))
                if option.secret and value:
                    value = "(not shown)"
                yield _line(option.name, f"{value or '-'} {option.unit}".rstrip(), config.sources.get(option.name, ""))
    if config.cron.jobs:
        yield "\n[jobs]"
    for job in config.cron.jobs:
        yield _line(job.schedule, job.name, job.source)
    if config.mounts:
        yield "\n[mounts]"
    for mount in config.mounts:
        yield _line(mount.point, _described(mount), mount.source)
        switches = [f"{name} {shown(bool(mount.pref[name]))}" for name in SWITCHES if name in mount.pref]
        if switches:
            yield _line("", ", ".join(switches), "")
    for name, values in (
        ("max_age", [f"{path} {seconds} s" for path, seconds in config.max_ages]),
        ("log_off", list(config.log_off)),
        ("deflu", list(config.last_updates)),
    ):
        if values:
            yield _line(name, ", ".join(values), "")
    if config.warnings:
        yield "\n[warnings]"
        yield from config.warnings


def _line(name: str, value: str, source: str) -> str:
    return f"{name:<24} {value:<32} {source}".rstrip()


def _described(mount: Mount) -> str:
    match mount.target:
        case Folder(path):
            text = path + "/"
        case AppFile(path):
            text = f"{path}:{mount.app_name}"
        case AppObject(script, variable):
            text = f"{script}:{variable}" if variable else f"an object of {script}"
        case Upstream(alias):
            text = f"@{alias}"
    return text if mount.host == "default" else f"{text} for {mount.host}"
