"""Who uses what, derived from the VMs' rows: VMs by host and image, sums by host.  Nothing is counted or can drift."""
from __future__ import annotations

from dataclasses import dataclass

from onecore.kinds.vm.record import Vm, ids
from onecore.lifecycle.core import Core
from onecore.pool.store import Groups, Members


class Sums:
    """Allocated capacity by host: percent of cores, KB of memory, MB of disk, number of VMs."""

    def __init__(self) -> None:
        self._by_host: dict[int, list[int]] = {}

    def change(self, old: Vm | None, new: Vm | None) -> None:
        """Take the old row off, add the new one."""
        for vm, sign in ((old, -1), (new, 1)):
            if vm is not None and vm.hid >= 0:
                sums = self._by_host.setdefault(vm.hid, [0, 0, 0, 0])
                for i, value in enumerate((vm.cpu, vm.memory * 1024, vm.disk_mb, 1)):
                    sums[i] += sign * value

    def of(self, hid: int) -> tuple[int, int, int, int]:
        """(cpu percent, memory KB, disk MB, VMs) of a host."""
        cpu, memory, disk, count = self._by_host.get(hid, (0, 0, 0, 0))
        return cpu, memory, disk, count


@dataclass
class Usage:
    """The indexes."""

    by_host: Groups[Vm]
    by_image: Members[Vm]
    sums: Sums


def add_indexes(core: Core) -> None:
    """Make them in CORE."""
    made = Usage(Groups(lambda vm: vm.hid if vm.hid >= 0 else None), Members(lambda vm: ids(vm.images)), Sums())
    core.kinds["usage"] = made
    for index in (made.by_host, made.by_image, made.sums):
        core.store.index(Vm, index)


def usage(core: Core) -> Usage:
    """The indexes of CORE."""
    made: Usage = core.kinds["usage"]
    return made
