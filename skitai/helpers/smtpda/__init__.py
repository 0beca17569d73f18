"""The mail agent, a program beside the workers: delivers what `was.email` leaves in the spool. README.md says how."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from skitai.errors import StartError
from skitai.helpers.smtpda.agent import Agent
from skitai.ipc.link import Child
from skitai.ipc.scoreboard import State
from skitai.ipc.spool import Spool
from skitai.log import journal

__all__ = ["Agent", "serve"]

CANNOT_START = 3


def serve(child: Child) -> int:
    """The target of the agent's process; returns its exit code."""
    config, places, timeouts = child.config, child.places, child.config.timeouts
    for sock in child.sockets:
        sock.close()  # a connection that is queued there is for workers
    agent = Agent(config.smtpda, Spool(places.home), child.row)
    try:
        journal.join("smtpda", places.log or None, console=places.console, verbose=config.log.verbose)
        agent.prepare()
    except StartError as error:
        child.failed(str(error))
        return CANNOT_START

    def leave(state: State, grace_s: float) -> None:
        child.row.state = state
        agent.leave(grace_s)

    stop = partial(leave, State.STOPPING, timeouts.helper_grace_s)
    jobs: dict[int, Callable[[], object]] = {
        signal.SIGTERM: stop,
        signal.SIGQUIT: partial(leave, State.STOPPING, min(timeouts.fast_grace_s, timeouts.helper_grace_s)),
        signal.SIGHUP: partial(leave, State.RETIRING, timeouts.helper_grace_s),
        signal.SIGUSR1: journal.reopen,
    }

    def on_signal(number: int, frame: object) -> None:
        agent.soon(jobs[number])

    for number in tuple(jobs):
        signal.signal(number, on_signal)
    child.watch(lambda: agent.soon(stop))
    child.ready()
    agent.run()
    return 0
