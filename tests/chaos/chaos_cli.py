"""The command line of the crash harness: which runs, in how many processes, and what is told of them."""
from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import chaos_matrix as matrix
import chaos_real as real
from chaos_actions import ACTIONS
from chaos_beside import BESIDE, chosen
from chaos_pool import carry_out, scratch
from chaos_run import Plan, Report
from chaos_site import STORES
from sim_points import POINTS, Strike


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="how many (default: %(default)s); the first ones strike "
                        "each action at each point, then each hit of it in turn with random ones")
    parser.add_argument("--seed", type=int, default=1, help="other seeds, other strikes (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--action", default="*", help="only these actions (a pattern, such as 'RUNNING/*')")
    parser.add_argument("--point", default="*", help="only strikes at these points (a pattern, such as 'commit.*')")
    parser.add_argument("--store", choices=STORES, help="only with the VM's files there")
    parser.add_argument("--beside", default="", help="a second VM on the same host, and what it does meanwhile: one "
                        "like this pattern, as the seed says ('*': any; --list names them)")
    parser.add_argument("--strike", action="append", type=Strike.parse, default=[],
                        metavar="POINT[:DETAIL]#N=FAULT[~S]",
                        help="one run with these strikes, as the summary prints it; may be repeated")
    parser.add_argument("--real", type=int, default=0, metavar="N",
                        help="N runs with real processes and a real kill -9 instead, at a moment that the seed says")
    parser.add_argument("--alone", action="store_true", help="each action once, with nothing that strikes")
    parser.add_argument("--keep-going", action="store_true", help="do not stop after 20 violations")
    parser.add_argument("--list", action="store_true", help="print the actions and points, run nothing")
    return parser.parse_args(argv)


class Tally:
    """What came of the runs so far."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.began = total, 0, time.monotonic()
        self.hits: Counter[str] = Counter()
        self.strikes: Counter[tuple[str, str]] = Counter()
        self.pairs: set[tuple[str, str]] = set()
        self.cells: set[tuple[str, str]] = set()
        self.wrong: list[Report] = []
        self.simulated = 0.0
        self.longest = 0.0
        self.possible: set[tuple[str, str]] = set()
        """The pairs that actions reach when nothing strikes."""

    def take(self, report: Report) -> None:
        """One more."""
        self.done += 1
        self.simulated += report.seconds
        self.longest = max(self.longest, report.seconds)
        self.cells |= report.cells
        for (point, _), number in report.hits.items():
            self.hits[point] += number
        for strike in report.struck:
            self.strikes[strike.point, strike.fault] += 1
            self.pairs.add((report.plan.action, strike.point))
        if report.violations:
            self.wrong.append(report)
            print(f"\n{report.plan.command()}\n    {report.violations[0][:2000]}", flush=True)
        if sys.stderr.isatty() or self.done % 500 == 0 or self.done == self.total:
            rate = self.done / max(time.monotonic() - self.began, 0.001)
            print(f"\r{self.done}/{self.total} runs, {len(self.wrong)} violations, {rate:.0f}/s ", end="",
                  file=sys.stderr, flush=True)

    def summary(self) -> str:
        """All of it."""
        known = f" ({len(self.pairs & self.possible)} of the {len(self.possible)} that are)" if self.possible else ""
        lines = ["", f"{self.done} runs in {time.monotonic() - self.began:.0f} s, {self.simulated / 3600:.1f} "
                 f"simulated hours, {sum(self.strikes.values())} strikes, {len(self.pairs)} pairs of action and point "
                 f"struck{known}, {len(self.cells)} cells of the state table, the longest way to rest "
                 f"{self.longest:.0f} s"]
        for name, point in POINTS.items():
            faults = ", ".join(f"{fault} {n}" for fault in point.faults if (n := self.strikes[name, fault]))
            lines.append(f"  {name:14} reached {self.hits[name]:8}  {faults}")
        missing = matrix.unasked(self.cells)
        lines.append(f"not asked of the state table: {len(missing)}, such as {', '.join(missing[:8])}"
                     if missing else "every event of the state table was asked for in each of its states")
        lines.append(f"{len(self.wrong)} violations" + "".join(
            f"\n  python -m tests.chaos {report.plan.command()}" for report in self.wrong[:50]))
        return "\n".join(lines)


class Enough(Exception):
    """There are violations enough."""


def main(argv: list[str] | None = None) -> int:
    """The entry point; 1 when something does not hold."""
    args = arguments(argv)
    names = [name for name in ACTIONS if fnmatchcase(name, args.action)]
    if args.list:
        points = [f"{p.name:14} {p.what}; {', '.join(p.faults)}" for p in POINTS.values()]
        print("\n".join([*names, "", *BESIDE, "", *points]))
        return 0
    if not names or (args.beside and not _besides(args)):
        print(f"nothing is like {args.beside if names else args.action!r}, see --list", file=sys.stderr)
        return 2
    with scratch() as base:
        return _really(args, names, base) if args.real else _chaos(args, names, base)


def _chaos(args: argparse.Namespace, names: list[str], base: Path) -> int:
    besides = _besides(args)

    def two(plan: Plan) -> Plan:
        return replace(plan, beside=chosen(besides, plan.action, plan.store, args.seed))

    first = [two(plan) for plan in matrix.alone(names) if args.store in (None, plan.store)]
    if args.strike:
        plans = [replace(plan, seed=args.seed, strikes=tuple(args.strike)) for plan in first]
        return _told(plans, 1 if len(plans) == 1 else args.jobs, base, args.keep_going)
    found: dict[tuple[str, str], matrix.Hits] = {}
    before = _run(first, args.jobs, base, args.keep_going, found)
    if before.wrong or args.alone:
        print(before.summary())
        return bool(before.wrong)
    found = _only(found, args.point)
    plans = [two(plan) for plan in matrix.plans(found, args.seed, args.runs)]
    return _told(plans, args.jobs, base, args.keep_going, matrix.reachable(found))


def _besides(args: argparse.Namespace) -> list[str]:
    return [name for name in BESIDE if fnmatchcase(name, args.beside)]


def _really(args: argparse.Namespace, names: list[str], base: Path) -> int:
    plans, reports, began = real.plans(names, args.seed, args.real), list[real.RealReport](), time.monotonic()

    def heard(report: real.RealReport) -> None:
        reports.append(report)
        if report.violations:
            print(f"\n{report.command()} ({report.victim} in {report.met})\n"
                  f"    {report.violations[0][:2000]}", flush=True)
    with ThreadPoolExecutor(args.jobs) as threads:
        shares = [threads.submit(real.carry_out, plans[n::args.jobs], base / str(n), heard) for n in range(args.jobs)]
    for share in shares:
        share.result()
    wrong = [report for report in reports if report.violations]
    killed, met = Counter(r.victim for r in reports), Counter(r.met for r in reports)
    actions, seconds = len({r.action for r in reports}), time.monotonic() - began
    print(f"{len(reports)} real runs of {actions} actions in {seconds:.0f} s, "
          f"the longest way to rest {max((r.seconds for r in reports), default=0):.1f} s\n"
          f"killed: {', '.join(f'{name} {n}' for name, n in killed.most_common())}\n"
          f"met in {len(met)} states: {', '.join(f'{name} {n}' for name, n in met.most_common())}\n"
          f"{len(wrong)} violations" + "".join(f"\n  python -m tests.chaos {report.command()}" for report in wrong))
    return bool(wrong or len(reports) < len(plans))


def _only(found: dict[tuple[str, str], matrix.Hits], pattern: str) -> dict[tuple[str, str], matrix.Hits]:
    kept = {key: {place: n for place, n in hits.items() if fnmatchcase(place[0], pattern)}
            for key, hits in found.items()}
    return {key: hits for key, hits in kept.items() if hits}


def _run(plans: list[Plan], jobs: int, base: Path, keep_going: bool,
         found: dict[tuple[str, str], matrix.Hits] | None = None) -> Tally:
    tally = Tally(len(plans))

    def heard(report: Report) -> None:
        tally.take(report)
        if found is not None:
            found[report.plan.action, report.plan.store] = report.hits
        if len(tally.wrong) >= 20 and not keep_going:
            raise Enough
    try:
        carry_out(plans, jobs, base, heard)
    except Enough:
        print("\nenough: 20 violations (--keep-going goes on)", file=sys.stderr)
    return tally


def _told(plans: list[Plan], jobs: int, base: Path, keep_going: bool,
          possible: set[tuple[str, str]] | None = None) -> int:
    tally = _run(plans, jobs, base, keep_going)
    tally.possible = possible or set()
    print(tally.summary())
    return bool(tally.wrong)
