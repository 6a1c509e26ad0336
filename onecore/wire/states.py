"""State names and numbers of every kind, OpenNebula's own, and their short words for lists."""
from enum import IntEnum


class VmState(IntEnum):
    """STATE of a virtual machine."""

    INIT = 0
    PENDING = 1
    HOLD = 2
    ACTIVE = 3
    STOPPED = 4
    SUSPENDED = 5
    DONE = 6
    POWEROFF = 8
    UNDEPLOYED = 9
    CLONING = 10
    CLONING_FAILURE = 11


class Lcm(IntEnum):
    """LCM_STATE of a virtual machine whose STATE is ACTIVE (numbers 13, 14, 55 and 58 are retired)."""

    LCM_INIT = 0
    PROLOG = 1
    BOOT = 2
    RUNNING = 3
    MIGRATE = 4
    SAVE_STOP = 5
    SAVE_SUSPEND = 6
    SAVE_MIGRATE = 7
    PROLOG_MIGRATE = 8
    PROLOG_RESUME = 9
    EPILOG_STOP = 10
    EPILOG = 11
    SHUTDOWN = 12
    CLEANUP_RESUBMIT = 15
    UNKNOWN = 16
    HOTPLUG = 17
    SHUTDOWN_POWEROFF = 18
    BOOT_UNKNOWN = 19
    BOOT_POWEROFF = 20
    BOOT_SUSPENDED = 21
    BOOT_STOPPED = 22
    CLEANUP_DELETE = 23
    HOTPLUG_SNAPSHOT = 24
    HOTPLUG_NIC = 25
    HOTPLUG_SAVEAS = 26
    HOTPLUG_SAVEAS_POWEROFF = 27
    HOTPLUG_SAVEAS_SUSPENDED = 28
    SHUTDOWN_UNDEPLOY = 29
    EPILOG_UNDEPLOY = 30
    PROLOG_UNDEPLOY = 31
    BOOT_UNDEPLOY = 32
    HOTPLUG_PROLOG_POWEROFF = 33
    HOTPLUG_EPILOG_POWEROFF = 34
    BOOT_MIGRATE = 35
    BOOT_FAILURE = 36
    BOOT_MIGRATE_FAILURE = 37
    PROLOG_MIGRATE_FAILURE = 38
    PROLOG_FAILURE = 39
    EPILOG_FAILURE = 40
    EPILOG_STOP_FAILURE = 41
    EPILOG_UNDEPLOY_FAILURE = 42
    PROLOG_MIGRATE_POWEROFF = 43
    PROLOG_MIGRATE_POWEROFF_FAILURE = 44
    PROLOG_MIGRATE_SUSPEND = 45
    PROLOG_MIGRATE_SUSPEND_FAILURE = 46
    BOOT_UNDEPLOY_FAILURE = 47
    BOOT_STOPPED_FAILURE = 48
    PROLOG_RESUME_FAILURE = 49
    PROLOG_UNDEPLOY_FAILURE = 50
    DISK_SNAPSHOT_POWEROFF = 51
    DISK_SNAPSHOT_REVERT_POWEROFF = 52
    DISK_SNAPSHOT_DELETE_POWEROFF = 53
    DISK_SNAPSHOT_SUSPENDED = 54
    DISK_SNAPSHOT_DELETE_SUSPENDED = 56
    DISK_SNAPSHOT = 57
    DISK_SNAPSHOT_DELETE = 59
    PROLOG_MIGRATE_UNKNOWN = 60
    PROLOG_MIGRATE_UNKNOWN_FAILURE = 61
    DISK_RESIZE = 62
    DISK_RESIZE_POWEROFF = 63
    DISK_RESIZE_UNDEPLOYED = 64
    HOTPLUG_NIC_POWEROFF = 65
    HOTPLUG_RESIZE = 66
    HOTPLUG_SAVEAS_UNDEPLOYED = 67
    HOTPLUG_SAVEAS_STOPPED = 68
    BACKUP = 69
    BACKUP_POWEROFF = 70
    RESTORE = 71


class HostState(IntEnum):
    """STATE of a host (1 and 5 to 7 are not entered any more)."""

    INIT = 0
    MONITORING_MONITORED = 1
    MONITORED = 2
    ERROR = 3
    DISABLED = 4
    MONITORING_ERROR = 5
    MONITORING_INIT = 6
    MONITORING_DISABLED = 7
    OFFLINE = 8


class ImageState(IntEnum):
    """STATE of an image."""

    INIT = 0
    READY = 1
    USED = 2
    DISABLED = 3
    LOCKED = 4
    ERROR = 5
    CLONE = 6
    DELETE = 7
    USED_PERS = 8
    LOCKED_USED = 9
    LOCKED_USED_PERS = 10


class ImageType(IntEnum):
    """TYPE of an image."""

    OS = 0
    CDROM = 1
    DATABLOCK = 2
    KERNEL = 3
    RAMDISK = 4
    CONTEXT = 5
    BACKUP = 6
    FILESYSTEM = 7


class DatastoreType(IntEnum):
    """TYPE of a datastore."""

    IMAGE = 0
    SYSTEM = 1
    FILE = 2
    BACKUP = 3


class VnetState(IntEnum):
    """STATE of a virtual network."""

    INIT = 0
    READY = 1
    LOCK_CREATE = 2
    LOCK_DELETE = 3
    DONE = 4
    ERROR = 5
    UPDATE_FAILURE = 6


VM_SHORT = {
    VmState.INIT: "init", VmState.PENDING: "pend", VmState.HOLD: "hold", VmState.ACTIVE: "actv",
    VmState.STOPPED: "stop", VmState.SUSPENDED: "susp", VmState.DONE: "done", VmState.POWEROFF: "poff",
    VmState.UNDEPLOYED: "unde", VmState.CLONING: "clon", VmState.CLONING_FAILURE: "fail",
}

_LCM_WORDS = (  # first match wins
    ("_FAILURE", "fail"), ("DISK_RESIZE", "drsz"), ("DISK_SNAPSHOT", "snap"), ("HOTPLUG_SNAPSHOT", "snap"),
    ("HOTPLUG", "hotp"), ("PROLOG_MIGRATE", "migr"), ("SAVE_MIGRATE", "migr"), ("BACKUP", "back"),
    ("RESTORE", "rest"), ("PROLOG", "prol"), ("EPILOG", "epil"), ("BOOT", "boot"), ("RUNNING", "runn"),
    ("MIGRATE", "migr"), ("SAVE", "save"), ("SHUTDOWN", "shut"), ("CLEANUP", "clea"), ("UNKNOWN", "unkn"),
)
HOST_SHORT = {
    HostState.INIT: "init", HostState.MONITORING_MONITORED: "update", HostState.MONITORED: "on",
    HostState.ERROR: "err", HostState.DISABLED: "dsbl", HostState.MONITORING_ERROR: "retry",
    HostState.MONITORING_INIT: "init", HostState.MONITORING_DISABLED: "dsbl", HostState.OFFLINE: "off",
}
IMAGE_SHORT = {
    ImageState.INIT: "init", ImageState.READY: "rdy", ImageState.USED: "used", ImageState.DISABLED: "disa",
    ImageState.LOCKED: "lock", ImageState.ERROR: "err", ImageState.CLONE: "clon", ImageState.DELETE: "dele",
    ImageState.USED_PERS: "used", ImageState.LOCKED_USED: "lock", ImageState.LOCKED_USED_PERS: "lock",
}
VNET_SHORT = {
    VnetState.INIT: "init", VnetState.READY: "rdy", VnetState.LOCK_CREATE: "lock", VnetState.LOCK_DELETE: "lock",
    VnetState.DONE: "done", VnetState.ERROR: "err", VnetState.UPDATE_FAILURE: "fail",
}
IMAGE_TYPE_SHORT = {
    ImageType.OS: "OS", ImageType.CDROM: "CD", ImageType.DATABLOCK: "DB", ImageType.KERNEL: "KL",
    ImageType.RAMDISK: "RD", ImageType.CONTEXT: "CX", ImageType.BACKUP: "BK", ImageType.FILESYSTEM: "FS",
}
DATASTORE_TYPE_SHORT = {
    DatastoreType.IMAGE: "img", DatastoreType.SYSTEM: "sys", DatastoreType.FILE: "fil", DatastoreType.BACKUP: "bck",
}


def vm_short(state: int, lcm: int) -> str:
    """The four letters that lists show for (STATE, LCM_STATE)."""
    if state != VmState.ACTIVE or lcm == Lcm.LCM_INIT:
        return VM_SHORT.get(VmState(state), "????")
    name = Lcm(lcm).name
    return next((word for part, word in _LCM_WORDS if part in name), "????")


def vm_name(state: int, lcm: int) -> str:
    """One name for the pair: the LCM state's while ACTIVE, the state's else."""
    return Lcm(lcm).name if state == VmState.ACTIVE else VmState(state).name


NOT_LIVE = "cannot move live"
"""What a refusal of a live migration says when the reason is the guest or how its files lie: it may move otherwise."""

RECOVER = {"failure": 0, "success": 1, "retry": 2, "delete": 3, "recreate": 4, "delete-db": 5}
"""Operation numbers of one.vm.recover."""


class PlanState(IntEnum):
    """Of plans of clusters and of their actions, OpenNebula's numbers; NONE: the match-maker was asked."""

    NONE = -1
    READY = 0
    APPLYING = 1
    DONE = 2
    ERROR = 3
    TIMEOUT = 4
