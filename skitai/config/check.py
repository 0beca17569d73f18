"""From a draft, a file, the environment and flags to one frozen tree, or to one error that names every fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from skitai.config.aliases import Alias, alias
from skitai.config.draft import Draft, Given
from skitai.config.guards import check_gateway
from skitai.config.jobs import CheckSchedule, check_jobs
from skitai.config.mounts import check_mounts, normal_point
from skitai.config.proxying import check_forward_proxy, doubts_of_forward_proxy
from skitai.config.sections.serving import Timeouts
from skitai.config.sources import OPTIONS, ConfigFile, Entry, from_calls, from_environment, from_file, from_flags
from skitai.config.targets import Look, Seen
from skitai.config.tree import SECTIONS, Config
from skitai.config.upstreams import check_upstreams
from skitai.config.values import convert
from skitai.errors import ConfigError, StartError
from skitai.http.forwarded import Trusted

SMALLEST_CACHE = 1 << 20

_HOST = re.compile(r"[\w.:\[\]-]+")
"""Names, and addresses in brackets (RFC 5321 section 4.1.3)."""


@dataclass(frozen=True, slots=True)
class World:
    """What the check asks of the world outside, so that it does no I/O itself.

    :param look: what stands at an absolute path.
    :param address: reads an entry of the option `bind`; raises StartError when it cannot.
    :param schedule: reads a schedule in a time zone; raises ValueError when it cannot.
    :param mail_server: reads the option `smtpda_server`; raises ValueError when it cannot.
    """

    look: Look
    address: Callable[[str], object]
    schedule: CheckSchedule = lambda schedule, time_zone: None
    mail_server: Callable[[str], object] = lambda text: None


@dataclass(slots=True)
class Values:
    """The winning value of each option that was given, and its source."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def take(self, entry: Entry, faults: list[str]) -> None:
        try:
            value = convert(OPTIONS[entry.name], entry.value)
        except ValueError as error:
            faults.append(f"{entry.label}: {error}")
            return
        self.values[entry.name] = value
        self.sources[entry.name] = entry.source
        self.labels[entry.name] = entry.label


def build(
    draft: Draft, flags: Mapping[str, Any], environ: Mapping[str, str], file: ConfigFile | None, world: World
) -> Config:
    """The configuration of a start; file < environment < call < flag.

    :param flags: by option name; the text, a bool, or a list of texts.
    :raises ConfigError: with every fault, those of values that a later source overrides included.
    """
    faults: list[str] = []
    warnings: list[str] = []
    given = gather(draft, flags, environ, file, faults)
    _check_server(given, world, faults)
    warnings += _doubts_of_cachefs(given)
    check_smtpda(given, world, faults)
    check_forward_proxy(given.values, given.labels, faults)
    warnings += doubts_of_forward_proxy(given.values, given.labels)
    check_upstreams(given.values, given.labels, faults)
    production = environ.get("SKITAI_ENV") == "PRODUCTION"
    if not draft.mounts and not given.values.get("forward_proxy"):
        faults.append(f"{draft.script}: nothing is mounted; call skitai.mount() before skitai.run()")
    aliases = check_aliases(draft, faults)
    named = {each.name: each for each in aliases}
    mounts = check_mounts(draft.mounts, named, world.look, production, faults, warnings)
    check_gateway(given.values, given.labels, mounts, named, faults, warnings)
    max_ages = _max_ages(draft.max_ages, faults)
    made = sections(given.values)
    made["cron"] = replace(made["cron"], jobs=check_jobs(draft.jobs, made["cron"], world.schedule, faults))
    if faults:
        raise ConfigError(faults)
    return Config(
        script=draft.script,
        title=draft.title,
        **made,
        mounts=mounts,
        aliases=aliases,
        max_ages=max_ages,
        log_off=tuple(each.value for each in draft.log_off),
        last_updates=tuple(dict.fromkeys(each.value for each in draft.last_updates)),
        sources=given.sources,
        warnings=tuple(warnings),
    )


def build_without_mounts(
    draft: Draft, flags: Mapping[str, Any], environ: Mapping[str, str], file: ConfigFile | None
) -> Config:
    """As much of the configuration as it takes to find a running server: its options.

    A script that can no longer start, because a folder is missing say, can still be stopped.

    :raises ConfigError: for faults of options.
    """
    faults: list[str] = []
    given = gather(draft, flags, environ, file, faults)
    if faults:
        raise ConfigError(faults)
    return Config(script=draft.script, title=draft.title, **sections(given.values), sources=given.sources)


def build_without_server(draft: Draft, environ: Mapping[str, str]) -> Config:
    """What a script says of back-ends that starts no server and asks them by itself.

    :raises ConfigError: with every fault.
    """
    faults: list[str] = []
    given = gather(draft, {}, environ, None, faults)
    aliases = check_aliases(draft, faults)
    if faults:
        raise ConfigError(faults)
    return Config(script=draft.script, title=draft.title, **sections(given.values), aliases=aliases)


def gather(
    draft: Draft, flags: Mapping[str, Any], environ: Mapping[str, str], file: ConfigFile | None, faults: list[str]
) -> Values:
    """The options of all sources, each of its type and within its bounds; relative paths become absolute."""
    named = from_file(file, faults) if file else ()
    every = chain(named, from_environment(environ, faults), from_calls(draft, faults), from_flags(flags))
    return merge(every, draft.absolute, faults)


def merge(entries: Iterable[Entry], absolute: Callable[[str], str], faults: list[str]) -> Values:
    """The same for entries of any sources; later ones win.

    :param absolute: makes a path absolute.
    """
    given = Values()
    for entry in entries:
        given.take(entry, faults)
    _follow(given)
    for name in (
        "logpath",
        "varpath",
        "cachefs_path",
        "certfile",
        "keyfile",
        "client_ca",
        "smtpda_ca_file",
        "smtpda_dkim_key",
    ):
        if given.values.get(name):
            given.values[name] = absolute(given.values[name])
    if "more_certificates" in given.values:
        pairs = (text.partition(":") for text in given.values["more_certificates"])
        given.values["more_certificates"] = tuple(
            f"{absolute(cert)}:{absolute(key)}" if key else absolute(cert) for cert, _, key in pairs
        )
    if "bind" in given.values:
        given.values["bind"] = tuple(_absolute_address(absolute, text) for text in given.values["bind"])
    return given


def _absolute_address(absolute: Callable[[str], str], text: str) -> str:
    path = text.removeprefix("unix:")
    return f"unix:{absolute(path)}" if path and path != text else text


def _follow(given: Values) -> None:
    """Options that another one implies, unless they were given themselves."""
    implied: dict[str, tuple[str, Any]] = {}
    if given.values.get("logpath"):
        implied["file_logging"] = ("logpath", True)
    if "request_timeout" in given.values:
        implied["head_s"] = ("request_timeout", min(Timeouts().head_s, given.values["request_timeout"]))
    for name, (origin, value) in implied.items():
        if name not in given.values:
            given.values[name] = value
            given.sources[name] = given.sources[origin]


def sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of the tree, by name; what is not among the values is as declared."""
    given: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, value in values.items():
        option = OPTIONS[name]
        given[option.section][option.field] = value
    return {name: kind(**given[name]) for name, kind in SECTIONS.items()}


def _check_server(given: Values, world: World, faults: list[str]) -> None:
    for text in given.values.get("bind", ()):
        try:
            world.address(text)
        except StartError as error:
            faults.append(f"{given.labels['bind']}: {error}")
    for text in given.values.get("trusted_proxies", ()):
        try:
            Trusted((text,))
        except ValueError:
            wanted = "an address (10.0.0.1), a network (10.0.0.0/8) or unix"
            faults.append(f"{given.labels['trusted_proxies']}: {text!r} is not {wanted}")
    mode = given.values.get("unix_mode")
    if mode is not None and not _is_file_mode(mode):
        faults.append(f"{given.labels['unix_mode']}: {mode!r} is no octal file mode such as 0660")
    for name in ("address", "engine"):
        if given.values.get(name) == "":
            faults.append(f"{given.labels[name]}: is empty")
    _check_tls(given, world, faults)
    _check_cachefs(given, faults)
    if given.values.get("group") and not given.values.get("user"):
        faults.append(f"{given.labels['group']}: goes with the option user, which is not set")


def _check_tls(given: Values, world: World, faults: list[str]) -> None:
    values, labels = given.values, given.labels
    for name in ("certfile", "keyfile", "client_ca"):
        if values.get(name) and world.look(values[name]) is not Seen.FILE:
            faults.append(f"{labels[name]}: there is no readable file {values[name]}")
    for name in ("keyfile", "more_certificates", "client_ca", "forward_port", "hsts_s"):
        if values.get(name) and not values.get("certfile"):
            faults.append(f"{labels[name]}: goes with the option certfile, which is not set")
    if values.get("client_certificates", "none") != "none" and not values.get("client_ca"):
        faults.append(f"{labels['client_certificates']}: goes with the option client_ca, which is not set")


def _check_cachefs(given: Values, faults: list[str]) -> None:
    values, labels = given.values, given.labels
    for name in ("cachefs_memmax", "cachefs_diskmax"):
        if 0 < values.get(name, 0) < SMALLEST_CACHE:
            faults.append(f'{labels[name]}: {values[name]} bytes are too few: at least {SMALLEST_CACHE}, which is "1M"')


def _doubts_of_cachefs(given: Values) -> list[str]:
    """A folder that nothing is kept in: a script may well say how large its cache is elsewhere, and 0 for now."""
    if given.values.get("cachefs_path") and not given.values.get("cachefs_diskmax"):
        return [f"{given.labels['cachefs_path']}: nothing is kept there, for the option cachefs_diskmax is 0"]
    return []


def check_smtpda(given: Values, world: World, faults: list[str]) -> None:
    """What is wrong with the options of the mail agent."""
    values, labels = given.values, given.labels
    if values.get("smtpda_server"):
        try:
            world.mail_server(values["smtpda_server"])
        except ValueError as error:
            faults.append(f"{labels['smtpda_server']}: {error}")
    for name in ("smtpda_helo", "smtpda_dkim_selector", "smtpda_dkim_domain"):  # they go into lines of SMTP and headers
        if values.get(name) and not _HOST.fullmatch(values[name]):
            faults.append(f"{labels[name]}: {values[name]!r} is no name of a host")
    for name in ("smtpda_ca_file", "smtpda_dkim_key"):
        if values.get(name) and world.look(values[name]) is not Seen.FILE:
            faults.append(f"{labels[name]}: there is no readable file {values[name]}")
    if values.get("smtpda_dkim_key") and not values.get("smtpda_dkim_selector"):
        faults.append(f"{labels['smtpda_dkim_key']}: goes with the option smtpda_dkim_selector, which is not set")


def _is_file_mode(text: str) -> bool:
    digits = text.removeprefix("0o")
    return bool(digits) and set(digits) <= set("01234567") and int(digits, 8) <= 0o777


def _max_ages(given: list[Given], faults: list[str]) -> tuple[tuple[str, int], ...]:
    ages: dict[str, int] = {}
    for each in given:
        prefix, seconds = each.value
        try:
            ages[normal_point(prefix)] = seconds
        except ValueError as error:
            faults.append(f"{each.source}: set_max_age: {error}")
    return tuple(ages.items())


def check_aliases(draft: Draft, faults: list[str]) -> tuple[Alias, ...]:
    """The aliases of a script; files of SQLite become absolute paths."""
    found: dict[str, Alias] = {}
    for call in draft.aliases:
        try:
            made = alias(call.name, call.kind, call.servers, call.role, call.sources, call.means, draft.absolute)
        except ValueError as error:
            faults.append(f"{call.source}: alias(): {error}")
            continue
        if made.name in found:
            faults.append(f"{call.source}: alias(): there is another @{made.name} already")
        found[made.name] = made
    return tuple(found.values())
