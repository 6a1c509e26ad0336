"""VM groups in a match: together, apart, on some hosts only; among VMs that are there and VMs of the same round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sched_fake import FakeHost, FakeOned, FakeVm
from sched_starting import starting
from test_sched_moves import GB, RUNNING, cloud, hosts, where

from onecore.wire import xmlbody
from onecore.wire.affinity import Group, Role, conflict
from scheduler import bodies
from scheduler.bodies import Demand, Host, Vm
from scheduler.match import match
from scheduler.plan import Plan, Reason, Waiting
from scheduler.ranks import policy
from scheduler.snapshot import Snapshot


def group(*roles: Role, together: str = "", apart: str = "") -> Group:
    """Group 5; rules are letters, each a role."""
    return Group(5, "shop", roles, (frozenset(together),) if together else (), (frozenset(apart),) if apart else ())


def role(name: str, policy: str = "NONE", only: tuple[int, ...] = (), never: tuple[int, ...] = ()) -> Role:
    """A role."""
    return Role(ord(name) - 97, name, policy, frozenset(only), frozenset(never))


def vm(number: int, name: str, host: int = -1, cpu: int = 100, resched: bool = False, gid: int = 5) -> Vm:
    """A VM in a role: pending, or running on HOST."""
    state = RUNNING if host >= 0 else (1, 0)
    return Vm(number, *state, host, 0, Demand(cpu, GB, store=0), resched=resched, group=gid, role=name)


def place(snapshot: Snapshot, rank: str = "striping") -> Plan:
    """A match of all that wait."""
    waiting = [
        Waiting(one.id, one.demand, one.priority, frozenset(), one.host if one.moves else -1, one.group, one.role)
        for one in snapshot.vms.values()
        if one.waits
    ]
    return match(snapshot.view(), waiting, policy(rank))


def ground(found: Group, *vms: Vm, of: list[Host] | None = None) -> Snapshot:
    """Three hosts of 4 cores and 8 GB, a group, and VMs."""
    snapshot = cloud(of or hosts(1, 2, 3), *vms)
    snapshot.put_groups([found])
    return snapshot


def why(plan: Plan) -> str:
    """The text of the one refusal, which is for its group's sake."""
    (refusal,) = plan.refusals
    assert Reason.GROUP in refusal.counts, refusal
    return refusal.text


def test_apart_in_one_round() -> None:
    """Each on a host of its own though packing is the policy; the last one says why it waits."""
    snapshot = ground(group(role("a", "ANTI_AFFINED")), *(vm(n, "a") for n in range(10, 14)))
    plan = place(snapshot, "packing")
    assert where(plan) == {10: 1, 11: 2, 12: 3}
    assert why(plan) == (
        "Cannot place VM: 3 hosts: 3 have a VM with which VM group 5 (shop), role a, is anti-affined "
        "(VM 10, VM 11, VM 12)"
    )


def test_apart_from_those_that_are_there() -> None:
    """Of its role, and of roles that ANTI_AFFINED names; VMs of other groups and roles do not matter."""
    found = group(role("a", "ANTI_AFFINED"), role("b"), role("c"), apart="ab")
    there = vm(1, "a", 1), vm(2, "b", 2), vm(3, "c", 3), vm(4, "a", 3, gid=6)
    snapshot = ground(found, *there, vm(10, "a"), vm(11, "b"))
    assert where(place(snapshot)) == {10: 3, 11: 2}


def test_apart_from_what_moves() -> None:
    """A VM on its way is on both hosts."""
    moving = Vm(1, 3, 4, 1, 0, Demand(100, GB), group=5, role="a", to=2)
    snapshot = ground(group(role("a", "ANTI_AFFINED")), vm(10, "a"))
    snapshot.vms[1] = moving
    snapshot.members[5].add(1)
    assert where(place(snapshot)) == {10: 3}


def test_together_in_one_round() -> None:
    """All of the set on one host, whatever the policy, and before others of the round take its room."""
    found = group(role("a", "AFFINED"), role("b"), role("c"), together="ab")
    three = hosts(1, 2, 3)
    vms = [vm(10, "a"), vm(11, "c"), vm(12, "c"), vm(13, "c"), vm(14, "a"), vm(15, "b"), vm(16, "b")]
    chosen = where(place(ground(found, *vms, of=three)))
    assert len({chosen[n] for n in (10, 14, 15, 16)}) == 1 and len(set(chosen.values())) > 1


def test_together_with_those_that_are_there() -> None:
    """On their host; when that is full the text says which it must be."""
    found = group(role("a"), role("b"), together="ab")
    assert where(place(ground(found, vm(1, "a", 2), vm(10, "b"), vm(11, "a")))) == {10: 2, 11: 2}
    plan = place(ground(found, vm(1, "a", 2, cpu=400), vm(10, "b")))
    assert why(plan) == (
        "Cannot place VM: 3 hosts: 2 are not host node2 of VM 1, with which VM group 5 (shop), role b, is affined, "
        "1 has not enough CPU (need 1 CPU, most free 0 CPU on node2)"
    )


def test_a_set_waits_for_a_host_that_takes_it_all() -> None:
    """None is placed alone where the rest could not follow; a host that takes all is found though it ranks last."""
    found = group(role("a", "AFFINED"))
    plan = place(ground(found, vm(1, "", 1, 200, gid=-1), vm(2, "", 2, 200, gid=-1), vm(10, "a", cpu=200),
                        vm(11, "a", cpu=200)))
    assert where(plan) == {10: 3, 11: 3}
    plan = place(ground(found, vm(10, "a", cpu=300), vm(11, "a", cpu=200)))
    assert where(plan) == {} and len(plan.refusals) == 2
    assert plan.refusals[0].text == (
        "Cannot place VM: 3 hosts: 3 do not do for it and the 1 VMs that wait and must be with it "
        "(VM group 5 (shop), role a; together they need 5 CPU and 2048 MB)"
    )


def test_a_set_goes_where_each_of_it_may() -> None:
    """The first one heeds the requirements of the others."""
    snapshot = ground(group(role("a", "AFFINED")), vm(10, "a"))
    snapshot.put_vm(Vm(11, 1, 0, -1, -1, Demand(100, GB, requirements="ID = 3"), group=5, role="a"))
    assert where(place(snapshot)) == {10: 3, 11: 3}


@pytest.mark.parametrize(
    ("found", "name", "chosen", "text"),
    [
        (group(role("a", only=(2, 9))), "a", 2, ""),
        (group(role("a", never=(1, 2))), "a", 3, ""),
        (group(role("a", only=(2, 3)), role("b", never=(2,)), together="ab"), "b", 3, ""),
        (group(role("a", only=(8, 9))), "a", 0, "3 are not in HOST_AFFINED (8,9) of VM group 5 (shop), role a"),
        (group(role("a", never=(1, 2, 3))), "a", 0, "3 are in HOST_ANTI_AFFINED (1,2,3) of VM group 5 (shop), role a"),
    ],
)
def test_lists_of_hosts(found: Group, name: str, chosen: int, text: str) -> None:
    """Only those, never those; also for the sake of who must be there too."""
    plan = place(ground(found, vm(10, name)))
    assert where(plan) == ({10: chosen} if chosen else {})
    assert not text or why(plan) == f"Cannot place VM: 3 hosts: {text}"


def test_moving_a_set() -> None:
    """Where all are to go, they go together; where one stays, so does the other, and says why."""
    found = group(role("a", "AFFINED"))
    chosen = where(place(ground(found, vm(1, "a", 1, resched=True), vm(2, "a", 1, resched=True))))
    assert chosen[1] == chosen[2] != 1
    plan = place(ground(found, vm(1, "a", 1, resched=True), vm(2, "a", 1)))
    assert "host node1 of VM 2" in why(plan)


def test_a_new_one_does_not_go_where_its_set_leaves() -> None:
    """It goes where they go."""
    chosen = where(place(ground(group(role("a", "AFFINED")), vm(1, "a", 1, resched=True), vm(2, "a"))))
    assert chosen[1] == chosen[2] != 1


def test_vms_of_groups_that_are_not_known_go_anywhere() -> None:
    """A role or group that is not there rules nothing."""
    assert where(place(ground(group(role("a")), vm(1, "z"), vm(2, "a", gid=7)))) == {1: 1, 2: 2}


def test_who_is_in_a_group_follows_from_the_vms() -> None:
    """As they come, change and go; a group is told of when one does."""
    snapshot = ground(group(role("a")), vm(1, "a", 1), vm(2, "a"))
    assert snapshot.members == {5: {1, 2}} and snapshot.regrouped == {5}
    snapshot.regrouped = set()
    snapshot.put_vm(vm(1, "a", 1))
    assert snapshot.regrouped == set()
    snapshot.put_vm(vm(1, "", 1, gid=-1))
    assert snapshot.members == {5: {2}} and snapshot.regrouped == {5}
    snapshot.drop_vm(2)
    assert snapshot.members == {5: set()}


def test_a_body() -> None:
    """As oned tells it."""
    text = ("<VM_GROUP><ID>5</ID><NAME>shop</NAME><ROLES><ROLE><HOST_AFFINED>2,1</HOST_AFFINED><ID>0</ID><NAME>a</NAME>"
            "<POLICY>AFFINED</POLICY><VMS>7,9</VMS></ROLE><ROLE><ID>3</ID><NAME>b</NAME></ROLE></ROLES>"
            "<TEMPLATE><AFFINED>a, b</AFFINED><NOTE>x</NOTE></TEMPLATE></VM_GROUP>")
    found, vms = bodies.group(xmlbody.read(text))
    assert found == Group(5, "shop", (Role(0, "a", "AFFINED", frozenset((1, 2))), Role(3, "b")),
                          (frozenset("ab"),)) and vms == [7, 9]
    assert conflict(found) == "" and found.bundle("b") == {"a", "b"} and found.enemies("a") == frozenset()


@contextmanager
def running(oned: FakeOned, **changes: object) -> Iterator[None]:
    """A match-maker that has read everything; CHANGES are to its configuration."""
    with contextmanager(starting)(oned) as start:
        start(**changes)
        yield


def test_the_running_match_maker_keeps_up() -> None:
    """Members that run are known from the start; a VM waits until the one it may not be with is gone."""
    oned = FakeOned().start()
    oned.groups = [group(role("a", "ANTI_AFFINED"))]
    oned.add_host(FakeHost(1))
    oned.vms[1] = FakeVm(1, state=3, lcm=3, host=1, store=0, group=(5, "a"))
    with running(oned):
        oned.add_vm(FakeVm(2, group=(5, "a")))
        assert oned.wait(lambda: "VM group 5 (shop), role a" in oned.vms[2].user.get("SCHED_MESSAGE", ""))
        oned.add_vm(FakeVm(3))
        assert oned.wait(lambda: oned.vms[3].host == 1)
        oned.end_vm(1)
        assert oned.wait(lambda: oned.vms[2].host == 1)
        oned.add_vm(FakeVm(4, group=(5, "a")))
        assert oned.wait(lambda: "(VM 2)" in oned.vms[4].user.get("SCHED_MESSAGE", ""))
        oned.groups = [group(role("a"))]
        oned.change("vmgroup", 5, "update")
        assert oned.wait(lambda: oned.vms[4].host == 1)
    oned.stop()
