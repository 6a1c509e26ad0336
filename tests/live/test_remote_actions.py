"""What can be done with a VM beside its life, on two hosts and both kinds of storage, as its guest sees it."""
from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from bed_acts import GROWS, answers, change, disks, other, pair_of, runs_on, soon
from bed_cloud import BedCloud
from cloud_process import until
from crash_ground import kill_driver
from migrate_ground import Pings

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def pair(cloud: BedCloud) -> Iterator[list[int]]:
    with pair_of(cloud, "acts") as vms:
        yield vms


def test_live_migration_is_hardly_noticed(cloud: BedCloud, pair: list[int]) -> None:
    """There and back: the same boot goes on, pings are answered, capacity is taken on one host alone afterwards."""
    for vm in pair:
        facts, gaps = cloud.told(vm), []
        for _ in range(2):
            host, pings = other(cloud, vm), Pings(cloud.address(vm))
            change(cloud, vm, "migrate", host, True)
            gaps.append(pings.stop())
            assert cloud.hosts[cloud.node_of(vm).name] == host
            assert runs_on(cloud, vm) == [cloud.node_of(vm).name]
        now = cloud.told(vm)
        assert now["boot_id"] == facts["boot_id"] and float(now["uptime"]) > float(facts["uptime"])
        print(f"VM {vm} moved live, longest gaps between two pings: {', '.join(f'{gap:.2f}' for gap in gaps)} s")


def test_cold_migrations(cloud: BedCloud, pair: list[int]) -> None:
    """Saved, the boot goes on elsewhere; shut down, it is another; off, it stays off."""
    for vm in pair:
        boot = answers(cloud, vm)
        for kind, same in ((0, True), (2, False)):
            host = other(cloud, vm)
            change(cloud, vm, "migrate", host, False, False, -1, kind)
            assert cloud.hosts[cloud.node_of(vm).name] == host
            assert (cloud.booted(vm) == boot) is same
        cloud.act(vm, "poweroff-hard")
        cloud.arrives(vm, "POWEROFF")
        change(cloud, vm, "migrate", other(cloud, vm), state="POWEROFF")
        cloud.act(vm, "resume")
        cloud.arrives(vm, "RUNNING")
        cloud.booted(vm)


def test_disks_come_grow_and_go(cloud: BedCloud, pair: list[int]) -> None:
    """A volatile disk is in the guest with its size, then larger, then not any more."""
    for vm in pair:
        change(cloud, vm, "attach", "DISK=[TYPE=raw,SIZE=16,FORMAT=raw]")
        number = int(cloud.body("vm", vm).findall("TEMPLATE/DISK")[-1].findtext("DISK_ID", ""))
        name = cloud.body("vm", vm).findall("TEMPLATE/DISK")[-1].findtext("TARGET", "")
        soon("the disk", lambda vm=vm, name=name: disks(cloud, vm).get(name) == 16,  # type: ignore[misc]
             lambda vm=vm: disks(cloud, vm))  # type: ignore[misc]
        change(cloud, vm, "diskresize", number, "24")
        soon("its size", lambda vm=vm, name=name: disks(cloud, vm).get(name) == 24,  # type: ignore[misc]
             lambda vm=vm: disks(cloud, vm))  # type: ignore[misc]
        change(cloud, vm, "detach", number)
        soon("its end", lambda vm=vm, name=name: name not in disks(cloud, vm),  # type: ignore[misc]
             lambda vm=vm: disks(cloud, vm))  # type: ignore[misc]


def test_nics_and_addresses(cloud: BedCloud, pair: list[int]) -> None:
    """A NIC is configured in the guest as it comes; an alias is in its context; both go."""
    for vm in pair:
        change(cloud, vm, "attachnic", f"NIC=[NETWORK_ID={cloud.network}]")
        nic = cloud.body("vm", vm).findall("TEMPLATE/NIC")[-1]
        soon("the NIC", lambda vm=vm, nic=nic: f"eth1:{nic.findtext('IP')}/24"  # type: ignore[misc]
             in cloud.facts(vm).get("addresses", ""), lambda vm=vm: cloud.facts(vm))  # type: ignore[misc]
        change(cloud, vm, "detachnic", int(nic.findtext("NIC_ID", "")))
        soon("its end", lambda vm=vm: "eth1" not in cloud.facts(vm).get("nics", "eth1"),  # type: ignore[misc]
             lambda vm=vm: cloud.facts(vm))  # type: ignore[misc]
        change(cloud, vm, "attachnic", f"NIC_ALIAS=[NETWORK_ID={cloud.network},PARENT=NIC0]")
        alias = cloud.body("vm", vm).find("TEMPLATE/NIC_ALIAS")
        assert alias is not None
        seen = cloud.inside(vm, "mkdir -p /cd; mount -r /dev/sr0 /cd && cat /cd/context.sh; umount /cd")
        assert f"ETH0_ALIAS0_IP='{alias.findtext('IP')}'" in seen
        change(cloud, vm, "detachnic", int(alias.findtext("NIC_ID", "")))
        change(cloud, vm, "updateconf", "CONTEXT=[WORD=changed]", 1)
        seen = cloud.inside(vm, "mount -r /dev/sr0 /cd && cat /cd/context.sh; umount /cd")
        assert "WORD='changed'" in seen and "ALIAS0" not in seen


def test_a_cable_is_pulled_and_put_back(cloud: BedCloud, pair: list[int]) -> None:
    """LINK_STATE by updatenic: the guest sees its carrier go and come."""
    for vm in pair:
        for state, carrier in (("down", "0"), ("up", "1")):
            change(cloud, vm, "updatenic", 0, f"NIC=[LINK_STATE={state}]", 1)
            soon(f"the cable {state}", lambda vm=vm, carrier=carrier: cloud.inside(  # type: ignore[misc]
                vm, "cat /sys/class/net/eth0/carrier").strip() == carrier, cloud.guests)


def test_a_guest_grows_as_it_runs(cloud: BedCloud, pair: list[int]) -> None:
    """A processor and memory more."""
    for vm in pair:
        before = int(cloud.told(vm)["memtotal_kb"])
        change(cloud, vm, "resize", "VCPU=2\nMEMORY=144", False)
        soon("two processors", lambda vm=vm: cloud.facts(vm).get("cpus") == "2", lambda vm=vm: cloud.facts(vm))  # type: ignore[misc]
        soon("more memory", lambda vm=vm, before=before:  # type: ignore[misc]
             int(cloud.facts(vm).get("memtotal_kb", 0)) > before + 16000, lambda vm=vm: cloud.facts(vm))  # type: ignore[misc]


def test_snapshots_bring_back_what_was(cloud: BedCloud, pair: list[int]) -> None:
    """Of a disk as the guest runs, gone back to while it is off; deleted when nothing stands on it."""
    for vm in pair:
        cloud.inside(vm, "echo one > /word; sync")
        change(cloud, vm, "disksnapshotcreate", 0, "one")
        cloud.inside(vm, "echo two > /word; sync")
        change(cloud, vm, "disksnapshotcreate", 0, "two")
        cloud.act(vm, "poweroff-hard")
        cloud.arrives(vm, "POWEROFF")
        change(cloud, vm, "disksnapshotrevert", 0, 0, state="POWEROFF")
        change(cloud, vm, "disksnapshotdelete", 0, 1, state="POWEROFF")
        cloud.act(vm, "resume")
        cloud.arrives(vm, "RUNNING")
        assert cloud.inside(vm, "cat /word") == "one\n"


def test_a_disk_is_saved_as_an_image_while_it_runs(cloud: BedCloud, pair: list[int]) -> None:
    """The image is READY, and a new VM of it boots with what was written."""
    for vm in pair:
        cloud.inside(vm, "echo saved > /word; sync")
        image = change(cloud, vm, "disksaveas", 0, f"saved-{vm}", "", -1)
        cloud.ready(image)
        cloud.inside(vm, "echo later > /word; sync")
        copy = cloud.start_vm(f"copy-{vm}", cloud.store_of(vm), image=image, **GROWS)
        cloud.arrives(copy, "RUNNING")
        cloud.booted(copy)
        assert cloud.inside(copy, "cat /word") == "saved\n" and cloud.inside(vm, "cat /word") == "later\n"
        cloud.act(copy, "terminate-hard")
        cloud.arrives(copy, "DONE")
        cloud.assert_nothing_left(copy)
        cloud.client.call("one.image.delete", image)


def test_kill_9_in_the_middle_of_a_live_migration(cloud: BedCloud, pair: list[int]) -> None:
    """oned, or its vm driver, dies as the guest moves: it ends on one host, running the same boot, by itself."""
    for vm, victim in zip(pair, ("oned", "driver"), strict=True):
        boot, host = answers(cloud, vm), other(cloud, vm)
        cloud.arrives(vm, "RUNNING")
        cloud.patiently("one.vm.migrate", vm, host, True)
        threading.Event().wait(0.6)
        if victim == "oned":
            cloud.kill()
            cloud.start()
        else:
            kill_driver(cloud, "vm")
        cloud.arrives(vm, "RUNNING", 120)
        until(60, "one guest, where the record says", lambda vm=vm: runs_on(cloud, vm) == [  # type: ignore[misc]
            cloud.node_of(vm).name] and cloud.vm_state(vm) == "RUNNING", cloud.guests)
        assert answers(cloud, vm) == boot
