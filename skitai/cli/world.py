"""What the check of a configuration asks of the world outside: files, addresses, schedules, mail servers."""

from __future__ import annotations

from skitai.config.check import World
from skitai.config.disk import look
from skitai.ipc.envelope import MailServer
from skitai.net.address import parse


def _check_schedule(schedule: str, time_zone: str) -> None:
    from skitai.helpers.cron.jobs import check_schedule  # with the calendars that it needs, only where there are jobs

    check_schedule(schedule, time_zone)


WORLD = World(look, parse, _check_schedule, MailServer.parse)
