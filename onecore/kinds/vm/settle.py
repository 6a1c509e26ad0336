"""When no operation is under way any more, whichever way it ended: the VM has what TEMPLATE says, nothing is marked.

Disks are settled in disk_effects.py.
"""
from __future__ import annotations

from onecore.kinds.vm import resize_effects, system_snapshot_effects
from onecore.kinds.vm.edit import keep, template_of, unmarked
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx

_PLUGGED = ("NIC", "NIC_ALIAS")


def plugged(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """No NIC is on its way into the guest, or out of it."""
    tree = template_of(tx, vm)
    tree.pairs = [(name, unmarked(value) if name in _PLUGGED and isinstance(value, dict) else value)
                  for name, value in tree.pairs]
    keep(tx, vm, tree)
    return vm


def given_up(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The VM's end was decided: nothing is on its way, no snapshot is at work.  Its guest is as large as it is."""
    return system_snapshot_effects.idle(tx, core, plugged(tx, core, vm, info), info)


def as_recorded(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The VM was taken out of an operation that nobody will end."""
    return resize_effects.stay(tx, core, given_up(tx, core, vm, info), info)


def afresh(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """As recorded, for a VM that starts from nothing: its system snapshots went with its disks."""
    vm = as_recorded(tx, core, vm, info)
    tree = template_of(tx, vm)
    tree.remove("SNAPSHOT")
    keep(tx, vm, tree)
    return vm
