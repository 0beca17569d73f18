"""The service manager's protocol: sd_notify(3) datagrams and the watchdog. A plain no-operation elsewhere."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

PATIENCE_S = 1.0
"""A change of state is told once, and a busy service manager is given that time; a sign of life comes again anyway."""


class Notifier:
    """Speaks to the service manager that started us.

    :param address: of its datagram socket; "" when there is none. A leading "@" is the abstract namespace.
    :ivar watchdog_s: it wants to hear from us at least this often; 0 when it does not care.
    """

    __slots__ = ("address", "watchdog_s")

    def __init__(self, address: str = "", watchdog_s: float = 0) -> None:
        self.address = address
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Notifier:
        usec = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(environ.get("NOTIFY_SOCKET", ""), int(usec) / 1e6 if usec.isdecimal() and meant else 0)

    def ready(self, status: str) -> bool:
        """Started, or reloaded."""
        return self.send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}", patience_s=PATIENCE_S)

    def reloading(self) -> bool:
        return self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", patience_s=PATIENCE_S)

    def stopping(self) -> bool:
        return self.send("STOPPING=1", patience_s=PATIENCE_S)

    def watchdog(self) -> bool:
        return self.send("WATCHDOG=1")

    def expect_silence(self, seconds: float) -> bool:
        """Ask for patience: nothing will be heard from us for up to so long; 0 for the usual time."""
        usec = int(1e6 * max(seconds, self.watchdog_s))
        return self.watchdog_s > 0 and self.send("WATCHDOG=1", f"WATCHDOG_USEC={usec}")

    def send(self, *lines: str, patience_s: float = 0) -> bool:
        """Send a notification; False when nobody listens.

        :param patience_s: so long it may wait until the service manager has room for it.
        """
        if not self.address:
            return False
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(patience_s)
            try:
                sock.sendto("\n".join(lines).encode(), address)
            except OSError:
                return False  # a service manager that has gone or is busy is no reason to stop serving
        return True
