"""`python -m benchmarks [CASE ...]`: measure, print the tables, write them to benchmarks/results/."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import backends, databases, mail
from benchmarks.cases import CASES, Case, static_folder
from benchmarks.contenders import Contender
from benchmarks.measure import measure
from benchmarks.processes import Absent, told_to_stop
from benchmarks.report import Outcome, preface, table

RESULTS = Path(__file__).resolve().parent / "results"
BY_THEMSELVES = {"mail": mail.measure, "backends": backends.measure, "databases": databases.measure}
"""Cases that measure no server under load."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    names = [*(case.name for case in CASES), *BY_THEMSELVES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--passes", type=int, default=3, help="over all servers of a case (default 3)")
    parser.add_argument("--seconds", type=float, default=4, help="of load on each server in each pass (default 4)")
    parser.add_argument(
        "--only", default="", help='"peers", "ours", or names of servers separated by commas, of which a part is enough'
    )
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.cases) - set(names):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return chosen


def wanted(contender: Contender, only: str) -> bool:
    if not only:
        return True
    if only in {"peers", "ours"}:
        return contender.ours == (only == "ours")
    return any(part.strip() in contender.name for part in only.split(","))


def run(case: Case, only: str, passes: int, seconds: float) -> list[Outcome]:
    """All passes of a case; a server that fails once is named absent and left out of the rest."""
    outcomes = {c.name: Outcome(c.name, c.ours) for c in case.contenders if wanted(c, only)}
    for number in range(passes if case.kind in {"load", "stream", "tunnel"} else 1):
        for contender in case.contenders:
            outcome = outcomes.get(contender.name)
            if outcome is None or outcome.absent:
                continue
            print(f"{case.name}: pass {number + 1}: {contender.name}", file=sys.stderr, flush=True)
            try:
                with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
                    outcome.samples.append(measure(case, contender, seconds, Path(folder)))
            except Absent as absent:
                outcome.absent, outcome.samples = str(absent), []
    return list(outcomes.values())


def main(argv: Sequence[str]) -> int:
    chosen = arguments(argv)
    static_folder()
    written = [preface(chosen.passes, chosen.seconds)]
    print(written[0])
    try:
        with told_to_stop():
            for case in CASES:
                if not chosen.cases or case.name in chosen.cases:
                    outcomes = run(case, chosen.only, chosen.passes, chosen.seconds)
                    if outcomes:
                        written.append(table(case, outcomes))
                        print(written[-1], flush=True)
            for name, measured in BY_THEMSELVES.items():
                if (not chosen.cases or name in chosen.cases) and chosen.only in {"", "ours"}:
                    written.append(measured())
                    print(written[-1], flush=True)
    except KeyboardInterrupt:
        print("interrupted; every server has been ended", file=sys.stderr)
        return 130
    finally:
        if len(written) > 1:
            RESULTS.mkdir(exist_ok=True)
            path = RESULTS / time.strftime("%Y%m%d-%H%M%S.md")
            path.write_text("\n".join(written), "utf-8")
            print(f"written to {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
