"""Filters, ranks, the match and what a refusal says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from effort import calls

from scheduler.bodies import Cluster, Datastore, Demand, Host
from scheduler.match import match
from scheduler.plan import Plan, Reason, Waiting
from scheduler.ranks import policy
from scheduler.snapshot import Snapshot

GB = 1024 * 1024


def host(
    number: int,
    cpu: int = 400,
    gb: int = 8,
    state: int = 2,
    cluster: int = 0,
    stores: dict[int, float] | None = None,
    **attributes: str,
) -> Host:
    """A host; GB of memory."""
    found = {
        "ID": (str(number),),
        "NAME": (f"node{number}",),
        "CLUSTER_ID": (str(cluster),),
        "TEMPLATE/ARCH": ("x86_64",),
    }
    found |= {
        ("MONITORING/CAPACITY/" if name.startswith("FREE") else "TEMPLATE/") + name: (value,)
        for name, value in attributes.items()
    }
    return Host(number, f"node{number}", state, cluster, cpu, gb * GB, stores or {}, found)


def store(
    number: int,
    free: float = math.nan,
    shared: bool = False,
    enabled: bool = True,
    clusters: tuple[int, ...] = (0,),
    system: bool = True,
    partners: tuple[int, ...] = (),
    **attributes: str,
) -> Datastore:
    """A datastore."""
    found = {"ID": (str(number),), "NAME": (f"ds{number}",), "CLUSTERS/ID": tuple(map(str, clusters))}
    found |= {"TEMPLATE/" + name: (value,) for name, value in attributes.items()}
    return Datastore(
        number, f"ds{number}", system, enabled, frozenset(clusters), shared, free, frozenset(partners), found
    )


def demand(cpu: int = 100, mb: int = 1024, disk: int = 0, **more: object) -> Demand:
    """What a VM asks for."""
    return Demand(cpu, mb * 1024, disk, **more)  # type: ignore[arg-type]


def run(
    hosts: list[Host],
    waiting: list[Demand | Waiting],
    stores: list[Datastore] | None = None,
    rank: str = "striping",
    ds: str = "striping",
    clusters: list[Cluster] | None = None,
    custom: str = "",
) -> Plan:
    """A match; VMs are numbered from 100 on."""
    snapshot = Snapshot()
    snapshot.put_hosts(hosts)
    snapshot.put_datastores([store(0)] if stores is None else stores)
    snapshot.put_clusters(clusters or [])
    vms = [vm if isinstance(vm, Waiting) else Waiting(100 + i, vm) for i, vm in enumerate(waiting)]
    return match(snapshot.view(), vms, policy(rank, custom, ds))


def hosts_of(plan: Plan) -> list[int]:
    """The hosts chosen, by VM."""
    return [p.host for p in sorted(plan.placements, key=lambda p: p.vm)]


def text(plan: Plan) -> str:
    """The text of the one refusal."""
    assert len(plan.refusals) == 1
    return plan.refusals[0].text


THREE = [host(1), host(2), host(3)]


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("striping", [1, 2, 3, 1, 2]),
        ("1", [1, 2, 3, 1, 2]),
        ("packing", [1, 1, 1, 1, 2]),
        ("0", [1, 1, 1, 1, 2]),
        ("load-aware", [3, 3, 2, 1, 3]),
        ("fixed", [2, 2, 2, 2, 3]),
        ("custom", [3, 3, 3, 3, 2]),
    ],
)
def test_policies(name: str, chosen: list[int]) -> None:
    hosts = [host(1, FREE_CPU="250", PRIORITY="1"), host(2, FREE_CPU="280", PRIORITY="7"), host(3, FREE_CPU="390")]
    clusters = [Cluster(0, "default", "5")]
    assert hosts_of(run(hosts, [demand()] * 5, rank=name, clusters=clusters, custom="ID * 2")) == chosen


def test_an_own_rank_goes_before_the_policy() -> None:
    assert hosts_of(run(THREE, [demand(rank="ID"), demand()])) == [3, 1]


def test_priority_goes_before_age() -> None:
    plan = run([host(1, cpu=100)], [Waiting(5, demand()), Waiting(6, demand(), priority=1.5)])
    assert [p.vm for p in plan.placements] == [6] and [r.vm for r in plan.refusals] == [5]


def test_a_batch_never_promises_more_than_there_is() -> None:
    plan = run([host(i, cpu=400, gb=4) for i in range(10)], [demand(150, 1500)] * 30)
    assert len(plan.placements) == 20 and sorted(hosts_of(plan)) == sorted([*range(10), *range(10)])


def test_overcommitted_and_unmonitored_hosts() -> None:
    assert hosts_of(run([host(1, cpu=0, gb=0), host(2, state=4), host(3, state=3), host(4)], [demand()])) == [4]
    assert hosts_of(run([host(1, cpu=0, gb=0)], [demand(0, 0)])) == [1]


def test_hosts_that_refused_are_taken_last() -> None:
    plan = run(
        THREE, [Waiting(1, demand(), avoid=frozenset((1, 2))), Waiting(2, demand(), avoid=frozenset((1, 2, 3)))]
    )
    assert hosts_of(plan) == [3, 1] and [p.rank for p in plan.placements] == [0, 0]


def test_anti_affinity_within_one_batch() -> None:
    plan = run(
        THREE, [Waiting(1, demand(rank="-ID")), Waiting(2, demand(requirements="CURRENT_VMS != 1", rank="-ID"))]
    )
    assert hosts_of(plan) == [1, 2]


def test_a_requirement_on_what_a_placement_changes_holds_within_a_batch() -> None:
    plan = run(THREE, [demand(requirements="RUNNING_VMS < 1", rank="-ID")] * 4)
    assert hosts_of(plan) == [1, 2, 3]
    assert "3 do not match SCHED_REQUIREMENTS (RUNNING_VMS < 1)" in text(plan)


def test_datastore_policies_and_ranks() -> None:
    stores = [store(0, 1000, shared=True), store(5, 3000, shared=True), store(7, 2000, shared=True, PRIORITY="9")]
    assert [p.store for p in run(THREE, [demand(disk=1500)] * 2, stores).placements] == [5, 7]
    assert [p.store for p in run(THREE, [demand(disk=10)], stores, ds="packing").placements] == [0]
    assert [p.store for p in run(THREE, [demand(disk=10)], stores, ds="3").placements] == [7]
    assert [p.store for p in run(THREE, [demand(store_rank="-ID")], stores).placements] == [0]


def test_space_common_to_all_hosts_is_spent_once() -> None:
    plan = run(THREE, [demand(disk=600)] * 3, [store(0, 1500, shared=True)])
    assert len(plan.placements) == 2
    assert "3 have not enough space in a system datastore (need 600 MB, most free 300 MB in ds0 on node1)" in text(
        plan
    )


def test_space_of_each_host_is_its_own() -> None:
    hosts = [host(1, stores={0: 1000.0}), host(2, stores={0: 700.0})]
    assert sorted(hosts_of(run(hosts, [demand(disk=600)] * 3))) == [1, 2]
    assert hosts_of(run(hosts, [demand(disk=800)])) == [1]
    assert hosts_of(run([host(1)], [demand(disk=10**9)])) == [1], "space that nobody knows is not in the way"


def test_persistent_disks_count_where_they_are_copied() -> None:
    hosts = [host(1, stores={0: 1000.0, 5: 1000.0})]
    stores = [store(0), replace(store(5), copies=True)]
    plan = run(hosts, [demand(disk=600, saved=600)], stores)
    assert [p.store for p in plan.placements] == [0]
    plan = run(hosts, [demand(saved=600)] * 2, [stores[1]])
    assert len(plan.placements) == 1
    assert "need 600 MB, most free 400 MB in ds5 on node1" in text(plan)


def test_disks_that_are_there_already_need_no_room() -> None:
    full = [replace(store(5, 10, shared=True), copies=False)]
    assert hosts_of(run([host(1)], [demand(disk=600, store=5)], full)) == [1]
    assert run([host(1)], [demand(disk=600)], full).refusals
    own = [store(5)]
    assert run([host(1, stores={5: 10.0})], [demand(disk=600, store=5)], own).refusals, "they come with the VM"


def test_clusters_compatibility_and_disks_that_stay() -> None:
    hosts = [host(1), host(2, cluster=100)]
    stores = [store(0), store(5, clusters=(100,)), store(1, system=False, partners=(5,))]
    assert [(p.host, p.store) for p in run(hosts, [demand(sources=frozenset((1,)))], stores).placements] == [(2, 5)]
    assert [(p.host, p.store) for p in run(hosts, [demand(store=5)], stores).placements] == [(2, 5)]
    automatic = run(hosts, [demand(automatic="CLUSTER_ID = 100", store_automatic='"CLUSTERS/ID" @> 100')], stores)
    assert hosts_of(automatic) == [2]
    told = text(run([host(1)], [demand(store=5)], stores))
    assert told == (
        "Cannot place VM: 1 host: 1 has no system datastore for it (2 system datastores: "
        "1 is not where its disks are, 1 is not in the host's cluster)"
    )


@pytest.mark.parametrize(
    ("hosts", "vm", "told"),
    [
        ([], demand(), "there are no hosts"),
        (
            [host(1, gb=2), host(2, gb=1), host(3, gb=64, ARCH="mips")],
            demand(mb=4096, requirements='ARCH = "x86*"'),
            '3 hosts: 1 does not match SCHED_REQUIREMENTS (ARCH = "x86*"), '
            "2 have not enough memory (need 4096 MB, most free 2048 MB on node1)",
        ),
        (
            [host(1, state=4), host(2, state=4), host(3, state=3), host(4, state=8), host(5, state=0)],
            demand(),
            "5 hosts: 2 are disabled, 1 is in error, 1 is offline, 1 is not monitored yet",
        ),
        (
            [host(1, cpu=50), host(2, cpu=25, gb=0)],
            demand(),
            "2 hosts: 1 has not enough CPU (need 1 CPU, most free 0.5 CPU on node1), "
            "1 has not enough CPU and memory (need 1 CPU, most free 0.25 CPU on node2; "
            "need 1024 MB, most free 0 MB on node2)",
        ),
        (
            [host(1)],
            demand(requirements='ARCH = "x86_64" & GPUS > 0'),
            "1 host: 1 does not match SCHED_REQUIREMENTS (GPUS > 0; no host has GPUS)",
        ),
        (
            [host(1), host(2)],
            demand(requirements='NAME = "node2" & ID = 1'),
            '2 hosts: 2 do not match SCHED_REQUIREMENTS (NAME = "node2" & ID = 1)',
        ),
        (
            [host(1)],
            demand(automatic="(CLUSTER_ID = 7)"),
            "1 host: 1 is not where its disks and networks can be used (CLUSTER_ID = 7)",
        ),
        (
            [host(1)],
            demand(requirements="ARCH >= 3"),
            "SCHED_REQUIREMENTS is not valid: unexpected '=' at column 7: there is no >= operator, only = != > < @>",
        ),
        (
            [host(1)],
            demand(rank="1 +"),
            "SCHED_RANK is not valid: unexpected end at column 4, expecting an attribute, a number, - or (",
        ),
        (
            [host(1)],
            demand(store_requirements='NAME = "fast"'),
            "1 host: 1 has no system datastore for it "
            '(1 system datastore: 1 is outside SCHED_DS_REQUIREMENTS (NAME = "fast"))',
        ),
    ],
)
def test_a_refusal_says_why(hosts: list[Host], vm: Demand, told: str) -> None:
    assert text(run(hosts, [vm])) == "Cannot place VM: " + told


def test_a_refusal_without_datastores() -> None:
    assert text(run([host(1)], [demand()], [])).endswith("1 has no system datastore for it (there is none)")
    assert "1 is disabled" in text(run([host(1)], [demand()], [store(0, enabled=False)]))
    wrong = text(run([host(1)], [demand(sources=frozenset((1,)))], [store(0), store(1, system=False, partners=(5,))]))
    assert "1 is not compatible with its images" in wrong


def test_counts_add_up_to_the_hosts() -> None:
    hosts = [host(1, state=4), host(2, cpu=10), host(3, gb=0), host(4, ARCH="arm"), host(5, cluster=9)]
    vm = demand(requirements='ARCH = "x86_64"', automatic="CLUSTER_ID = 0")
    counts = run(hosts, [vm]).refusals[0].counts
    assert sum(counts.values()) == 5 and set(counts) == {
        Reason.STATE,
        Reason.CPU,
        Reason.MEMORY,
        Reason.REQUIREMENTS,
        Reason.AUTOMATIC,
    }


def test_a_bad_vm_does_not_hinder_the_others() -> None:
    bad = [demand(requirements="("), demand(cpu=10**9), demand(requirements="NOPE = 1")]
    plan = run(THREE, [*bad, demand()])
    assert [p.vm for p in plan.placements] == [103] and len(plan.refusals) == 3


@pytest.mark.parametrize(("distinct", "most"), [(False, 190), (True, 260)])
def test_a_vm_is_no_more_work_with_more_hosts(distinct: bool, most: int) -> None:
    """What depends on the number of hosts is done for all of them by one call."""
    work = [_work_of_a_vm(count, distinct) for count in (200, 1250)]
    assert work[1] < 1.1 * work[0] < most


def _work_of_a_vm(count: int, distinct: bool) -> float:
    """Calls for each of a hundred VMs, when they are matched to COUNT hosts."""
    hosts = [host(i, cpu=1600, gb=64, stores={0: 1e6}) for i in range(count)]
    plans: list[Plan] = []
    work = []
    for number in (100, 200):
        vms = [
            demand(100, 1024 + i * distinct, 10, automatic="(CLUSTER_ID = 0)", requirements='ARCH = "x86*"')
            for i in range(number)
        ]
        work.append(calls(lambda vms=vms: plans.append(run(hosts, list(vms)))))
        assert len(plans.pop().placements) == number
    return (work[1] - work[0]) / 100
