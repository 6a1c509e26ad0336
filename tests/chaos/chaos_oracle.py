"""What must hold, whatever died: judged over the facts alone, with sums and comparisons of its own."""
from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from chaos_facts import FRONT, HOSTED, IMAGES, RESTING, SHARED, USED, Facts, Guest, content, folders

Holds = Callable[[Facts], Iterable[str]]
"""What must hold, as a function of the facts that names what does not."""
ERROR = 3
"""A host's STATE while nobody can tell what it runs."""
FIRST_IP = int(ipaddress.ip_address("10.0.0.1"))
"""Where the network of a site begins."""


def always(facts: Facts) -> Iterator[str]:
    """What every commit keeps: leases, uses of images and commands are those of the VMs that there are."""
    yield from _leases(facts)
    yield from _uses(facts)
    yield from _commands(facts)
    yield from _one_running(facts)


def at_rest(facts: Facts) -> Iterator[str]:
    """What holds besides when nothing is under way."""
    yield from always(facts)
    for box in facts.tables["outbox"]:
        yield f"{box['command']} of {box['kind']} {box['oid']} is still in the outbox"
    for owed in facts.tables["owed"]:
        if not owed["fenced"] and facts.hosts[owed["hid"]]["state"] != ERROR:
            yield f"host {owed['hid']} still owes the end of VM {owed['vid']}"
    for vm in facts.vms:
        if facts.state(vm) not in RESTING:
            yield f"VM {vm} is stuck in {facts.state(vm)}"
    for image in facts.images.values():
        if IMAGES[image["state"]] in ("LOCKED", "LOCKED_USED", "LOCKED_USED_PERS", "CLONE", "DELETE", "INIT"):
            yield f"image {image['oid']} is stuck in {IMAGES[image['state']]}"
    yield from _guests(facts)
    yield from _files(facts)
    yield from _changes(facts)
    yield from _left(facts)


def at_the_end(facts: Facts) -> Iterator[str]:
    """What holds when every VM was ended: nothing is left."""
    yield from at_rest(facts)
    for vm in facts.vms:
        yield f"VM {vm} is {facts.state(vm)}, not DONE"
    for owed in facts.tables["owed"]:
        yield f"host {owed['hid']} still owes the end of VM {owed['vid']}"
    for lease in facts.tables["lease"]:
        yield f"an address of network {lease['vnet']} is taken by VM {lease['vm']}"
    for image in facts.images.values():
        if IMAGES[image["state"]] in USED:
            yield f"image {image['oid']} is {IMAGES[image['state']]} and no VM has it"


def shown(facts: Facts, hosts: str, networks: str, images: str) -> Iterator[str]:
    """Whether the API tells the same: capacity taken of hosts, addresses taken, VMs of images."""
    for host in ElementTree.fromstring(hosts):
        oid = int(host.findtext("ID", ""))
        here = [row for vm, row in facts.vms.items() if facts.state(vm) in HOSTED and oid in _places(row)]
        there = [row for row in here if row["hid"] == oid]
        told = tuple(int(host.findtext(f"HOST_SHARE/{name}", "")) for name in ("CPU_USAGE", "MEM_USAGE", "RUNNING_VMS"))
        mine = (sum(row["cpu"] for row in here), sum(row["memory"] * 1024 for row in here), len(there))
        if told != mine:
            yield f"host {oid} shows {told} as taken (CPU, KB, VMs), its VMs take {mine}"
    for network in ElementTree.fromstring(networks):
        oid = int(network.findtext("ID", ""))
        taken = sum(lease["vnet"] == oid for lease in facts.tables["lease"])
        if int(network.findtext("USED_LEASES", "")) != taken:
            yield f"network {oid} shows {network.findtext('USED_LEASES')} addresses as taken, {taken} are"
    for image in ElementTree.fromstring(images):
        told_vms = {int(node.text or "") for node in image.findall("VMS/ID")}
        if told_vms != (mine_vms := users_of(facts, int(image.findtext("ID", "")))):
            yield f"image {image.findtext('ID')} shows VMs {told_vms}, of VMs {mine_vms} it is"


def _places(vm: dict[str, int]) -> set[int]:
    """The hosts on which a VM takes room: where it is, and where it goes to."""
    return {vm["hid"], vm.get("to_hid", -1)}


def users_of(facts: Facts, image: int) -> set[int]:
    """The VMs that have an image as a disk."""
    return {vm for vm in facts.vms if str(image) in [disk.get("IMAGE_ID") for disk in facts.disks(vm)]}


def _leases(facts: Facts) -> Iterator[str]:
    wanted = Counter((int(nic["NETWORK_ID"]), int(nic["AR_ID"]), int(ipaddress.ip_address(nic["IP"])) - FIRST_IP, vm)
                     for vm in facts.vms for nic in facts.nics(vm))
    found = Counter((row["vnet"], row["ar"], row["idx"], row["vm"]) for row in facts.tables["lease"])
    if wanted != found:
        yield f"leases {dict(found - wanted)} too many, {dict(wanted - found)} missing"
    owners = Counter(key[:3] for key in found)
    yield from (f"address {key} has {times} owners" for key, times in owners.items() if times > 1)


def _uses(facts: Facts) -> Iterator[str]:
    for oid, image in facts.images.items():
        state, vms = IMAGES[image["state"]], users_of(facts, oid)
        if (state in USED) != bool(vms) and state not in ("ERROR", "DISABLED"):
            yield f"image {oid} is {state} and VMs {vms or 'none'} have it"
        if image["persistent"] and len(vms) > 1:
            yield f"persistent image {oid} is of VMs {vms}"


def _commands(facts: Facts) -> Iterator[str]:
    """Each operation of a VM or image has one command, and no command has another."""
    boxes = {row["op"]: (row["kind"], row["oid"]) for row in facts.tables["outbox"]}
    wanted = {row["op"]: ("vm", oid) for oid, row in facts.vms.items() if row["op"]}
    wanted.update({row["op"]: ("image", oid) for oid, row in facts.images.items() if row["op"]})
    if boxes != wanted:
        yield f"commands {boxes}, operations {wanted}"
    for oid, row in facts.vms.items():
        if not row["op"] and facts.state(oid) not in RESTING and facts.state(oid) != "CLONING":
            yield f"VM {oid} is in {facts.state(oid)} and nothing is under way"


def _one_running(facts: Facts) -> Iterator[str]:
    running = Counter(guest.vm for guest in _living(facts) if guest.state == "running")
    for vm, times in running.items():
        if times > 1:
            yield f"VM {vm} runs {times} times: {[g for g in facts.guests if g.vm == vm]}"


def _guests(facts: Facts) -> Iterator[str]:
    """Who is RUNNING has its guest where it is; there is no other."""
    wanted = {(facts.hosts[row["hid"]]["name"], vm, row["generation"], "running")
              for vm, row in facts.vms.items() if facts.state(vm) == "RUNNING"}
    found = {(guest.host, guest.vm, guest.generation, guest.state) for guest in _living(facts)}
    extra = {guest for guest in found - wanted if not _may_be(facts, *guest)}
    if extra or wanted - found:
        yield f"guests {extra} too many, {wanted - found} missing"


def _files(facts: Facts) -> Iterator[str]:
    """Who has files has all of them where it is, and a checkpoint if it is to go on from one; nobody else has any."""
    places = {place: vm for vm in facts.vms if (place := facts.place(vm))}
    for place, vm in places.items():
        folder = facts.folders.get(place)
        if folder is None or folder.get("mark"):
            yield f"VM {vm} is {facts.state(vm)}, its directory {place} is {'not whole' if folder else 'missing'}"
        elif not _all_there(facts, vm, wanted := {disk["DISK_ID"] for disk in facts.disks(vm)}, set(folder["disks"])):
            yield f"VM {vm} is {facts.state(vm)} with disks {wanted}, in {place} are {set(folder['disks'])}"
        elif facts.vms[vm]["came"] == "stopped" and not folder.get("checkpoint") and not _nobody_knows(facts, vm):
            yield f"VM {vm} is {facts.state(vm)} and has no checkpoint"
    for place in set(facts.folders) - set(places):
        if not _is_owed(facts, place) and not (
                place[2] in facts.vms and facts.state(place[2]).endswith("_FAILURE")):
            yield f"a directory {place} is left"


def _all_there(facts: Facts, vm: int, wanted: set[str], found: set[str]) -> bool:
    """Whether exactly the VM's disks are in its directory; one more, whose taking away failed as well, goes with it."""
    gone = found < wanted and facts.vms[vm]["op_kind"] == "disk_attach_undo"  # nobody knows
    return wanted == found or (_doubted(facts, vm) and (wanted < found or gone))


def _doubted(facts: Facts, vm: int) -> bool:
    """Whether a VM says that a change failed: then what a host may have is in the record, be it there or not."""
    row = facts.vms[vm]
    return bool(row["error"]) and row["op_kind"].startswith(("disk_", "nic_", "snapshot_", "resize"))


def _nobody_knows(facts: Facts, vm: int) -> bool:
    """Whether what became of a VM's start is to be told by a host of which nothing is heard."""
    return any(owed["vid"] == vm and facts.hosts[owed["hid"]]["state"] == ERROR for owed in facts.tables["owed"])


def _is_owed(facts: Facts, place: tuple[str, int, int]) -> bool:
    """Whether it is known that a directory is left; what all hosts see, or the front-end has, any of them owes."""
    return any(vm == place[2] and place[0] in (host, SHARED, FRONT) for host, vm in _owed(facts))


def _changes(facts: Facts) -> Iterator[str]:
    """Nothing is half attached or detached, and what the hosts have is what the records say."""
    for vm in facts.vms:
        for what in (*facts.disks(vm), *facts.nics(vm), *facts.vectors(vm, "SNAPSHOT")):
            if marks := {"ATTACH", "DETACH", "HOTPLUG_SAVE_AS", "HOTPLUG_SAVE_AS_SNAPSHOT_ID"}.intersection(what):
                yield f"VM {vm} has {marks} in {what}"
        place = facts.place(vm)
        folder = facts.folders.get(place) if place else None
        for disk in facts.disks(vm) if folder else ():
            tree = facts.snapshots(vm).get(disk["DISK_ID"], {"snaps": []})
            there = (folder or {})["disks"].get(disk["DISK_ID"], {})
            wanted, found = {str(one["id"]) for one in tree["snaps"]}, set(there.get("snapshots", {}))
            if wanted != found:
                yield f"disk {disk['DISK_ID']} of VM {vm} has snapshots {wanted}, on its host {there.get('snapshots')}"
            if "copy" in there and not (_doubted(facts, vm) and facts.vms[vm]["op_kind"] == "disk_saveas_live_undo"):
                yield f"a copy of disk {disk['DISK_ID']} of VM {vm} is left beside it"
        yield from _equipment(facts, vm)


def _equipment(facts: Facts, vm: int) -> Iterator[str]:
    """What a guest that was started by a driver has; after an error, when nobody knows, maybe less than its record."""
    guest = next((each for each in facts.guests if each.vm == vm and each.state == "running"), None)
    if guest is None or facts.state(vm) != "RUNNING" or not guest.has:
        return
    wanted = ({disk["DISK_ID"] for disk in facts.disks(vm)},
              {nic["NIC_ID"] for nic in facts.nics(vm) if "PARENT_ID" not in nic}, facts.vms[vm]["memory"] * 1024)
    found = set(guest.has["disks"]), set(guest.has["nics"]), guest.memory_kb
    doubted = _doubted(facts, vm) and all(
        has <= may for has, may in zip(found[:2], wanted[:2], strict=True)) and found[2] <= wanted[2]
    if wanted != found and not doubted:
        yield f"the guest of VM {vm} has (disks, NICs, KB) {found}, the VM {wanted}"


def networks(facts: Facts, nets: set[tuple[str, int, str]]) -> Iterator[str]:
    """Networks are up for the NICs of those who run, and of nobody who is on no host; who ended may have left some."""
    hosted = {vm: facts.hosts[row["hid"]]["name"] for vm, row in facts.vms.items() if row["hid"] >= 0}
    off = _owed(facts)
    for host, vm, nic in sorted(nets):
        if hosted.get(vm) != host and (host, vm) not in off:
            yield f"the network of NIC {nic} of VM {vm} is up on {host}"
    for vm, host in hosted.items():
        if facts.state(vm) == "RUNNING":
            wanted = {nic["NIC_ID"] for nic in facts.nics(vm) if "PARENT_ID" not in nic}
            found = {nic for there, other, nic in nets if (there, other) == (host, vm)}
            if wanted != found and not (_doubted(facts, vm) and found < wanted):
                yield f"on {host} the networks of NICs {found} of VM {vm} are up, not those of {wanted}"


def _owed(facts: Facts) -> set[tuple[str, int]]:
    """(host, VM) of what is known to be left."""
    return {(facts.hosts[owed["hid"]]["name"], owed["vid"]) for owed in facts.tables["owed"]}


def _living(facts: Facts) -> list[Guest]:
    """The guests on hosts that are not fenced: what is off runs nothing."""
    off = {(facts.hosts[owed["hid"]]["name"], owed["vid"]) for owed in facts.tables["owed"] if owed["fenced"]}
    return [guest for guest in facts.guests if (guest.host, guest.vm) not in off]


def _may_be(facts: Facts, host: str, vm: int, generation: int, state: str) -> bool:
    """Whether what a host shows of a VM does no harm: it is off, or paused as the VM is, or nobody can tell."""
    if state in ("poweroff", "crashed"):
        return True
    if (host, vm) in _owed(facts):
        return True
    row = facts.vms.get(vm)
    here = next(each for each in facts.hosts.values() if each["name"] == host)
    return row is not None and row["hid"] == here["oid"] and (
        here["state"] == ERROR or facts.state(vm) == "UNKNOWN"
        or (state, facts.state(vm)) == ("suspended", "SUSPENDED"))


def _left(facts: Facts) -> Iterator[str]:
    """Nothing of a VM that is DONE is on any host, and no file of an image that is gone."""
    for path in (*(facts.home / "dummy").glob("*/taps/*"), *(facts.home / "dummy").glob("%moments/*")):
        if path.parent.name == "taps" or int(path.name) not in facts.vms:
            yield f"{path.relative_to(facts.home / 'dummy')} is left"
    sources = {row["source"] or f"dummy-{row['oid']}" for row in facts.images.values()}
    for path in (facts.home / "dummy").glob("images/*"):
        if path.name not in sources:
            yield f"a file of image {path.name}, which is gone, is left"


class Memory:
    """What was seen on disks: what a guest wrote is never lost."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._most: dict[tuple[int, str], int] = {}

    def see(self) -> None:
        """Look at all directories."""
        for (_, _, vm), folder in folders(self._home).items():
            for disk, found in folder["disks"].items():
                self._most[vm, disk] = max(found["content"], self._most.get((vm, disk), 0))

    def forget(self) -> None:
        """Somebody gave up what was written."""
        self._most.clear()

    def lost(self, facts: Facts) -> Iterator[str]:
        """What is not where it belongs any more."""
        for vm in facts.vms:
            folder = facts.folders.get(facts.place(vm) or ("", 0, 0))
            for disk, found in folder["disks"].items() if folder else ():
                if found["content"] < self._most.get((vm, disk), 0):
                    yield f"disk {disk} of VM {vm} holds write {found['content']}, not {self._most[vm, disk]}"

    def saved(self, vm: int, disk: str, source: str) -> Iterator[str]:
        """Whether the image holds what the VM's persistent disk did."""
        if (held := content(self._home, source)) < self._most.get((vm, disk), 0):
            yield f"image {source} holds write {held}, disk {disk} of VM {vm} held {self._most[vm, disk]}"
