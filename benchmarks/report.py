"""Samples to tables: medians, ratios to the reference, targets beside results."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.cases import Case
from benchmarks.contenders import versions
from benchmarks.load import generator
from benchmarks.measure import Sample


@dataclass
class Outcome:
    """What a contender showed in a case: its samples, or why it has none."""

    name: str
    ours: bool
    samples: list[Sample] = field(default_factory=list)
    absent: str = ""

    def middle(self, figure: str) -> float:
        """Median of a figure over the passes."""
        return median(getattr(sample, figure) for sample in self.samples)


COLUMNS = {
    "load": ("server", "us/request", "spread", "ratio", "requests/s", "p50 ms", "p99 ms", "worker MB", "errors", "others"),
    "idle": ("server", "more MB", "kept open", "worker MB", "remarks"),
    "memory": ("server", "worker MB", "tree MB"),
    "stream": ("server", "us/MB", "ratio", "MB/s", "more MB", "worker MB"),
    "tunnel": ("server", "us/MB", "ratio", "MB/s", "more MB", "worker MB"),
    "reload": ("server", "errors", "stall ms", "usual stall ms", "workers seen", "requests/s", "remarks"),
}


def cells(case: Case, outcome: Outcome, reference: float) -> list[str]:
    """One row. `reference`: CPU per request of the reference in microseconds, or 0."""
    middle = outcome.middle
    remarks = next((sample.note for sample in outcome.samples if sample.note), "")
    if case.kind == "idle":
        return [f"{middle('tree_mb'):.1f}", f"{middle('held'):.0f}", f"{middle('worker_mb'):.1f}", remarks]
    if case.kind in {"stream", "tunnel"}:
        cost = middle("cost_us")
        ratio = f"{cost / reference:.2f}" if reference else "-"
        more = max(sample.tree_mb for sample in outcome.samples)
        return [f"{cost:.0f}", ratio, f"{middle('rate'):,.0f}", f"{more:.1f}", f"{middle('worker_mb'):.1f}"]
    if case.kind == "memory":
        return [f"{middle('worker_mb'):.1f}", f"{middle('tree_mb'):.1f}"]
    if case.kind == "reload":
        row = [
            f"{max(sample.errors for sample in outcome.samples)}",
            f"{max(sample.stall_ms for sample in outcome.samples):.0f}",
        ]
        return [*row, f"{middle('quiet_stall_ms'):.0f}", f"{middle('workers'):.0f}", f"{middle('rate'):.0f}", remarks]
    costs = [sample.cost_us for sample in outcome.samples]
    return [
        f"{median(costs):.1f}",
        f"{min(costs):.1f}-{max(costs):.1f}",
        f"{median(costs) / reference:.2f}" if reference else "-",
        f"{middle('rate'):,.0f}",
        f"{middle('p50_us') / 1e3:.2f}",
        f"{middle('p99_us') / 1e3:.2f}",
        f"{middle('worker_mb'):.1f}",
        f"{sum(sample.errors for sample in outcome.samples)}",
        f"{middle('others'):.0%}",
    ]


def verdicts(case: Case, ours: Outcome, reference: float) -> list[str]:
    """Targets of a case beside what we reached, one line each."""

    def line(what: str, target: str, reached: str, good: bool) -> str:
        return f"{'reached' if good else 'MISSED'}: {what}: target {target}, here {reached}"

    found = []
    if case.ratio and reference:
        ratio = ours.middle("cost_us") / reference
        found.append(line(f"CPU per request to {case.reference}", f"{case.ratio:.2f}", f"{ratio:.2f}", ratio <= case.ratio))
    if case.cost_us:
        cost = ours.middle("cost_us")
        found.append(line("CPU per request", f"{case.cost_us:.0f} us", f"{cost:.1f} us", cost <= case.cost_us))
    if case.rate:
        rate = ours.middle("rate")
        found.append(line("requests per second", f"{case.rate:,.0f}", f"{rate:,.0f}", rate >= case.rate))
    if case.kind in {"stream", "tunnel"}:
        more = max(sample.tree_mb for sample in ours.samples)
        found.append(line("added memory", f"{case.limit:.0f} MB", f"{more:.1f} MB", more <= case.limit))
    if case.kind == "idle":
        more = ours.middle("tree_mb")
        found.append(line("memory more than with none", f"{case.limit:.0f} MB", f"{more:.1f} MB", more <= case.limit))
    if case.kind == "memory":
        worker = ours.middle("worker_mb")
        found.append(line("memory of an idle worker", f"{case.limit:.0f} MB", f"{worker:.1f} MB", worker <= case.limit))
    if case.kind == "reload":
        errors = max(sample.errors for sample in ours.samples)
        added = max(sample.stall_ms - sample.quiet_stall_ms for sample in ours.samples)
        workers = min(sample.workers for sample in ours.samples)
        found.append(line("failed requests", "0", str(errors), not errors))
        found.append(line("added stall", f"{case.limit:.0f} ms", f"{added:.0f} ms", added <= case.limit))
        found.append(line("workers that answered, before and after", "4", str(workers), workers >= 4))
    return found


def table(case: Case, outcomes: Sequence[Outcome]) -> str:
    """A case as Markdown, its columns aligned so that it reads as text too."""
    present = {outcome.name: outcome for outcome in outcomes if outcome.samples}
    reference = present[case.reference].middle("cost_us") if case.reference in present else 0
    head = COLUMNS[case.kind]
    rows = [list(head)]
    for outcome in outcomes:
        if outcome.samples:
            rows.append([outcome.name, *cells(case, outcome, reference)])
        else:
            rows.append([outcome.name, "absent", *[""] * (len(head) - 2)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [f"## {case.title}", ""]
    for number, row in enumerate(rows):
        padded = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append(f"| {' | '.join(padded)} |")
        if not number:
            lines.append("|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""]))
    lines += [f"\n{outcome.name} is absent: {outcome.absent}." for outcome in outcomes if outcome.absent]
    if case.kind == "load" and not reference:
        lines.append(f"\nNo ratios: the reference, {case.reference}, is absent.")
    ours = next((outcome for outcome in outcomes if outcome.ours and outcome.samples), None)
    if ours is not None:
        lines += ["", *(f"- {verdict}" for verdict in verdicts(case, ours, reference))]
    return "\n".join(lines) + "\n"


def preface(passes: int, seconds: float) -> str:
    """What the tables mean, and on what they were made."""
    cpu = next((l.split(":")[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in l), "?")
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        f"# Benchmarks, {time.strftime('%Y-%m-%d %H:%M')}\n\n"
        f"CPU microseconds per request are those of the server's whole process tree, user and system. Medians of {passes} "
        f"passes of {seconds:g} s, servers in turn within each pass; server on one core, load ({generator()}) on another, "
        f"one worker unless said otherwise. Our request log is on; access logs of the others are as they are by default. "
        f'"others" is what other processes took of the server\'s core meanwhile: where it is large, distrust the row.\n\n'
        f"- {os.cpu_count()} x {cpu}, Linux {platform.release()}, Python {platform.python_version()}\n- {found}\n"
    )
