"""A VM as its users know it: what may be asked of it in which state, and what follows.

Written from OpenNebula's state machine and from docs/; nothing of the code is used here, so that one can show the
other wrong.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

ADMIN = "oneadmin"
GROUPS = {"ann": "red", "bob": "red", "cyd": "blue"}
USERS = (ADMIN, *GROUPS)
USE, MANAGE, ADMINISTER = range(3)
FORBIDDEN, ABSENT, UNFIT, WRONG, LOCKED = 0x0200, 0x0400, 0x0800, 0x1000, 0x8000
"""Errors of the API: authorization, no such object, the state, an argument, a lock."""
NEEDS = dict.fromkeys(("deploy", "migrate", "live", "resched", "unresched", "recover"), ADMINISTER)
"""What an action needs; MANAGE, if it is not here."""


class Way(NamedTuple):
    """Where an action leads, and the state meanwhile; "" for what is done at once."""

    to: str
    via: str


def _ways(text: str) -> dict[str, dict[str, Way]]:
    found: dict[str, dict[str, Way]] = {}
    for line in text.strip().splitlines():
        actions, states, to, via = (*line.split(), "")[:4]
        for action in actions.split("|"):
            for state in states.split("|"):
                found.setdefault(action, {})[state] = Way(state if to == "=" else to, via)
    return found


WAYS = _ways("""
hold                      PENDING                HOLD
release                   HOLD                   PENDING
deploy                    PENDING|HOLD           RUNNING     PROLOG
deploy                    STOPPED                RUNNING     PROLOG_RESUME
deploy                    UNDEPLOYED             RUNNING     PROLOG_UNDEPLOY
poweroff|poweroff-hard    RUNNING                POWEROFF    SHUTDOWN_POWEROFF
poweroff-hard             SHUTDOWN_POWEROFF      POWEROFF    SHUTDOWN_POWEROFF
suspend                   RUNNING                SUSPENDED   SAVE_SUSPEND
stop                      RUNNING                STOPPED     SAVE_STOP
stop                      SUSPENDED              STOPPED     EPILOG_STOP
undeploy|undeploy-hard    RUNNING                UNDEPLOYED  SHUTDOWN_UNDEPLOY
undeploy-hard             SHUTDOWN_UNDEPLOY      UNDEPLOYED  SHUTDOWN_UNDEPLOY
undeploy|undeploy-hard    POWEROFF               UNDEPLOYED  EPILOG_UNDEPLOY
reboot|reboot-hard        RUNNING                RUNNING
resched|unresched         RUNNING|POWEROFF       =
resume                    STOPPED|UNDEPLOYED     PENDING
resume                    SUSPENDED              RUNNING     BOOT_SUSPENDED
resume                    POWEROFF               RUNNING     BOOT_POWEROFF
terminate|terminate-hard  PENDING|HOLD           DONE
terminate|terminate-hard  RUNNING                DONE        SHUTDOWN
terminate-hard            SHUTDOWN               DONE        SHUTDOWN
terminate|terminate-hard  SUSPENDED|POWEROFF|STOPPED|UNDEPLOYED  DONE  EPILOG
live                      RUNNING                RUNNING     MIGRATE
migrate                   RUNNING                RUNNING     SAVE_MIGRATE
live|migrate              POWEROFF               POWEROFF    PROLOG_MIGRATE_POWEROFF
live|migrate              SUSPENDED              SUSPENDED   PROLOG_MIGRATE_SUSPEND
attach|detach             RUNNING                RUNNING     HOTPLUG
attach                    POWEROFF               POWEROFF    HOTPLUG_PROLOG_POWEROFF
detach                    POWEROFF               POWEROFF    HOTPLUG_EPILOG_POWEROFF
attachnic|detachnic       RUNNING                RUNNING     HOTPLUG_NIC
attachnic|detachnic       POWEROFF               POWEROFF
disksnapshotcreate        RUNNING                RUNNING     DISK_SNAPSHOT
disksnapshotcreate        POWEROFF               POWEROFF    DISK_SNAPSHOT_POWEROFF
disksnapshotcreate        SUSPENDED              SUSPENDED   DISK_SNAPSHOT_SUSPENDED
disksnapshotdelete        RUNNING                RUNNING     DISK_SNAPSHOT_DELETE
disksnapshotdelete        POWEROFF               POWEROFF    DISK_SNAPSHOT_DELETE_POWEROFF
disksnapshotdelete        SUSPENDED              SUSPENDED   DISK_SNAPSHOT_DELETE_SUSPENDED
disksnapshotrevert        POWEROFF               POWEROFF    DISK_SNAPSHOT_REVERT_POWEROFF
diskresize                RUNNING                RUNNING     DISK_RESIZE
diskresize                POWEROFF               POWEROFF    DISK_RESIZE_POWEROFF
diskresize                UNDEPLOYED             UNDEPLOYED  DISK_RESIZE_UNDEPLOYED
disksaveas                RUNNING                RUNNING     HOTPLUG_SAVEAS
disksaveas                POWEROFF               POWEROFF    HOTPLUG_SAVEAS_POWEROFF
disksaveas                SUSPENDED              SUSPENDED   HOTPLUG_SAVEAS_SUSPENDED
disksaveas                STOPPED                STOPPED     HOTPLUG_SAVEAS_STOPPED
disksaveas                UNDEPLOYED             UNDEPLOYED  HOTPLUG_SAVEAS_UNDEPLOYED
snapshotcreate|snapshotrevert|snapshotdelete  RUNNING  RUNNING  HOTPLUG_SNAPSHOT
snapshotdelete            POWEROFF               POWEROFF    HOTPLUG_SNAPSHOT
resize                    PENDING|HOLD|POWEROFF|UNDEPLOYED  =
resize                    RUNNING                RUNNING     HOTPLUG_RESIZE
updateconf                PENDING|HOLD|POWEROFF|UNDEPLOYED  =
updateconf                RUNNING                RUNNING     HOTPLUG
updateconf                PROLOG|PROLOG_FAILURE|PROLOG_UNDEPLOY|PROLOG_UNDEPLOY_FAILURE  =
updateconf                SHUTDOWN|SHUTDOWN_POWEROFF|SHUTDOWN_UNDEPLOY  =
updateconf                EPILOG|EPILOG_FAILURE|EPILOG_UNDEPLOY|EPILOG_UNDEPLOY_FAILURE  =
updateconf                PROLOG_MIGRATE_POWEROFF|PROLOG_MIGRATE_POWEROFF_FAILURE  =
updateconf                HOTPLUG_SAVEAS_POWEROFF|HOTPLUG_PROLOG_POWEROFF|HOTPLUG_EPILOG_POWEROFF  =
updateconf                DISK_SNAPSHOT_POWEROFF|DISK_SNAPSHOT_REVERT_POWEROFF|DISK_SNAPSHOT_DELETE_POWEROFF  =
""")
"""{action: {state in which it is accepted: where it leads}}: sections 2.2 and 2.3 of OpenNebula's state machine, as far
as what is under way is held before its first step did anything.  `live` and `migrate` are one.vm.migrate's."""
FAILS = {f"{state}": f"{state}_FAILURE" for state in (
    "PROLOG", "PROLOG_RESUME", "PROLOG_UNDEPLOY", "EPILOG", "EPILOG_STOP", "EPILOG_UNDEPLOY", "PROLOG_MIGRATE_POWEROFF",
    "PROLOG_MIGRATE_SUSPEND")}
"""Where an operation that fails needs an operator; any other leads back to where it began."""
for _end in ("terminate", "terminate-hard"):
    WAYS[_end] |= dict.fromkeys(FAILS.values(), Way("DONE", "CLEANUP_DELETE"))
WORDS = ("failure", "success", "retry", "delete", "recreate", "deletedb")
"""What one.vm.recover takes."""
NO_SUCCESS = {"PROLOG", "PROLOG_FAILURE", "SAVE_SUSPEND", "SAVE_STOP", "SAVE_MIGRATE", "SHUTDOWN", "SHUTDOWN_POWEROFF",
              "SHUTDOWN_UNDEPLOY", "BOOT_SUSPENDED", "BOOT_POWEROFF", "MIGRATE", "HOTPLUG_PROLOG_POWEROFF",
              "HOTPLUG_EPILOG_POWEROFF"}
"""Where the host shows that nothing was done yet, so that nobody is believed who says that it succeeded."""
SUCCESS = {"PROLOG_RESUME", "PROLOG_UNDEPLOY", "EPILOG_STOP", "EPILOG_UNDEPLOY", "PROLOG_MIGRATE_POWEROFF",
           "PROLOG_MIGRATE_SUSPEND"}
SUCCESS |= {FAILS[state] for state in SUCCESS}
"""Where everything is as it must be, since all hosts see the same files."""
ON_A_HOST = ("RUNNING", "POWEROFF", "SUSPENDED")


@dataclass
class Disk:
    """What it was made of: an image's FORMAT, or "" for a volatile one; `base`: the snapshot that it stands on."""

    made_of: str
    size: int = 10
    base: int = -1
    next: int = 0
    snaps: dict[int, tuple[int, int]] = field(default_factory=dict)
    """{id: (the one that it was made from, MB)}; copies, those of a raw disk, are made from none."""

    def children(self, number: int) -> list[int]:
        """The snapshots that stand on one."""
        return [each for each, (parent, _) in self.snaps.items() if parent == number]

    def snap(self, number: int) -> None:
        """One more."""
        self.snaps[number] = (-1 if self.made_of == "raw" else self.base, self.size)
        self.base = number

    def shown(self) -> tuple[int, int, dict[int, tuple[int, int, list[int]]]]:
        """Size, base, and snapshots with their parents, sizes and children."""
        return self.size, self.base if self.snaps else -1, {
            number: (parent, size, self.children(number)) for number, (parent, size) in self.snaps.items()}


@dataclass
class Under:
    """What is under way: where it began and where it leads; `done` is what changes then, `undone` when it fails."""

    action: str
    began: str
    way: Way
    done: Callable[[], None]
    undone: Callable[[], None]


@dataclass
class Machine:
    """What the model knows of a VM."""

    owner: str
    group: str
    state: str
    name: str
    disks: dict[int, Disk]
    next_disk: int
    bits: list[list[bool]] = field(default_factory=lambda: [[True, True, False], [False] * 3, [False] * 3])
    """Of its owner, its group and others: USE, MANAGE, ADMIN."""
    lock: tuple[int, str] = (0, "")
    """The level, and who set it."""
    host: int = -1
    came: str = ""
    """STOPPED or UNDEPLOYED, when it waits to go on from there."""
    nics: set[int] = field(default_factory=lambda: {0})
    moments: set[int] = field(default_factory=set)
    """Its system snapshots."""
    size: tuple[float, int] = (1.0, 64)
    """CPU and MEMORY."""
    context: int = 0
    resched: bool = False
    planned: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Its scheduled actions: what, and when."""
    under: Under | None = None

    def allows(self, user: str, need: int) -> bool:
        """By whichever bits are a user's."""
        mine = [self.owner == user, GROUPS.get(user) == self.group, True]
        return user == ADMIN or any(fits and bits[need] for fits, bits in zip(mine, self.bits, strict=True))

    def locks(self, need: int) -> bool:
        """Whether its lock stands in the way, whoever asks."""
        level, _ = self.lock
        return level == 4 or 0 < level <= need + 1

    def verdict(self, user: str, need: int, locked: bool = True) -> int:
        """The error that a call must get before anything else is looked at, 0 for none."""
        if not self.allows(user, need):
            return FORBIDDEN
        if self.state == "DONE":
            return UNFIT
        return LOCKED if locked and self.locks(need) else 0

    def way(self, action: str) -> Way | None:
        """Where an action leads now, if it is accepted: what waits to go on is deployed, or ended, as it was left."""
        left = self.came and self.state in ("PENDING", "HOLD") and action in ("deploy", "terminate", "terminate-hard")
        return WAYS[action].get(self.came if left else self.state)

    def begins(self, action: str, way: Way, done: Callable[[], None], undone: Callable[[], None]) -> None:
        """It was accepted; what is done at once is done."""
        if not way.via:
            done()
            self.comes(way.to, action)
            return
        began = self.under.began if self.under else self.state
        self.under, self.state, self.resched = Under(action, began, way, done, undone), way.via, False

    def comes(self, state: str, action: str) -> None:
        """It rests in STATE after an action."""
        if action == "resume" and state == "PENDING":
            self.came = self.state
        elif state in ("RUNNING", "DONE"):
            self.came = ""
        if state in ("STOPPED", "UNDEPLOYED", "PENDING", "DONE"):
            self.host = -1
        self.state = state

    def ends(self) -> None:
        """What was under way succeeded."""
        under, self.under = self.under, None
        assert under is not None
        under.done()
        self.comes(under.way.to, under.action)

    def fails(self, state: str) -> None:
        """What was under way is given up; it rests in STATE."""
        under, self.under = self.under, None
        if under is not None:
            under.undone()
        self.comes(state, "")

    def begins_anew(self) -> None:
        """As a new VM: nothing of what was kept of its disks and its memory is left."""
        self.came, self.moments, self.resched = "", set(), False
        for disk in self.disks.values():
            disk.snaps, disk.base = {}, -1
