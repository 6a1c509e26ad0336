"""Whether a VM fits on a host now: CPU, memory, and room in the system datastore that it would lie in."""
from __future__ import annotations

from onecore.errors import WrongState
from onecore.kinds.datastore import Datastore, room
from onecore.kinds.host.commands import is_shared
from onecore.kinds.host.record import Host, capacity, samples
from onecore.kinds.kind import tree_of
from onecore.kinds.usage import usage
from onecore.kinds.vm.record import History, Vm, VmText
from onecore.lifecycle.core import Core
from onecore.wire.template import Vector


def lacks(core: Core, vm: Vm, host: Host, datastore: Datastore) -> list[str]:
    """What VM needs and HOST has not, each in words."""
    max_cpu, max_mem = capacity(core, host)
    cpu, memory, _, _ = usage(core).sums.of(host.oid)
    found = []
    if cpu + vm.cpu > max_cpu:
        found.append(f"CPU {vm.cpu / 100:g} needed, {max(0, max_cpu - cpu) / 100:g} free")
    if memory + vm.memory * 1024 > max_mem:
        found.append(f"MEMORY {vm.memory} MB needed, {max(0, max_mem - memory) // 1024} MB free")
    free, needed = free_mb(core, host, datastore), disk_mb(core, vm, datastore)
    if free is not None and needed > free:
        found.append(f"DISK {needed} MB needed, {max(0, free)} MB free in datastore {datastore.oid} ({datastore.name})")
    return found


def disk_mb(core: Core, vm: Vm, datastore: Datastore) -> int:
    """MB that the VM's disks will take in the system datastore; none if they are there already."""
    text = core.store.get(VmText, vm.oid)
    if text is None or (vm.came and is_shared(datastore)):
        return 0
    return sum(takes(disk, datastore) for disk in tree_of(text.template).vectors("DISK"))


def takes(disk: Vector, datastore: Datastore) -> int:
    """MB that a DISK takes in the system datastore, where a persistent one may be a link to its image."""
    links = tree_of(datastore.template).get("LN_TARGET", "NONE").upper() == "SYSTEM"
    there = not disk.get("IMAGE_ID") or links or disk.get("CLONE", "YES").upper() == "YES"
    return (int(disk.get("SIZE") or 0) if there else 0) + int(disk.get("DISK_SNAPSHOT_TOTAL_SIZE") or 0)


def check_growth(core: Core, vm: Vm, needed: int) -> None:
    """Raise WrongState when the datastore that VM's disks are in has less than NEEDED MB free, as far as is known."""
    host, datastore = core.store.get(Host, vm.hid), core.store.get(Datastore, vm.ds_id)
    free = free_mb(core, host, datastore) if datastore is not None else None
    if datastore is not None and free is not None and needed > free:
        raise WrongState(f"Not enough space in datastore {datastore.oid} ({datastore.name}): DISK {needed} MB needed, "
                         f"{max(0, free)} MB free", vm.oid)


def free_mb(core: Core, host: Host | None, datastore: Datastore) -> int | None:
    """MB free for HOST in the datastore: its own figure less what was placed since; None while nobody knows."""
    if is_shared(datastore):
        total, free, _ = room(core, datastore.oid)
        return free if total else None
    if host is None:
        return None
    sample = samples(core).hosts.get(host.oid)
    told = next((ds for ds in (sample.datastores if sample else ()) if ds["id"] == datastore.oid), None)
    if sample is None or told is None or not int(told["total_mb"]):
        return None
    there, coming = usage(core).by_host.of(host.oid), usage(core).arriving.of(host.oid)
    return int(told["free_mb"]) - sum(
        disk_mb(core, vm, datastore) for oid in there | coming if (vm := core.store.get(Vm, oid)) is not None
        and (vm.to_ds == datastore.oid if vm.to_hid == host.oid else
             vm.ds_id == datastore.oid and _arrives(core, vm, sample.time)))


def _arrives(core: Core, vm: Vm, moment: int) -> bool:
    """Whether its disks came, or come, after the sample of MOMENT was taken."""
    stay = core.store.get(History, (vm.oid, vm.seq))
    return stay is not None and stay.pstime > 0 and (not stay.petime or stay.petime >= moment)
