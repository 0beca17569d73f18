"""The programs of a server. What they run is imported in the child, so that the master holds none of it."""

from __future__ import annotations

import os
from functools import partial

from skitai.config.sources import environment_name
from skitai.config.tree import Config, options
from skitai.errors import StartError
from skitai.ipc.link import Child
from skitai.master.program import Program
from skitai.net.tls import Certificates
from skitai.worker import engines

_HELPERS = {"smtpda": "skitai.helpers.smtpda:serve", "cron": "skitai.helpers.cron:serve"}


def programs(config: Config) -> list[Program]:
    """What the supervisor keeps running; the workers come first.

    :raises StartError: there is no engine of the name configured, or a certificate or a key for tokens cannot be used.
    """
    if config.helper:
        return [_helper(config.helper, config)]
    wanted = {"smtpda": config.smtpda.enabled, "cron": bool(config.cron.jobs)}
    return [_workers(config), *(_helper(name, config) for name, is_wanted in wanted.items() if is_wanted)]


def _workers(config: Config) -> Program:
    engine = config.server.engine
    if ":" not in engine:
        engines.check(engine)
    _check_key(config.gateway.gateway_secret)
    protocols = ("h2", "http/1.1") if config.http2.http2 else ("http/1.1",)
    certificates = Certificates(config.tls, protocols) if config.tls.certfile else None
    target = partial(_foreign, engine) if ":" in engine else partial(_worker, certificates)
    return Program("worker", target, config.server.workers, config.title)


def _check_key(secret: str) -> None:
    """:raises StartError: a public key in PEM is none."""
    if "-----BEGIN" in secret:
        from skitai.lib.jwt import Key  # most servers have a secret, or none

        try:
            Key(secret)
        except ValueError as error:
            raise StartError(f"gateway_secret: {error}") from None


def _helper(name: str, config: Config) -> Program:
    return Program(name, partial(run_helper, _HELPERS[name]), 1, config.title, numbered=False, helper=True)


def _worker(certificates: Certificates | None, child: Child) -> int:
    from skitai.worker.main import serve

    return serve(child, certificates)


def run_helper(name: str, child: Child) -> int:
    """A helper, its environment cleared of secrets: it has them in its configuration, and jobs need not see them."""
    for option in options():
        if option.secret:
            os.environ.pop(environment_name(option.name), None)
    return _foreign(name, child)


def _foreign(name: str, child: Child) -> int:
    """What a name leads to, a worker that somebody else wrote for instance, called with the same `Child`."""
    from skitai.loading.importer import load_object

    code = load_object(name)(child)
    return code if isinstance(code, int) else 0
