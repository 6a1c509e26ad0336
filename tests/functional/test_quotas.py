"""Quotas: each call that would take too much is refused, all else is not, and the sums are those of the objects."""
from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest
from makers import MakeGround
from sim import Refused, Sim
from sim_ground import Ground
from xsd import validate

from onecore.kinds.image.record import Image
from onecore.kinds.quota.guard import used
from onecore.kinds.quota.limits import WHOLE_CLOUD
from onecore.kinds.quota.usage import runs
from onecore.kinds.vm.record import Vm, ids
from onecore.kinds.vm.states import USER_EVENTS
from onecore.kinds.vnet.record import Lease

AUTHORIZATION = 0x0200


class Tenant:
    """A user of a group of its own, on a small cloud whose image and network it may use."""

    def __init__(self, ground: Ground, name: str = "vera") -> None:
        self.ground, self.sim, self.name = ground, ground.sim, name
        self.gid = int(self.sim.call("one.group.allocate", f"team-{name}"))
        self.uid = int(self.sim.call("one.user.allocate", name, "secret", "", [self.gid]))
        for kind, oid in (("image", ground.image), ("vn", ground.network)):
            self.sim.call(f"one.{kind}.chmod", oid, -1, -1, -1, -1, -1, -1, 1, -1, -1)
        rules = ((0x1000000000 | 0x8000000000 | 0x20000000000, 8), (0x100000000000, 1), (0x2000000000, 2))
        for kinds, rights in rules:
            self.sim.call("one.acl.addrule", f"{0x200000000 | self.gid:x}", f"{kinds | 0x400000000:x}", f"{rights:x}")

    def call(self, method: str, *arguments: object) -> Any:
        """A call of the user."""
        return self.sim.call(method, *arguments, secret=f"{self.name}:secret")

    def make(self, more: str = "", hold: bool = False) -> int:
        """A VM of one core's fifth and 64 MB."""
        return int(self.call("one.vm.allocate", f"CPU=0.2\nMEMORY=64\n{more}", hold))

    def limit(self, text: str, owner: str = "user") -> None:
        """Set limits."""
        self.sim.call(f"one.{owner}.quota", self.uid if owner == "user" else self.gid, text)

    def quota(self, section: str, metric: str, owner: str = "user", place: str = "") -> tuple[str, str]:
        """Limit and use as the body shows them."""
        body = ElementTree.fromstring(self.sim.call(f"one.{owner}.info", self.uid if owner == "user" else self.gid))
        for found in body.iterfind(f"{section}_QUOTA/{section}"):
            if (found.findtext("ID") or found.findtext("CLUSTER_IDS") or "") == place:
                return found.findtext(metric, ""), found.findtext(f"{metric}_USED", "")
        return "", ""

    def refused(self, method: str, *arguments: object, admin: bool = False) -> str:
        """What a call is refused with that takes too much."""
        with pytest.raises(Refused) as refusal:
            (self.sim.call if admin else self.call)(method, *arguments)
        assert refusal.value.code == AUTHORIZATION, refusal.value
        return str(refusal.value)

    def run(self, vm: int) -> None:
        """Deploy by the administrator."""
        self.sim.call("one.vm.deploy", vm, self.ground.host)
        self.sim.wait(vm, "RUNNING")


@pytest.fixture
def tenant(make_ground: MakeGround) -> Tenant:
    """One of the test's own."""
    return Tenant(make_ground(1))


def test_the_number_of_vms(tenant: Tenant) -> None:
    """The text tells limit, use and wish; ended VMs count no more; a dry run is refused as the call would be."""
    tenant.limit("VM=[VMS=2]")
    first, _ = tenant.make(), tenant.make()
    said = tenant.refused("one.vm.allocate", "CPU=1\nMEMORY=1")
    assert said == (f"[one.vm.allocate] User [{tenant.uid}] limit of 2 reached for VMS quota in VM: 2 used, 1 more "
                    "wanted")
    tenant.refused("onecore.dryrun", "one.vm.allocate", "CPU=1\nMEMORY=1")
    assert tenant.quota("VM", "VMS") == ("2", "2") and tenant.quota("VM", "VMS", "group") == ("-1", "2")
    tenant.call("one.vm.action", "terminate", first)
    tenant.make()


def test_users_and_groups_must_both_agree(tenant: Tenant) -> None:
    """What a group's users take together; user 0 and group 0 have no limits."""
    tenant.limit("VM=[VMS=1]", "group")
    tenant.limit("VM=[VMS=10]")
    tenant.make()
    assert f"Group [{tenant.gid}] limit of 1" in tenant.refused("one.vm.allocate", "CPU=1\nMEMORY=1")
    for owner in ("user", "group"):
        with pytest.raises(Refused, match="no limits"):
            tenant.sim.call(f"one.{owner}.quota", 0, "VM=[VMS=1]")
    tenant.sim.call("one.userquota.update", "VM=[VMS=0]")
    tenant.ground.make()


def test_defaults(tenant: Tenant) -> None:
    """They hold for who has no limit, or -1; -2 is none."""
    sim = tenant.sim
    assert "<VMS>1</VMS>" in sim.call("one.userquota.update", "VM=[VMS=1]")
    assert sim.call("one.userquota.info") == sim.call("one.userquota.update", "")
    sim.call("one.groupquota.update", "VM=[VMS=2]")
    tenant.make()
    assert "User" in tenant.refused("one.vm.allocate", "CPU=1\nMEMORY=1")
    tenant.limit("VM=[VMS=-2]")
    tenant.make()
    assert "Group" in tenant.refused("one.vm.allocate", "CPU=1\nMEMORY=1")
    tenant.limit("VM=[VMS=-1]")
    assert "User" in tenant.refused("one.vm.allocate", "CPU=1\nMEMORY=1")
    with pytest.raises(Refused, match="Not authorized"):
        tenant.call("one.userquota.update", "VM=[VMS=9]")


def test_what_vms_take(tenant: Tenant) -> None:
    """CPU, MEMORY, SYSTEM_DISK_SIZE by allocate, resize, attach and disk-resize; attributes that are limited."""
    sim = tenant.sim
    tenant.limit("VM=[CPU=0.5,MEMORY=150,SYSTEM_DISK_SIZE=30]")
    vm = tenant.make("DISK=[TYPE=fs,SIZE=20]")
    assert tenant.quota("VM", "CPU") == ("0.5", "0.2") and tenant.quota("VM", "SYSTEM_DISK_SIZE") == ("30", "20")
    assert "CPU" in tenant.refused("one.vm.allocate", "CPU=0.4\nMEMORY=1")
    assert "MEMORY" in tenant.refused("one.vm.allocate", "CPU=0.1\nMEMORY=100")
    tenant.run(vm)
    assert "SYSTEM_DISK_SIZE" in tenant.refused("one.vm.attach", vm, "DISK=[TYPE=fs,SIZE=11]")
    assert "SYSTEM_DISK_SIZE" in tenant.refused("one.vm.diskresize", vm, 0, "31")
    sim.call("one.vm.action", "poweroff", vm)
    sim.wait(vm, "POWEROFF")
    assert "MEMORY" in tenant.refused("one.vm.resize", vm, "MEMORY=151")
    tenant.call("one.vm.resize", vm, "MEMORY=150\nCPU=0.5")
    tenant.call("one.vm.diskresize", vm, 0, "30")
    sim.wait(vm, "POWEROFF")
    assert tenant.quota("VM", "SYSTEM_DISK_SIZE")[1] == "30"


def test_running_ones(tenant: Tenant) -> None:
    """HOLD, off, saved ones do not count; release, resume and deploy are asked, ends never."""
    sim = tenant.sim
    tenant.limit("VM=[RUNNING_VMS=1,RUNNING_MEMORY=100]")
    first, held = tenant.make(), tenant.make(hold=True)
    assert tenant.quota("VM", "RUNNING_VMS") == ("1", "1")
    assert "RUNNING_" in tenant.refused("one.vm.action", "release", held)
    assert "RUNNING_" in tenant.refused("one.vm.deploy", held, tenant.ground.host, admin=True)
    tenant.run(first)
    for action, state in (("poweroff", "POWEROFF"), ("suspend", "SUSPENDED"), ("undeploy", "UNDEPLOYED")):
        tenant.call("one.vm.action", action, first)
        sim.wait(first, state)
        assert tenant.quota("VM", "RUNNING_VMS")[1] == "0"
        tenant.call("one.vm.action", "release", held)
        assert "RUNNING_" in tenant.refused("one.vm.action", "resume", first)
        tenant.call("one.vm.action", "hold", held)
        tenant.call("one.vm.action", "resume", first)
        if state == "UNDEPLOYED":
            tenant.run(first)
        sim.wait(first, "RUNNING")
    tenant.limit("VM=[RUNNING_VMS=0]")
    tenant.call("one.vm.action", "terminate", first)
    sim.wait(first, "DONE")


def test_networks_and_images(tenant: Tenant) -> None:
    """Leases by network, also of NICs that are attached; VMs by image."""
    net, image = tenant.ground.network, tenant.ground.image
    tenant.limit(f"NETWORK=[ID={net},LEASES=2]\nIMAGE=[ID={image},RVMS=1]")
    vm = tenant.make(f"NIC=[NETWORK_ID={net}]\nDISK=[IMAGE_ID={image}]")
    assert "RVMS" in tenant.refused("one.vm.allocate", f"CPU=1\nMEMORY=1\nDISK=[IMAGE_ID={image}]")
    tenant.run(vm)
    tenant.call("one.vm.attachnic", vm, f"NIC=[NETWORK_ID={net}]")
    tenant.sim.wait(vm, "RUNNING")
    said = tenant.refused("one.vm.attachnic", vm, f"NIC=[NETWORK_ID={net}]")
    assert f"LEASES quota in NETWORK with ID: {net}" in said
    assert tenant.quota("NETWORK", "LEASES", place=str(net)) == ("2", "2")
    assert tenant.quota("IMAGE", "RVMS", place=str(image)) == ("1", "1")
    assert len([lease for lease in tenant.sim.core.store.all(Lease) if lease.vm == vm]) == 2


def test_reservations(tenant: Tenant) -> None:
    """What is reserved from a network counts as leases of it, and goes with the reservation."""
    net, sim = tenant.ground.network, tenant.sim
    tenant.limit(f"NETWORK=[ID={net},LEASES=4]")
    sim.call("one.acl.addrule", f"{0x200000000 | tenant.gid:x}", f"{0x4000000000 | 0x100000000 | net:x}", "3")
    assert "LEASES quota in NETWORK" in tenant.refused("one.vn.reserve", net, "NAME=mine\nSIZE=5")
    mine = int(tenant.call("one.vn.reserve", net, "NAME=mine\nSIZE=3"))
    assert tenant.quota("NETWORK", "LEASES", place=str(net)) == ("4", "3")
    vm = tenant.make(f"NIC=[NETWORK_ID={net}]")
    assert "LEASES" in tenant.refused("one.vm.allocate", f"CPU=1\nMEMORY=1\nNIC=[NETWORK_ID={net}]")
    tenant.make(f"NIC=[NETWORK_ID={mine}]", hold=True)
    assert tenant.quota("NETWORK", "LEASES", place=str(mine)) == ("-1", "1")
    other = Tenant(tenant.ground, "otto")
    other.limit(f"NETWORK=[ID={net},LEASES=2]")
    assert "LEASES" in tenant.refused("one.vn.chown", mine, other.uid, -1, admin=True)
    for each in (vm, vm + 1):
        tenant.call("one.vm.action", "terminate", each)
    sim.advance(5)
    sim.call("one.vn.delete", mine)
    assert tenant.quota("NETWORK", "LEASES", place=str(net)) == ("4", "0")


def test_datastores(tenant: Tenant) -> None:
    """Images that are made, cloned, saved from disks; persistent disks that grow."""
    sim = tenant.sim
    tenant.limit("DATASTORE=[ID=1,IMAGES=3,SIZE=100]")
    image = int(tenant.call("one.image.allocate", "NAME=a\nSIZE=40\nTYPE=DATABLOCK\nPERSISTENT=YES", 1))
    assert "SIZE quota in DATASTORE with ID: 1" in tenant.refused("one.image.allocate", "NAME=b\nSIZE=61", 1)
    sim.until(lambda: sim.get(Image, image).state == 1)
    tenant.call("one.image.clone", image, "b")
    sim.advance(5)
    assert tenant.quota("DATASTORE", "SIZE", place="1") == ("100", "80")
    assert "SIZE" in tenant.refused("one.image.clone", image, "c")
    vm = tenant.make(f"DISK=[IMAGE_ID={image}]")
    tenant.run(vm)
    assert "SIZE" in tenant.refused("one.vm.diskresize", vm, 0, "61")
    assert "SIZE" in tenant.refused("one.vm.disksaveas", vm, 0, "d")
    tenant.limit("DATASTORE=[ID=1,IMAGES=2,SIZE=1000]")
    assert "IMAGES" in tenant.refused("one.vm.disksaveas", vm, 0, "d")


def test_objects_that_change_hands(tenant: Tenant) -> None:
    """Their use goes with them, when the new owner has room for it."""
    sim, other = tenant.sim, Tenant(tenant.ground, "otto")
    net = tenant.ground.network
    vm = tenant.make(f"NIC=[NETWORK_ID={net}]")
    other.limit(f"NETWORK=[ID={net},LEASES=0]")
    assert f"User [{other.uid}]" in tenant.refused("one.vm.chown", vm, other.uid, -1, admin=True)
    other.limit(f"NETWORK=[ID={net},LEASES=1]")
    other.limit("VM=[VMS=0]", "group")
    sim.call("one.vm.chown", vm, other.uid, -1)
    assert f"Group [{other.gid}]" in tenant.refused("one.vm.chown", vm, -1, other.gid, admin=True)
    assert tenant.quota("VM", "VMS") == ("", "") and other.quota("VM", "VMS")[1] == "1"
    assert tenant.quota("VM", "VMS", "group")[1] == "1" and other.quota("NETWORK", "LEASES", place=str(net))[1] == "1"


def test_quotas_of_clusters(tenant: Tenant) -> None:
    """VMs count where they are, or go; several clusters may count together."""
    sim = tenant.sim
    cluster = int(sim.call("one.cluster.allocate", "far"))
    tenant.limit(f'VM=[CLUSTER_IDS="{cluster}",VMS=0]\nVM=[CLUSTER_IDS="0,{cluster}",VMS=1]')
    first, second = tenant.make(), tenant.make()
    tenant.run(first)
    assert tenant.quota("VM", "VMS", place=f"0,{cluster}") == ("1", "1")
    said = tenant.refused("one.vm.deploy", second, tenant.ground.host, admin=True)
    assert f"CLUSTER_IDS: 0,{cluster}: 1 used" in said
    far = sim.add_host("node2")
    sim.call("one.cluster.addhost", cluster, far)
    found = ElementTree.fromstring(sim.call("one.datastore.info", 0))
    assert found.findtext("NAME") == "system"
    if cluster in [int(e.text or "") for e in found.iterfind("CLUSTERS/ID")]:
        assert f"CLUSTER_IDS: {cluster}" in tenant.refused("one.vm.migrate", first, far, True, admin=True)


def test_attributes_that_are_limited(make_ground: MakeGround, tmp_path: Any) -> None:
    """QUOTA_VM_ATTRIBUTE: any number in a VM's templates, changed later too."""
    sim = Sim(tmp_path / "home", 1, {"tenants": {"quota_vm_attributes": "LICENSE, VCPU"}}).boot().ready()
    ground = Ground(sim, sim.add_host(), sim.add_image(), sim.add_network())
    tenant = Tenant(ground)
    tenant.limit("VM=[LICENSE=2.5,RUNNING_LICENSE=1,VCPU=3]")
    sim.call("one.vm.chown", sim.call("one.vm.allocate", "CPU=1\nMEMORY=1\nVCPU=3\nLICENSE=1", False), tenant.uid, -1)
    assert tenant.quota("VM", "LICENSE") == ("2.5", "1") and tenant.quota("VM", "VCPU") == ("3", "3")
    held = sim.call("one.vm.allocate", "CPU=1\nMEMORY=1\nVCPU=0\nLICENSE=0.5".replace("VCPU=0\n", ""), True)
    sim.call("one.vm.chown", held, tenant.uid, -1)
    assert "LICENSE" in tenant.refused("one.vm.update", held, "LICENSE=2", 1, admin=True)
    assert tenant.quota("VM", "LICENSE")[1] == "1.5" and tenant.quota("VM", "RUNNING_LICENSE")[1] == "1"
    assert "RUNNING_LICENSE" in tenant.refused("one.vm.action", "release", held)
    sim.close()


def test_bodies(tenant: Tenant) -> None:
    """As the schemas have them, with limits, use, both; pools too; nothing is left when user and group go."""
    sim = tenant.sim
    net, image = tenant.ground.network, tenant.ground.image
    tenant.limit(f'VM=[VMS=5]\nVM=[CLUSTER_IDS="0",CPU=2]\nNETWORK=[ID={net},LEASES=5]\nDATASTORE=[ID=1,SIZE=9]')
    tenant.limit(f"IMAGE=[ID={image},RVMS=-2]", "group")
    vm = tenant.make(f"NIC=[NETWORK_ID={net}]\nDISK=[IMAGE_ID={image}]")
    sim.call("one.userquota.update", "VM=[VMS=50]\nDATASTORE=[ID=1,IMAGES=5]")
    sim.call("one.groupquota.update", "VM=[CPU=5.5]\nIMAGE=[ID=0,RVMS=1]")
    for kind, oid in (("user", tenant.uid), ("group", tenant.gid), ("user", 0), ("group", 1)):
        validate(kind, sim.call(f"one.{kind}.info", oid))
        validate(f"{kind}_pool", sim.call(f"one.{kind}pool.info"))
    sim.call("one.userquota.update", "VM=[]\nDATASTORE=[ID=1]")
    assert "<VM>" not in sim.call("one.userquota.info")
    tenant.call("one.vm.action", "terminate", vm)
    sim.call("one.user.delete", tenant.uid)
    sim.call("one.group.delete", tenant.gid)
    assert sim.database.rows("SELECT owner, oid FROM quota WHERE oid > 0", {}) == []


# -- the sums are the objects', whatever happened

def counted(sim: Sim) -> dict[tuple[str, int], Counter[tuple[str, int, str]]]:
    """What all objects take, counted from the records by other means than the index's."""
    found: dict[tuple[str, int], Counter[tuple[str, int, str]]] = {}
    store = sim.core.store

    def add(record: Any, key: tuple[str, int, str], value: int) -> None:
        for owner in (("user", record.uid), ("group", record.gid)):
            found.setdefault(owner, Counter())[key] += value
    for vm in store.all(Vm):
        if sim.state(vm.oid) == "DONE":
            continue
        for place in {WHOLE_CLOUD, vm.to_cid if vm.to_cid >= 0 else vm.cid}:
            each = {"VMS": 1, "CPU": vm.cpu, "MEMORY": vm.memory}
            for metric, value in each.items():
                add(vm, ("VM", place, metric), value)
                if runs(vm):
                    add(vm, ("VM", place, f"RUNNING_{metric}"), value)
            add(vm, ("VM", place, "SYSTEM_DISK_SIZE"), vm.disk_mb)
        for image in ids(vm.images):
            add(vm, ("IMAGE", image, "RVMS"), 1)
    for lease in store.all(Lease):
        if lease.vm >= 0:
            add(sim.vm(lease.vm), ("NETWORK", lease.vnet, "LEASES"), 1)
    for record in store.all(Image):
        add(record, ("DATASTORE", record.ds_id, "IMAGES"), 1)
        add(record, ("DATASTORE", record.ds_id, "SIZE"), record.size)
    return {owner: +counter for owner, counter in found.items() if +counter}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sums_after_random_calls(make_ground: MakeGround, seed: int) -> None:
    """Any calls in any order, refused and not, with restarts and lost commits between: sums and limits hold."""
    ground, dice = make_ground(seed), Random(seed)
    sim = ground.sim
    people = [Tenant(ground, name) for name in ("vera", "otto")]
    for person in people:
        person.limit("VM=[VMS=4,RUNNING_VMS=3,MEMORY=400]\nDATASTORE=[ID=1,IMAGES=3]")
        person.limit(f"NETWORK=[ID={ground.network},LEASES=4]\nVM=[CPU=0.9]", "group")

    def happen() -> None:
        person, vms = dice.choice(people), sorted(vm.oid for vm in sim.core.store.all(Vm)) or [0]
        vm, host = dice.choice(vms), ground.host
        nic, disk = f"NIC=[NETWORK_ID={ground.network}]", f"DISK=[IMAGE_ID={ground.image}]"
        calls: list[tuple[Any, ...]] = [
            ("one.vm.allocate", f"CPU=0.2\nMEMORY=64\n{nic}\n{disk}", dice.random() < 0.3),
            ("one.vm.allocate", "CPU=0.4\nMEMORY=128\nDISK=[TYPE=fs,SIZE=10]", False),
            ("one.vm.deploy", vm, host), ("one.vm.deploy", vm, host),
            ("one.vm.action", dice.choice(USER_EVENTS).replace("_", "-"), vm),
            ("one.vm.action", dice.choice(USER_EVENTS).replace("_", "-"), vm),
            ("one.vm.resize", vm, f"MEMORY={dice.choice((32, 200))}"), ("one.vm.attachnic", vm, nic),
            ("one.vm.detachnic", vm, 0), ("one.vm.attach", vm, "DISK=[TYPE=fs,SIZE=5]"), ("one.vm.detach", vm, 0),
            ("one.vm.diskresize", vm, 0, "40"), ("one.vm.disksaveas", vm, 0, f"image-{dice.random()}"),
            ("one.image.allocate", f"NAME=i{dice.random()}\nSIZE=3", 1),
            ("one.vm.chown", vm, dice.choice(people).uid, dice.choice(people).gid),
            ("one.vm.recover", vm, dice.choice((0, 2, 3, 4)))]
        method, *arguments = dice.choice(calls)
        try:
            if method in ("one.vm.deploy", "one.vm.chown", "one.vm.recover"):
                sim.call(method, *arguments)
            else:
                person.call(method, *arguments)
        except Refused as refusal:
            assert refusal.code != 0x2000, refusal
    for step in range(80):
        happen()
        sim.advance(dice.choice((0.001, 0.5, 10)))
        if step % 27 == 26:
            sim.reboot()
            sim.ready()
        sums = {owner: dict(used(sim.core).of(owner)) for owner in counted(sim)}
        assert sums == counted(sim), step
        for person in people:
            mine = used(sim.core).of(("user", person.uid))
            assert mine.get(("VM", WHOLE_CLOUD, "VMS"), 0) <= 4 and mine.get(("DATASTORE", 1, "IMAGES"), 0) <= 3
            theirs = used(sim.core).of(("group", person.gid))
            assert theirs.get(("NETWORK", ground.network, "LEASES"), 0) <= 4
            assert theirs.get(("VM", WHOLE_CLOUD, "CPU"), 0) <= 90
