"""The records of a virtual machine: a short row that changes with its state, its texts, its history."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.kinds.kind import tree_of
from onecore.pool.record import Object, Record
from onecore.wire.states import VmState


@dataclass(frozen=True, slots=True)
class Vm(Record):
    """What changes with state, and what is asked often.

    `cpu` is percent of a core, `memory` and `disk_mb` MB.  `hid` and `ds_id` are -1 while the VM is on no host.
    `images` and `networks` are ids as text.  `came` says where a PENDING VM was resumed from: stopped, undeployed or
    ""; and that a SUSPENDED one is saved: stopped (else its guest was paused, and is there).  The operation: `op` (0:
    none), its kind, the attempt, since when, what it is about (`op_args`, a JSON object).  `generation` rises with each
    start of the guest.  `to_hid`, `to_cid` and `to_ds` are where a migration goes, -1: nowhere; capacity is taken there
    too.  `next_disk` is more than any DISK_ID that was attached, 0: none was.
    """

    TABLE: ClassVar[str] = "vm_pool"
    KIND: ClassVar[str] = "vm"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    lock: str
    state: int
    lcm: int
    prev_state: int
    prev_lcm: int
    resched: int
    stime: int
    etime: int
    changed: int
    deploy_id: str
    cpu: int
    memory: int
    disk_mb: int
    hid: int
    cid: int
    ds_id: int
    seq: int
    images: str
    networks: str
    came: str
    generation: int
    op: int
    op_kind: str
    op_attempt: int
    op_since: int
    error: str
    op_args: str = ""
    to_hid: int = -1
    to_cid: int = -1
    to_ds: int = -1
    next_disk: int = 0

    def touches(self) -> tuple[Object, ...]:
        """The VM, its host, its images."""
        return (("vm", self.oid), ("host", self.hid), ("host", self.to_hid),
                *(("image", i) for i in ids(self.images)))

    @classmethod
    def live(cls, row: Record) -> bool:
        """DONE VMs are in SQL only."""
        return getattr(row, "state", 0) != VmState.DONE


@dataclass(frozen=True, slots=True)
class VmText(Record):
    """TEMPLATE and USER_TEMPLATE as escaped fragments; `done` mirrors the VM's end so that loading can skip it.

    `snapshots` are its disks' snapshots, JSON (kinds/vm/snapshots.py); "" when there are none.
    """

    TABLE: ClassVar[str] = "vm_text"
    oid: int
    template: bytes
    user: bytes
    done: int
    snapshots: str = ""

    def touches(self) -> tuple[Object, ...]:
        """The VM, and its VM group."""
        return (("vm", self.oid), *(("vmgroup", gid) for gid, _ in membership(self.template)))

    @classmethod
    def live(cls, row: Record) -> bool:
        """Texts of DONE VMs are in SQL only."""
        return not getattr(row, "done", 0)


@dataclass(frozen=True, slots=True)
class History(Record):
    """One stay on a host.  Times are Unix seconds, 0: not yet.  `action` ended the stay (OpenNebula's numbers)."""

    TABLE: ClassVar[str] = "history"
    KEY: ClassVar[tuple[str, ...]] = ("vid", "seq")
    vid: int
    seq: int
    hid: int
    hostname: str
    cid: int
    stime: int
    etime: int
    vm_mad: str
    tm_mad: str
    ds_id: int
    pstime: int
    petime: int
    rstime: int
    retime: int
    estime: int
    eetime: int
    action: int
    uid: int
    gid: int
    rid: str
    done: int

    def touches(self) -> tuple[Object, ...]:
        """The VM."""
        return (("vm", self.vid),)

    @classmethod
    def live(cls, row: Record) -> bool:
        """The history of DONE VMs is in SQL only."""
        return not getattr(row, "done", 0)


@dataclass(frozen=True, slots=True)
class Scheduled(Record):
    """One SCHED_ACTION of a VM (kinds/vm/scheduled.py).

    `time` is as it was given (Unix seconds, or +seconds after the VM's start), `due` the Unix seconds of the next run,
    0: none any more; `done` those of the last one.  `repeat` and `end_type` are OpenNebula's numbers, -1: none.
    `misfire`: what becomes of a run that was missed, "run" or "skip".  It acts as user `uid` of group `gid`.
    """

    TABLE: ClassVar[str] = "scheduled"
    oid: int
    vid: int
    action: str
    args: str
    time: str
    repeat: int
    days: str
    end_type: int
    end_value: int
    runs: int
    done: int
    due: int
    message: str
    warning: int
    misfire: str
    uid: int
    gid: int

    def touches(self) -> tuple[Object, ...]:
        """The VM."""
        return (("vm", self.vid),)


_IN_A_GROUP = b"&lt;VMGROUP&gt;"


def membership(fragment: bytes) -> tuple[tuple[int, str], ...]:
    """(group, role) that the fragment of a VM's TEMPLATE names, if any."""
    vector = tree_of(fragment).vector("VMGROUP") if _IN_A_GROUP in fragment else None
    return ((int(vector["VMGROUP_ID"]), vector["ROLE"]),) if vector else ()


def moment(vm: Vm) -> tuple[object, ...]:
    """What of a VM tells that it is as it was when its hosts were asked something about it."""
    return (vm.state, vm.lcm, vm.op, vm.op_attempt, vm.op_kind, vm.generation, vm.hid, vm.to_hid, vm.ds_id, vm.images)


def ids(text: str) -> tuple[int, ...]:
    """Ids kept as text."""
    return tuple(int(part) for part in text.split(",")) if text else ()


def text(values: tuple[int, ...] | list[int]) -> str:
    """Ids as text, each once."""
    return ",".join(map(str, dict.fromkeys(values)))


ACTIONS = {
    "migrate": 1, "live_migrate": 2, "migrate_poff": 48, "migrate_poff_hard": 49,
    "terminate": 27, "terminate_hard": 28, "undeploy": 5, "undeploy_hard": 6,
    "hold": 7, "release": 8, "stop": 9, "suspend": 10, "resume": 11, "delete": 13, "recreate": 14, "reboot": 15,
    "reboot_hard": 16, "resched": 17, "unresched": 18, "poweroff": 19, "poweroff_hard": 20, "deploy": 30,
    "disk_attach": 21, "disk_detach": 22, "disk_snapshot_create": 25, "disk_snapshot_delete": 26,
    "disk_snapshot_revert": 41, "disk_resize": 29, "disk_saveas": 40, "recover": 42, "retry": 43, "monitor": 44,
}
"""History ACTION numbers."""
