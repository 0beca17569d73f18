"""The task scheduler: a cron that lives and dies with its server.

Read `schedule` (when a job is due), `agenda` (what to run now), `runs` (processes), then `runner` (the loop).
"""

from skitai.helpers.cron.jobs import check_schedule, upcoming
from skitai.helpers.cron.runner import serve

__all__ = ["check_schedule", "serve", "upcoming"]
