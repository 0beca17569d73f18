"""Options of running the server: logs, supervision, folders."""

from __future__ import annotations

from dataclasses import dataclass

from skitai.config.sections.declare import option


@dataclass(frozen=True, slots=True)
class Log:
    """Logs."""

    verbose: bool = option(False, "show logs on the console although they are written to files", short="v")
    file_logging: bool = option(False, "write server.log, app.log and request.log")
    logpath: str = option("", "folder of the log files; naming it turns file logging on")
    log_format: str = option("text", "form of the request log", choices=("text", "json"))
    request_log: bool = option(True, "write a request log")
    log_keep: int = option(30, "rotated files kept of each log", minimum=0)


@dataclass(frozen=True, slots=True)
class Supervision:
    """When the master replaces a worker. 0 turns a limit off."""

    critical_cpu_percent: float = option(0, "CPU use of a worker that counts as overload", unit="%", minimum=0)
    critical_continuous: int = option(3, "readings above it in a row before the worker is replaced", minimum=1)
    critical_interval_s: float = option(20, "between two readings", unit="s", minimum=0.1)
    worker_memory_bytes: int = option(0, "resident memory at which a worker is replaced", unit="bytes", minimum=0)
    worker_age_s: float = option(0, "age at which a worker is replaced", unit="s", minimum=0)
    worker_requests: int = option(0, "requests after which a worker is replaced", minimum=0)
    jitter_percent: float = option(10, "spread of age and number of requests", unit="%", minimum=0, maximum=100)
    heartbeat_s: float = option(30, "without a heartbeat, after which a worker is replaced", unit="s", minimum=0)
    boot_s: float = option(120, "a worker may take this long to become ready", unit="s", minimum=1)


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders of the server's own files."""

    varpath: str = option("", "folder of pid file, control socket and spools; by default below /var/tmp/skitai")
