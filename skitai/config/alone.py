"""The configuration of a helper that runs alone: from ``~/.skitai.conf``, the environment and flags to the same tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from skitai.config.check import World, check_smtpda, merge, sections
from skitai.config.conf import ConfFile, entries, entries_of_flags, jobs
from skitai.config.jobs import check_jobs
from skitai.config.sources import from_environment
from skitai.config.tree import Config
from skitai.errors import ConfigError


def build_alone(
    helper: str, path: str, file: ConfFile | None, flags: Mapping[str, Any], environ: Mapping[str, str], world: World
) -> Config:
    """The configuration of a helper without a server; file < environment < flag.

    :param helper: "smtpda" or "cron".
    :param path: absolute, of the file, whether or not there is one; the helper works in its folder.
    :param flags: by option name.
    :raises ConfigError: with every fault. A mail agent is not held up by the faults of a crontab, nor a scheduler by those
        of the mail agent's section.
    """
    faults = list(file.faults) if file else []
    written = entries(file, helper, faults) if file else ()
    every = chain(written, from_environment(environ, faults), entries_of_flags(helper, flags))
    given = merge(every, lambda each: os.path.normpath(os.path.join(os.path.dirname(path), each)), faults)
    check_smtpda(given, world, faults)
    made = sections(given.values)
    calls = jobs(file, faults) if file and helper == "cron" else []
    made["smtpda"] = replace(made["smtpda"], enabled=helper == "smtpda")
    made["cron"] = replace(made["cron"], jobs=check_jobs(calls, made["cron"], world.schedule, faults))
    if faults:
        raise ConfigError(faults)
    return Config(script=path, title=f"skitai-{helper}", helper=helper, **made, sources=given.sources)
