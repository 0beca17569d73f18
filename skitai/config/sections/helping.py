"""Options of the helper processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skitai.config.sections.declare import option


@dataclass(frozen=True, slots=True)
class Smtpda:
    """The mail agent."""

    enabled: bool = option(False, "run the mail agent beside the workers; `skitai.enable_smtpda()` does the same")
    server: str = option("", "HOST or HOST:PORT that mail goes to which names no server of its own")
    user: str = option("", "user name at that server")
    password: str = option("", "password at that server; for a file, the environment or the script", secret=True)
    ssl: bool = option(False, "speak TLS from the first byte (SMTPS); without it, STARTTLS as `starttls` says")
    starttls: str = option(
        "auto", "change to TLS after connecting: where offered, or else not at all", choices=("auto", "always", "never")
    )
    verify: bool = option(True, "check certificates of mail servers")
    ca_file: str = option("", "file of certificates to check them against; by default those of the system")
    helo: str = option("", "name to greet mail servers with; by default this host's")
    max_retry: int = option(10, "attempts after the first that failed for now, before a message is given up", minimum=0)
    retry_s: float = option(4, "before the first of them; each next one waits four times as long", unit="s", minimum=0)
    retry_most_s: float = option(21600, "longest time between two attempts", unit="s", minimum=0)
    keep_days: float = option(30, "messages that were given up are kept", unit="days", minimum=0)
    concurrency: int = option(4, "connections to mail servers at once", minimum=1, maximum=256)
    timeout_s: float = option(60, "a mail server may take this long for each answer", unit="s", minimum=0.1)
    idle_s: float = option(10, "a connection is kept for the next message", unit="s", minimum=0)
    bounce: bool = option(False, "tell senders of messages that were given up")
    dkim_key: str = option("", "file of the private key that signs messages (DKIM)")
    dkim_selector: str = option("", "selector below which its public key is published")
    dkim_domain: str = option("", "domain that signs; by default that of the From address")


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the scheduler, as checked, with the defaults of `Cron` filled in.

    :param schedule: five fields of crontab(5), or a word such as ``@hourly``.
    :param command: for the shell; or a function without parameters.
    :param name: for the log; by default the command or the function's name.
    :param overlap: what happens when it is due while its last run goes on: see `Cron`.
    :param timeout_s: after which a run is ended; 0 for never.
    :param jitter_s: each run begins up to so much later, at random.
    :param missed: what happens at the start to runs that fell into a pause: see `Cron`.
    :param time_zone: IANA name that the schedule is read in; "" for the system's.
    :param source: where it was written, for instance ``"app.py:12"``.
    """

    schedule: str
    command: str | Callable[[], object]
    name: str = ""
    overlap: str = "skip"
    timeout_s: float = 0
    jitter_s: float = 0
    missed: str = "none"
    time_zone: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cron:
    """The task scheduler. Options are defaults of all jobs; a job may have its own."""

    overlap: str = option(
        "skip",
        "a job that is due while its last run goes on: skip it, let it wait, run both, or end the old run for the new",
        choices=("skip", "wait", "parallel", "replace"),
    )
    timeout_s: float = option(0, "time after which a run is ended; 0 for never", unit="s", minimum=0)
    jitter_s: float = option(0, "runs begin up to this much later, at random", unit="s", minimum=0)
    missed: str = option("none", "runs that fell into a pause of the server: none or the last", choices=("none", "last"))
    time_zone: str = option("", "IANA name of the time zone of schedules; by default the system's")
    output_bytes: int = option(65536, "of a run's output written to the log", unit="bytes", minimum=0)
    jobs: tuple[Job, ...] = ()
