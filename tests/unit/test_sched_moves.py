"""VMs that are to be moved: where they may go, how, how many at once, and what they say when they stay."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sched_fake import FakeHost, FakeOned, FakeVm
from sched_starting import Start

from onecore.wire.states import NOT_LIVE, Lcm
from scheduler.bodies import Datastore, Demand, Host, Vm
from scheduler.changes import Event, digest
from scheduler.config import ConfigError, build
from scheduler.match import TURN, match
from scheduler.plan import Plan, Reason, Waiting
from scheduler.ranks import policy
from scheduler.snapshot import Snapshot
from scheduler.waiting import is_live

GB = 1024 * 1024
RUNNING, POWEROFF = (3, 3), (8, 0)


def hosts(*numbers: int, gb: int = 8, **states: int) -> list[Host]:
    """Hosts of 4 cores; a keyword is the state of one."""
    return [
        Host(n, f"node{n}", states.get(f"node{n}", 2), 0, 400, gb * GB, {}, {"ID": (str(n),), "NAME": (f"node{n}",)})
        for n in numbers
    ]


def vm(number: int, host: int, state: tuple[int, int] = RUNNING, cpu: int = 100, resched: bool = True) -> Vm:
    """A VM that is to be moved, of 1 GB, in datastore 0."""
    return Vm(number, *state, host, 0, Demand(cpu, GB, store=0), resched=resched)


def cloud(found: list[Host], *vms: Vm) -> Snapshot:
    """A snapshot with one shared datastore."""
    snapshot = Snapshot()
    snapshot.put_hosts(found)
    snapshot.put_datastores(
        [Datastore(0, "system", True, True, frozenset((0,)), True, 1000.0, frozenset(), {"ID": ("0",)})]
    )
    for one in vms:
        snapshot.put_vm(one)
    return snapshot


def plan(snapshot: Snapshot, most: int = 2, **avoid: frozenset[int]) -> Plan:
    """The decisions for all that wait."""
    waiting = [
        Waiting(v.id, v.demand, v.priority, avoid.get(f"vm{v.id}", frozenset()), v.host if v.moves else -1)
        for v in snapshot.vms.values()
        if v.waits
    ]
    return match(snapshot.view(most), waiting, policy())


def where(found: Plan) -> dict[int, int]:
    """Host by VM."""
    return {one.vm: one.host for one in found.placements}


# -- where


def test_never_where_it_is() -> None:
    """Though its own host is the best; with none else it stays and says why."""
    snapshot = cloud(hosts(1, 2), vm(1, 1), vm(2, 2, resched=False), vm(3, 2, resched=False))
    assert where(plan(snapshot)) == {1: 2}
    (refusal,) = plan(cloud(hosts(1), vm(1, 1))).refusals
    assert refusal.text == "Cannot move VM: 1 host: 1 is the one it is on" and set(refusal.counts) == {Reason.HERE}


def test_a_refusal_counts_every_host_once() -> None:
    """Its own, those that may not be used, those without room."""
    found = cloud(hosts(1, 2, 3, 4, node2=4, node3=3), vm(1, 1), vm(2, 4, resched=False, cpu=350))
    (refusal,) = plan(found).refusals
    assert refusal.text == (
        "Cannot move VM: 4 hosts: 1 is the one it is on, 1 is disabled, 1 is in error, "
        "1 has not enough CPU (need 1 CPU, most free 0.5 CPU on node4)"
    )


def test_a_host_that_is_disabled_gets_rid_of_its_vms() -> None:
    """The state of the host that it leaves does not matter."""
    assert where(plan(cloud(hosts(1, 2, node1=4), vm(1, 1)))) == {1: 2}


def test_only_where_its_disks_can_be() -> None:
    """In the datastore that it is in, or in none."""
    snapshot = cloud(hosts(1, 2), replace(vm(1, 1), demand=Demand(100, GB, store=7)))
    assert "not where its disks are" in plan(snapshot).refusals[0].text


def test_so_many_migrations_a_host_and_no_more() -> None:
    """Of where they come from and where they go to; those under way count."""
    many = [vm(n, 1, cpu=10) for n in range(1, 6)]
    found = plan(cloud(hosts(1, 2), *many))
    assert where(found) == {1: 2, 2: 2} and {r.text for r in found.refusals} == {TURN}
    found = plan(cloud(hosts(1, 2, 3), *many), most=3)
    assert sorted(where(found)) == [1, 2, 3]
    found = plan(cloud(hosts(1, 2, 3, 4), *[vm(n, 1 + n % 3, cpu=10) for n in range(6)]))
    counts = [sum(p.host == h or p.source == h for p in found.placements) for h in (1, 2, 3, 4)]
    assert max(counts) <= 2
    snapshot = cloud(hosts(1, 2), *many)
    snapshot.move(1, 2)
    snapshot.move(2, 2)
    assert not plan(snapshot).placements
    others = vm(2, 2, (3, int(Lcm.MIGRATE))), vm(3, 2, (3, int(Lcm.PROLOG_MIGRATE)))
    assert Reason.MOVES in plan(cloud(hosts(1, 2), vm(1, 1), *others)).refusals[0].counts


def test_a_new_vm_is_placed_where_others_migrate() -> None:
    """The limit is about migrations only."""
    snapshot = cloud(hosts(1, 2), *[vm(n, 1, cpu=10) for n in (1, 2)], Vm(9, 1, 0, -1, -1, Demand(300, GB)))
    snapshot.move(1, 2)
    snapshot.move(2, 2)
    assert list(where(plan(snapshot))) == [9]


# -- what counts where


def test_a_vm_that_moves_counts_on_both_hosts() -> None:
    """From the call until it is there or back."""
    snapshot = cloud(hosts(1, 2), vm(1, 1))

    def free() -> list[int]:
        return snapshot.view().free_cpu.tolist()

    def moves() -> list[int]:
        return snapshot.view().moves.tolist()

    snapshot.move(1, 2)
    assert free() == [300, 300] and moves() == [1, 1] and snapshot.view().vms == [{1}, {1}]
    snapshot.put_vm(vm(1, 1))
    assert snapshot.vms[1].placing and free() == [300, 300]
    snapshot.placed(1)
    assert free() == [300, 300] and moves() == [1, 1] and not snapshot.vms[1].waits and not snapshot.moved
    snapshot.put_vm(vm(1, 1, (3, int(Lcm.MIGRATE)), resched=False))
    assert free() == [300, 300] and moves() == [1, 1]
    snapshot.put_vm(vm(1, 2, resched=False))
    assert free() == [400, 300] and moves() == [0, 0] and snapshot.moved
    snapshot.put_vm(vm(1, 2))
    snapshot.move(1, 1)
    snapshot.unplace(1)
    assert free() == [400, 300] and moves() == [0, 0]
    snapshot.move(1, 1)
    snapshot.placed(1)
    snapshot.put_vm(vm(1, 2, resched=False))
    assert free() == [400, 300] and moves() == [0, 0]
    snapshot.move(1, 1)
    snapshot.drop_vm(1)
    assert free() == [400, 400] and moves() == [0, 0]


def test_a_failed_migration_takes_nobodys_turn() -> None:
    """It counts on both hosts until it is recovered, but another one may begin."""
    snapshot = cloud(hosts(1, 2), vm(1, 1))
    snapshot.move(1, 2)
    snapshot.placed(1)
    snapshot.put_vm(vm(1, 1, (3, int(Lcm.PROLOG_MIGRATE_FAILURE)), resched=False))
    assert snapshot.view().free_cpu.tolist() == [300, 300] and snapshot.view().moves.tolist() == [0, 0]


def test_news_of_vms_that_are_to_be_moved() -> None:
    """They are read again: the mark may be gone; and so is what others do to their templates."""
    known = {1: vm(1, 1), 2: vm(2, 1, resched=False)}
    events = [Event("vm", n, "state", "SHUTDOWN", "RUNNING") for n in (1, 2)]
    assert digest(events, known).vms == {1} and list(digest(events, known).states) == [2]
    events = [Event("vm", n, "update", method="one.vm.update") for n in (1, 2)]
    assert digest(events, known).vms == {1}
    assert digest([Event("vm", 2, "update", method="onecore.host.flush")], known).vms == {2}


def test_how() -> None:
    """As the setting says; a VM that is off moves as it is."""
    none: frozenset[int] = frozenset()
    for rescheds, live in (("live", True), ("live-else-save", True), ("save", False)):
        assert is_live(vm(1, 1), 2, none, rescheds) is live
        assert not is_live(vm(1, 1, POWEROFF), 2, none, rescheds)
        assert not is_live(vm(1, 1, (3, 16)), 2, none, rescheds)
    assert is_live(vm(1, 1), 2, frozenset((2, 3)), "live")
    assert is_live(vm(1, 1), 2, frozenset((3,)), "live-else-save")
    assert not is_live(vm(1, 1), 2, frozenset((2,)), "live-else-save")
    assert not is_live(vm(1, 1), 2, frozenset((3, 4)), "live-else-save")
    with pytest.raises(ConfigError, match="rescheds"):
        build({"rescheds": "never"}, "x")
    with pytest.raises(ConfigError, match="moves_per_host"):
        build({"moves_per_host": 0}, "x")


# -- the whole of it


@pytest.fixture
def oned() -> Iterator[FakeOned]:
    """A running fake with three hosts; VM 1 runs on the first."""
    fake = FakeOned()
    fake.hosts = {number: FakeHost(number) for number in (1, 2, 3)}
    fake.vms = {1: running(1, 1)}
    fake.start()
    yield fake
    fake.stop()


def running(number: int, host: int, **more: object) -> FakeVm:
    """A running VM."""
    return FakeVm(number, state=3, lcm=3, host=host, store=0, **more)  # type: ignore[arg-type]


def message(oned: FakeOned, number: int = 1) -> str:
    """What a VM says."""
    return oned.vms[number].user.get("SCHED_MESSAGE", "")


def test_a_marked_vm_is_moved_live(oned: FakeOned, start: Start) -> None:
    """As soon as it is marked, once; and not again when it is there."""
    start()
    oned.mark(1)
    assert oned.wait(lambda: bool(oned.moves))
    assert oned.moves == [(1, 2, True)]
    oned.end_move(1)
    time.sleep(0.2)
    assert len(oned.moves) == 1 and not oned.deployed
    oned.mark(1)
    assert oned.wait(lambda: len(oned.moves) == 2)
    assert oned.moves[1][1] != 2


def test_one_that_was_marked_before_the_start(oned: FakeOned, start: Start) -> None:
    """Also when it is off; requirements hold as for a new VM."""
    oned.vms[1].resched = True
    oned.vms[2] = FakeVm(2, state=8, host=2, store=0, resched=True, user={"SCHED_REQUIREMENTS": "ID = 3"})
    oned.vms[3] = running(3, 3, resched=True, user={"SCHED_REQUIREMENTS": "ID = 3"})
    start()
    assert oned.wait(lambda: len(oned.moves) == 2 and bool(message(oned, 3)))
    assert sorted(oned.moves) == [(1, 2, True), (2, 3, False)]
    assert message(oned, 3) == (
        "Cannot move VM: 3 hosts: 1 is the one it is on, 2 do not match SCHED_REQUIREMENTS (ID = 3)"
    )


def test_a_mark_that_is_taken_off(oned: FakeOned, start: Start) -> None:
    """What waits for room is forgotten, and does not move when there is some."""
    oned.vms[1].cpu, oned.vms[2], oned.vms[3] = 8, running(2, 2, cpu=8), running(3, 3, cpu=8)
    start()
    oned.mark(1)
    assert oned.wait(lambda: "not enough CPU" in message(oned))
    oned.mark(1, False)
    oned.end_vm(2)
    time.sleep(0.3)
    assert oned.moves == []


def test_a_vm_moved_by_hand_is_left_alone(oned: FakeOned, start: Start) -> None:
    """While it waited for room."""
    oned.vms[1].cpu, oned.vms[2], oned.vms[3] = 8, running(2, 2, cpu=8), running(3, 3, cpu=8)
    start()
    oned.mark(1)
    assert oned.wait(lambda: "not enough CPU" in message(oned))
    oned.do_one_vm_migrate(1, 2, True, True, -1, 0, True)
    oned.moves.clear()
    oned.end_vm(3)
    time.sleep(0.3)
    assert oned.moves == [] and not oned.deployed and "one.vm.deploy" not in oned.calls


@pytest.mark.parametrize(("rescheds", "moves"), [("save", [(1, 2, False)]), ("live", []), ("live-else-save", [])])
def test_a_guest_that_cannot_move_live(oned: FakeOned, start: Start, rescheds: str, moves: list[object]) -> None:
    """Is saved where that is allowed, after another host was tried; else it stays and says why."""
    asked = list[tuple[int, bool]]()

    def refuse(vm: FakeVm, host: int, live: bool) -> str:
        asked.append((host, live))
        return f"VM 1 {NOT_LIVE} to host {host} (node{host}): it has a PCI device" if live else ""

    oned.refuse_move = refuse
    start(rescheds=rescheds)
    oned.mark(1)
    if rescheds == "live":
        assert oned.wait(lambda: "it has a PCI device" in message(oned))
        assert message(oned).startswith("Cannot move VM: host node") and oned.moves == []
        return
    assert oned.wait(lambda: bool(oned.moves))
    if rescheds == "save":
        assert oned.moves == moves and asked == [(2, False)]
    else:
        assert asked[:2] == [(2, True), (3, True)] and not oned.moves[0][2]


def test_another_reason_saves_no_guest(oned: FakeOned, start: Start) -> None:
    """Such as room that others took: it moves live once that is over."""
    oned.refuse_move = lambda vm, host, live: "Not enough capacity"
    start()
    oned.mark(1)
    assert oned.wait(lambda: "the migration was refused: [one.vm.migrate] Not enough capacity" in message(oned))
    time.sleep(0.5)
    assert oned.moves == []
    oned.refuse_move = lambda vm, host, live: ""
    assert oned.wait(lambda: bool(oned.moves))
    assert oned.moves[0][2]


def test_a_migration_that_fails(oned: FakeOned, start: Start) -> None:
    """Of a VM on a host that is drained: elsewhere, then saved, with pauses; of another one: never again."""
    start()
    oned.mark(1)
    for number, (host, live) in enumerate(((2, True), (3, True)), 1):
        assert oned.wait(lambda number=number: len(oned.moves) == number)  # type: ignore[misc]
        assert oned.moves[-1] == (1, host, live)
        oned.end_move(1, ok=False, resched=True)
    assert oned.wait(lambda: len(oned.moves) == 3)
    assert oned.moves[-1][2] is False
    oned.end_move(1, ok=False)
    time.sleep(0.5)
    assert len(oned.moves) == 3


def test_a_failed_migration_says_so(oned: FakeOned, start: Start) -> None:
    """While it waits for the next try."""
    start(retry_seconds=30.0, retry_most_seconds=60.0)
    oned.mark(1)
    assert oned.wait(lambda: bool(oned.moves))
    oned.end_move(1, ok=False, resched=True)
    assert oned.wait(lambda: bool(message(oned)))
    assert message(oned) == "Cannot move VM: its live migration to host node2 failed, as its ERROR says"


def test_a_drained_host_gets_rid_of_all(oned: FakeOned, start: Start) -> None:
    """Two at a time; the others do not complain."""
    oned.vms = {n: running(n, 1, resched=True) for n in range(1, 8)}
    oned.hosts[1].state = 4
    start()
    most = 0
    for done in range(1, 8):
        assert oned.wait(lambda done=done: len(oned.moves) >= done)  # type: ignore[misc]
        time.sleep(0.05)
        moving = [v.id for v in oned.vms.values() if v.to >= 0]
        most = max(most, len(moving))
        oned.end_move(moving[0])
    assert most == 2 and sorted(n for n, _, _ in oned.moves) == list(range(1, 8))
    assert {v.host for v in oned.vms.values()} == {2, 3}
    assert "one.vm.update" not in oned.calls


def test_moved_on_when_its_new_host_is_drained_too(oned: FakeOned, start: Start) -> None:
    """It arrives marked."""
    start()
    oned.mark(1)
    assert oned.wait(lambda: len(oned.moves) == 1)
    oned.add_host(FakeHost(2, state=4))
    oned.end_move(1, resched=True)
    assert oned.wait(lambda: len(oned.moves) == 2)
    assert oned.moves[1][1] != 2


def test_a_vm_that_may_run_on_a_silent_host_waits(oned: FakeOned, start: Start) -> None:
    """UNKNOWN is no reason to end a guest that may be well; on a host that answers it is moved."""
    oned.hosts[1].attributes["ERROR"] = "nothing heard for 31 s"
    oned.hosts[1].state = 4
    oned.vms[1] = FakeVm(1, state=3, lcm=16, host=1, store=0, resched=True)
    oned.refuse_move = lambda vm, host, live: "wrong state" if live else ""
    start()
    assert oned.wait(lambda: bool(message(oned)))
    assert message(oned) == "Cannot move VM: nobody can say whether it runs, and host node1 does not answer"
    assert oned.moves == [] and "one.vm.migrate" not in oned.calls
    del oned.hosts[1].attributes["ERROR"]
    oned.change("host", 1, "update")
    assert oned.wait(lambda: "one.vm.migrate" in oned.calls)


def test_new_vms_do_not_wait_for_migrations(oned: FakeOned, start: Start) -> None:
    """Whose calls may take long, as hosts are asked first."""
    slow = oned.do_one_vm_migrate
    gate = threading.Event()

    def wait(*arguments: object) -> bytes:
        oned.news.wait_for(gate.is_set, 60)
        return slow(*arguments)  # type: ignore[arg-type]

    oned.do_one_vm_migrate = wait  # type: ignore[method-assign]
    oned.vms = {n: running(n, 1 + n % 3, resched=True) for n in range(6)}
    start(parallel_calls=1)
    assert oned.wait(lambda: "one.vm.migrate" in oned.calls)
    oned.add_vm(FakeVm(9))
    try:
        assert oned.wait(lambda: 9 in oned.deployed)
    finally:
        with oned.news:
            gate.set()
            oned.news.notify_all()
