"""The model: what bodies say, what VMs take, what events mean."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from onecore.wire import xmlbody
from scheduler import bodies
from scheduler.bodies import Demand, Host, Vm
from scheduler.changes import STATES, Event, decode, digest
from scheduler.snapshot import LONG_DEMAND, Snapshot

PENDING, ACTIVE, POWEROFF, STOPPED = 1, 3, 8, 4


def vm(
    number: int = 7, state: int = ACTIVE, lcm: int = 3, host: int = 1, store: int = 0, cpu: int = 100, disk: int = 0
) -> Vm:
    """A VM of 1 GB."""
    return Vm(number, state, lcm, host, store, Demand(cpu, 1024 * 1024, disk))


def cloud() -> Snapshot:
    """Two hosts and a datastore."""
    snapshot = Snapshot()
    snapshot.put_hosts(
        Host(
            i,
            f"node{i}",
            2,
            0,
            400,
            8 * 1024 * 1024,
            {0: 1000.0},
            {"ID": (str(i),), "MONITORING/CAPACITY/FREE_CPU": ("300",)},
        )
        for i in (1, 2)
    )
    snapshot.put_datastores(
        [bodies.Datastore(0, "system", True, True, frozenset((0,)), False, math.nan, frozenset(), {"ID": ("0",)})]
    )
    snapshot.settle()
    return snapshot


def free(snapshot: Snapshot) -> list[tuple[int, int]]:
    """(free CPU, VMs) by host."""
    view = snapshot.view()
    return list(zip(view.free_cpu.tolist(), view.running.tolist(), strict=True))


def test_vms_that_ask_alike_share_a_demand_unless_it_is_long() -> None:
    """Each text that was ever asked with would stay in memory otherwise, whatever its size."""
    snapshot = cloud()
    for number in range(6):
        asked = vm(number)
        words = "x" * (LONG_DEMAND if number % 2 else 10)
        snapshot.put_vm(replace(asked, demand=replace(asked.demand, requirements=f'NAME = "{words}"')))
    assert snapshot.vms[0].demand is snapshot.vms[2].demand
    assert snapshot.vms[1].demand == snapshot.vms[3].demand
    assert len(snapshot._demands) == 1


def test_usage_follows_the_vms() -> None:
    snapshot = cloud()
    snapshot.put_vm(vm(1))
    snapshot.put_vm(vm(2, state=POWEROFF, lcm=0))
    snapshot.put_vm(vm(3, state=5, lcm=0, cpu=50))
    snapshot.put_vm(vm(4, state=STOPPED, lcm=0))
    snapshot.put_vm(vm(5, state=PENDING, lcm=0))
    assert free(snapshot) == [(150, 3), (400, 0)]
    assert snapshot.settle() == (set(), False)
    snapshot.put_vm(vm(1, host=2))
    snapshot.set_state(2, STOPPED, 0)
    snapshot.drop_vm(3)
    snapshot.drop_vm(3)
    assert free(snapshot) == [(400, 0), (300, 1)]
    assert snapshot.settle() == ({1}, False)


def test_a_placement_counts_until_it_is_refused() -> None:
    snapshot = cloud()
    snapshot.put_vm(vm(1, state=PENDING, host=-1, disk=100))
    snapshot.place(1, 2, 0)
    view = snapshot.view()
    assert (view.free_cpu.tolist(), view.idle_cpu.tolist(), view.space.tolist()) == (
        [400, 300],
        [300.0, 200.0],
        [[1000.0], [900.0]],
    )
    snapshot.put_vm(vm(1, state=PENDING, host=-1, disk=100))
    assert snapshot.vms[1].placing and free(snapshot) == [(400, 0), (300, 1)]
    snapshot.unplace(1)
    assert free(snapshot) == [(400, 0), (400, 0)] and snapshot.settle() == ({2}, False)


def test_an_accepted_placement_stays_and_its_news_change_nothing() -> None:
    snapshot = cloud()
    snapshot.put_vm(vm(1, state=PENDING, host=-1))
    snapshot.place(1, 2, 0)
    snapshot.set_state(1, *STATES["PROLOG"])
    snapshot.placed(1)
    snapshot.unplace(1)
    snapshot.set_state(1, *STATES["RUNNING"])
    assert free(snapshot) == [(400, 0), (300, 1)] and not snapshot.settle()[0]


def test_what_is_monitored_replaces_what_was_reckoned() -> None:
    snapshot = cloud()
    snapshot.put_vm(vm(1, state=PENDING, host=-1, disk=100))
    snapshot.place(1, 1, 0)
    snapshot.placed(1)
    snapshot.set_state(1, *STATES["RUNNING"])
    assert snapshot.view().idle_cpu.tolist() == [200.0, 300.0]
    snapshot.put_host(snapshot.hosts[1])
    view = snapshot.view()
    assert (view.idle_cpu.tolist(), view.space.tolist(), view.free_cpu.tolist()) == (
        [300.0, 300.0],
        [[1000.0], [1000.0]],
        [300, 400],
    )


def test_only_what_matters_is_a_change_of_a_host() -> None:
    snapshot = cloud()
    known = snapshot.hosts[1]
    snapshot.put_host(
        Host(1, "node1", 2, 0, 400, 8 * 1024 * 1024, {0: 1000.0}, {**known.attributes, "MONITORING/X": ("1",)})
    )
    assert not snapshot.settle()[1]
    snapshot.put_host(
        Host(1, "node1", 2, 0, 400, 8 * 1024 * 1024, {0: 1000.0}, {**known.attributes, "TEMPLATE/X": ("1",)})
    )
    assert snapshot.settle()[1]
    snapshot.put_hosts([known])
    assert snapshot.settle()[1] and list(snapshot.hosts) == [1]


def test_a_view_is_a_copy() -> None:
    snapshot = cloud()
    view = snapshot.view()
    view.used_cpu[0] = 400
    view.vms[0] = {9}
    assert free(snapshot)[0] == (400, 0)


VM_BODY = """<VM><ID>12</ID><STATE>{state}</STATE><LCM_STATE>0</LCM_STATE><RESCHED>1</RESCHED>
<TEMPLATE><CPU>0.29</CPU><MEMORY>512</MEMORY>
<AUTOMATIC_REQUIREMENTS>(CLUSTER_ID = 0)</AUTOMATIC_REQUIREMENTS>
<AUTOMATIC_DS_REQUIREMENTS>("CLUSTERS/ID" @&gt; 0)</AUTOMATIC_DS_REQUIREMENTS>
<DISK><IMAGE_ID>1</IMAGE_ID><DATASTORE_ID>1</DATASTORE_ID><SIZE>100</SIZE><CLONE>YES</CLONE></DISK>
<DISK><IMAGE_ID>2</IMAGE_ID><DATASTORE_ID>1</DATASTORE_ID><SIZE>1000</SIZE><CLONE>NO</CLONE></DISK>
<DISK><IMAGE_ID>3</IMAGE_ID><SIZE>10000</SIZE><CLONE>YES</CLONE><CLONE_TARGET>SELF</CLONE_TARGET></DISK>
<DISK><SIZE>20</SIZE><TYPE>swap</TYPE></DISK></TEMPLATE>
<USER_TEMPLATE><SCHED_REQUIREMENTS><![CDATA[A = "b&c"]]></SCHED_REQUIREMENTS><USER_PRIORITY>3.5</USER_PRIORITY>
<SCHED_MESSAGE>no</SCHED_MESSAGE></USER_TEMPLATE>
<HISTORY_RECORDS><HISTORY><HID>1</HID><DS_ID>100</DS_ID><ACTION>0</ACTION></HISTORY>
<HISTORY><HID>4</HID><DS_ID>101</DS_ID><ACTION>{action}</ACTION></HISTORY></HISTORY_RECORDS></VM>"""
HOST_BODY = """<HOST><ID>3</ID><NAME>n</NAME><STATE>2</STATE><CLUSTER_ID>5</CLUSTER_ID>
<HOST_SHARE><MAX_MEM>100</MAX_MEM><MAX_CPU>800</MAX_CPU>
<DATASTORES><DS><ID>0</ID><FREE_MB>5</FREE_MB><TOTAL_MB>9</TOTAL_MB></DS>
<DS><ID>1</ID><FREE_MB>0</FREE_MB><TOTAL_MB>0</TOTAL_MB></DS></DATASTORES></HOST_SHARE>
<VMS><ID>9</ID></VMS><TEMPLATE><ARCH>x</ARCH></TEMPLATE></HOST>"""
STORE_BODY = """<DATASTORE><ID>4</ID><NAME>d</NAME><TYPE>1</TYPE><STATE>1</STATE>
<CLUSTERS><ID>0</ID><ID>7</ID></CLUSTERS>
<TOTAL_MB>10</TOTAL_MB><FREE_MB>6</FREE_MB>
<TEMPLATE><SHARED>YES</SHARED><COMPATIBLE_SYS_DS>1, 2</COMPATIBLE_SYS_DS></TEMPLATE></DATASTORE>"""


def test_a_vm_body() -> None:
    found = bodies.vm(xmlbody.read(VM_BODY.format(state=1, action=9)))
    assert (found.id, found.host, found.datastore, found.priority, found.message, found.resched) == (
        12,
        4,
        101,
        3.5,
        "no",
        True,
    )
    assert found.demand == Demand(
        29,
        512 * 1024,
        120,
        "(CLUSTER_ID = 0)",
        'A = "b&c"',
        "",
        '("CLUSTERS/ID" @> 0)',
        sources=frozenset((1,)),
        store=101,
        saved=1000,
    )
    assert not found.holds


@pytest.mark.parametrize(
    ("state", "action", "store", "holds"),
    [(1, 0, -1, False), (1, 14, -1, False), (1, 5, 101, False), (3, 9, -1, True)],
)
def test_disks_stay_only_after_stop_and_undeploy(state: int, action: int, store: int, holds: bool) -> None:
    found = bodies.vm(xmlbody.read(VM_BODY.format(state=state, action=action)))
    assert (found.demand.store, found.holds) == (store, holds)


def test_a_host_and_a_datastore_body() -> None:
    found = bodies.host(xmlbody.read(HOST_BODY))
    assert (found.id, found.cpu, found.memory, found.cluster, dict(found.stores)) == (3, 800, 100, 5, {0: 5.0})
    assert found.attributes["TEMPLATE/ARCH"] == ("x",) and "VMS/ID" not in found.attributes
    kept = bodies.datastore(xmlbody.read(STORE_BODY))
    assert (kept.system, kept.enabled, kept.clusters, kept.shared, kept.free, kept.partners) == (
        True,
        False,
        {0, 7},
        True,
        6,
        {1, 2},
    )


def event(new: str, old: str = "", what: str = "state", method: str = "", kind: str = "vm", oid: int = 7) -> Event:
    """An event of VM 7."""
    return Event(kind, oid, what, new, old, method)


@pytest.mark.parametrize(
    ("known", "told", "wanted"),
    [
        (None, event("PENDING", what="create"), "read"),
        (vm(), event("POWEROFF", "SHUTDOWN_POWEROFF"), "state"),
        (vm(), event("RUNNING", "BOOT"), "state"),
        (vm(), event("DONE", "EPILOG"), "gone"),
        (vm(), event("", what="delete"), "gone"),
        (vm(state=STOPPED), event("PENDING", "STOPPED"), "read"),
        (vm(state=PENDING, host=-1), event("PROLOG", "PENDING"), "read"),
        (vm(state=PENDING, host=-1), event("HOLD", "PENDING"), "state"),
        (vm(), event("MIGRATE", "RUNNING"), "read"),
        (vm(), event("RUNNING", "MIGRATE"), "read"),
        (vm(), event("", what="update", method="one.vm.update"), "nothing"),
        (vm(), event("", what="update", method="one.vm.resize"), "read"),
        (vm(state=PENDING), event("", what="update", method="one.vm.update"), "read"),
        (None, event("RUNNING", "BOOT"), "read"),
        (vm(), event("A_STATE_OF_TOMORROW"), "read"),
    ],
)
def test_what_an_event_of_a_vm_means(known: Vm | None, told: Event, wanted: str) -> None:
    changes = digest([told], {7: known} if known else {})
    found = "read" if changes.vms else "gone" if changes.gone_vms else "state" if changes.states else "nothing"
    assert found == wanted


def test_the_last_word_counts() -> None:
    changes = digest(
        [
            event("PROLOG", what="create"),
            event("DONE"),
            event("", kind="host", oid=3),
            event("", kind="cluster"),
            event("", kind="datastore"),
            event("", kind="image"),
        ],
        {},
    )
    assert (changes.vms, changes.gone_vms, changes.states, changes.hosts) == (set(), {7}, {}, {3})
    assert changes.clusters and changes.datastores


@pytest.mark.parametrize(("kind", "method", "told"), [
    ("acl", "one.vdc.addhost", True), ("datastore", "one.datastore.chmod", True), ("user", "one.user.chgrp", True),
    ("user", "one.user.login", False), ("group", "one.group.update", False)])
def test_what_changes_the_rights_of_owners(kind: str, method: str, told: bool) -> None:
    assert digest([Event(kind, 3, "update", method=method)], {}).rights is told


def test_decoding_events() -> None:
    row = {
        "seq": 1,
        "kind": "vm",
        "id": 3,
        "what": "state",
        "old": None,
        "new": "BOOT",
        "keys": [],
        "method": None,
        "more": 1,
    }
    batch = decode(json.dumps({"last": 9, "reset": False, "events": [row]}))
    assert batch.last == 9 and batch.events == (Event("vm", 3, "state", "BOOT"),)
    for text in ("", "[]", '{"last": 1}', '{"last": 1, "reset": false, "events": [{}]}'):
        with pytest.raises(ValueError):
            decode(text)
