"""The scheduler's process: on the minute, run what is due; keep watch over what runs; leave in order."""

from __future__ import annotations

import enum
import hashlib
import logging
import os
import random
import selectors
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from skitai.errors import StartError
from skitai.helpers.cron.agenda import Agenda, Due
from skitai.helpers.cron.guard import Guard
from skitai.helpers.cron.history import History
from skitai.helpers.cron.jobs import Task, make_tasks
from skitai.helpers.cron.lock import Lock
from skitai.helpers.cron.runs import Run, Runs, Terms
from skitai.ipc import rundir
from skitai.ipc.link import Child
from skitai.ipc.scoreboard import State
from skitai.log import journal
from skitai.was import host as was

TICK_S = 1.0
"""How often the clock is looked at, so that nobody waits long after it was set."""

SHORT_TICK_S = 0.05
"""While something is awaited that wakes nobody: another scheduler's lock, or the end of what a run left behind."""

FOLDER = "cron"
_HANDLED = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)


class Clock:
    """The time of day."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait_s(self, moment: datetime) -> float:
        """Seconds of real time from now until then."""
        return (moment - self.now()).total_seconds()


class Stage(enum.Enum):
    """Where this process is in its life."""

    WAITING = "for the lock"
    WORKING = "runs jobs that come due"
    RETIRING = "finishes what it began"
    STOPPING = "ends what runs"


@dataclass(slots=True)
class Waiting:
    """A run that has been claimed and not begun.

    :ivar start_s: not before; monotonic.
    :ivar blocked: the last run of its job still goes on.
    """

    task: Task
    time: datetime
    start_s: float
    blocked: bool = False


def serve(child: Child) -> int:
    """The target of the scheduler's process; returns its exit code."""
    try:
        return Runner(child).run()
    except StartError as error:
        child.failed(str(error))
        return 1


class Runner:
    """The scheduler, from its start to its last job.

    :param clock: the time that schedules are read by; all other times are real ones.
    """

    def __init__(self, child: Child, clock: Clock | None = None) -> None:
        self._child = child
        self._clock = clock or Clock()
        self._folder = os.path.join(child.places.home, FOLDER)
        self._stage = Stage.WAITING
        self._tasks: list[Task] = []
        self._agenda: Agenda | None = None
        self._waiting: list[Waiting] = []
        self._signals: deque[int] = deque()
        self._lock: Lock | None = None
        self._complaint = ""

    def run(self) -> int:
        """Work until told to leave.

        :returns: the exit code.
        :raises StartError: a schedule cannot be read, or the folder or the log cannot be made.
        """
        self._open()
        self._take_over()
        self._child.ready()  # also when it waits: the one before may be told to leave only then
        while self._stage is not Stage.STOPPING or self._runs:
            if self._stage is Stage.RETIRING and not self._runs and not self._waiting:
                break
            self._turn()
        self._guard.stop()
        self._log.info("the scheduler leaves")
        return 0

    def _open(self) -> None:
        child, config = self._child, self._child.config
        places = child.places
        self._log = journal.join("cron", places.log or None, console=places.console, verbose=config.log.verbose)
        self._tasks = make_tasks(config.cron.jobs)
        rundir.make_home(places.home)
        rundir.make_own(self._folder, 0o700)
        self._history = History(self._folder, self._log)
        for sock in child.sockets:
            sock.close()
        was.attach(child)
        self._selector = selectors.DefaultSelector()
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._pipe[0], selectors.EVENT_READ)
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for number in (*_HANDLED, signal.SIGCHLD):
            signal.signal(number, self._enqueue)
        child.watch(self._master_lost)
        self._guard = Guard()
        self._guard.start()
        terms = Terms(config.script, config.timeouts.helper_grace_s, config.cron.output_bytes)
        self._runs = Runs(self._log, self._selector, self._guard, terms, self._private)
        for task in self._tasks:
            self._log.info("job added: %s %s", task.schedule.text, task.name)

    def _private(self) -> Iterator[int]:
        """Descriptors that are no business of a job's."""
        yield from self._pipe
        if isinstance(self._selector, selectors.EpollSelector):
            yield self._selector.fileno()
        if self._lock:
            yield self._lock.fd

    def _enqueue(self, number: int, frame: object) -> None:
        self._signals.append(number)

    def _master_lost(self) -> None:
        self._log.error("the master has died; the scheduler leaves")
        os.kill(os.getpid(), signal.SIGTERM)

    # One turn

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._timeout_s()):
            if isinstance(key.data, Run):
                self._runs.hear(key.data)
            else:
                self._drain()
        while self._signals:
            self._on_signal(self._signals.popleft())
        now_s = time.monotonic()
        self._see_guard()
        for run in self._runs.look(now_s):
            self._finish(run, now_s)
        if self._stage is Stage.WAITING:
            self._take_over()
        if self._stage is Stage.WORKING:
            self._look(now_s)
        self._begin(now_s)
        if self._lock:
            self._history.save()
        self._report(now_s)

    def _timeout_s(self) -> float:
        if self._stage is Stage.WAITING or self._runs.leftovers():
            return SHORT_TICK_S
        now_s = time.monotonic()
        waits = [TICK_S, self._runs.next_s() - now_s]
        waits += [each.start_s - now_s for each in self._waiting if not each.blocked]
        if self._agenda and (moment := self._agenda.next()):
            waits.append(self._clock.wait_s(moment))
        return max(0.0, min(waits))

    def _drain(self) -> None:
        try:
            while os.read(self._pipe[0], 512):
                pass
        except BlockingIOError:
            pass

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGUSR1:
            journal.reopen()
        elif number == signal.SIGHUP:
            self._retire()
        elif number == signal.SIGTERM:
            self._stop(self._child.config.timeouts.helper_grace_s)
        elif number == signal.SIGQUIT:
            timeouts = self._child.config.timeouts
            self._stop(min(timeouts.fast_grace_s, timeouts.helper_grace_s))

    def _see_guard(self) -> None:
        try:
            if self._guard.look(run.pid for run in self._runs):
                self._log.warning("the guard of jobs had died; there is a new one")
        except OSError as error:
            self._log.error("the guard of jobs has died, and another cannot be started: %s", error.strerror)

    def _report(self, now_s: float) -> None:
        row = self._child.row
        row.loop_beat_s = now_s
        row.running = len(self._runs)
        row.waiting = len(self._tasks)

    # What is due

    def _take_over(self) -> None:
        """Begin to work, as soon as nobody else does."""
        try:
            self._lock = Lock.take(os.path.join(self._folder, "lock"))
            complaint = "" if self._lock else "another scheduler is at work; this one waits for its end"
        except OSError as error:
            complaint = f"the schedule cannot be taken over: {error}"
        if complaint != self._complaint:
            self._log.warning("%s", complaint or "the schedule is taken over")
            self._complaint = complaint
        if self._lock is None:
            return
        self._stage = Stage.WORKING
        now = self._clock.now()
        self._history.load({task.key for task in self._tasks})
        self._mourn()
        self._agenda = Agenda(self._tasks, self._history.handled, now)
        self._history.note_handled(self._agenda.handled)
        if not self._history.save():
            # Nobody knows what was run while the disk was full. Rather than to run it again, begin anew.
            self._agenda = Agenda(self._tasks, {}, now)
            self._history.note_handled(self._agenda.handled)
        self._look(time.monotonic())

    def _mourn(self) -> None:
        """Say which runs a scheduler that has died left unfinished."""
        for task in self._tasks:
            past = self._history.jobs.get(task.key)
            if past and past.claimed:
                when = _shown(past.claimed, task)
                self._log.error("%s: its run that was due %s was cut off: the scheduler died", task.name, when)
                self._history.settle(task.key)

    def _look(self, now_s: float) -> None:
        assert self._agenda is not None
        due = self._agenda.look(self._clock.now())
        if not due:
            return
        for each in due:
            self._claim(each, now_s)
        self._history.note_handled(self._agenda.handled)
        self._history.save()  # before anything runs: after a crash a time must not be run again

    def _claim(self, due: Due, now_s: float) -> None:
        task, late_s = due.task, due.late.total_seconds()
        when = _shown(due.time, task)
        if due.missed:
            self._log.warning("%s: was due %s and is missed: nobody was there to run it", task.name, when)
            return
        self._history.claim(task.key, due.time)
        if due.passed:
            self._log.warning("%s: earlier times than %s are missed", task.name, when)
        if late_s > 60:
            self._log.warning("%s: is late: it was due %s", task.name, when)
        jitter_s = random.uniform(0, task.job.jitter_s) if task.job.jitter_s else 0.0
        self._waiting.append(Waiting(task, due.time, now_s + jitter_s))

    # Runs

    def _begin(self, now_s: float) -> None:
        """Start the runs whose time has come."""
        for each in list(self._waiting):
            if now_s >= each.start_s and self._try(each, now_s):
                self._waiting.remove(each)

    def _try(self, each: Waiting, now_s: float) -> bool:
        """Start a run, or give it up; False when it has to wait."""
        task, lock = each.task, None
        if task.job.overlap != "parallel":
            try:
                lock = Lock.take(os.path.join(self._folder, f"{_digest(task.key)}.lock"))
            except OSError as error:
                self._log.error("%s: runs without its lock: %s", task.name, error)
            else:
                if lock is None:
                    if self._may_wait(each, now_s):
                        return False
                    self._history.settle(task.key, each.time)
                    return True
        try:
            run = self._runs.start(task, each.time, lock, now_s)
        except OSError as error:
            self._log.error("%s: cannot be started: %s", task.name, error)
            if lock:
                lock.give_up()
            self._child.row.failed += 1
            self._history.settle(task.key, each.time)
            return True
        self._log.info("%s: job started, due %s", run, _shown(each.time, task))
        self._history.note_run(task.key, each.time)
        return True

    def _may_wait(self, each: Waiting, now_s: float) -> bool:
        """Whether a run whose job still runs may wait for that; the log hears of both."""
        if each.blocked:
            return True
        task, when = each.task, _shown(each.time, each.task)
        others = [other for other in self._waiting if other is not each and other.task is task and other.blocked]
        ours = self._runs.of(task)
        last = f"{ours[0]}, for {now_s - ours[0].started_s:.0f} s" if ours else "of the scheduler before this one"
        if task.job.overlap == "skip" or others:
            reason = "and another run waits already" if others else "so this one is skipped"
            self._log.warning("%s: is due %s while its last run goes on (%s), %s", task.name, when, last, reason)
            return False
        self._log.info("%s: is due %s and waits for the end of its last run (%s)", task.name, when, last)
        if task.job.overlap == "replace":
            for run in ours:
                self._runs.end(run, "was ended for its next run", now_s)
        each.blocked = True
        return True

    def _finish(self, run: Run, now_s: float) -> None:
        """Nothing is left of a run."""
        assert run.code is not None
        well = run.code == 0 and not run.why
        row = self._child.row
        row.done, row.failed, row.running = row.done + well, row.failed + (not well), len(self._runs)
        duration_s = now_s - run.started_s
        why = f", {run.why}" if run.why else ""
        level = logging.INFO if well else logging.ERROR
        self._log.log(level, "%s: job finished with %s after %s%s", run, _in_words(run.code), _duration(duration_s), why)
        self._history.note_run(run.task.key, run.time, run.code, duration_s)
        self._history.settle(run.task.key, run.time)

    # Leaving

    def _retire(self) -> None:
        """Leave the schedule to a successor, and finish what was begun."""
        if self._stage in (Stage.RETIRING, Stage.STOPPING):
            return
        self._stage = Stage.RETIRING
        self._let_go()
        self._child.row.state = State.RETIRING
        if self._runs:
            self._log.info("retires when %d runs have ended", len(self._runs))

    def _stop(self, grace_s: float) -> None:
        """End everything. A second, harder demand overrides a softer one."""
        if self._stage is Stage.STOPPING and grace_s >= self._runs.terms.grace_s:
            return
        self._stage = Stage.STOPPING
        self._let_go()
        self._child.row.state = State.STOPPING
        self._runs.terms.grace_s = grace_s
        now_s = time.monotonic()
        for each in self._waiting:
            self._log.warning(
                "%s: was due %s and does not run: the scheduler stops", each.task.name, _shown(each.time, each.task)
            )
        self._waiting.clear()
        for run in self._runs:
            run.due_s = min(run.due_s, now_s + grace_s)
            self._runs.end(run, "was ended: the scheduler stops", now_s)

    def _let_go(self) -> None:
        """Give the schedule up: from now on the history is another's to write, and what becomes of our runs ours to say."""
        self._agenda = None
        if self._lock:
            for task in self._tasks:
                self._history.settle(task.key)
            self._history.save()
            self._lock.give_up()
            self._lock = None


def _shown(moment: datetime, task: Task) -> str:
    return f"{moment.astimezone(task.schedule.zone):%Y-%m-%d %H:%M}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _in_words(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
