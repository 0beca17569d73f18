"""The mail agent: hears of messages in the spool, has them delivered, keeps the others for another time.

The thread that calls `run` looks after the folder and the clock; some others deal with a message at a time (`work`). All
keep the same books (`queue`), under one lock. A message that is under way is leased: whatever happens to this process, it
stays in the spool until its server has said that it has it.
"""

from __future__ import annotations

import logging
import os
import select
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from math import inf
from queue import SimpleQueue
from time import monotonic, time

from skitai.config.sections.helping import Smtpda
from skitai.errors import StartError
from skitai.helpers.smtpda.delivery import Delivery
from skitai.helpers.smtpda.dkim import Signer
from skitai.helpers.smtpda.queue import Queue
from skitai.helpers.smtpda.retry import JITTER, Fate
from skitai.helpers.smtpda.session import Dialling
from skitai.helpers.smtpda.sessions import Sessions
from skitai.helpers.smtpda.watch import Watch
from skitai.helpers.smtpda.work import Done, Work
from skitai.ipc.envelope import MailServer, Name
from skitai.ipc.scoreboard import Row
from skitai.ipc.spool import Spool, sync_folder

log = logging.getLogger("skitai.smtpda")

TICK_S = 1.0
LEAVING_TICK_S = 0.02
RESCAN_S = 30.0
"""Between two looks at the whole folder, for what nobody heard of; without inotify it is looked at every tick."""

TIDY_S = 3600.0
STALE_S = 86400.0
"""Age at which an unfinished file is nobody's any more."""

DAY_S = 86400.0


class Agent:
    """An agent on a spool.

    :param row: where it reports what it does.
    """

    def __init__(self, options: Smtpda, spool: Spool, row: Row) -> None:
        self._options = options
        self._spool = spool
        self._row = row
        self._queue = Queue(options.concurrency, options.retry_most_s * (1 + JITTER))
        self._books = threading.Lock()
        self._leaving = threading.Event()
        self._leave_by_s = inf
        self._jobs: deque[Callable[[], object]] = deque()
        self._orders: SimpleQueue[Callable[[], Done | None] | None] = SimpleQueue()
        self._unsynced = False
        self._tick_s = self._rescan_s = self._tidy_s = -inf
        self._watch: Watch | None = None
        self._threads: list[threading.Thread] = []
        self._work: Work
        self._sessions: Sessions
        self._woken_fd = self._wake_fd = -1

    def prepare(self) -> None:
        """Make the spool's folders and what deliveries need.

        :raises StartError: something that was configured cannot be had.
        """
        self._spool.make()
        server = default_server(self._options)
        options = self._options
        self._sessions = Sessions(Dialling(options.helo, options.timeout_s, tls_context(options)), options.idle_s)
        delivery = Delivery(self._sessions, server, Signer.of(options))
        self._work = Work(options, self._spool, delivery, self._leaving)
        self._woken_fd, self._wake_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._scan()
        waiting, folder = len(self._queue), self._spool.folder
        log.info("the mail agent has %d messages in %s, server %s", waiting, folder, server or "named by each")

    def run(self) -> None:
        """Deliver until told to leave."""
        places = range(self._options.concurrency)
        self._threads = [threading.Thread(target=self._obey, name=f"smtpda-{n}", daemon=True) for n in places]
        for each in self._threads:
            each.start()
        while not self._may_go():
            while self._jobs:
                self._jobs.popleft()()
            if not self._leaving.is_set():
                self._hear()
                self._dispatch()
            if monotonic() >= self._tick_s + TICK_S:
                self._tick()
            self._wait()
        if left := len(self._work.committed):
            log.warning("the mail agent leaves %d deliveries behind, of which nobody knows how they end", left)
        self._hang_up()
        for _ in self._threads:
            self._orders.put(None)
        self._report()
        log.info("the mail agent leaves")

    def soon(self, job: Callable[[], object]) -> None:
        """Have `job` called by `run`; from any thread, and from a signal handler."""
        self._jobs.append(job)
        self.wake()

    def leave(self, grace_s: float) -> None:
        """Start no further delivery; those whose message is on its way may end within so many seconds. Call it by `soon`."""
        self._leave_by_s = min(self._leave_by_s, monotonic() + grace_s)
        self._leaving.set()
        self._hang_up()

    def wake(self) -> None:
        """Have `run` look around."""
        with suppress(BlockingIOError):  # full of such calls
            os.write(self._wake_fd, b"\0")

    def close(self) -> None:
        """Give back what `prepare` took; after `run`. What a thread that is left behind may still use stays open."""
        if self._watch is not None:
            self._watch.close()
        if not any(each.is_alive() for each in self._threads):
            os.close(self._woken_fd)
            os.close(self._wake_fd)

    def _may_go(self) -> bool:
        return self._leaving.is_set() and (not self._work.committed or monotonic() >= self._leave_by_s)

    def _hang_up(self) -> None:
        """Have all idle connections closed."""
        for session in self._sessions.expired(everything=True):
            self._orders.put(session.close)

    def _obey(self) -> None:
        """A thread's life: an order, and then one message after the other as long as some are due."""
        while (order := self._orders.get()) is not None:
            done = order()
            while done is not None:
                name = self._enter(done)
                done = self._work.do(name) if name is not None else None

    def _enter(self, done: Done) -> Name | None:
        """Enter in the books that a message has been dealt with; the one to deal with next."""
        with self._books:
            self._queue.finish(done.name, time(), done.again, done.reached)
            if done.fate is Fate.DELIVERED:
                self._row.done += 1
                self._unsynced = True
            elif done.fate is Fate.GIVEN_UP:
                self._row.failed += 1
            name = None
            if not self._leaving.is_set():
                name = self._queue.next(time())
                self._hand_out()
        if done.again is not None or self._leaving.is_set():
            self.wake()  # somebody has to wait until it is due
        return name

    def _dispatch(self) -> None:
        with self._books:
            self._hand_out()

    def _hand_out(self) -> None:
        """Give what is due to threads that have nothing to do; for whoever has the books."""
        now_s = time()
        while (name := self._queue.next(now_s)) is not None:
            self._orders.put(partial(self._work.do, name))

    def _hear(self) -> None:
        """Take note of what has appeared in the folder."""
        if self._watch is None:
            return
        names, complete = self._watch.appeared()
        self._note(filter(None, map(Name.parse, names)))
        if not complete:
            self._rescan_s = -inf

    def _note(self, names: Iterable[Name]) -> None:
        with self._books:
            now_s = time()
            for name in names:
                self._queue.add(name, now_s)

    def _scan(self) -> None:
        """Look at the whole folder; the watch begins before, so that nothing falls in between."""
        self._rescan_s = monotonic()
        if self._watch is not None and self._watch.lost:
            self._watch.close()
            self._watch = None
        if self._watch is None:
            with suppress(OSError):  # then the folder is looked at more often
                self._spool.make()
                self._watch = Watch.open(self._spool.folder)
        found = self._spool.scan()
        self._note(found.names)
        for stranger in found.strangers:
            self._work.set_aside(stranger, "is no message")

    def _tick(self) -> None:
        """Once a second: heartbeat, counters, idle connections, what must not be put off for ever."""
        self._tick_s = now_s = monotonic()
        self._report()
        if self._unsynced:
            self._unsynced = False
            self._try("sync the spool", lambda: sync_folder(self._spool.folder))
        for session in self._sessions.expired():
            self._orders.put(session.close)
        if self._leaving.is_set():
            return
        if now_s >= self._rescan_s + (RESCAN_S if self._watch is not None else TICK_S):
            self._try("read the spool", self._scan)
        if now_s >= self._tidy_s + TIDY_S:
            self._tidy_s = now_s
            self._try("tidy the spool", self._tidy)

    def _tidy(self) -> None:
        gone = self._spool.expire(time() - self._options.keep_days * DAY_S)
        swept = self._spool.sweep(time() - STALE_S)
        if gone:
            log.info("%d undelivered messages were kept for %g days and are removed", len(gone), self._options.keep_days)
        if swept:
            log.info("%d unfinished files in the spool are removed", len(swept))

    def _report(self) -> None:
        row = self._row
        row.loop_beat_s = monotonic()
        row.waiting = len(self._queue)
        row.running = self._queue.under_way
        row.connections = self._sessions.open

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._woken_fd, select.POLLIN)
        if self._leaving.is_set():  # and deaf to what appears
            timeout_s = LEAVING_TICK_S
        else:
            with self._books:
                due_s = self._queue.next_due_s() - time()
            timeout_s = max(0.0, min(self._tick_s + TICK_S - monotonic(), due_s))
            if self._watch is not None:
                poll.register(self._watch.fileno(), select.POLLIN)
        poll.poll(timeout_s * 1000)
        with suppress(BlockingIOError):
            os.read(self._woken_fd, 65536)

    def _try(self, what: str, job: Callable[[], None]) -> None:
        try:
            job()
        except (OSError, StartError) as error:
            log.error("the mail agent cannot %s: %s", what, error)

    def __repr__(self) -> str:
        return f"<Agent {self._spool!r} {self._queue!r}{' leaving' if self._leaving.is_set() else ''}>"


def default_server(options: Smtpda) -> MailServer | None:
    """The server for messages that name none.

    :raises StartError: what is configured is none.
    """
    if not options.server:
        return None
    try:
        return MailServer.parse(options.server, options.user, options.password, options.ssl, options.starttls)
    except ValueError as error:
        raise StartError(f"smtpda_server: {error}") from None


def tls_context(options: Smtpda) -> ssl.SSLContext:
    """How certificates of servers are checked.

    :raises StartError: the file of certificates cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca_file or None)
    except OSError as error:
        raise StartError(f"smtpda_ca_file: cannot read {options.ca_file}: {error.strerror or error}") from error
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
