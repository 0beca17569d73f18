"""The supervisor: one loop over signals, messages, clients, ended children and time; what it does is `policy`'s decision."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from skitai.config.tree import Config
from skitai.ipc.control import Conversation, Request
from skitai.ipc.messages import Failed, Message, Ready, Restart, Shutdown
from skitai.ipc.sd_notify import Notifier
from skitai.log import journal
from skitai.master import policy
from skitai.master.children import CRASH_LOOP, EARLY_S, Exit, Phase, Record
from skitai.master.desk import Desk
from skitai.master.estate import Estate
from skitai.master.family import Family, reaped
from skitai.master.policy import Action, Condemn, Plan, Rules, Spawn, Tell
from skitai.master.program import Program
from skitai.master.reload import Inheritance, Probe, Reloads, replace
from skitai.master.signals import Signals
from skitai.master.status import describe
from skitai.master.vitals import Vitals

log = logging.getLogger("skitai.server")

TICK_S = 1.0
STANDSTILL_S = 5.0
"""A turn of the loop that took longer means that the machine, not a child, stood still."""

FAILED_LEAVE_S = 2.0
"""A child that said why it cannot serve has this long to leave."""

STOP_NEWS_S = 5.0
MOST_CHILDREN = 128


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the supervisor tells those who started it.

    :param ready: all children that were wanted at the start serve.
    :param hopeless: children die again and again and none has ever been ready; returns whether to give up.
    :param release: in a child: close what belongs to the start.
    """

    ready: Callable[[], object] = lambda: None
    hopeless: Callable[[str], bool] = lambda reason: False
    release: Callable[[], object] = lambda: None


class Supervisor:
    """Keeps programs running until it is told to stop.

    :param programs: the first one is whose number `TTIN`, `TTOU` and ``workers`` change; none when old children are only
        taken care of.
    :param config: handed to children; None when there is no program.
    """

    def __init__(
        self,
        estate: Estate,
        programs: Sequence[Program],
        config: Config | None,
        rules: Rules,
        hooks: Hooks,
        notifier: Notifier,
    ) -> None:
        self._estate = estate
        self._programs = {program.name: program for program in programs}
        self._rules = rules
        self._hooks = hooks
        self._notifier = notifier
        self._signals = Signals()
        self._family = Family(estate, config, self._signals, self._release)
        self._plan = Plan(
            {program.name: program.count for program in programs}, frozenset(each.name for each in programs if each.helper)
        )
        # Those without whom there is no server; a helper is one only where it runs alone.
        self._essential = {each.name for each in programs if not each.helper} or set(self._plan.counts)
        self._desk = Desk(estate.control)
        self._reloads = Reloads()
        self._stop_clients: list[Conversation] = []
        self._complete = False
        self._code = 0
        self._turned_s = self._notified_s = self._news_s = 0.0
        self._vitals = Vitals(self._family.row)
        self._gauges = Vitals(self._family.row, interval_s=1)
        self._early_signals: list[int] = []

    def resume(self, inheritance: Inheritance, readable: bool, refused: str = "") -> None:
        """Go on from what the program before the exec left; to be called before `run`.

        :param readable: the children's rows can be read.
        :param refused: why this program has no code of its own to start; the old children are only taken care of.
        """
        state = inheritance.state
        self._notifier.expect_silence(0)
        self._family.adopt(state["family"], readable)
        self._early_signals = state["signals"]
        self._complete = True
        generation, oldest = state["generation"], state["oldest"]
        self._reloads.adopt(state["reloads"])
        if not refused:
            # Helpers that the new configuration does not want any more
            self._plan.helpers |= {record.program for record in self._family.children if record.helper}
            self._plan.counts |= dict.fromkeys(self._plan.helpers - self._plan.counts.keys(), 0)
        if refused:
            self._plan.generation, self._plan.oldest = generation, oldest
            self._end_reload(False, f"{refused}; the old code goes on serving")
        else:
            self._plan.generation = self._plan.oldest = generation + 1
            self._report(f"starting generation {self._plan.generation}")

    # The loop

    def run(self) -> int:
        """Supervise until the last child has left after a stop; the exit code."""
        self._signals.install(self._early_signals)
        self._turned_s = self._plan.awake_s = time.monotonic()
        try:
            while self._plan.stop is None or len(self._family.children):
                self._turn()
        finally:
            self._signals.reset()
        self._estate.remove()
        log.info("%s has stopped", self._estate.origin.title)
        for client in self._stop_clients:
            client.finish(True, "stopped")
        return self._code

    def _turn(self) -> None:
        for each in self._signals.take():
            self._on_signal(each)
        for record, message in self._family.messages():
            self._on_message(record, message)
        for pid, code in reaped():
            self._on_exit(pid, code)
        now = time.monotonic()
        for request, client in self._desk.requests(now):
            self._on_request(request, client)
        self._tick(now)
        children = self._family.children
        vitals = self._vitals.read(children, now, self._rules)
        for action in policy.decide(children, vitals, now, self._plan, self._rules):
            self._act(action, now)
        self._see_completion()
        if self._plan.stop is None or len(children):
            self._wait(now)

    def _wait(self, now: float) -> None:
        due_s = policy.next_due(self._family.children, now, self._plan, self._rules)
        if self._notifier.watchdog_s:
            due_s = min(due_s, self._notified_s + self._notifier.watchdog_s / 2 - now)
        poll = select.poll()
        probe = self._reloads.probe
        for fd in (self._signals.fileno(), *self._desk.filenos(), *self._family.filenos(), probe.fileno() if probe else -1):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        poll.poll(math.ceil(1000 * max(0.0, min(TICK_S, due_s))))

    def _tick(self, now: float) -> None:
        if now - self._turned_s > STANDSTILL_S:
            self._plan.awake_s = now
        self._turned_s = now
        if self._notifier.watchdog_s and now - self._notified_s >= self._notifier.watchdog_s / 2:
            self._notified_s = now
            self._notifier.watchdog()
        if journal.rotate(time.time()):
            self._estate.give_logs()
            self._family.pass_on(signal.SIGUSR1)
        if probe := self._reloads.probe:
            probe.read()
            if now >= probe.deadline_s:
                self._family.send(probe.pid, signal.SIGKILL)
        if self._stop_clients and now - self._news_s >= STOP_NEWS_S:
            self._news_s = now
            for client in self._stop_clients:
                client.progress(f"waiting for {len(self._family.children)} to finish")

    # What comes in

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGTERM:
                self._stop(signal.SIGTERM)
            case signal.SIGINT | signal.SIGQUIT:
                self._stop(signal.SIGQUIT)
            case signal.SIGHUP if self._terminal_has_gone():
                self._stop(signal.SIGTERM)
            case signal.SIGHUP:
                self._begin_reload(None)
            case signal.SIGUSR1:
                self._reopen()
            case signal.SIGUSR2:
                self._family.pass_on(signal.SIGUSR2)
            case signal.SIGTTIN:
                self._resize(+1)
            case signal.SIGTTOU:
                self._resize(-1)

    def _terminal_has_gone(self) -> bool:
        """SIGHUP is also what a closing terminal sends to the server that ran in it."""
        if not self._estate.origin.terminal:
            return False
        try:
            os.tcgetpgrp(0)
        except OSError:
            return True
        return False

    def _on_request(self, request: Request, client: Conversation) -> None:
        match request.verb:
            case "status":
                client.finish(True, **self._describe())
            case "reload":
                self._begin_reload(client)
            case "stop":
                self._stop_clients.append(client)
                self._stop(signal.SIGQUIT if request.arguments.get("fast") else signal.SIGTERM)
            case "reopen":
                self._reopen()
                client.finish(True, "logs are open again")
            case "workers":
                change = request.arguments.get("change")
                if change in (1, -1):
                    client.finish(*self._resize(change))
                else:
                    client.finish(False, f'"change" should be 1 or -1, not {change!r}')

    def _on_message(self, record: Record, message: Message) -> None:
        match message:
            case Ready():
                if self._family.children.ready(record.pid, time.monotonic()):
                    self._report(f"{record.who} is ready")
                    if record.generation == self._plan.generation:
                        self._reloads.proven = True
            case Failed(reason):
                self._family.children.failed(record.pid, reason, time.monotonic() + FAILED_LEAVE_S)
            case Restart() | Shutdown():
                self._on_wish(record, message)

    def _on_wish(self, record: Record, wish: Restart | Shutdown) -> None:
        """An app asked to restart or stop: the server when its worker is the only one, else its worker."""
        alone = not record.helper and self._plan.counts.get(record.program, 0) <= 1
        if isinstance(wish, Restart) and alone:
            self._begin_reload(None)
        elif isinstance(wish, Shutdown) and alone:
            self._stop(signal.SIGTERM)
        elif record.phase is Phase.SERVING and not record.condemned:
            self._act(Condemn(record.pid, "was asked to leave by its app", ill=False), time.monotonic())

    def _on_exit(self, pid: int, code: int) -> None:
        probe = self._reloads.probe
        if probe and probe.pid == pid:
            self._after_probe(probe.verdict(code))
            return
        for record, message in self._family.last_words(pid):
            self._on_message(record, message)
        left = self._family.bury(pid, code, time.monotonic())
        if left is None:
            return
        if left.expected and code in (0, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGQUIT):
            log.info("%s", left.text)
        else:
            log.error("%s", left.text)
        if not left.expected and self._plan.stop is None:
            self._on_failure(left)

    def _on_failure(self, left: Exit) -> None:
        record = left.record
        essential = record.program in self._essential
        is_new = essential and record.generation == self._plan.generation
        if self._reloads.starting and not self._reloads.proven and is_new:
            self._give_up(left.text)
            return
        streak = self._family.children.streak(record.program)
        if left.early and streak.deaths >= CRASH_LOOP:
            text = (
                "crash loop: %d times in a row a %s left within %.0f s of its start, at last %s; the next starts in %.0f s"
            )
            delay_s = max(0.0, streak.not_before_s - time.monotonic())
            log.critical(text, streak.deaths, record.program, EARLY_S, left.text, delay_s)
        hopeless = record.condemned or streak.deaths >= CRASH_LOOP
        if essential and hopeless and not self._complete and self._hooks.hopeless(left.text):
            self._code = 1
            self._stop(signal.SIGQUIT)

    # What is done

    def _act(self, action: Action, now: float) -> None:
        children = self._family.children
        match action:
            case Spawn(program, strict):
                if not self._family.spawn(self._programs[program], self._plan.generation, strict, now):
                    children.stumbled(program, now)
            case Tell(pid, number, phase, deadline_s, why):
                record = children.get(pid)
                if record and why:
                    log.error("%s %s: %s", record.who, why, number.name)
                elif record and phase is Phase.RETIRING:
                    self._report(f"{record.who} retires")
                self._family.tell(pid, number, phase, deadline_s)
            case Condemn(pid, why, ill):
                record = children.get(pid)
                children.condemned(pid, why, ill, now)
                if record:
                    log.log(logging.ERROR if ill else logging.INFO, "%s %s; it will be replaced", record.who, why)
                if ill:
                    self._family.send(pid, signal.SIGUSR2)

    def _release(self) -> None:
        """In a child: close what is the master's alone."""
        for client in (*self._stop_clients, *self._reloads.clients, *self._reloads.next_clients):
            client.close()
        if self._reloads.probe:
            self._reloads.probe.close()
        self._desk.close()
        self._hooks.release()

    def _stop(self, how: signal.Signals) -> None:
        """Graceful (SIGTERM) or fast (SIGQUIT). A fast stop overtakes a graceful one, not the other way round."""
        if self._plan.stop in (how, signal.SIGQUIT):
            return
        first = self._plan.stop is None
        self._plan.stop = how
        log.info("stopping fast" if how is signal.SIGQUIT else "stopping")
        if first:
            self._notifier.stopping()
            self._estate.stop_listening()
            self._news_s = time.monotonic()
            self._reloads.wanted = False
            self._end_reload(False, "the server stops")

    def _reopen(self) -> None:
        journal.reopen()
        self._estate.give_logs()
        self._family.pass_on(signal.SIGUSR1)
        log.info("logs are open again")

    def _resize(self, change: int) -> tuple[bool, str]:
        """One worker more or less."""
        name = next(iter(self._plan.counts), None)
        if name is None:
            return False, "the old workers are only being taken care of; reload first"
        if name in self._plan.helpers:
            return False, f"there is one {name}, always"
        wanted = self._plan.counts[name] + change
        if not 1 <= wanted <= MOST_CHILDREN:
            return False, f"1 to {MOST_CHILDREN} are possible"
        self._plan.counts[name] = wanted
        log.info("%s: %d wanted", name, wanted)
        return True, f"{name}: {wanted} wanted"

    def _see_completion(self) -> None:
        """The start, or a reload, may have come to its end."""
        children = self._family.children
        serving = {name: [each for each in children.of(name) if each.phase is Phase.SERVING] for name in self._plan.counts}
        if any(len(serving[name]) < self._plan.counts[name] for name in self._essential):
            return
        if not self._complete:
            self._complete = True
            self._notifier.ready(self._summary())
            self._hooks.ready()
        fresh = all(each.generation >= self._plan.generation for records in serving.values() for each in records)
        helpers_done = all(
            len(serving[name]) >= self._plan.counts[name] or children.streak(name).deaths
            for name in self._plan.helpers & self._plan.counts.keys()
        )
        if self._reloads.starting and fresh and helpers_done:
            self._end_reload(True, f"generation {self._plan.generation} serves")

    # Reload

    def _begin_reload(self, client: Conversation | None) -> None:
        if self._plan.stop is not None:
            if client:
                client.finish(False, "the server is stopping")
            return
        if self._reloads.under_way:
            self._reloads.ask_again(client)
            return
        self._reloads.begin(client)
        self._report("checking the new code")
        self._notifier.reloading()
        if not self._complete:
            self._hooks.ready()  # whoever waits for the start gets no answer from the program that follows
        deadline_s = time.monotonic() + self._rules.boot_s
        try:
            self._reloads.probe = Probe.start(self._estate.origin, self._signals, deadline_s)
        except OSError as error:
            self._end_reload(False, f"the new code cannot be checked: {error.strerror}")

    def _after_probe(self, refusal: str) -> None:
        self._reloads.probe = None
        if self._plan.stop is not None:
            return
        if refusal:
            self._end_reload(False, f"the new code does not load: {refusal}; the old code goes on serving")
            return
        self._report("the new code loads")
        self._replace()

    def _replace(self) -> None:
        self._signals.block()
        pending = self._signals.take()
        if not {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}.isdisjoint(pending):
            self._signals.unblock()
            for each in pending:
                self._on_signal(each)
            return
        state = {
            "family": self._family.hand_over(),
            "generation": self._plan.generation,
            "oldest": self._plan.oldest,
            "reloads": self._reloads.hand_over(),
            "signals": [int(each) for each in pending],
            "rules": self._rules.to_json(),
        }
        self._notifier.expect_silence(self._rules.boot_s)  # while the script is run anew
        try:
            replace(self._estate, state, self._signals)
        except OSError as error:
            self._notifier.expect_silence(0)
            self._family.keep()
            self._reloads.keep()
            self._end_reload(False, f"cannot execute the new code: {error}; the old code goes on serving")

    def _give_up(self, reason: str) -> None:
        """No child of the new generation becomes ready: stay with those who serve."""
        serving = [record.generation for record in self._family.children if record.phase is Phase.SERVING]
        self._plan.oldest = min(serving, default=self._plan.oldest)
        for name in self._plan.counts.keys() - self._programs.keys():
            del self._plan.counts[name]  # the new code would do without that helper; the old code goes on, and so does it
        rest = "the old code goes on serving" if serving else "and nobody is left who serves"
        self._end_reload(False, f"generation {self._plan.generation} does not start: {reason}; {rest}")

    def _end_reload(self, ok: bool, text: str) -> None:
        if self._reloads.under_way:
            log.log(logging.INFO if ok else logging.ERROR, "reload: %s", text)
            self._notifier.ready(self._summary())
        if self._reloads.probe:
            self._family.send(self._reloads.probe.pid, signal.SIGKILL)
        if self._reloads.end(ok, text):
            self._begin_reload(None)

    def _report(self, text: str) -> None:
        log.info("%s", text)
        self._reloads.progress(text)

    # What it looks like

    def _summary(self) -> str:
        return f"generation {self._plan.generation}, {len(self._family.children)} children"

    def _describe(self) -> dict[str, Any]:
        now = time.monotonic()
        children = self._family.children
        vitals = self._gauges.read(children, now, self._rules)
        rows = {record.pid: row for record in children if (row := self._family.row(record))}
        stage = "serving" if self._plan.counts else "caretaking"
        if self._plan.stop:
            stage = "stopping"
        elif not self._complete:
            stage = "starting"
        elif self._reloads.under_way:
            stage = "reloading"
        return {"text": stage} | describe(self._estate, children, self._plan, vitals, rows, stage, now)
