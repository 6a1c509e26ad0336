"""Runs with real processes: oned and its dummy drivers in a home on disk, and kill -9 of any of them at any moment.

The same rows, roads and oracle as in the simulated ones; when the kill comes the seed says, what it meets the machine.
"""
from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import chaos_oracle as oracle
from chaos_action import Action
from chaos_actions import ACTIONS
from chaos_facts import FAILURES, LCM, RESTING, STATES, Facts, rows
from chaos_roads import ROADS
from chaos_run import ENDS_BY_TERMINATE, MOST_REFUSALS, SHOWN, WRONG_STATE, Violation
from chaos_site import Site
from cloud_process import Cloud, until
from sim import Refused, Sim

from onecore.wire.client import ClientError

CONVERGES = 60.0
"""Seconds within which all is at rest."""
VICTIMS = ("oned", "oned", "oned", "vm", "tm", "im", "vm oned", "tm oned")
LATEST = 1.0
"""Seconds after the request when the last kill comes; most come sooner."""
SLOW = 0.1, 0.4
"""Seconds that each thing takes that a driver does, from and to."""
_NEEDS = ("UNKNOWN", "PROLOG_MIGRATE_UNKNOWN", "CLONING", "nothing", "RUNNING fenceable", "SUSPENDED paused",
          "RUNNING scheduled")
"""Starting places that need the simulated clock."""
_QUICK = dict.fromkeys(("im.sample", "im.watch", "vm.watch", "ds.monitor"), 0.0)


def possible() -> list[str]:
    """The rows that somebody asks for, and that need no simulated clock."""
    return [name for name, action in ACTIONS.items() if not action.start.startswith(_NEEDS) and not action.first
            and not (action.leaves or action.lies or action.ignored or action.subject)
            and not action.name.startswith(("guest-", "host-", "save-unheard"))
            and (not action.patience or "migrate" in action.name)]


class Gone(Exception):
    """No oned answered."""


class Real:
    """What the steps of roads and actions need of a simulated cloud, of a real one."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.cloud = Cloud(root, {"monitoring": {"host_period": 2}})
        self.home, self.nets = self.cloud.home, set[object]()
        self.cloud.start()

    def call(self, method: str, *arguments: object) -> Any:
        """A call of oneadmin; raises Refused, or Gone."""
        try:
            return self.cloud.client.call(method, *arguments)
        except ClientError as error:
            if error.code:
                raise Refused(str(error), error.code) from None
            raise Gone from None

    def vm(self, oid: int) -> SimpleNamespace:
        """A VM's row in SQL."""
        with closing(sqlite3.connect(self.home / "onecore.db")) as sql:
            sql.row_factory = sqlite3.Row
            return SimpleNamespace(**dict(sql.execute("SELECT * FROM vm_pool WHERE oid = ?", (oid,)).fetchone()))

    def state(self, oid: int) -> str:
        """A VM's state in a word."""
        row = self.vm(oid)
        return STATES.get(row.state) or LCM[row.lcm]

    def wait(self, oid: int, *states: str) -> None:
        """Until it is in one of STATES, and nothing is under way."""
        until(CONVERGES, f"VM {oid} to be {' or '.join(states)}",
              lambda: self.state(oid) in states and not self.vm(oid).op, lambda: self.state(oid))

    def advance(self, seconds: float) -> None:
        """Until nothing is under way; real time passes by itself."""
        time.sleep(0.02)
        until(CONVERGES, "all to be at rest", lambda: not rows(self.home, "SELECT op FROM outbox"))

    def drivers(self) -> dict[str, int]:
        """Process ids of the drivers, when all are up."""
        def up() -> dict[str, int]:
            found = dict(json.loads(self.cloud.client.text("onecore.status"))["drivers"])
            return found if {"vm", "tm", "im"} <= found.keys() else {}
        return until(CONVERGES, "all drivers to be up", up)

    def restart(self) -> None:
        """Another oned, when the last one was killed."""
        self.cloud.kill()
        self.cloud.start()


@dataclass
class RealReport:
    """What came of a run."""

    action: str
    seed: int
    victim: str = ""
    met: str = ""
    """The VM's state in SQL when the kill came."""
    seconds: float = 0.0
    """From the request until all was at rest."""
    violations: list[str] = field(default_factory=list)

    def command(self) -> str:
        """The arguments that do the same again, as far as the machine lets."""
        return f"--real 1 --action {self.action} --seed {self.seed}"


class RealCloud:
    """One cloud, for run after run."""

    def __init__(self, root: Path) -> None:
        self.real = real = Real(root)
        sim = cast(Sim, real)
        hosts = tuple(real.cloud.add_hosts(2))
        image, own, spare = (real.cloud.make_image(name, size=10, **more) for name, more in (
            ("disk", {}), ("own", {"PERSISTENT": "YES"}), ("spare", {"PERSISTENT": "YES"})))
        other = int(real.call("one.datastore.allocate", "NAME=b\nTYPE=SYSTEM_DS\nTM_MAD=dummy\n", -1))
        until(CONVERGES, "the datastore to be measured",
              lambda: real.cloud.body("datastore", other).findtext("TOTAL_MB") != "0")
        self.site = Site(sim, hosts, image, own, spare, real.cloud.make_network(), {"shared": 0, "other": other})
        self._read = 0

    def close(self) -> None:
        """End its processes."""
        with suppress(AssertionError):
            self.real.cloud.stop()

    def run(self, name: str, seed: int) -> RealReport:
        """One run: a VM at its starting place, a request, a kill, and whether all that must hold does."""
        report = RealReport(name, seed)
        try:
            _RealRun(self, ACTIONS[name], report).go()
        except (Violation, AssertionError, Refused) as error:
            report.violations.append(f"{type(error).__name__}: {error}")
        return report

    def news_of_bugs(self) -> str:
        """What was logged since the last look, from its first traceback on; empty: there is none."""
        text = (self.real.home / "log" / "oned.log").read_text() + self.real.cloud.output()
        new, self._read = text[self._read:], len(text)
        return new[max(0, new.index("Traceback") - 300):][:2500] if "Traceback" in new else ""


class _RealRun:
    def __init__(self, cloud: RealCloud, action: Action, report: RealReport) -> None:
        self._cloud, self._real, self._action, self._report = cloud, cloud.real, action, report
        self._site = replace(cloud.site, vm=-1, written=0, asked=[], silent=())
        self._memory = oracle.Memory(self._real.home)
        self._dice = Random(f"{report.seed} {report.action}")
        self._killed_oned = self._overtaken = False

    def go(self) -> None:
        """All of it; raises Violation."""
        self._site.script()
        for step in ROADS[self._action.start]:
            step(self._site)
        self._memory.see()
        self._site.script(delay={"default": self._dice.uniform(*SLOW), **_QUICK})
        began = time.monotonic()
        killer = self._killer()
        self._ask(killer)
        killer.join()
        self._revive()
        self._memory.forget() if self._action.forgets else _seen(self._memory)
        self._settle(self._arrived)
        self._report.seconds = time.monotonic() - began
        self._end()

    # -- the kill

    def _killer(self) -> threading.Timer:
        """kill -9 of what the seed says, when it says."""
        self._report.victim = victim = self._dice.choice(VICTIMS)
        pids = {**self._real.drivers(), "oned": self._real.cloud.pid}

        def kill() -> None:
            self._report.met = self._real.state(self._site.vm)
            self._killed_oned = "oned" in victim
            for name in victim.split():
                with suppress(ProcessLookupError):
                    os.kill(pids[name], signal.SIGKILL)
        timer = threading.Timer(self._dice.uniform(0, LATEST) ** 2 / LATEST, kill)
        timer.start()
        return timer

    def _revive(self) -> None:
        if self._killed_oned:
            self._killed_oned = False
            self._real.restart()

    # -- the request

    def _ask(self, killer: threading.Timer) -> None:
        """Ask until it was heard, one way or another."""
        before, refusals = self._last(), 0
        for _ in range(8):
            try:
                self._action.ask(self._site)
                if not self._written(before) and not self._action.ignored:
                    raise Violation(f"an answer was given, and SQL has nothing of it since {before}")
                return
            except Gone:
                killer.join()
                self._revive()
                if self._written(before):
                    return
            except Refused as refused:
                killer.join()
                self._revive()
                if refused.code != WRONG_STATE:
                    raise
                refusals += 1
                if refusals == MOST_REFUSALS:
                    self._overtaken = True  # what it was about ended by itself meanwhile
                    return
                time.sleep(1)
        raise Violation("8 calls, and none was heard")

    def _last(self) -> int:
        return int(rows(self._real.home, "SELECT value FROM meta WHERE name = 'seq'")[0][0])

    def _written(self, after: int) -> bool:
        return bool(rows(self._real.home, "SELECT 1 FROM log WHERE seq > ? AND what <> 'refused' "
                         "AND method LIKE 'one%'", after))

    # -- what must hold

    def _settle(self, arrived: Callable[[Facts], bool], holds: oracle.Holds = oracle.at_rest,
                again: bool = True) -> None:
        """Within CONVERGES all is at rest, holds, and is where it should be; at need after one more try."""
        end, pause = time.monotonic() + CONVERGES, 0.01
        while True:
            facts = _look(self._real.home)
            wrong = [*holds(facts), *(self._memory.lost(facts) if holds is oracle.at_rest else ())]
            if not wrong and arrived(facts):
                wrong = list(oracle.shown(facts, *(self._real.call(m, *a) for m, a in SHOWN)))
                if not wrong:
                    return
            if not wrong and again and self._failed(facts):
                self._try_again(facts)
                return self._settle(arrived, holds, again=False)
            if time.monotonic() > end:
                raise Violation("; ".join(wrong) or self._where())
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)

    def _where(self) -> str:
        vm = self._site.vm
        return (f"VM {vm} is {self._real.state(vm)}, expected {' or '.join(sorted(self._action.goals))} and done; "
                f"error: {self._real.vm(vm).error}")

    def _arrived(self, facts: Facts) -> bool:
        state, vm = facts.state(self._site.vm), self._site.vm
        done = vm not in facts.vms or self._action.done(facts, self._site)
        goals = self._action.goals | self._action.again | (self._action.overtaken if self._overtaken else set())
        return state in goals and done

    def _failed(self, facts: Facts) -> bool:
        vm = self._site.vm
        return facts.state(vm) in RESTING and bool(facts.vms[vm]["error"])

    def _try_again(self, facts: Facts) -> None:
        self._site.script()
        if facts.state(self._site.vm) in FAILURES:
            self._site.act("recover-retry")
        else:
            self._action.ask(self._site)

    # -- the end

    def _end(self) -> None:
        self._site.script()
        saved = True
        for vm in _look(self._real.home).vms:
            _seen(self._memory)
            saved = saved and self._real.state(vm) in ENDS_BY_TERMINATE
            if self._real.state(vm) in ENDS_BY_TERMINATE:
                self._site.call("one.vm.action", "terminate", vm)
            else:
                self._site.call("one.vm.recover", vm, 3, True)
        self._settle(lambda facts: not facts.vms, oracle.always, again=False)
        kept = {self._site.image, self._site.own, self._site.spare}
        for oid in set(_look(self._real.home).images) - kept:
            self._site.call("one.image.delete", oid)
        self._settle(lambda facts: set(facts.images) == kept, oracle.at_the_end, again=False)
        wrong = list(self._memory.saved(self._site.vm, "1", f"dummy-{self._site.own}")) if saved else []
        bug = self._cloud.news_of_bugs()
        if wrong or bug:
            raise Violation("; ".join(wrong) or f"in the log: {bug}")


def _look(home: Path) -> Facts:
    """One look; a file that goes meanwhile, or is half written, is looked at again."""
    while True:
        with suppress(FileNotFoundError, ValueError):
            return Facts(home)
        time.sleep(0.01)


def _seen(memory: oracle.Memory) -> None:
    while True:
        with suppress(FileNotFoundError, ValueError):
            return memory.see()
        time.sleep(0.01)


def carry_out(plans: Sequence[tuple[str, int]], base: Path, heard: Callable[[RealReport], Any]) -> None:
    """Each (action, seed) in turn in one cloud, which is left after a violation."""
    cloud: RealCloud | None = None
    try:
        for number, (name, seed) in enumerate(plans):
            cloud = cloud or RealCloud(base / f"real{number}")
            report = cloud.run(name, seed)
            heard(report)
            if report.violations:
                cloud.close()
                cloud = None
    finally:
        if cloud is not None:
            cloud.close()


def plans(names: Iterable[str], seed: int, number: int) -> list[tuple[str, int]]:
    """NUMBER runs: every action in its turn, in an order that SEED gives."""
    order = sorted(set(names) & set(possible()))
    Random(seed).shuffle(order)
    return [(order[each % len(order)], seed + each) for each in range(number)] if order else []
