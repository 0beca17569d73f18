"""What ``skitai-smtpda queue`` and ``skitai-cron list`` print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from skitai.cli.status import span
from skitai.config.sections.helping import Job
from skitai.helpers.cron.jobs import upcoming
from skitai.ipc.envelope import CorruptMail, Name
from skitai.ipc.spool import Spool

RUNS = 3
"""How many of a job are listed."""

MOST = 1000
"""Messages listed; their number is always told."""

MOST_RECIPIENTS = 5
"""Recipients listed of a message; likewise."""


def queue_lines(home: str, now_s: float) -> Iterator[str]:
    """The messages that wait, and those that were given up.

    :param home: the folder above the helper's own.
    """
    spool = Spool(home)
    waiting, given_up = spool.scan().names, spool.given_up().names
    yield f"{_counted(len(waiting))} in {spool.folder}"
    for name in waiting[:MOST]:
        due = "due" if name.due_s <= now_s else f"in {span(name.due_s - now_s)}"
        yield from _line(spool, name, f"{due}, {_attempts(name)}", given_up=False)
    if given_up:
        yield f"{_counted(len(given_up))} given up, in {spool.undeliver}"
    for name in given_up[:MOST]:
        yield from _line(spool, name, f"since {span(now_s - name.due_s)}, {_attempts(name)}", given_up=True)


def job_lines(jobs: Iterable[Job], now: datetime) -> Iterator[str]:
    """Each job with its next runs; the one that runs first comes first.

    :param now: aware.
    """
    for job, times in upcoming(jobs, now, RUNS):
        yield f"{job.schedule}  {job.name}"
        yield "  " + ", ".join(f"{each:%Y-%m-%d %H:%M %Z}" for each in times)


def _line(spool: Spool, name: Name, when: str, *, given_up: bool) -> Iterator[str]:
    try:
        mail = spool.peek(name, given_up=given_up)
    except (CorruptMail, OSError) as error:
        yield f"  {when}: {name}: {error}"
        return
    if mail is None:
        return  # it has been delivered meanwhile
    recipients = tuple(mail.refused if given_up and not mail.pending else mail.pending or mail.envelope.recipients)
    more = f" and {len(recipients) - MOST_RECIPIENTS} more" if len(recipients) > MOST_RECIPIENTS else ""
    whom = ", ".join(recipients[:MOST_RECIPIENTS]) + more
    yield f"  {when}: {mail.envelope.sender or '<>'} -> {whom}  {mail.envelope.message_id}".rstrip()
    if mail.reason:
        yield f"    {' '.join(mail.reason.split())}"


def _counted(number: int) -> str:
    return "1 message" if number == 1 else f"{number} messages"


def _attempts(name: Name) -> str:
    return "1 attempt" if name.attempts == 1 else f"{name.attempts} attempts"
