"""Plans: which VMs of a cluster would be better on another host, by what ranks, and which stay all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sched_fake import FakeHost, FakeOned, FakeVm
from test_sched_groups import group, role, running
from test_sched_moves import GB, POWEROFF, RUNNING, cloud, hosts

from scheduler.bodies import Cluster, Demand, Vm
from scheduler.optimize import movable, optimize
from scheduler.ranks import policy
from scheduler.snapshot import Snapshot

HERE = Cluster(0, "default", "")


def vm(number: int, host: int, state: tuple[int, int] = RUNNING, name: str = "", **more: object) -> Vm:
    """A VM of one core and 1 GB, of group 5 if NAME is a role."""
    asked = Demand(100, GB, store=0, **more)  # type: ignore[arg-type]
    return Vm(number, *state, host, 0, asked, group=5 if name else -1, role=name)


def plan(snapshot: Snapshot, cluster: Cluster = HERE, rank: str = "striping") -> dict[int, int]:
    """Host by VM."""
    demands = {one.id: one.demand for one in snapshot.vms.values()}
    return {move.vm: move.host for move in optimize(snapshot, cluster, demands, policy(rank))}


def test_spread_out() -> None:
    """Until no VM would be better elsewhere; a second plan finds nothing."""
    snapshot = cloud(hosts(1, 2, 3), *(vm(n, 1) for n in range(10, 14)))
    found = plan(snapshot)
    assert found == {10: 2, 11: 3}
    for one, host in found.items():
        snapshot.put_vm(replace(snapshot.vms[one], host=host))
    assert plan(snapshot) == {}


def test_pack_together() -> None:
    """By the cluster's own word, whatever the match-maker's policy is; no more than fit."""
    found = cloud(hosts(1, 2), *(vm(n, 1) for n in (10, 11, 12)), vm(13, 2), vm(14, 2))
    assert plan(found, replace(HERE, goal="PACK")) == {13: 1}
    assert plan(found, replace(HERE, goal="BALANCE")) == {}
    assert plan(cloud(hosts(1, 2), vm(10, 1), vm(11, 1)), replace(HERE, goal="BALANCE"), "packing") == {10: 2}


def test_no_more_moves_than_wanted() -> None:
    """MIGRATION_THRESHOLD."""
    snapshot = cloud(hosts(1, 2, 3), *(vm(n, 1) for n in range(10, 14)))
    assert plan(snapshot, replace(HERE, most=1)) == {10: 2} and plan(snapshot, replace(HERE, most=0)) == {}


def test_who_does_not_move() -> None:
    """What its requirements or a bad expression keep, what is not at rest, what is on a host or in a cluster apart."""
    snapshot = cloud(
        hosts(1, 2, 3, node3=4),
        vm(10, 1, requirements="ID = 1"),
        vm(11, 1, requirements="ID ="),
        vm(12, 1, (3, 1)),
        vm(16, 1, (3, 16)),
        replace(vm(13, 1), resched=True),
        vm(14, 3),
        vm(15, 1, POWEROFF),
    )
    assert movable(snapshot, HERE) == [10, 11, 15]
    assert plan(snapshot) == {15: 2} and plan(snapshot, Cluster(7, "other", "")) == {}


def test_only_inside_the_cluster() -> None:
    """An empty host of another cluster is none of its business."""
    found = hosts(1, 2)
    snapshot = cloud([found[0], replace(found[1], cluster=1)], vm(10, 1), vm(11, 1))
    assert plan(snapshot) == {}


def test_own_ranks_count() -> None:
    """SCHED_RANK of the VM."""
    assert plan(cloud(hosts(1, 2, 3), vm(10, 1, rank="ID"), vm(11, 1, rank="-ID"))) == {10: 3}


@pytest.mark.parametrize(
    ("one", "moves"),
    [(role("a", "AFFINED"), 0), (role("a", "ANTI_AFFINED"), 2), (role("a", only=(1,)), 0), (role("a"), 2)],
)
def test_groups_are_heeded(one: object, moves: int) -> None:
    """Those that must be together stay; those that must be apart do not meet, not even on the way."""
    snapshot = cloud(hosts(1, 2, 3), *(vm(n, 1, name="a") for n in (10, 11, 12, 13)), vm(14, 2))
    snapshot.put_groups([group(one)])  # type: ignore[arg-type]
    assert len(plan(snapshot)) == moves


def test_the_running_match_maker_plans_when_it_is_asked() -> None:
    """What was asked for before it came, and what is asked for later; never twice."""
    oned = FakeOned().start()
    oned.add_host(FakeHost(1))
    oned.add_host(FakeHost(2))
    for number in (10, 11):
        oned.vms[number] = FakeVm(number, state=3, lcm=3, host=1, store=0)
    oned.plans = [{"cluster": 0, "number": 4, "state": -1}, {"cluster": 7, "number": 5, "state": -1}]
    with running(oned):
        assert oned.wait(lambda: oned.planned == [(0, 4, [{"vm": 10, "host": 2}])])
        oned.end_vm(10)
        oned.plans = [{"cluster": 0, "number": 6, "state": -1}, {"cluster": 1, "number": 3, "state": 0}]
        oned.change("cluster", 0, "plan", "NONE")
        assert oned.wait(lambda: len(oned.planned) == 2) and oned.planned[1] == (0, 6, [])
    oned.stop()


def test_a_plan_that_was_not_taken_is_made_again() -> None:
    """A host had left the cluster meanwhile; nobody has to ask for the plan a second time."""
    oned = FakeOned().start()
    for host in (1, 2):
        oned.add_host(FakeHost(host))
    for number in (10, 11):
        oned.vms[number] = FakeVm(number, state=3, lcm=3, host=1, store=0)
    oned.plans, oned.refuse_plans = [{"cluster": 0, "number": 4, "state": -1}], 1
    with running(oned, refresh_seconds=0.3):
        assert oned.wait(lambda: oned.planned == [(0, 4, [{"vm": 10, "host": 2}])]) and not oned.refuse_plans
    oned.stop()
