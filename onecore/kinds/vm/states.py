"""Every state a VM can be in and every way it moves.  The numbers are OpenNebula's public (STATE, LCM_STATE)."""
# ruff: noqa: E501 (a row is a line: the table is read by columns)
from __future__ import annotations

from enum import Enum
from typing import Any

from onecore.kinds.vm import effects as do
from onecore.lifecycle.machine import Machine, Row, row
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
    SAVE_STOP = 3, 5
    SAVE_SUSPEND = 3, 6
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
    BOOT_FAILURE = 3, 36
    PROLOG_FAILURE = 3, 39
    EPILOG_FAILURE = 3, 40
    EPILOG_STOP_FAILURE = 3, 41
    EPILOG_UNDEPLOY_FAILURE = 3, 42
    BOOT_UNDEPLOY_FAILURE = 3, 47
    BOOT_STOPPED_FAILURE = 3, 48
    PROLOG_RESUME_FAILURE = 3, 49
    PROLOG_UNDEPLOY_FAILURE = 3, 50


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


def _stopped(vm: Any) -> bool:
    return bool(vm.came == "stopped")


def _undeployed(vm: Any) -> bool:
    return bool(vm.came == "undeployed")


def _held(vm: Any) -> bool:
    return bool(vm.op_kind == "hold")


def _hard(vm: Any) -> bool:
    return str(vm.op_kind).endswith("_hard")


def _step(source: S, action: str, target: S, failure: S | None, *effects: Any, send: str = "", back: tuple[Any, ...] = (),
          begin: tuple[Any, ...] = ()) -> list[Row]:
    """What every driver action has: success, failure, the operator's word for either, and another try.

    FAILURE is a *_FAILURE state, or the state to go back to (BACK: effects then).  BEGIN: effects of another try.
    """
    command = {"prolog": "tm", "epilog": "tm", "epilog_stop": "tm", "prolog_resume": "tm"}.get(action, "vm") + "." + action
    rows = [row(source, f"{action}.ok", target, *effects, send=send),
            row(source, "recover_success", target, *effects, send=send),
            row(source, "recover_retry", None, do.again, *begin, send=command)]
    if failure is not None:
        rows += [row(source, f"{action}.fail", failure, do.note_error, *back), row(source, "recover_failure", failure, do.note_error, *back)]
    if failure in FAILED:
        rows += [row(failure, "recover_retry", source, do.clear_error, *begin, send=command),
                 row(failure, "recover_success", target, do.clear_error, *effects, send=send),
                 row(failure, "recover_failure", ignore=True)]
    return rows


_GO = (do.clear_error, do.clear_resched)

ROWS: list[Row] = [
    # from                     event              to                    effects …
    row(S.PENDING,             "hold",            S.HOLD),
    row(S.HOLD,                "release",         S.PENDING),
    row(S.CLONING,             "images.ready",    S.HOLD,               when=_held),
    row(S.CLONING,             "images.ready",    S.PENDING),
    row(S.CLONING_FAILURE,     "images.ready",    S.HOLD,               do.clear_error, when=_held),
    row(S.CLONING_FAILURE,     "images.ready",    S.PENDING,            do.clear_error),
    row(S.CLONING,             "images.failed",   S.CLONING_FAILURE,    do.note_error, keeps_op=True),
    row(S.CLONING_FAILURE,     "images.failed",   ignore=True),
    row(S.CLONING_FAILURE,     "recover_success", ignore=True),
    row(S.CLONING_FAILURE,     "recover_failure", ignore=True),

    row(WAITING | AWAY,        "deploy",          S.PROLOG_RESUME,      *_GO, do.place, do.prolog_begins, when=_stopped, send="tm.prolog_resume"),
    row(WAITING | AWAY,        "deploy",          S.PROLOG_UNDEPLOY,    *_GO, do.place, do.prolog_begins, when=_undeployed, send="tm.prolog_resume"),
    row(WAITING,               "deploy",          S.PROLOG,             *_GO, do.place, do.prolog_begins, send="tm.prolog"),
    *_step(S.PROLOG,           "prolog",          S.BOOT,               S.PROLOG_FAILURE, do.prolog_ends, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT,             "deploy",          S.RUNNING,            S.BOOT_FAILURE, do.runs, begin=(do.next_generation,)),
    *_step(S.PROLOG_RESUME,    "prolog_resume",   S.BOOT_STOPPED,       S.PROLOG_RESUME_FAILURE, do.prolog_ends, do.next_generation, send="vm.restore"),
    *_step(S.BOOT_STOPPED,     "restore",         S.RUNNING,            S.BOOT_STOPPED_FAILURE, do.runs, begin=(do.next_generation,)),
    *_step(S.PROLOG_UNDEPLOY,  "prolog_resume",   S.BOOT_UNDEPLOY,      S.PROLOG_UNDEPLOY_FAILURE, do.prolog_ends, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT_UNDEPLOY,    "deploy",          S.RUNNING,            S.BOOT_UNDEPLOY_FAILURE, do.runs, begin=(do.next_generation,)),

    row(S.RUNNING,             "reboot",          None,                 *_GO, send="vm.reboot"),
    row(S.RUNNING,             "reboot_hard",     None,                 *_GO, send="vm.reset"),
    row(S.RUNNING,             "reboot.ok"),
    row(S.RUNNING,             "reboot.fail",     None,                 do.note_error),
    row(S.RUNNING,             "reset.ok"),
    row(S.RUNNING,             "reset.fail",      None,                 do.note_error),
    row(LIVE | {S.POWEROFF},   "resched",         None,                 do.mark_resched, keeps_op=True),
    row(LIVE | {S.POWEROFF},   "unresched",       None,                 do.clear_resched, keeps_op=True),

    row(S.RUNNING,             "suspend",         S.SAVE_SUSPEND,       *_GO, send="vm.save"),
    *_step(S.SAVE_SUSPEND,     "save",            S.SUSPENDED,          S.RUNNING, do.halts, do.stay_ends),
    row(S.SUSPENDED,           "resume",          S.BOOT_SUSPENDED,     *_GO, do.stays_again, do.next_generation, send="vm.restore"),
    *_step(S.BOOT_SUSPENDED,   "restore",         S.RUNNING,            S.SUSPENDED, do.runs, back=(do.stay_ends,), begin=(do.next_generation,)),

    row(S.RUNNING,             "stop",            S.SAVE_STOP,          *_GO, send="vm.save"),
    *_step(S.SAVE_STOP,        "save",            S.EPILOG_STOP,        S.RUNNING, do.halts, do.epilog_begins, send="tm.epilog_stop"),
    row(S.SUSPENDED,           "stop",            S.EPILOG_STOP,        *_GO, do.stays_again, do.epilog_begins, send="tm.epilog_stop"),
    *_step(S.EPILOG_STOP,      "epilog_stop",     S.STOPPED,            S.EPILOG_STOP_FAILURE, do.epilog_ends, do.came_stopped, do.leave_host),
    row(S.STOPPED,             "resume",          S.PENDING,            *_GO),

    row(LIVE,                  "poweroff",        S.SHUTDOWN_POWEROFF,  *_GO, send="vm.shutdown"),
    row(LIVE | {S.SHUTDOWN_POWEROFF}, "poweroff_hard", S.SHUTDOWN_POWEROFF, *_GO, send="vm.destroy"),
    row(S.POWEROFF,            "resume",          S.BOOT_POWEROFF,      *_GO, do.stays_again, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT_POWEROFF,    "deploy",          S.RUNNING,            S.POWEROFF, do.runs, back=(do.stay_ends,), begin=(do.next_generation,)),
    row(S.UNKNOWN,             "resume",          S.BOOT_UNKNOWN,       *_GO, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT_UNKNOWN,     "deploy",          S.RUNNING,            S.UNKNOWN, do.runs, begin=(do.next_generation,)),
    row(S.UNKNOWN,             "recover_success", S.RUNNING,            do.clear_error),
    row(S.UNKNOWN,             "recover_failure", S.POWEROFF,           do.halts, do.stay_ends),

    row(LIVE,                  "undeploy",        S.SHUTDOWN_UNDEPLOY,  *_GO, send="vm.shutdown"),
    row(LIVE | {S.SHUTDOWN_UNDEPLOY}, "undeploy_hard", S.SHUTDOWN_UNDEPLOY, *_GO, send="vm.destroy"),
    row(S.POWEROFF,            "undeploy",        S.EPILOG_UNDEPLOY,    *_GO, do.stays_again, do.epilog_begins, send="tm.epilog_stop"),
    row(S.POWEROFF,            "undeploy_hard",   S.EPILOG_UNDEPLOY,    *_GO, do.stays_again, do.epilog_begins, send="tm.epilog_stop"),
    *_step(S.EPILOG_UNDEPLOY,  "epilog_stop",     S.UNDEPLOYED,         S.EPILOG_UNDEPLOY_FAILURE, do.epilog_ends, do.came_undeployed, do.leave_host),
    row(S.UNDEPLOYED,          "resume",          S.PENDING,            *_GO),

    row(LIVE,                  "terminate",       S.SHUTDOWN,           *_GO, send="vm.shutdown"),
    row(LIVE | {S.SHUTDOWN},   "terminate_hard",  S.SHUTDOWN,           *_GO, send="vm.destroy"),
    *_step(S.EPILOG,           "epilog",          S.DONE,               S.EPILOG_FAILURE, do.epilog_ends, do.grow_images, do.finish),
]

for _end in ("terminate", "terminate_hard"):
    ROWS += [
        row(WAITING,           _end,              S.EPILOG,             *_GO, when=lambda vm: bool(vm.came), send="tm.epilog"),
        row(WAITING,           _end,              S.DONE,               do.finish),
        row(CLONING,           _end,              S.DONE,               do.finish),
        row(OFF,               _end,              S.EPILOG,             *_GO, do.stays_again, do.epilog_begins, send="tm.epilog"),
        row(AWAY,              _end,              S.EPILOG,             *_GO, send="tm.epilog"),
        row(FAILED,            _end,              S.CLEANUP_DELETE,     *_GO, send="vm.cleanup"),
    ]

_AFTER = {S.SHUTDOWN: (S.EPILOG, (do.halts, do.epilog_begins), "tm.epilog"),
          S.SHUTDOWN_POWEROFF: (S.POWEROFF, (do.halts, do.stay_ends), ""),
          S.SHUTDOWN_UNDEPLOY: (S.EPILOG_UNDEPLOY, (do.halts, do.epilog_begins), "tm.epilog_stop")}
for _state, (_next, _effects, _send) in _AFTER.items():
    for _event in ("shutdown.ok", "destroy.ok", "recover_success"):
        ROWS.append(row(_state, _event, _next, *_effects, send=_send))
    for _event in ("shutdown.fail", "destroy.fail", "recover_failure"):
        ROWS.append(row(_state, _event, S.RUNNING, do.note_error))
    ROWS += [row(_state, "recover_retry", None, do.again, when=_hard, send="vm.destroy"),
             row(_state, "recover_retry", None, do.again, send="vm.shutdown")]

_HOSTED = ACTIVE | OFF
for _source, _event, _target in ((_HOSTED - CLEANING, "recover_delete", S.CLEANUP_DELETE),
                                 (_HOSTED - CLEANING, "recover_recreate", S.CLEANUP_RESUBMIT)):
    ROWS.append(row(_source, _event, _target, *_GO, send="vm.cleanup"))
ROWS += [
    row(AWAY,                  "recover_delete",  S.CLEANUP_DELETE,     *_GO, send="tm.delete"),
    row(WAITING | CLONING,     "recover_delete",  S.CLEANUP_DELETE,     *_GO, when=lambda vm: bool(vm.came), send="tm.delete"),
    row(WAITING | CLONING,     "recover_delete",  S.DONE,               do.finish),
    row(AWAY,                  "recover_recreate", S.CLEANUP_RESUBMIT,  *_GO, send="tm.delete"),
    row(WAITING,               "recover_recreate", S.CLEANUP_RESUBMIT,  *_GO, when=lambda vm: bool(vm.came), send="tm.delete"),
    row(WAITING,               "recover_recreate", S.PENDING,           *_GO),
    row(CLONING,               "recover_recreate", ignore=True),
    row(set(S) - {S.DONE},     "recover_deletedb", S.DONE,              do.finish),
    row(CLEANING,              "cleanup.ok",      None,                 send="tm.delete"),
    row(CLEANING,              "cleanup.fail",    None,                 do.owe_guest, send="tm.delete"),
    row(S.CLEANUP_DELETE,      "delete.ok",       S.DONE,               do.stay_ends, do.finish),
    row(S.CLEANUP_DELETE,      "delete.fail",     S.DONE,               do.owe_files, do.stay_ends, do.finish),
    row(S.CLEANUP_RESUBMIT,    "delete.ok",       S.PENDING,            do.stay_ends, do.leave_host, do.came_new),
    row(S.CLEANUP_RESUBMIT,    "delete.fail",     S.PENDING,            do.owe_files, do.stay_ends, do.leave_host, do.came_new),
    row(S.CLEANUP_DELETE,      "recover_success", S.DONE,               do.stay_ends, do.finish),
    row(S.CLEANUP_RESUBMIT,    "recover_success", S.PENDING,            do.stay_ends, do.leave_host, do.came_new),
    row(CLEANING,              "recover_failure", ignore=True),
    row(CLEANING,              "recover_retry",   None,                 do.again, send="vm.cleanup"),
    row(S.CLEANUP_RESUBMIT,    "recover_delete",  S.CLEANUP_DELETE,     send="vm.cleanup"),
    row(S.CLEANUP_DELETE,      "recover_delete",  None,                 do.again, send="vm.cleanup"),

    # what monitoring and libvirt's events say
    row(LIVE,                  "seen_poweroff",   S.POWEROFF,           do.halts, do.stay_ends),
    row(LIVE,                  "seen_suspended",  S.SUSPENDED,          do.halts, do.stay_ends),
    row(S.RUNNING,             "seen_lost",       S.UNKNOWN),
    row(S.UNKNOWN,             "seen_running",    S.RUNNING,            do.clear_error),
    row(OFF,                   "seen_running",    S.RUNNING,            do.stays_again, do.runs),
    row({S.BOOT_FAILURE, S.BOOT_STOPPED_FAILURE, S.BOOT_UNDEPLOY_FAILURE}, "seen_running", S.RUNNING, do.clear_error, do.runs),
    row(S.RUNNING,             "seen_running",    ignore=True),
    row(set(S) - CLONING - {S.DONE}, "seen_found", S.RUNNING,           do.clear_resched, do.found),  # after a restore, accepted

    # its host is in ERROR: nothing runs there any more and it may start elsewhere, or why it may not
    row(LIVE,                  "fenced",          S.PENDING,            *_GO, do.halts, do.stay_ends, do.owe_fenced, do.came_undeployed, do.leave_host),
    row(LIVE,                  "stranded",        None,                 do.note_error, keeps_op=True),
]
_SEEN = ("seen_poweroff", "seen_suspended", "seen_lost", "seen_running")
_KNOWN = {(s, r.event) for r in ROWS for s in r.sources}
ROWS += [row(s, event, ignore=True) for s in S for event in _SEEN if (s, event) not in _KNOWN]

VM = Machine("VM", ROWS)

USER_EVENTS = ("terminate", "terminate_hard", "undeploy", "undeploy_hard", "hold", "release", "stop", "suspend", "resume",
               "reboot", "reboot_hard", "resched", "unresched", "poweroff", "poweroff_hard")
"""The actions of one.vm.action, `-` written `_`."""
