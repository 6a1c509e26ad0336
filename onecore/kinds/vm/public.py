"""The states of VMs as clients see them, OpenNebula's pairs (STATE, LCM_STATE), and the sets that rules speak of."""
from __future__ import annotations

from enum import Enum

from onecore.wire.states import VmState


class S(Enum):
    """(STATE, LCM_STATE)."""

    PENDING = 1, 0
    HOLD = 2, 0
    STOPPED = 4, 0
    SUSPENDED = 5, 0
    DONE = 6, 0
    POWEROFF = 8, 0
    UNDEPLOYED = 9, 0
    CLONING = 10, 0
    CLONING_FAILURE = 11, 0
    PROLOG = 3, 1
    BOOT = 3, 2
    RUNNING = 3, 3
    MIGRATE = 3, 4
    SAVE_STOP = 3, 5
    SAVE_SUSPEND = 3, 6
    SAVE_MIGRATE = 3, 7
    PROLOG_MIGRATE = 3, 8
    PROLOG_RESUME = 3, 9
    EPILOG_STOP = 3, 10
    EPILOG = 3, 11
    SHUTDOWN = 3, 12
    CLEANUP_RESUBMIT = 3, 15
    UNKNOWN = 3, 16
    SHUTDOWN_POWEROFF = 3, 18
    BOOT_UNKNOWN = 3, 19
    BOOT_POWEROFF = 3, 20
    BOOT_SUSPENDED = 3, 21
    BOOT_STOPPED = 3, 22
    CLEANUP_DELETE = 3, 23
    SHUTDOWN_UNDEPLOY = 3, 29
    EPILOG_UNDEPLOY = 3, 30
    PROLOG_UNDEPLOY = 3, 31
    BOOT_UNDEPLOY = 3, 32
    BOOT_MIGRATE = 3, 35
    BOOT_FAILURE = 3, 36
    BOOT_MIGRATE_FAILURE = 3, 37
    PROLOG_MIGRATE_FAILURE = 3, 38
    PROLOG_FAILURE = 3, 39
    EPILOG_FAILURE = 3, 40
    EPILOG_STOP_FAILURE = 3, 41
    EPILOG_UNDEPLOY_FAILURE = 3, 42
    PROLOG_MIGRATE_POWEROFF = 3, 43
    PROLOG_MIGRATE_POWEROFF_FAILURE = 3, 44
    PROLOG_MIGRATE_SUSPEND = 3, 45
    PROLOG_MIGRATE_SUSPEND_FAILURE = 3, 46
    BOOT_UNDEPLOY_FAILURE = 3, 47
    BOOT_STOPPED_FAILURE = 3, 48
    PROLOG_RESUME_FAILURE = 3, 49
    PROLOG_UNDEPLOY_FAILURE = 3, 50
    PROLOG_MIGRATE_UNKNOWN = 3, 60
    PROLOG_MIGRATE_UNKNOWN_FAILURE = 3, 61


STATE_OF = {s.value: s for s in S}

WAITING = {S.PENDING, S.HOLD}
CLONING = {S.CLONING, S.CLONING_FAILURE}
LIVE = {S.RUNNING, S.UNKNOWN}
FAILED = {s for s in S if s.name.endswith("_FAILURE")} - CLONING
UNSAVED = FAILED - {S.PROLOG_FAILURE, S.BOOT_FAILURE}
"""Failures of VMs that have run before, whose disks may hold more than their images."""
OFF = {S.SUSPENDED, S.POWEROFF}
AWAY = {S.STOPPED, S.UNDEPLOYED}
CLEANING = {S.CLEANUP_DELETE, S.CLEANUP_RESUBMIT}
ACTIVE = {s for (state, _), s in STATE_OF.items() if state == VmState.ACTIVE}
TRANSIENT = ACTIVE - LIVE - FAILED - CLEANING
STAYS = WAITING | CLONING | LIVE | OFF | AWAY | FAILED | {S.DONE}
"""States in which nothing has to happen."""
