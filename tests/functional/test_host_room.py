"""Room on hosts' own storage: told by samples, counted for what was placed since, asked for by the match-maker and by
deploy with enforce."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sim import Refused

from onecore.wire import xmlbody
from scheduler import bodies
from scheduler.match import match
from scheduler.plan import Plan, Waiting
from scheduler.ranks import policy
from scheduler.snapshot import Snapshot

if TYPE_CHECKING:
    from host_ground import HostGround

pytest_plugins = ["host_ground"]
DISK = 'DISK=[TYPE="fs",SIZE="{}"]'


def small(ground: HostGround, *free: int) -> int:
    """A datastore of each host's own, and how much of it is free by host; the shared one is disabled."""
    store = ground.own_store()
    ground.sim.call("one.datastore.enable", 0, False)
    for number, megabytes in enumerate(free):
        ground.sim.call("one.host.update", ground.ids[number], f"DUMMY_DISK_MB={megabytes}", 1)
    ground.sim.advance(12)
    return store


def pending(ground: HostGround, megabytes: int, more: str = "") -> int:
    """A VM that waits, with a volatile disk."""
    return int(ground.sim.call("one.vm.allocate", f"CPU=0.1\nMEMORY=64\n{DISK.format(megabytes)}\n{more}", False))


def free(ground: HostGround, host: int, store: int) -> int:
    """What the host's body says of its own storage."""
    body = xmlbody.read(ground.sim.call("one.host.info", ground.ids[host - 1]))
    found = [int(ds.findtext("FREE_MB") or 0) for ds in body.findall("HOST_SHARE/DATASTORES/DS")
             if ds.findtext("ID") == str(store)]
    return found[0]


def plan(ground: HostGround, *vms: int) -> Plan:
    """What the match-maker decides, from the bodies as oned gives them."""
    sim, snapshot = ground.sim, Snapshot()
    snapshot.put_hosts(map(bodies.host, xmlbody.read(sim.call("one.hostpool.info")).findall("HOST")))
    stores = xmlbody.read(sim.call("one.datastorepool.info")).findall("DATASTORE")
    snapshot.put_datastores(map(bodies.datastore, stores))
    pool: Any = xmlbody.read(sim.call("one.vmpool.infoextended", -2, -1, -1, -1)).findall("VM")
    for vm in map(bodies.vm, pool):
        snapshot.put_vm(vm)
    waiting = [Waiting(vm, snapshot.vms[vm].demand) for vm in vms]
    return match(snapshot.view(), waiting, policy("striping", "", "striping"))


def test_the_hosts_own_figures_decide(cloud2: HostGround) -> None:
    """A VM goes where its disk fits; the message of one that fits nowhere says that the disk is it."""
    store = small(cloud2, 500, 3000)
    assert (free(cloud2, 1, store), free(cloud2, 2, store)) == (500, 3000)
    small_vm, large, huge = pending(cloud2, 400), pending(cloud2, 2000), pending(cloud2, 9000)
    decided = plan(cloud2, large, huge)
    assert [(p.vm, p.host, p.store) for p in decided.placements] == [(large, cloud2.ids[1], store)]
    assert decided.refusals[0].text == (
        "Cannot place VM: 2 hosts: 2 have not enough space in a system datastore (need 9000 MB, most free 1000 MB in "
        "own on node2)")
    assert len(plan(cloud2, small_vm).placements) == 1


def test_each_shortage_has_its_word(cloud2: HostGround) -> None:
    """CPU, memory and disk are told apart."""
    small(cloud2, 500, 500)
    shortages = {"CPU": "CPU=99\nMEMORY=64", "memory": "CPU=1\nMEMORY=999999",
                 "space": f"CPU=1\nMEMORY=64\n{DISK.format(900)}"}
    told = {what: plan(cloud2, int(cloud2.sim.call("one.vm.allocate", text, False))).refusals[0].text
            for what, text in shortages.items()}
    assert "2 have not enough CPU (need 99 CPU" in told["CPU"]
    assert "2 have not enough memory (need 999999 MB" in told["memory"]
    assert "2 have not enough space in a system datastore (need 900 MB" in told["space"]


def test_what_was_placed_since_the_sample_counts(cloud2: HostGround) -> None:
    """For the match-maker and for deploy: a disk on its way has taken its room."""
    sim, store = cloud2.sim, small(cloud2, 1000, 10)
    first, second = pending(cloud2, 600), pending(cloud2, 600)
    cloud2.script({"action": "tm.prolog", "delay": 5})
    sim.call("one.vm.deploy", first, cloud2.ids[0], True, store)
    assert free(cloud2, 1, store) == 1000, "the sample is older"
    assert [r.vm for r in plan(cloud2, second).refusals] == [second]
    with pytest.raises(Refused, match=r"host \d+ \(node1\): DISK 600 MB needed, 400 MB free in datastore \d+ \(own\)$"):
        sim.call("one.vm.deploy", second, cloud2.ids[0], True, store)
    sim.wait(first, "RUNNING")
    with pytest.raises(Refused, match="400 MB free"):
        sim.call("one.vm.deploy", second, cloud2.ids[0], True, store)
    sim.advance(12)
    sim.call("one.vm.deploy", second, cloud2.ids[0], True, store)  # the sample tells; dummies take nothing


def test_what_is_on_its_way_from_another_host_counts(cloud2: HostGround) -> None:
    """A migration has taken its room as long as its files are copied: the next one is refused, not cut short."""
    sim, store = cloud2.sim, small(cloud2, 2000, 1000)
    first, second = (pending(cloud2, 600) for _ in range(2))
    for vm in (first, second):
        sim.call("one.vm.deploy", vm, cloud2.ids[0], True, store)
        sim.wait(vm, "RUNNING")
        sim.call("one.vm.action", "poweroff-hard", vm)
        sim.wait(vm, "POWEROFF")
    cloud2.script({"action": "tm.move", "delay": 20})
    sim.call("one.vm.migrate", first, cloud2.ids[1], False, True)
    sim.advance(15)
    with pytest.raises(Refused, match=r"node2\): DISK 600 MB needed, 400 MB free in datastore \d+ \(own\)$"):
        sim.call("one.vm.migrate", second, cloud2.ids[1], False, True)
    sim.until(lambda: not sim.vm(first).op)
    assert sim.vm(first).hid == cloud2.ids[1]


def test_without_enforce_nobody_asks(cloud2: HostGround) -> None:
    """As OpenNebula's users know it."""
    store = small(cloud2, 10, 10)
    vm = pending(cloud2, 600)
    cloud2.sim.call("one.vm.deploy", vm, cloud2.ids[0], False, store)
    cloud2.sim.wait(vm, "RUNNING")


def test_shared_storage_has_one_figure(cloud2: HostGround) -> None:
    """And a VM whose disks are in it already needs no room in it."""
    sim, vm = cloud2.sim, pending(cloud2, 600)
    sim.call("one.vm.deploy", vm, cloud2.ids[0], True, 0)
    sim.wait(vm, "RUNNING")
    sim.call("one.vm.action", "undeploy-hard", vm)
    sim.wait(vm, "UNDEPLOYED")
    sim.call("one.vm.action", "resume", vm)
    sim.core.kinds["datastore.room"][0] = (1000, 100, 900)
    other = pending(cloud2, 600)
    assert [(p.vm, p.store) for p in plan(cloud2, vm, other).placements] == [(vm, 0)]
    with pytest.raises(Refused, match="DISK 600 MB needed, 100 MB free in datastore 0"):
        sim.call("one.vm.deploy", other, cloud2.ids[1], True, 0)
    sim.call("one.vm.deploy", vm, cloud2.ids[1], True, 0)
    sim.wait(vm, "RUNNING")


def test_persistent_disks_on_own_storage(cloud2: HostGround) -> None:
    """They are copied to the host, and take room there."""
    sim = cloud2.sim
    store = int(sim.call("one.datastore.allocate", "NAME=far\nTYPE=SYSTEM_DS\nTM_MAD=ssh\n", -1))
    sim.call("one.datastore.enable", 0, False)
    for host in cloud2.ids:
        sim.call("one.host.update", host, "DUMMY_DISK_MB=5", 1)
    sim.advance(12)
    image = sim.add_image("kept", persistent=True)
    vm = int(sim.call("one.vm.allocate", f"CPU=0.1\nMEMORY=64\nDISK=[IMAGE_ID={image}]", False))
    assert "need 10 MB, most free 5 MB in far" in plan(cloud2, vm).refusals[0].text
    with pytest.raises(Refused, match="DISK 10 MB needed, 5 MB free"):
        sim.call("one.vm.deploy", vm, cloud2.ids[0], True, store)
