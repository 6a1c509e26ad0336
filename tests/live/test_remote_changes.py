"""Changes by the API of guests that run, are off, suspended or undeployed: each is seen from inside afterwards."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from bed_acts import answers, change, disks, go, host_of, last, other, pair_of, soon
from bed_cloud import BedCloud
from cloud_process import template

from onecore.wire.client import ClientError

pytestmark = pytest.mark.live
SUCCESS = 1
"""Of one.vm.recover."""
MOUNT = "mkdir -p /data && mount /dev/{disk} /data && {what}; umount /data"
SAVED = {"disk": "second\n", "snapshot": "first\n", "off": "third\n"}
"""What each saved image has in /word."""


@pytest.fixture(scope="module")
def pair(cloud: BedCloud) -> Iterator[list[int]]:
    with pair_of(cloud, "changes") as vms:
        yield vms


def comes(cloud: BedCloud, vm: int, image: int, state: str = "RUNNING") -> tuple[int, str]:
    """A disk of IMAGE for the VM; its id and target."""
    change(cloud, vm, "attach", f"DISK=[IMAGE_ID={image}]", state=state)
    disk = last(cloud, vm, "DISK")
    return int(disk.findtext("DISK_ID", "")), disk.findtext("TARGET", "")


def leaves(cloud: BedCloud, vm: int, disk: int, state: str = "RUNNING") -> None:
    """A disk is taken from the VM; the record has it no more."""
    change(cloud, vm, "detach", disk, state=state)
    assert str(disk) not in [each.findtext("DISK_ID") for each in cloud.body("vm", vm).findall("TEMPLATE/DISK")]


def in_guest(cloud: BedCloud, vm: int, disk: str, what: str) -> str:
    """What a command says while a disk of the guest is mounted at /data."""
    soon(f"{disk} in the guest", lambda: disk[:3] in disks(cloud, vm), lambda: disks(cloud, vm))
    return cloud.inside(vm, MOUNT.format(disk=disk, what=what))


def off_and_on(cloud: BedCloud, vm: int) -> None:
    """Started again from POWEROFF, up."""
    go(cloud, vm, "resume", "RUNNING")
    cloud.booted(vm)


def test_system_snapshots(cloud: BedCloud, pair: list[int]) -> None:
    """Gone back to, the guest has the memory and the disk that it had, as the same boot; deleted, nothing is kept."""
    for vm in pair:
        boot = answers(cloud, vm)
        cloud.inside(vm, "echo before | tee /word /run/word; sync")
        kept = change(cloud, vm, "snapshotcreate", "moment")
        cloud.inside(vm, "echo after | tee /word /run/word; sync; touch /new; sync")
        change(cloud, vm, "snapshotrevert", kept)
        assert cloud.inside(vm, "cat /word /run/word; ls /new || true") == "before\nbefore\n"
        assert answers(cloud, vm) == boot
        change(cloud, vm, "snapshotdelete", kept)
        assert cloud.body("vm", vm).find("TEMPLATE/SNAPSHOT") is None
        go(cloud, vm, "poweroff-hard", "POWEROFF")
        found = cloud.node_of(vm).run("qemu-img", "snapshot", "-l", str(cloud.directory(vm) / "disk.0"))
        assert "snap-" not in found, found
        off_and_on(cloud, vm)
        assert cloud.inside(vm, "cat /word") == "before\n"


def test_a_change_that_cannot_be_seen_is_not_believed(cloud: BedCloud, pair: list[int]) -> None:
    """While libvirt is silent `recover --success` is refused; when it answers the change is made all the same."""
    for vm in pair:
        node, size = cloud.node_of(vm), disks(cloud, vm)["vda"]
        cloud.arrives(vm, "RUNNING")
        node.stop("libvirtd")
        try:
            cloud.client.call("one.vm.diskresize", vm, 0, str(size + 3))
            with pytest.raises(ClientError, match=r"recover --success .* its host cannot be asked \(.+\); --force"):
                cloud.recover(vm, SUCCESS)
            assert cloud.vm_state(vm) == "DISK_RESIZE"
        finally:
            node.cont("libvirtd")
        cloud.arrives(vm, "RUNNING")
        soon("the size", lambda vm=vm, size=size: disks(cloud, vm).get("vda") == size + 3,  # type: ignore[misc]
             lambda vm=vm: disks(cloud, vm))  # type: ignore[misc]
    for vm in pair:
        cloud.arrives(vm, "RUNNING")


def _noted(word: object) -> str:
    """A command that adds a word to the disk's; once, also when it is given twice."""
    return f"{{ grep -qx {word} /data/word || echo {word} >> /data/word; }}"


def test_an_image_is_plugged_in_and_out_and_in_when_off(cloud: BedCloud, pair: list[int]) -> None:
    """What a guest wrote on it while it ran is there after it came to the other guest, which was off."""
    image = cloud.ready(cloud.client.number("one.image.allocate", template(
        {"NAME": "moves", "TYPE": "DATABLOCK", "SIZE": "8", "FS": "ext4", "FORMAT": "raw", "DEV_PREFIX": "vd",
         "PERSISTENT": "YES"}), 1))
    words: list[str] = []
    for first, second in (pair, pair[::-1]):
        number, disk = comes(cloud, first, image)
        in_guest(cloud, first, disk, _noted(first))
        leaves(cloud, first, number)
        soon("its end", lambda first=first, disk=disk: disk not in disks(cloud, first),  # type: ignore[misc]
             lambda first=first: disks(cloud, first))  # type: ignore[misc]
        cloud.ready(image)
        go(cloud, second, "poweroff-hard", "POWEROFF")
        number, disk = comes(cloud, second, image, "POWEROFF")
        off_and_on(cloud, second)
        words.append(str(first))
        assert in_guest(cloud, second, disk, "cat /data/word").split() == words
        in_guest(cloud, second, disk, _noted("cold"))
        words.append("cold")
        go(cloud, second, "poweroff", "POWEROFF")
        leaves(cloud, second, number, "POWEROFF")
        cloud.ready(image)
        off_and_on(cloud, second)
        assert disk not in disks(cloud, second)
    cloud.client.call("one.image.delete", image)


def test_changes_of_one_that_is_off(cloud: BedCloud, pair: list[int]) -> None:
    """A NIC, a larger disk, more memory and processors: all there at its next start, and the NIC gone at the next."""
    for vm in pair:
        before, size = int(cloud.told(vm)["memtotal_kb"]), disks(cloud, vm)["vda"]
        go(cloud, vm, "poweroff", "POWEROFF")
        change(cloud, vm, "attachnic", f"NIC=[NETWORK_ID={cloud.network}]", state="POWEROFF")
        change(cloud, vm, "diskresize", 0, str(size + 7), state="POWEROFF")
        change(cloud, vm, "resize", "VCPU=2\nMEMORY=150\nMEMORY_MAX=200", False, state="POWEROFF")
        off_and_on(cloud, vm)
        nic, facts = last(cloud, vm, "NIC"), cloud.told(vm)
        assert facts["cpus"] == "2" and int(facts["memtotal_kb"]) > before + 30000
        assert f"eth1:{nic.findtext('IP')}/24" in facts["addresses"]
        assert disks(cloud, vm)["vda"] == size + 7
        go(cloud, vm, "undeploy-hard", "UNDEPLOYED")
        change(cloud, vm, "diskresize", 0, str(size + 12), state="UNDEPLOYED")
        change(cloud, vm, "resize", "VCPU=1\nMEMORY=112\nMEMORY_MAX=160", False, state="UNDEPLOYED")
        host = other(cloud, vm)
        cloud.deploy_on(vm, host)
        cloud.arrives(vm, "RUNNING")
        cloud.booted(vm)
        assert host_of(cloud, vm) == host and disks(cloud, vm)["vda"] == size + 12
        facts = cloud.told(vm)
        assert facts["cpus"] == "1" and int(facts["memtotal_kb"]) < before + 8000 and "eth1" in facts["nics"]
        go(cloud, vm, "poweroff-hard", "POWEROFF")
        change(cloud, vm, "detachnic", int(nic.findtext("NIC_ID", "")), state="POWEROFF")
        off_and_on(cloud, vm)
        assert "eth1" not in cloud.told(vm)["nics"]


def test_saved_as_images_and_kept_while_nothing_runs(cloud: BedCloud, pair: list[int]) -> None:
    """A disk snapshot of a suspended VM; images of its disk, of the snapshot, and of its disk while it is off."""
    for vm in pair:
        boot = answers(cloud, vm)
        cloud.inside(vm, "echo first > /word; sync")
        go(cloud, vm, "suspend", "SUSPENDED")
        kept = change(cloud, vm, "disksnapshotcreate", 0, "kept", state="SUSPENDED")
        go(cloud, vm, "resume", "RUNNING")
        assert answers(cloud, vm) == boot
        cloud.inside(vm, "echo second > /word; sync")
        go(cloud, vm, "suspend", "SUSPENDED")
        images = {"disk": saved(cloud, vm, -1, "SUSPENDED"), "snapshot": saved(cloud, vm, kept, "SUSPENDED")}
        go(cloud, vm, "resume", "RUNNING")
        assert answers(cloud, vm) == boot and cloud.inside(vm, "cat /word") == "second\n"
        cloud.inside(vm, "echo third > /word; sync")
        go(cloud, vm, "poweroff-hard", "POWEROFF")
        images["off"] = saved(cloud, vm, -1, "POWEROFF")
        change(cloud, vm, "disksnapshotrevert", 0, kept, state="POWEROFF")
        off_and_on(cloud, vm)
        assert cloud.inside(vm, "cat /word") == "first\n"
        for what, image in images.items():
            number, disk = comes(cloud, vm, image)
            assert in_guest(cloud, vm, f"{disk}2", "cat /data/word") == SAVED[what], what
            leaves(cloud, vm, number)
            cloud.client.call("one.image.delete", image)


def saved(cloud: BedCloud, vm: int, snapshot: int, state: str) -> int:
    """The image of disk 0, or of its snapshot, READY."""
    return cloud.ready(change(cloud, vm, "disksaveas", 0, f"saved-{vm}-{state}-{snapshot}", "", snapshot, state=state))
