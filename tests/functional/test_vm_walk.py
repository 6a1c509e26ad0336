"""Every action in every state, through the API: OpenNebula 7.4 accepts it there, or refuses it with ACTION.

One VM is put into each state as a record; each call is a dry run, so that the next one finds it as it was.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from sim import Refused, Sim
from sim_ground import Ground, Template

from onecore.kinds.kind import tree_of
from onecore.kinds.vm.fire import state_of
from onecore.kinds.vm.record import Vm, VmText
from onecore.kinds.vm.shape import fragment
from onecore.kinds.vm.states import VM, S
from onecore.lifecycle.outbox import Outbox

ACTION = 0x0800
WAITING, CLONING = {S.PENDING, S.HOLD}, {S.CLONING, S.CLONING_FAILURE}
FAILED = {s for s in S if s.name.endswith("_FAILURE")} - {S.CLONING_FAILURE}
ACTIVE = {s for s in S if s.value[0] == 3}
CLEANING = {S.CLEANUP_DELETE, S.CLEANUP_RESUBMIT}
UNDER_WAY = ACTIVE - FAILED - {S.RUNNING, S.UNKNOWN}
ENDS = WAITING | CLONING | FAILED | {S.SUSPENDED, S.POWEROFF, S.STOPPED, S.UNDEPLOYED, S.RUNNING, S.UNKNOWN}
ON = {S.RUNNING, S.UNKNOWN}
BOOTING = {s for s in S if s.name in (
    "BOOT", "BOOT_MIGRATE", "BOOT_SUSPENDED", "BOOT_STOPPED", "BOOT_UNDEPLOY", "BOOT_POWEROFF", "BOOT_UNKNOWN",
    "BOOT_FAILURE", "BOOT_MIGRATE_FAILURE", "BOOT_UNDEPLOY_FAILURE", "BOOT_STOPPED_FAILURE")}
WITHOUT_A_GUEST = {s for s in S if s.name in (
    "PROLOG", "PROLOG_FAILURE", "PROLOG_UNDEPLOY", "PROLOG_UNDEPLOY_FAILURE", "BOOT_FAILURE", "BOOT_UNDEPLOY_FAILURE",
    "SHUTDOWN", "SHUTDOWN_POWEROFF", "SHUTDOWN_UNDEPLOY", "EPILOG", "EPILOG_FAILURE", "EPILOG_UNDEPLOY",
    "EPILOG_UNDEPLOY_FAILURE", "CLEANUP_RESUBMIT", "CLEANUP_DELETE", "PROLOG_MIGRATE_POWEROFF",
    "PROLOG_MIGRATE_POWEROFF_FAILURE", "HOTPLUG_SAVEAS_POWEROFF", "HOTPLUG_PROLOG_POWEROFF", "HOTPLUG_EPILOG_POWEROFF",
    "DISK_SNAPSHOT_POWEROFF", "DISK_SNAPSHOT_REVERT_POWEROFF", "DISK_SNAPSHOT_DELETE_POWEROFF")}
"""The states in which OpenNebula takes a new configuration although something is under way: its 24, less LCM_INIT."""
NO_GROUPS = BOOTING | {S.MIGRATE, S.HOTPLUG_NIC, S.UNKNOWN}
"""Where a NIC's security groups stay: they are being put to use, or nobody knows of the guest."""
CHANGE_DISKS = ("disksnapshot", "diskresize", "attach", "detach")
NAMES = ("failure", "success", "retry", "delete", "recreate", "deletedb")

ALLOWED: dict[str, set[S]] = {
    "deploy": WAITING | {S.STOPPED, S.UNDEPLOYED}, "hold": {S.PENDING}, "release": {S.HOLD},
    "terminate": ENDS, "terminate-hard": ENDS | {S.SHUTDOWN},
    "undeploy": ON | {S.POWEROFF}, "undeploy-hard": ON | {S.POWEROFF, S.SHUTDOWN_UNDEPLOY},
    "poweroff": ON, "poweroff-hard": ON | {S.SHUTDOWN_POWEROFF}, "stop": {S.RUNNING, S.SUSPENDED},
    "suspend": {S.RUNNING}, "reboot": {S.RUNNING}, "reboot-hard": {S.RUNNING},
    "resume": {S.STOPPED, S.UNDEPLOYED, S.SUSPENDED, S.POWEROFF, S.UNKNOWN},
    "resched": ON | {S.POWEROFF}, "unresched": ON | {S.POWEROFF},
    "migrate": ON | {S.POWEROFF, S.SUSPENDED}, "migrate live": ON | {S.POWEROFF, S.SUSPENDED},
    "attach": {S.RUNNING, S.POWEROFF}, "detach": {S.RUNNING, S.POWEROFF},
    "attachnic": {S.RUNNING, S.POWEROFF}, "detachnic": {S.RUNNING, S.POWEROFF},
    "disksnapshotcreate": {S.RUNNING, S.POWEROFF, S.SUSPENDED},
    "disksnapshotdelete": {S.RUNNING, S.POWEROFF, S.SUSPENDED}, "disksnapshotrevert": {S.POWEROFF},
    "diskresize": {S.RUNNING, S.POWEROFF, S.UNDEPLOYED},
    "disksaveas": {S.RUNNING, S.POWEROFF, S.SUSPENDED, S.UNDEPLOYED, S.STOPPED},
    "snapshotcreate": {S.RUNNING}, "snapshotrevert": {S.RUNNING}, "snapshotdelete": {S.RUNNING, S.POWEROFF},
    "resize": WAITING | CLONING | {S.POWEROFF, S.UNDEPLOYED, S.RUNNING},
    "updateconf": WAITING | CLONING | {S.POWEROFF, S.UNDEPLOYED, S.RUNNING} | WITHOUT_A_GUEST,
    "attachsg": set(S) - {S.DONE} - NO_GROUPS, "detachsg": set(S) - {S.DONE} - NO_GROUPS,
    "recover failure": UNDER_WAY | FAILED | {S.UNKNOWN, S.CLONING_FAILURE},
    "recover success": UNDER_WAY | FAILED | {S.UNKNOWN, S.CLONING_FAILURE},
    "recover retry": UNDER_WAY | FAILED, "recover delete": set(S) - {S.DONE}, "recover deletedb": set(S) - {S.DONE},
    "recover recreate": set(S) - {S.DONE} - CLEANING}
"""Where each is accepted (OpenNebula's DispatchManagerActions and VirtualMachineAPI; `migrate live` of what does not
run is a plain migration)."""


@dataclass
class Walk:
    """A VM that has of everything a piece, and calls about it."""

    sim: Sim
    vm: int
    other: int
    network: int
    group: int
    """A security group in which its NIC is not."""
    names: Iterator[int] = field(default_factory=count)

    kept: dict[S, tuple[Vm, VmText]] = field(default_factory=dict)
    """The records in states in which what is under way says what it is about."""

    def call(self, action: str, dry: bool = True) -> None:
        """Try ACTION; raises Refused."""
        vm, nic = self.vm, f"NIC=[NETWORK_ID={self.network}]"
        calls: dict[str, tuple[Any, ...]] = {
            "deploy": (vm, self.other), "migrate": (vm, self.other), "migrate live": (vm, self.other, True),
            "attach": (vm, "DISK=[TYPE=fs,SIZE=10,FORMAT=raw]"), "detach": (vm, 1), "attachnic": (vm, nic),
            "detachnic": (vm, 0), "attachsg": (vm, 0, self.group), "detachsg": (vm, 0, 0),
            "disksnapshotcreate": (vm, 0, "another"), "disksnapshotdelete": (vm, 0, 1),
            "disksnapshotrevert": (vm, 0, 0),
            "diskresize": (vm, 0, "500"), "disksaveas": (vm, 0, f"copy{next(self.names)}", "", -1),
            "snapshotcreate": (vm, "another"), "snapshotrevert": (vm, 0), "snapshotdelete": (vm, 0),
            "resize": (vm, "MEMORY=65", False), "updateconf": (vm, "CONTEXT=[A=1]", 1)}
        if action.startswith("recover "):
            method, arguments = "one.vm.recover", (vm, NAMES.index(action.partition(" ")[2]), True)
        elif action in calls:
            method, arguments = f"one.vm.{action.partition(' ')[0]}", calls[action]
        else:
            method, arguments = "one.vm.action", (action, vm)
        self.sim.call(*(("onecore.dryrun",) if dry else ()), method, *arguments)

    def put(self, state: S, action: str = "") -> None:
        """The VM's record in that state, as one that rests there or has an operation under way has it.

        For an ACTION that changes disks it has no system snapshot, with which they must stay as they are.
        """
        record, text = self.kept.get(state) or self.kept[S.RUNNING]
        if action.startswith(CHANGE_DISKS):
            text = replace(text, template=fragment(tree_of(text.template).without(("SNAPSHOT",))))
        off = state.value[0] in (1, 2, 4, 9, 10, 11)
        if state not in self.kept:
            record = replace(record, state=state.value[0], lcm=state.value[1], hid=-1 if off else 0,
                             cid=-1 if off else 0,
                             came={S.STOPPED: "stopped", S.SUSPENDED: "stopped",
                                   S.UNDEPLOYED: "undeployed"}.get(state, ""),
                             op_kind="terminate" if state is S.SHUTDOWN else record.op_kind)
        with self.sim.core.store.tx() as tx:
            tx.put(record)
            tx.put(text)
            for box in list(self.sim.core.store.all(Outbox)):
                tx.delete(box)

    def learn(self, ground: Ground) -> None:
        """How the records are in each state of BEGUN: begin what leads there, and have it hang."""
        self.kept[S.RUNNING] = self.sim.get(Vm, self.vm), self.sim.get(VmText, self.vm)
        commands = sorted({line.send for line in VM.rows if line.send})
        ground.script(rules=[{"action": command, "hang": True} for command in commands])
        for state, (before, action) in BEGUN.items():
            self.put(before, action)
            self.call(action, dry=False)
            assert state_of(self.sim.get(Vm, self.vm)) is state
            self.kept[state] = self.sim.get(Vm, self.vm), self.sim.get(VmText, self.vm)
        self.put(S.RUNNING)


BEGUN = {S.HOTPLUG: (S.RUNNING, "detach"), S.HOTPLUG_PROLOG_POWEROFF: (S.POWEROFF, "attach"),
         S.HOTPLUG_EPILOG_POWEROFF: (S.POWEROFF, "detach"), S.HOTPLUG_NIC: (S.RUNNING, "attachnic"),
         S.HOTPLUG_SNAPSHOT: (S.RUNNING, "snapshotcreate"), S.HOTPLUG_RESIZE: (S.RUNNING, "resize"),
         S.DISK_SNAPSHOT: (S.RUNNING, "disksnapshotcreate"), S.DISK_SNAPSHOT_DELETE: (S.RUNNING, "disksnapshotdelete"),
         S.DISK_SNAPSHOT_POWEROFF: (S.POWEROFF, "disksnapshotcreate"),
         S.DISK_SNAPSHOT_REVERT_POWEROFF: (S.POWEROFF, "disksnapshotrevert"),
         S.DISK_SNAPSHOT_DELETE_POWEROFF: (S.POWEROFF, "disksnapshotdelete"),
         S.DISK_SNAPSHOT_SUSPENDED: (S.SUSPENDED, "disksnapshotcreate"),
         S.DISK_SNAPSHOT_DELETE_SUSPENDED: (S.SUSPENDED, "disksnapshotdelete"),
         S.DISK_RESIZE: (S.RUNNING, "diskresize"), S.DISK_RESIZE_POWEROFF: (S.POWEROFF, "diskresize"),
         S.DISK_RESIZE_UNDEPLOYED: (S.UNDEPLOYED, "diskresize"), S.MIGRATE: (S.RUNNING, "migrate live"),
         **{S[f"HOTPLUG_SAVEAS{where}"]: (S[where[1:] or "RUNNING"], "disksaveas")
            for where in ("", "_POWEROFF", "_SUSPENDED", "_UNDEPLOYED", "_STOPPED")}}
"""What leads to states in which the record says what is being done."""


@pytest.fixture(scope="module")
def walk(sim_template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Disk 0 stands on snapshot 0, beside which there is snapshot 1."""
    ground = sim_template.copy(tmp_path_factory.mktemp("walk") / "home")
    sim = ground.sim
    other, spare = sim.add_host("node2"), sim.add_image("spare")
    vm = int(sim.call("one.vm.allocate", "CPU=1\nMEMORY=64\nMEMORY_MAX=128\nCONTEXT=[B=1]\n"
                      f"DISK=[IMAGE_ID={ground.image}]\nDISK=[IMAGE_ID={spare}]\nNIC=[NETWORK_ID={ground.network}]\n",
                      False))
    for method, *arguments in (("deploy", ground.host), ("poweroff-hard",), ("disksnapshotcreate", 0, "first"),
                               ("disksnapshotcreate", 0, "second"), ("disksnapshotrevert", 0, 0), ("resume",),
                               ("snapshotcreate", "kept")):
        asked = (f"one.vm.{method}", vm, *arguments) if arguments else ("one.vm.action", method, vm)
        sim.call(*asked)  # type: ignore[arg-type]
        sim.until(lambda: not list(sim.core.store.all(Outbox)) and sim.state(vm) in ("RUNNING", "POWEROFF"))
    group = int(sim.call("one.secgroup.allocate", 'NAME="web"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound"]\n'))
    made = Walk(sim, vm, other, ground.network, group)
    made.learn(ground)
    yield made
    sim.close()


def outcome(walk: Walk, action: str) -> str:
    """accepted, or refused, with ACTION and a text that names the state."""
    state = state_of(walk.sim.get(Vm, walk.vm))
    try:
        walk.call(action)
    except Refused as refused:
        assert refused.code == ACTION, f"{action} in {state.name}: {refused.code:x} {refused}"
        assert state.name in str(refused), (action, refused)
        return "refused"
    return "accepted"


@pytest.mark.parametrize("state", [s for s in S if s is not S.DONE], ids=lambda s: s.name)
def test_every_action_in_every_state(walk: Walk, state: S) -> None:
    """Accepted, or refused with ACTION and a text that names the state."""
    found, expected = {}, {}
    for action, states in ALLOWED.items():
        walk.put(state, action)
        found[action], expected[action] = outcome(walk, action), "accepted" if state in states else "refused"
    assert found == expected


def test_a_vm_that_is_done(walk: Walk) -> None:
    """It is kept for accounting: whatever is asked is refused."""
    walk.put(S.PENDING)
    done = Walk(walk.sim, int(walk.sim.call("one.vm.allocate", "CPU=1\nMEMORY=64\n", True)), walk.other, walk.network,
                walk.group)
    walk.sim.call("one.vm.action", "terminate", done.vm)
    walk.sim.wait(done.vm, "DONE")
    for action in ALLOWED:
        with pytest.raises(Refused, match="DONE") as refused:
            done.call(action)
        assert refused.value.code == ACTION, action
