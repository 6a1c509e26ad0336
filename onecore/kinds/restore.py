"""A restored cloud is held: what neither users nor the core itself do until hosts were compared and that was accepted.

What hosts run is compared with the records in reconcile.py.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from onecore.errors import WrongState
from onecore.kinds.host.record import Host, samples
from onecore.kinds.kind import KINDS
from onecore.lifecycle.core import Core
from onecore.pool.restore import Gap, Hold
from onecore.wire.states import HostState

HELD = {
    "vm.shutdown": "ends a guest",
    "vm.destroy": "ends a guest",
    "vm.cleanup": "ends a guest",
    "vm.save": "ends a guest, and writes over what an earlier save left",
    "vm.untap": "removes devices that a guest may use",
    "vm.migrate": "ends a guest on one of two hosts",
    "vm.detach_disk": "takes from a guest what it may use",
    "vm.detach_nic": "takes from a guest what it may use",
    "vm.disk_snapshot_create": "changes what a guest's disk stands on",
    "vm.disk_snapshot_delete": "removes what a disk was",
    "vm.snapshot_revert": "gives up what a guest is",
    "vm.snapshot_delete": "removes what a guest was",
    "vm.exec": "does to a guest what nobody can foresee",
    "tm.epilog": "writes disks over their images, and removes a VM's directory",
    "tm.epilog_stop": "takes a VM's files away from where its guest may run",
    "tm.delete": "removes a VM's directory",
    "tm.move": "takes a VM's files away from where its guest may run",
    "tm.move_back": "takes a VM's files away from where its guest may run",
    "tm.detach": "writes a disk over its image, and removes its file",
    "tm.resize": "changes a disk that a guest may write on",
    "tm.snap_create": "changes a disk that a guest may write on",
    "tm.snap_revert": "gives up what is on a disk",
    "tm.snap_delete": "removes what a disk was",
    "tm.remove": "removes an image's file",
    "im.fence": "ends all guests of a host",
    "im.hook": "runs a program of the administrator's, for what the records alone say",
}
"""What a guest or a file may be gone after: off until the comparison was accepted."""
STARTS = {
    "tm.prolog": "begins a start",
    "tm.prolog_resume": "begins a start, and takes files from where they are",
    "vm.deploy": "starts a guest",
    "vm.restore": "starts a guest, and removes its checkpoint",
}
"""What would run a guest twice that runs somewhere already: off until all hosts were compared; for such VMs longer."""
FREE = {
    "vm.reboot": "the guest stays", "vm.reset": "the guest stays", "vm.state": "looks", "vm.watch": "looks",
    "vm.unwatch": "looks no more", "vm.premigrate": "looks",
    "vm.attach_disk": "adds", "vm.attach_nic": "adds", "vm.update_nic": "the guest stays",
    "vm.resize": "the guest stays", "vm.updateconf": "the guest stays", "vm.resize_disk": "disks only grow",
    "vm.snapshot_create": "adds", "vm.copy_disk": "makes a file of a new name",
    "vm.drop_copy": "removes a copy that nobody waits for",
    "tm.register": "makes a file of a new name", "tm.mkfs": "makes a file of a new name",
    "tm.clone": "makes a file of a new name", "tm.stat": "looks", "tm.monitor": "looks", "tm.state": "looks",
    "tm.premigrate": "looks", "tm.attach": "makes a file of a new name", "tm.saveas": "makes a file of a new name",
    "im.watch": "looks", "im.unwatch": "looks no more", "im.probe": "looks", "im.survey": "looks", "im.check": "looks",
}
"""What nothing is lost by.  A command that is in none of the three is held."""


class Gaps:
    """The ranges of ids of VMs that were left out, each as (first, last)."""

    def __init__(self) -> None:
        self._found: dict[Any, tuple[int, int]] = {}

    def change(self, old: Gap | None, new: Gap | None) -> None:
        """Follow the records."""
        if new is not None and new.kind == "vm":
            self._found[new.key()] = new.first, new.last
        elif old is not None:
            self._found.pop(old.key(), None)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._found.values())


def held(core: Core) -> bool:
    """Whether the cloud was restored and that was not accepted yet."""
    return bool(core.store.tables.get(Hold))


def told(core: Core) -> str:
    """That the cloud is held, for people; empty when it is not."""
    hold = core.store.get(Hold, 0)
    if hold is None:
        return ""
    taken = time.strftime("%F %T UTC", time.gmtime(hold.taken))
    return (f"restored from a backup of {taken}; what ends guests or removes files is off until "
            "`onecore reconcile --accept`")


def off(core: Core, command: str, kind: str, oid: int) -> str:
    """Why FAMILY.ACTION about an object must wait; empty when it needs not."""
    hold = core.store.get(Hold, 0)
    if hold is None or command in FREE:
        return ""
    if command not in STARTS:
        return _sentence(hold, f"{command} is off until `onecore reconcile --accept`")
    if not compared(core):
        return _sentence(hold, f"{command} is off until all hosts were compared; `onecore reconcile` shows them")
    where = _runs_otherwise(core, oid) if kind == "vm" else ""
    return where and _sentence(hold, f"{where}; `onecore reconcile` shows what to do")


def refuse(core: Core, kind: str, oid: int, action: str, command: str, ends: bool = False) -> None:
    """Raise WrongState when ACTION, which sends COMMAND (if any) or ENDS the object, is off."""
    hold = core.store.get(Hold, 0)
    if hold is not None and (ends or (command and off(core, command, kind, oid))):
        if not ends and command in STARTS:
            raise WrongState(off(core, command, kind, oid), oid)
        raise WrongState(_sentence(hold, f"{action} is off until `onecore reconcile --accept`"), oid)


def _sentence(hold: Hold, rest: str) -> str:
    taken = time.strftime("%F %T UTC", time.gmtime(hold.taken))
    return f"this cloud was restored from a backup of {taken}; {rest}"


def unseen(core: Core) -> list[Host]:
    """Hosts that should be compared and were not: no good sample, with all of their domains, since the start."""
    return [host for host in sorted(core.store.all(Host), key=lambda host: host.oid)
            if _counts(host) and not seen(core, host.oid)]


def _counts(host: Host) -> bool:
    return host.state not in (HostState.DISABLED, HostState.OFFLINE)


def seen(core: Core, hid: int) -> bool:
    """Whether a host was compared."""
    sample = samples(core).hosts.get(hid)
    return sample is not None and sample.roster


def compared(core: Core) -> bool:
    """Whether all hosts that should be were."""
    return all(seen(core, host.oid) for host in core.store.all(Host) if _counts(host))


def _runs_otherwise(core: Core, oid: int) -> str:
    """Where a VM runs that is not known to be there, or not with that generation."""
    vm: Any = core.store.get(KINDS["vm"].record, oid)
    for hid, sample in samples(core).hosts.items():
        for doc in sample.vms:
            if doc.get("id") == oid and doc.get("state") in ALIVE and (
                    vm is None or (vm.hid, vm.generation) != (hid, doc.get("generation"))):
                return f"host {hid} runs VM {oid} with generation {doc.get('generation')}"
    return ""


ALIVE = ("running", "suspended")
"""What hosts say of a domain that is there."""
