"""What the agent's threads do with one message: lease it, try to deliver it, write down what came of it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import TypeVar

from skitai.config.sections.helping import Smtpda
from skitai.helpers.smtpda.bounce import bounce
from skitai.helpers.smtpda.delivery import Abandoned, Delivery, Outcome
from skitai.helpers.smtpda.retry import Fate, delay_s, fate
from skitai.helpers.smtpda.session import own_name
from skitai.ipc.envelope import Attempt, CorruptMail, Name
from skitai.ipc.spool import Lease, Spool
from skitai.log.lines import FAIL

log = logging.getLogger("skitai.smtpda")

DISK_S = 5.0
"""Between two tries to write down what came of an attempt."""

_SHOWN = 5
"""Recipients in a line of the log."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """A message that is no longer under way.

    :param again: its name, when it stays in the spool and is due later.
    :param reached: whether its server could be reached; None when nobody tried.
    :param fate: None when nobody tried.
    """

    name: Name
    again: Name | None = None
    reached: bool | None = None
    fate: Fate | None = None


class Work:
    """Does the work; every method may be called from any thread.

    :param leaving: once set, no message is sent that was not on its way already.
    :ivar committed: messages that are on their way, or whose outcome is being written down.
    """

    def __init__(self, options: Smtpda, spool: Spool, delivery: Delivery, leaving: threading.Event) -> None:
        self._options = options
        self._spool = spool
        self._delivery = delivery
        self._leaving = leaving
        self._immovable: set[str] = set()
        self.committed: set[Name] = set()

    def do(self, name: Name) -> Done:
        """Deal with one message. Never raises for what may be wrong with it."""
        try:
            lease = self._spool.lease(name)
        except CorruptMail as error:
            self.set_aside(str(name), str(error))
            return Done(name)
        except OSError as error:
            log.error("cannot read the message %s: %s", name, error.strerror)
            return Done(name)
        except Exception:
            log.exception("cannot read the message %s", name)  # a file larger than the memory, for instance
            return Done(name)
        if lease is None:
            return Done(name)
        try:
            return self._settle(lease, self._try(lease))
        except Abandoned:
            return Done(name)
        except FileNotFoundError:
            log.warning("%s: somebody has removed it", _about(lease))
            return Done(name)
        except OSError as error:
            log.error("%s: what came of it could not be written down: %s", _about(lease), error.strerror)
            return Done(name)
        except Exception:
            log.exception("%s: what came of it could not be written down", _about(lease))
            return Done(name)
        finally:
            self.committed.discard(name)
            lease.release()

    def set_aside(self, name: str, why: str) -> None:
        """Move a file that is no message out of the way, and say so; where that fails, say so once."""
        if name in self._immovable:
            return
        try:
            path = self._spool.set_aside(name)
        except FileNotFoundError:
            return
        except OSError as error:
            self._immovable.add(name)
            log.error("the file %s in the spool %s, and cannot be moved away: %s", name, why, error.strerror)
        else:
            log.error("the file %s in the spool %s; it was set aside as %s", name, why, path)

    def _commit(self, name: Name) -> None:
        self.committed.add(name)  # first, so that whoever sets `leaving` and then looks sees it
        if self._leaving.is_set():
            raise Abandoned

    def _try(self, lease: Lease) -> Outcome:
        if self._leaving.is_set():
            raise Abandoned
        if not lease.mail.pending:
            return Outcome(Attempt(time()))  # all had their answers when an agent was killed
        try:
            return self._delivery.attempt(lease, lambda: self._commit(lease.name))
        except Abandoned:
            raise
        except Exception as error:
            log.exception("%s cannot be dealt with", _about(lease))
            why = f"an error of the mail agent: {type(error).__name__}"
            return Outcome(Attempt(time(), deferred=dict.fromkeys(lease.mail.pending, why)))

    def _settle(self, lease: Lease, outcome: Outcome) -> Done:
        """Write down what came of an attempt, and make it so."""
        attempt, attempts = outcome.attempt, lease.name.attempts + 1
        what = fate(lease.mail.after(attempt), attempts, self._options.max_retry)
        again: Name | None = None
        self.committed.add(lease.name)
        if attempt.delivered:
            log.info("%s to %s: delivered by %s", _about(lease), _some(attempt.delivered), outcome.server)
        if what is Fate.DELIVERED:
            self._insist(lease, lease.remove)
        else:
            self._note(lease, attempt)
            if what is Fate.DEFERRED:
                again = self._defer(lease, attempts)
            else:
                self._give_up(lease)
        return Done(lease.name, again, outcome.reached, what)

    def _note(self, lease: Lease, attempt: Attempt) -> None:
        try:
            lease.note(attempt)
        except OSError as error:
            log.error("%s: cannot write to its file: %s", _about(lease), error.strerror)
            if attempt.delivered and lease.mail.pending:
                self._insist(lease, lambda: lease.note(attempt))  # or they would get it twice

    def _defer(self, lease: Lease, attempts: int) -> Name:
        options = self._options
        wait_s = delay_s(attempts, options.retry_s, options.retry_most_s, random.uniform(-1, 1))
        again = self._insist(lease, lambda: lease.defer(time() + wait_s))
        about, pending, reason = _about(lease), _some(lease.mail.pending), lease.mail.reason
        log.warning("%s to %s: %s; tried again in %.0f s, after attempt %d", about, pending, reason, wait_s, attempts)
        return again

    def _give_up(self, lease: Lease) -> None:
        mail = lease.mail
        last = mail.attempts[-1].deferred if mail.attempts else {}
        failures = mail.refused | {each: last.get(each, "") for each in mail.pending}
        if self._options.bounce and mail.envelope.sender:
            self._insist(lease, lambda: self._bounce(lease, failures))
        path = self._insist(lease, lease.undeliver)
        for recipient, why in failures.items():
            log.log(FAIL, "%s to <%s>: given up: %s", _about(lease), recipient, why)
        log.info("%s: kept as %s", _about(lease), path)

    def _bounce(self, lease: Lease, failures: dict[str, str]) -> None:
        host = self._options.helo or own_name()
        self._spool.put(*bounce(lease.mail, lease.message, failures, host, time()))

    def _insist(self, lease: Lease, write: Callable[[], T]) -> T:
        """Write to the disk, again and again if need be, as long as the agent stays.

        :raises OSError: it leaves. :raises FileNotFoundError: the message has gone.
        """
        while True:
            try:
                return write()
            except FileNotFoundError:
                raise
            except OSError as error:
                log.error("%s: cannot write to the spool: %s; tried again", _about(lease), error.strerror)
                if self._leaving.wait(DISK_S):
                    raise


def _about(lease: Lease) -> str:
    envelope = lease.mail.envelope
    return f"mail {envelope.message_id} from <{envelope.sender}>"


def _some(recipients: Sequence[str]) -> str:
    more = len(recipients) - _SHOWN
    return ", ".join(f"<{each}>" for each in recipients[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
