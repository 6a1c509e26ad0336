"""One run: a cloud at a starting place, one action, what strikes meanwhile, and whether all that must hold does."""
from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import chaos_bodies
import chaos_oracle as oracle
from chaos_action import Action
from chaos_beside import BESIDE
from chaos_facts import FAILURES, RESTING, Facts, rows
from chaos_roads import nothing, well
from chaos_site import DEADLINES, SAMPLED, Site, Stock
from sim import Refused
from sim_points import DEATHS, Crash, Strike

from onecore.errors import NotReady
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.states import VM, S
from onecore.lifecycle.machine import Row
from onecore.lifecycle.outbox import Outbox, Owed

T = TypeVar("T")
CONVERGES = 60.0
"""Seconds after the longest deadline in play within which all is at rest."""
IMAGE_ERROR = 5
WRONG_STATE, INTERNAL = 0x0800, 0x2000
FENCED = "fenceable"
"""In the name of a place whose host may be fenced: whoever runs there starts elsewhere then."""
MOST_REFUSALS = 3
"""How often somebody asks who is refused because of what was struck."""
SHOWN = (("one.hostpool.info", ()), ("one.vnpool.info", (-2, -1, -1)), ("one.imagepool.info", (-2, -1, -1)))
ENDS_BY_TERMINATE = ("RUNNING", "POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED", "PENDING", "HOLD", "CLONING",
                     "CLONING_FAILURE")


@dataclass(frozen=True)
class Plan:
    """What a run does; everything else follows from it."""

    action: str
    store: str
    seed: int
    strikes: tuple[Strike, ...] = ()
    beside: str = ""
    """What a second VM does meanwhile; empty: there is none."""

    def command(self) -> str:
        """The arguments that repeat it."""
        struck = "".join(f" --strike '{strike}'" for strike in self.strikes)
        beside = f" --beside {self.beside}" if self.beside else ""
        return f"--action {self.action} --store {self.store} --seed {self.seed}{beside}{struck}"


@dataclass
class Report:
    """What came of it."""

    plan: Plan
    violations: list[str] = field(default_factory=list)
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: list[Strike] = field(default_factory=list)
    cells: set[tuple[str, str]] = field(default_factory=set)
    """(state, event) that the state table was asked for."""
    end: str = ""
    seconds: float = 0.0
    """Simulated."""


@contextmanager
def _asked_of_the_table(cells: set[tuple[str, str]]) -> Iterator[None]:
    """While in the block, CELLS gets every (state, event) that moves a VM."""
    def decide(state: S, record: object, event: str) -> Row:
        line = VM.__class__.decide(VM, state, record, event)
        cells.add((state.name, event))
        return line
    VM.decide = decide  # type: ignore[method-assign]
    try:
        yield
    finally:
        del VM.decide


class Violation(Exception):
    """Something that must hold does not."""


class Run:
    """A plan, carried out."""

    def __init__(self, stock: Stock, action: Action, plan: Plan, home: Path) -> None:
        self.action, self.plan, self.home = action, plan, home
        self.report = Report(plan)
        self.site: Site = stock.open(action.start, plan.store, home, plan.seed, plan.beside)
        self.sim = self.site.sim
        self._memory = oracle.Memory(home)
        self._dead = self._judged = self._again_asked = self._overtaken = False
        self._beside_goals: set[str] = set()
        self._refused_beside = False

    def go(self) -> Report:
        """All of it; the home is removed."""
        try:
            with _asked_of_the_table(self.report.cells):
                self._all()
        except (Violation, AssertionError, Refused) as error:
            self.report.violations.append(f"{type(error).__name__}: {error}")
        finally:
            self._close()
        return self.report

    def _all(self) -> None:
        for step in self.action.first:
            step(self.site)
        self._see()
        self.sim.points.on_hit = self._see
        self.sim.strike(*self.plan.strikes)
        if self.action.forgets:
            self.sim.points.on_hit = self._memory.forget
        began = self._now()
        self._ask()
        self._ask_beside()  # then: it may take its time, and where the first one begins may not last
        self._come_to_rest(self._bound(), oracle.always if self.action.leaves else oracle.at_rest)
        self.report.seconds = self._now() - began
        self.report.hits, self.report.struck = Counter(self.sim.points.hits), list(self.sim.points.struck)
        self.sim.points.armed = False
        self._judge()
        self._judged = True
        self._finish()

    def _see(self) -> None:
        self._memory.see()
        self.report.violations += chaos_bodies.wrong(self.sim)

    # -- to survive

    def _survive(self, call: Callable[[], T]) -> T:
        """CALL on a living core: started again as often as it dies before; raises Crash if it dies in CALL."""
        while self._dead:
            try:
                self.sim.boot().ready()
                self._dead = False
            except Crash:
                self.sim.crash()
        try:
            return call()
        except Crash:
            self.sim.crash()
            self._dead = True
            raise

    def _in_the_end(self, call: Callable[[], T]) -> T:
        """CALL, again after each death, and when the core takes none for a moment."""
        while True:
            try:
                return self._survive(call)
            except Crash:
                continue
            except NotReady:
                self._in_the_end(lambda: self.sim.advance(1))

    # -- what happens

    def _ask(self) -> None:
        """Ask until it was heard, one way or another."""
        try:
            self._hear(lambda: self.action.ask(self.site), self.action.ignored)
        except Refused as refused:
            if self.action.lies and refused.code == WRONG_STATE:
                return
            if not self.sim.points.struck:
                raise
            self._overtaken = True  # what it was about ended by itself meanwhile

    def _ask_beside(self) -> None:
        """The same for the second VM; where it is refused, it stays as it is."""
        if other := self.site.beside:
            row = BESIDE[self.plan.beside]
            self._beside_goals = {row.goal, *(("PENDING",) if FENCED in self.action.start else ())}
            try:
                self._hear(lambda: row.ask(other), row.ask is nothing)
            except Refused:
                self._beside_goals.add(row.start)
                self._refused_beside = True

    def _hear(self, ask: Callable[[], object], ignored: bool) -> None:
        """Ask until it was heard; Refused when it is so again and again, or at once while nothing was struck."""
        before = self._last()
        self.site.asked.clear()
        refusals = 0
        for _ in range(20):
            try:
                self._survive(ask)
                self._acknowledged(before, ignored)
                return
            except Crash:
                self._in_the_end(lambda: self.sim.advance(0.5))
            except NotReady:
                self._in_the_end(lambda: self.sim.advance(1))
            except Refused as refused:
                refusals += refused.code != INTERNAL
                if refused.code != INTERNAL and (not self.sim.points.struck or refusals == MOST_REFUSALS):
                    raise
                self._in_the_end(lambda: self.sim.advance(1))
            if self._written(before):
                return
        raise Violation("20 calls, and none was heard")

    def _last(self) -> int:
        return int(rows(self.home, "SELECT value FROM meta WHERE name = 'seq'")[0][0])

    def _written(self, after: int) -> int:
        """How many calls SQL has since AFTER that were not refused."""
        return int(rows(self.home, "SELECT count(DISTINCT rid) FROM log WHERE seq > ? AND what <> 'refused' "
                        "AND method LIKE 'one%'", after)[0][0])

    def _acknowledged(self, before: int, ignored: bool) -> None:
        """The answer came: SQL has what it says."""
        asked = len(self.site.asked)
        self.site.asked.clear()
        if self._written(before) < asked and not ignored:
            raise Violation(f"an answer was given, and SQL has nothing of it since {before}")

    def _come_to_rest(self, limit: float, holds: oracle.Holds = oracle.at_rest) -> None:
        """Within LIMIT seconds nothing is under way any more, and HOLDS holds."""
        left = self._ending(limit)
        late = max((strike.amount for strike in self.plan.strikes if strike.fault not in ("hang", "deaf")), default=0.0)
        self._in_the_end(lambda: self.sim.until(self._rests, left(), self._where))
        self._in_the_end(lambda: self.sim.advance(1 + late))
        while True:
            self._in_the_end(lambda: self.sim.until(self._rests, max(left(), 1.0), self._where))
            wrong = self._wrong(holds)
            if not wrong:
                return
            if left() <= 0:
                raise Violation("; ".join(wrong))
            self._in_the_end(lambda: self.sim.advance(5))

    def _ending(self, limit: float) -> Callable[[], float]:
        """The seconds that are left of LIMIT."""
        end = self._now() + limit
        return lambda: end - self._now()

    def _now(self) -> float:
        """Simulated Unix time, core or no core."""
        return self.sim.clock.time() if self.sim.loop else self.sim.wall

    def _rests(self) -> bool:
        """As far as memory says; the facts are looked at afterwards."""
        store = self.sim.core.store
        return (not store.all(Outbox) and all(self._waits(owed) for owed in store.all(Owed))
                and store.given == store.durable and not store.refuses and self.sim.dispatch.ready
                and all(self.sim.state(vm.oid) in RESTING for vm in store.all(Vm)) and self._arrived())

    def _waits(self, owed: Owed) -> bool:
        """Whether a debt is one that cannot be paid now."""
        return bool(owed.fenced) or self.sim.host_state(owed.hid) == "ERROR"

    def _arrived(self) -> bool:
        """What nobody asked for takes its time."""
        if not self.action.patience or self._judged:
            return True
        failed = not self._should_arrive() and not self._again_asked and self.sim.vm(self.site.vm).error
        return self._arrived_at()[1] or bool(failed)

    def _should_arrive(self) -> bool:
        """Whether nothing but processes died, which keeps nothing from being done."""
        return all(strike.fault in DEATHS for strike in self.sim.points.struck)

    def _where(self) -> str:
        store = self.sim.core.store
        vms = [f"{self.sim.path(self.site.vm)} {self.sim.vm(self.site.vm).error}"] if self.site.vm >= 0 else []
        return f"all to be at rest: {vms} {list(store.all(Outbox))} {list(store.all(Owed))} {store.refuses}"

    def _bound(self) -> float:
        """Seconds until all must be at rest: each strike may use up a deadline, and what it takes to give up."""
        spent = sum(self._deadline(strike) for strike in self.plan.strikes)
        return max(spent, max(DEADLINES.values())) + self.action.patience + CONVERGES

    def _deadline(self, strike: Strike) -> float:
        action = strike.detail.partition(".")[2]
        usual = {"prolog_resume": "prolog", "epilog_stop": "epilog", "delete": "cleanup", "reset": "reboot"}
        return DEADLINES.get(usual.get(action, action), max(DEADLINES.values())) + DEADLINES["grace"] + strike.amount

    # -- what must hold

    def _wrong(self, holds: oracle.Holds) -> list[str]:
        """What does not hold."""
        facts = Facts(self.home)
        hosts, networks, images = (self._in_the_end(lambda m=m, a=a: self.sim.call(m, *a))  # type: ignore[misc]
                                   for m, a in SHOWN)
        found = [*holds(facts), *oracle.shown(facts, hosts, networks, images)]
        if holds is not oracle.always:
            found += [*oracle.networks(facts, self.sim.nets), *self._memory.lost(facts)]
        return found

    def _arrived_at(self) -> tuple[str, bool]:
        """Where the subject is, and whether that is where it was heading, with all that it should be."""
        facts, site = Facts(self.home), self.site
        if self.action.subject:
            state = facts.image(self.action.subject)
            return state, state in self.action.goals
        state = facts.state(site.vm)
        done = site.vm not in facts.vms or self.action.done(facts, site)
        goals = self.action.goals | (self.action.again if self._again_asked else set())
        return state, (state in goals and done) or (self._overtaken and state in self.action.overtaken)

    def _judge(self) -> None:
        """It is where it was heading; or where it was, or failed, with a word why, and another try mends it."""
        state, arrived = self._arrived_at()
        self.report.end = state
        self._memory.forget() if self.action.forgets else self._memory.see()
        if arrived:
            return
        if self.action.subject:
            return self._judge_image(state)
        expected = f"VM {self.site.vm} is {state}, expected {' or '.join(sorted(self.action.goals))} and done"
        if self._should_arrive():
            raise Violation(f"{expected}: {self.sim.vm(self.site.vm).error or 'nothing says why not'}")
        if not self.sim.vm(self.site.vm).error:
            raise Violation(f"{expected}, and nothing says why not")
        if self.action.lies:
            return
        if state == "UNKNOWN" and not self.site.silent:
            self._hosts_heard()  # so that there is something to try
            state = self._arrived_at()[0]
        self._again_asked = True
        if state == "CLONING_FAILURE":
            self.site.call("one.image.enable", self.site.own, True)
        else:
            self.site.act("recover-retry") if state in FAILURES else self._again()
        self._come_to_rest(max(DEADLINES.values()) + self.action.patience + CONVERGES)
        mended, arrived = self._arrived_at()
        if not arrived:
            raise Violation(f"{expected}; another try led to {mended}")

    def _judge_image(self, state: str) -> None:
        if state != "ERROR" or not self.report.struck:
            raise Violation(f"image {self.action.subject} is {state}, expected {' or '.join(self.action.goals)}")

    def _remove_failed_images(self) -> None:
        facts = Facts(self.home)
        for oid, image in facts.images.items():
            if image["state"] == IMAGE_ERROR and not oracle.users_of(facts, oid):
                self.site.call("one.image.delete", oid)

    def _again(self) -> None:
        """The same once more, by the same way; an image that could not be made is in its way."""
        self._remove_failed_images()
        self.sim.advance(5)
        try:
            if self.action.retry:
                self.action.retry(self.site)
                return
            try:
                for step in self.action.first:
                    step(self.site)
            except AssertionError:  # it went another way, as the first try was done in part
                self._overtaken = True
                well(self.site)
                return
            self.action.ask(self.site)
        except Refused as refused:
            if refused.code != WRONG_STATE:
                raise
            self._overtaken = True

    def _take_away_doubted(self) -> None:
        """Whoever reads that a disk may or may not be there takes it away."""
        for vm, row in Facts(self.home).vms.items():
            if row["error"] and row["op_kind"] == "disk_attach_undo" and self.sim.state(vm) == "RUNNING":
                for disk in Facts(self.home).disks(vm):
                    if int(disk["DISK_ID"]) > 2:
                        self.site.call("one.vm.detach", vm, int(disk["DISK_ID"]))
                        self._come_to_rest(max(DEADLINES.values()) + CONVERGES)

    def _judge_beside(self) -> None:
        """The second VM is where it was heading; or it says why not, if anything but a death could be the reason."""
        if (other := self.site.beside) is None:
            return
        def arrived() -> bool:
            state, row = self.sim.state(other.vm), BESIDE[self.plan.beside]
            return state in self._beside_goals and bool(state != row.goal or self._refused_beside or row.done(other))
        self._hosts_heard()
        if not arrived():
            state, why = self.sim.state(other.vm), self.sim.vm(other.vm).error
            expected = f"VM {other.vm} beside is {state} ({why or 'and nothing says why'}), not {self._beside_goals}"
            unheard = "UNKNOWN" in Facts(self.home).path(other.vm)  # what was wrong before is forgotten with that
            if not (why or unheard) or (self._should_arrive() and not self.site.told):
                raise Violation(expected)
            self._beside_goals |= BESIDE[self.plan.beside].again
            other.act("recover-retry") if state in FAILURES else BESIDE[self.plan.beside].ask(other)
            self._come_to_rest(max(DEADLINES.values()) + CONVERGES)
            if not arrived():
                raise Violation(f"{expected}; another try led to {self.sim.state(other.vm)}")

    def _hosts_heard(self) -> None:
        """A sample of each host, or two, after all of them tell again."""
        self.sim.advance(2 * SAMPLED)
        self._come_to_rest(max(DEADLINES.values()) + CONVERGES, oracle.always)

    # -- the end

    def _finish(self) -> None:
        for step in self.action.then:
            step(self.site)
        self.site.silence()
        self.sim.until(lambda: all(self.sim.host_state(h) in ("MONITORED", "DISABLED") for h in self.site.hosts), 120,
                       "all hosts to be ON")
        self._judge_beside()
        self._take_away_doubted()
        saved = True
        for vm in sorted(Facts(self.home).vms):
            self._memory.see()
            saved = saved and self.sim.state(vm) in ENDS_BY_TERMINATE
            if self.sim.state(vm) in ENDS_BY_TERMINATE:
                self.site.call("one.vm.action", "terminate", vm)
            else:
                self.site.call("one.vm.recover", vm, 3, True)
        self._come_to_rest(max(DEADLINES.values()) + CONVERGES, oracle.always)
        self._remove_failed_images()
        self._come_to_rest(max(DEADLINES.values()) + CONVERGES, oracle.at_the_end)
        sites = [self.site, *([self.site.beside] if self.site.beside else [])]
        wrong = [each for site in sites if saved
                 for each in self._memory.saved(site.vm, "1", f"dummy-{site.own}")]
        if wrong:
            raise Violation("; ".join(wrong))
        self._no_bug()

    def _no_bug(self) -> None:
        self.sim.log.flush()
        text = (self.home / "log" / "oned.log").read_text()
        for journal in self.sim.journals():
            text += journal
        if "Traceback" in text:
            at = text.index("Traceback")
            raise Violation(f"in the log: {text[max(0, at - 300):at + 2500]}")

    def _close(self) -> None:
        self.sim.points.armed = False
        if self._dead:
            self.sim.loop = None
        self.sim.close()
        shutil.rmtree(self.home, ignore_errors=True)
