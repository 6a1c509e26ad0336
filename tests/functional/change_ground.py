"""NICs, size, context and snapshots of simulated VMs as the record, the guest and the leases have them; and that these
agree."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from disk_ground import idle
from sim import Sim
from sim_ground import Ground, assert_sums

from drivers.dummy.guest import Guest, guest_of
from drivers.dummy.moments import Moments
from onecore.kinds.kind import tree_of
from onecore.kinds.vm.commands import document
from onecore.kinds.vm.record import VmText
from onecore.kinds.vm.size import size_of
from onecore.kinds.vnet.record import Lease
from onecore.wire.states import RECOVER
from onecore.wire.template import Tree

CONTEXT = 'CONTEXT=[NETWORK=YES,SET_HOSTNAME="$NAME"]\n'
MARKS = {"ATTACH", "DETACH", "ACTIVE", "ACTION"}


def make(ground: Ground, more: str = "", state: str = "RUNNING") -> int:
    """A VM with a disk, a NIC and a context, in STATE."""
    text = (f"CPU=1\nMEMORY=64\nVCPU_MAX=4\nMEMORY_MAX=512\nDISK=[IMAGE_ID={ground.image}]\n"
            f"NIC=[NETWORK_ID={ground.network}]\n{CONTEXT}{more}")
    vm = int(ground.sim.call("one.vm.allocate", text, False))
    for action, goal in (("deploy", "RUNNING"), ("poweroff", "POWEROFF"))[:{"PENDING": 0, "RUNNING": 1}.get(state, 2)]:
        ground.act(vm, action)
        ground.sim.wait(vm, goal)
    return vm


def tree(sim: Sim, vm: int) -> Tree:
    """The VM's TEMPLATE."""
    return tree_of(sim.get(VmText, vm).template)


def nics(sim: Sim, vm: int) -> list[int]:
    """The ids of its NICs and aliases."""
    return [int(nic["NIC_ID"]) for name in ("NIC", "NIC_ALIAS") for nic in tree(sim, vm).vectors(name)]


def context(sim: Sim, vm: int) -> dict[str, str]:
    """CONTEXT."""
    return tree(sim, vm).vector("CONTEXT") or {}


def snapshots(sim: Sim, vm: int) -> list[str]:
    """The names of its system snapshots."""
    return [snapshot["NAME"] for snapshot in tree(sim, vm).vectors("SNAPSHOT")]


def kept(sim: Sim, vm: int) -> list[str]:
    """The names of the system snapshots that the dummy keeps."""
    return list(Moments(sim.home / "dummy").get(vm).get("snapshots", {}).values())


def guest(sim: Sim, vm: int, host: str = "node1") -> Guest:
    """The guest that runs."""
    found = Guest.parse((sim.home / "dummy" / host / str(vm)).read_text().rstrip("\0 "))
    assert found is not None
    return found


def assert_agreed(sim: Sim, vm: int) -> None:
    """Nothing is half done: the record, the guest, the leases and what is counted say the same."""
    idle(sim)
    sim.advance(1)
    record, template = sim.vm(vm), tree(sim, vm)
    assert not [value for _, value in template if isinstance(value, dict) and MARKS & value.keys()]
    size = size_of(template)
    assert (record.cpu, record.memory) == (size.cpu, size.memory)
    leased = sorted(lease.nic for lease in sim.core.store.all(Lease) if lease.vm == vm)
    assert leased == sorted(nics(sim, vm))
    if sim.state(vm) == "RUNNING":
        has, should = guest(sim, vm), guest_of(document(sim.core, record))
        assert (has.cpu, has.memory_kb) == (should.cpu, should.memory_kb)
        for part in ("vcpu", "nics", "context"):
            assert has.equipment().get(part) == should.equipment().get(part), part
    if sim.state(vm) != "DONE":
        assert sorted(snapshots(sim, vm)) == sorted(kept(sim, vm))
    assert_sums(sim)


@dataclass(frozen=True)
class Change:
    """One call that changes a running VM: its method and arguments, its state, the driver's actions in order."""

    method: str
    arguments: tuple[Any, ...]
    state: str
    action: str
    undo: str = ""
    before: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    """Calls after which the VM is ready for it."""

    def ask(self, ground: Ground, vm: int) -> Any:
        """Make the call."""
        return ground.sim.call(f"one.vm.{self.method}", vm, *self.arguments)

    def prepare(self, ground: Ground, vm: int) -> None:
        """Make the calls before."""
        for method, arguments in self.before:
            ground.sim.call(f"one.vm.{method}", vm, *arguments)
            idle(ground.sim)
            assert ground.sim.vm(vm).error == ""


_NIC = "NIC=[NETWORK_ID=0]"
_ALIAS = "NIC_ALIAS=[NETWORK_ID=0,PARENT=NIC0]"
CHANGES = {
    "attach nic": Change("attachnic", (_NIC,), "HOTPLUG_NIC", "attach_nic", "detach_nic"),
    "attach alias": Change("attachnic", (_ALIAS,), "HOTPLUG_NIC", "attach_nic", "detach_nic"),
    "detach nic": Change("detachnic", (1,), "HOTPLUG_NIC", "detach_nic",
                         before=(("attachnic", (_NIC,)), ("attachnic", ("NIC_ALIAS=[NETWORK_ID=0,PARENT=NIC1]",)))),
    "detach alias": Change("detachnic", (1,), "HOTPLUG_NIC", "detach_nic", before=(("attachnic", (_ALIAS,)),)),
    "update nic": Change("updatenic", (0, "NIC=[INBOUND_AVG_BW=100,GUEST_MTU=1400]", 1), "HOTPLUG_NIC", "update_nic",
                         "update_nic"),
    "snapshot": Change("snapshotcreate", ("first",), "HOTPLUG_SNAPSHOT", "snapshot_create", "snapshot_delete"),
    "revert": Change("snapshotrevert", (0,), "HOTPLUG_SNAPSHOT", "snapshot_revert",
                     before=(("snapshotcreate", ("first",)),)),
    "delete snapshot": Change("snapshotdelete", (0,), "HOTPLUG_SNAPSHOT", "snapshot_delete",
                              before=(("snapshotcreate", ("first",)),)),
    "resize": Change("resize", ("CPU=2\nVCPU=3\nMEMORY=256",), "HOTPLUG_RESIZE", "resize", "resize"),
    "shrink": Change("resize", ("CPU=0.5\nMEMORY=32",), "HOTPLUG_RESIZE", "resize", "resize"),
    "updateconf": Change("updateconf", ('CONTEXT=[A="b"]', 1), "HOTPLUG", "updateconf"),
}
"""Each change of a running VM."""


def recover(ground: Ground, vm: int, operation: str) -> None:
    """An operator's word; success without asking the hosts."""
    ground.sim.call("one.vm.recover", vm, RECOVER[operation], True)


def result(sim: Sim, vm: int) -> Tree:
    """What of TEMPLATE changes show in."""
    return tree(sim, vm).without(["QEMU_GA_EXEC"])
