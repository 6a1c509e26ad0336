"""Who uses what, derived from the VMs' rows: VMs by host and image, sums by host.  Nothing is counted or can drift."""
from __future__ import annotations

import json
from dataclasses import dataclass

from onecore.kinds.vm.record import Vm, ids
from onecore.lifecycle.core import Core
from onecore.pool.store import Groups, Members


class Sums:
    """Allocated capacity by host: percent of cores, KB of memory, MB of disk, number of VMs."""

    def __init__(self) -> None:
        self._by_host: dict[int, list[int]] = {}
        self._versions: dict[int, int] = {}

    def change(self, old: Vm | None, new: Vm | None) -> None:
        """Take the old row off, add the new one."""
        was, now = _loads(old), _loads(new)
        if was == now:
            return
        for loads, sign in ((was, -1), (now, 1)):
            for load in loads:
                hid, *values = load
                sums = self._by_host.setdefault(hid, [0, 0, 0, 0])
                for i, value in enumerate(values):
                    sums[i] += sign * value
                self._versions[hid] = self._versions.get(hid, 0) + 1

    def version(self, hid: int) -> int:
        """A number that changes whenever the VMs of a host, or what they take, do."""
        return self._versions.get(hid, 0)

    def of(self, hid: int) -> tuple[int, int, int, int]:
        """(cpu percent, memory KB, disk MB, VMs) of a host."""
        cpu, memory, disk, count = self._by_host.get(hid, (0, 0, 0, 0))
        return cpu, memory, disk, count


def _loads(vm: Vm | None) -> list[tuple[int, int, int, int, int]]:
    """What a VM takes: (host, percent of cores, KB, MB of disk, 1), on its host and, while it moves, where it goes."""
    if vm is None:
        return []
    hosts = [vm.hid] if vm.to_hid in (-1, vm.hid) else [vm.hid, vm.to_hid]
    return [(hid, vm.cpu, vm.memory * 1024, vm.disk_mb, 1) for hid in hosts if hid >= 0]


@dataclass
class Usage:
    """The indexes."""

    by_host: Groups[Vm]
    arriving: Groups[Vm]
    """By the host that a migration goes to."""
    by_image: Members[Vm]
    sums: Sums


def add_indexes(core: Core) -> None:
    """Make them in CORE."""
    made = Usage(Groups(lambda vm: vm.hid if vm.hid >= 0 else None),
                 Groups(lambda vm: vm.to_hid if vm.to_hid >= 0 else None), Members(lambda vm: ids(vm.images)), Sums())
    core.kinds["usage"] = made
    for index in (made.by_host, made.arriving, made.by_image, made.sums):
        core.store.index(Vm, index)


def usage(core: Core) -> Usage:
    """The indexes of CORE."""
    made: Usage = core.kinds["usage"]
    return made


def saved_from(core: Core, image: int) -> int:
    """The VM of which a disk is being saved as IMAGE, -1: none.  Looks through all VMs."""
    return next((vm.oid for vm in core.store.all(Vm) if vm.op_kind.startswith("disk_saveas") and vm.op_args
                 and json.loads(vm.op_args).get("image_id") == image), -1)
