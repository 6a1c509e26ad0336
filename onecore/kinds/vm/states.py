"""Every way in which a VM moves from state to state: the table."""
# ruff: noqa: E501 (a row is a line: the table is read by columns)
from __future__ import annotations

from typing import Any

from onecore.kinds.vm import change_rows, settle
from onecore.kinds.vm import disk_effects as disk
from onecore.kinds.vm import effects as do
from onecore.kinds.vm import moving as go
from onecore.kinds.vm import snapshot_effects as snap
from onecore.kinds.vm.disk_rows import DISK_ROWS
from onecore.kinds.vm.ports import assign
from onecore.kinds.vm.public import (
    ACTIVE,
    AWAY,
    BUSY_AWAY,
    CLEANING,
    CLONING,
    FAILED,
    LIVE,
    OFF,
    STATE_OF,
    STAYS,
    TRANSIENT,
    UNSAVED,
    WAITING,
    S,
)
from onecore.kinds.vm.rows import GO as _GO
from onecore.kinds.vm.rows import all_of as _all
from onecore.kinds.vm.rows import step as _step
from onecore.lifecycle.machine import Machine, Row, row, split

__all__ = ["ACTIVE", "AWAY", "CLEANING", "CLONING", "FAILED", "LIVE", "OFF", "ROWS", "STATE_OF", "STAYS", "TRANSIENT",
           "UNSAVED", "USER_EVENTS", "VM", "WAITING", "S"]


def _stopped(vm: Any) -> bool:
    return bool(vm.came == "stopped")


def _undeployed(vm: Any) -> bool:
    return bool(vm.came == "undeployed")


def _paused(vm: Any) -> bool:
    """Whether a VM is SUSPENDED because its guest was paused on its host, and is there still."""
    return not _stopped(vm)


def _hosted(vm: Any) -> bool:
    return bool(vm.hid >= 0)


def _held(vm: Any) -> bool:
    return bool(vm.op_kind == "hold")


def _hard(vm: Any) -> bool:
    return str(vm.op_kind).endswith("_hard")


def _saved(vm: Any) -> bool:
    """Whether the guest that moves is in a checkpoint, and not off."""
    return str(vm.op_kind) in ("migrate", "migrate_back")


def _returns(vm: Any) -> bool:
    """Whether files go back to where a migration took them from."""
    return str(vm.op_kind).endswith("_back")


def _not_saved(vm: Any) -> bool:
    return not _saved(vm)


def _goes_on(vm: Any) -> bool:
    return not _returns(vm)


def _settled(vm: Any) -> bool:
    """Whether it is certain which host a VM is on: not after a live migration of which nobody knows how it ended."""
    return bool(vm.to_hid < 0)


def _after_the_guest(source: S, action: str, target: S, failure: S, *effects: Any) -> list[Row]:
    """A step with the files of a VM that is off; what may be left of its guest on the host (networks, a guest that was
    believed to be off) is ended first, and so it is at each further try."""
    rows = [r for r in _step(source, action, target, failure, *effects) if r.event != "recover_retry"]
    for state, clear, again in ((source, do.again, None), (failure, do.clear_error, source)):
        rows += [row(state, "recover_retry", again, clear, when=_hosted, send="vm.destroy"),
                 row(state, "recover_retry", again, clear, send=f"tm.{action}")]
    return [*rows, row(source, "destroy.ok", None, send=f"tm.{action}"), row(source, "destroy.fail", failure, do.note_error)]


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

    row(WAITING | AWAY,        "deploy",          S.PROLOG_RESUME,      *_GO, do.place, assign, do.prolog_begins, when=_stopped, send="tm.prolog_resume"),
    row(WAITING | AWAY,        "deploy",          S.PROLOG_UNDEPLOY,    *_GO, do.place, assign, do.prolog_begins, when=_undeployed, send="tm.prolog_resume"),
    row(WAITING,               "deploy",          S.PROLOG,             *_GO, do.place, assign, do.prolog_begins, send="tm.prolog"),
    *_step(S.PROLOG,           "prolog",          S.BOOT,               S.PROLOG_FAILURE, do.prolog_ends, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT,             "deploy",          S.RUNNING,            S.BOOT_FAILURE, do.runs, begin=(do.next_generation,)),
    *_step(S.PROLOG_RESUME,    "prolog_resume",   S.BOOT_STOPPED,       S.PROLOG_RESUME_FAILURE, do.prolog_ends, do.next_generation, send="vm.restore"),
    *_step(S.BOOT_STOPPED,     "restore",         S.RUNNING,            S.BOOT_STOPPED_FAILURE, do.runs, begin=(do.next_generation,)),
    *_step(S.PROLOG_UNDEPLOY,  "prolog_resume",   S.BOOT_UNDEPLOY,      S.PROLOG_UNDEPLOY_FAILURE, do.prolog_ends, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT_UNDEPLOY,    "deploy",          S.RUNNING,            S.BOOT_UNDEPLOY_FAILURE, do.runs, begin=(do.next_generation,)),

    row(S.RUNNING,             "reboot",          None,                 *_GO, send="vm.reboot"),
    row(S.RUNNING,             "reboot_hard",     None,                 *_GO, send="vm.reset"),
    row(LIVE,                  "reboot.ok"),  # UNKNOWN: its host went silent meanwhile
    row(LIVE,                  "reboot.fail",     None,                 do.note_error),
    row(LIVE,                  "reset.ok"),
    row(LIVE,                  "reset.fail",      None,                 do.note_error),
    row(LIVE | {S.POWEROFF},   "resched",         None,                 do.mark_resched, keeps_op=True),
    row(LIVE | {S.POWEROFF},   "unresched",       None,                 do.clear_resched, keeps_op=True),

    row(S.RUNNING,             "suspend",         S.SAVE_SUSPEND,       *_GO, send="vm.save"),
    *_step(S.SAVE_SUSPEND,     "save",            S.SUSPENDED,          S.RUNNING, do.halts, do.stay_ends, do.came_stopped),
    row(S.SUSPENDED,           "resume",          S.BOOT_SUSPENDED,     *_GO, do.stays_again, do.next_generation, send="vm.restore"),
    *_step(S.BOOT_SUSPENDED,   "restore",         S.RUNNING,            S.SUSPENDED, do.runs, back=(do.stay_ends,), begin=(do.next_generation,)),

    row(S.RUNNING,             "stop",            S.SAVE_STOP,          *_GO, send="vm.save"),
    *_step(S.SAVE_STOP,        "save",            S.EPILOG_STOP,        S.RUNNING, do.halts, do.epilog_begins, send="tm.epilog_stop"),
    row(S.SUSPENDED,           "stop",            S.EPILOG_STOP,        *_GO, do.stays_again, do.epilog_begins, when=_stopped, send="vm.destroy"),
    row(S.SUSPENDED,           "stop",            S.SAVE_STOP,          *_GO, do.stays_again, send="vm.save"),
    *_after_the_guest(S.EPILOG_STOP, "epilog_stop", S.STOPPED,            S.EPILOG_STOP_FAILURE, do.epilog_ends, do.came_stopped, do.leave_host),
    row(S.STOPPED,             "resume",          S.PENDING,            *_GO),

    row(LIVE,                  "poweroff",        S.SHUTDOWN_POWEROFF,  *_GO, send="vm.shutdown"),
    row(LIVE | {S.SHUTDOWN_POWEROFF}, "poweroff_hard", S.SHUTDOWN_POWEROFF, *_GO, send="vm.destroy"),
    row(S.POWEROFF,            "resume",          S.BOOT_POWEROFF,      *_GO, do.stays_again, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT_POWEROFF,    "deploy",          S.RUNNING,            S.POWEROFF, do.runs, back=(do.stay_ends,), begin=(do.next_generation,)),
    row(S.UNKNOWN,             "resume",          S.BOOT_UNKNOWN,       *_GO, do.next_generation, send="vm.deploy"),
    *_step(S.BOOT_UNKNOWN,     "deploy",          S.RUNNING,            S.UNKNOWN, do.runs, begin=(do.next_generation,)),
    row(S.UNKNOWN,             "recover_success", S.RUNNING,            do.clear_error, go.give_up_move),
    row(S.UNKNOWN,             "recover_failure", S.POWEROFF,           go.give_up_move, do.halts, do.stay_ends),

    row(LIVE,                  "undeploy",        S.SHUTDOWN_UNDEPLOY,  *_GO, send="vm.shutdown"),
    row(LIVE | {S.SHUTDOWN_UNDEPLOY}, "undeploy_hard", S.SHUTDOWN_UNDEPLOY, *_GO, send="vm.destroy"),
    row(S.POWEROFF,            "undeploy",        S.EPILOG_UNDEPLOY,    *_GO, do.stays_again, do.epilog_begins, send="vm.destroy"),
    row(S.POWEROFF,            "undeploy_hard",   S.EPILOG_UNDEPLOY,    *_GO, do.stays_again, do.epilog_begins, send="vm.destroy"),
    *_after_the_guest(S.EPILOG_UNDEPLOY, "epilog_stop", S.UNDEPLOYED,         S.EPILOG_UNDEPLOY_FAILURE, do.epilog_ends, do.came_undeployed, do.leave_host),
    row(S.UNDEPLOYED,          "resume",          S.PENDING,            *_GO),

    row(LIVE,                  "terminate",       S.SHUTDOWN,           *_GO, send="vm.shutdown"),
    row(LIVE | {S.SHUTDOWN},   "terminate_hard",  S.SHUTDOWN,           *_GO, send="vm.destroy"),
    *_after_the_guest(S.EPILOG, "epilog",         S.DONE,               S.EPILOG_FAILURE, do.epilog_ends, do.grow_images, do.finish),
]

for _end in ("terminate", "terminate_hard"):
    ROWS += [
        row(WAITING,           _end,              S.EPILOG,             *_GO, when=lambda vm: bool(vm.came), send="tm.epilog"),
        row(WAITING,           _end,              S.DONE,               do.finish),
        row(CLONING,           _end,              S.DONE,               do.finish),
        row(S.SUSPENDED,       _end,              S.SHUTDOWN,           *_GO, do.stays_again, when=_paused, send="vm.destroy"),
        row(OFF,               _end,              S.EPILOG,             *_GO, do.stays_again, do.epilog_begins, send="vm.destroy"),
        row(AWAY,              _end,              S.EPILOG,             *_GO, send="tm.epilog"),
        row(FAILED,            _end,              S.CLEANUP_DELETE,     *_GO, go.give_up_move, send="vm.cleanup"),
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

# -- migration: the destination is reserved first, the record moves when the guest (live) or its files have

ROWS += [
    row(S.RUNNING,             "live_migrate",    S.MIGRATE,            *_GO, go.reserve, send="vm.migrate"),
    *_step(S.MIGRATE,          "migrate",         S.RUNNING,            None, go.owe_left, go.arrive_running),
    row(S.MIGRATE,             "migrate.fail",    S.RUNNING,            do.note_error, go.owe_left, go.unreserve),
    row(S.MIGRATE,             "migrate.lost",    S.UNKNOWN,            do.note_error),
    row(S.MIGRATE,             "recover_failure", S.UNKNOWN,            do.note_error),  # it may be past the switch: the hosts tell
    row(S.UNKNOWN,             "seen_moved",      S.RUNNING,            go.owe_source, go.arrive_running),
    row(S.UNKNOWN,             "seen_either",     S.MIGRATE,            go.anew, send="vm.migrate"),  # to another datastore: the driver looks first
    row(S.UNKNOWN,             "seen_not_moved",  None,                 go.give_up_move),

    row(S.RUNNING,             "migrate",         S.SAVE_MIGRATE,       *_GO, go.reserve, send="vm.save"),
    row(S.RUNNING,             "migrate_poff",    S.SAVE_MIGRATE,       *_GO, go.reserve, send="vm.shutdown"),
    row(S.RUNNING,             "migrate_poff_hard", S.SAVE_MIGRATE,     *_GO, go.reserve, send="vm.destroy"),
    row(S.SAVE_MIGRATE,        "recover_retry",   None,                 do.again, when=_saved, send="vm.save"),
    row(S.SAVE_MIGRATE,        "recover_retry",   None,                 do.again, when=_hard, send="vm.destroy"),
    row(S.SAVE_MIGRATE,        "recover_retry",   None,                 do.again, send="vm.shutdown"),

    row(S.POWEROFF,            "migrate",         S.PROLOG_MIGRATE_POWEROFF, *_GO, go.reserve, send="vm.destroy"),
    row(S.PROLOG_MIGRATE_POWEROFF, "destroy.ok",  None,                 send="tm.move"),
    row(S.PROLOG_MIGRATE_POWEROFF, "destroy.fail", S.PROLOG_MIGRATE_POWEROFF_FAILURE, do.note_error, when=go.tried),
    row(S.PROLOG_MIGRATE_POWEROFF, "destroy.fail", S.POWEROFF,          do.note_error, go.unreserve),
    row(S.SUSPENDED,           "migrate",         S.PROLOG_MIGRATE_SUSPEND, *_GO, go.reserve, send="vm.destroy"),
    row(S.PROLOG_MIGRATE_SUSPEND, "destroy.ok",   None,                 send="tm.move"),
    row(S.PROLOG_MIGRATE_SUSPEND, "destroy.fail", S.PROLOG_MIGRATE_SUSPEND_FAILURE, do.note_error, when=go.tried),
    row(S.PROLOG_MIGRATE_SUSPEND, "destroy.fail", S.SUSPENDED,          do.note_error, go.unreserve),
    row(S.UNKNOWN,             "migrate",         S.PROLOG_MIGRATE_UNKNOWN, *_GO, go.reserve, send="vm.cleanup"),
    row(S.PROLOG_MIGRATE_UNKNOWN, "cleanup.ok",   None,                 send="tm.move"),
    row(S.PROLOG_MIGRATE_UNKNOWN, "cleanup.fail", S.PROLOG_MIGRATE_UNKNOWN_FAILURE, do.note_error, when=go.tried),
    row(S.PROLOG_MIGRATE_UNKNOWN, "cleanup.fail", S.UNKNOWN,            do.note_error, go.unreserve),
]
for _event in ("save.ok", "shutdown.ok", "destroy.ok", "recover_success"):
    ROWS.append(row(S.SAVE_MIGRATE, _event, S.PROLOG_MIGRATE, do.halts, send="tm.move"))
for _event in ("save.fail", "shutdown.fail", "destroy.fail", "recover_failure"):
    ROWS.append(row(S.SAVE_MIGRATE, _event, S.RUNNING, do.note_error, go.unreserve))


def _move(state: S, failure: S, target: S, *effects: Any, retry: str = "tm.move", send: str = "", saved: str = "") -> list[Row]:
    """The files go to the destination or, after recover --failure, back to where they were; TARGET is reached either way.

    SAVED: what is sent instead of SEND when there is a checkpoint.
    """
    ends: list[tuple[Any, str]] = [(_saved, saved), (None, send)] if saved else [(None, send)]
    rows: list[Row] = []
    for guard, command in ends:
        for source, clear in ((state, ()), (failure, (do.clear_error,))):
            rows += [row(source, "recover_success", target, *clear, go.owe_there, go.unreserve, *effects,
                         when=_all(_returns, guard or (_not_saved if saved else None)), send=command),
                     row(source, "recover_success", target, *clear, go.owe_behind, go.arrive, assign, *effects,
                         when=guard and _all(_goes_on, guard), send=command)]
        rows += [row(state, "move.ok", target, go.owe_left, go.arrive, assign, *effects, when=guard, send=command),
                 row(state, "move_back.ok", target, go.owe_left, go.unreserve, *effects, when=guard, send=command)]
    for source, begin in ((state, do.again), (failure, do.clear_error)):
        target_again = None if source is state else state
        rows += [row(source, "recover_retry", target_again, begin, when=_returns, send="tm.move_back"),
                 row(source, "recover_retry", target_again, begin, go.begun_before, send=retry)]
    return [*rows,
            row(state, "move.fail", failure, do.note_error),
            row(state, "move_back.fail", failure, do.note_error),
            row(state, "recover_failure", failure, do.note_error),
            row(failure, "recover_failure", state, go.turn_back, send="tm.move_back")]


ROWS += [
    *_move(S.PROLOG_MIGRATE,   S.PROLOG_MIGRATE_FAILURE, S.BOOT_MIGRATE, do.next_generation, saved="vm.restore", send="vm.deploy"),
    *_move(S.PROLOG_MIGRATE_POWEROFF, S.PROLOG_MIGRATE_POWEROFF_FAILURE, S.POWEROFF, retry="vm.destroy"),
    *_move(S.PROLOG_MIGRATE_SUSPEND, S.PROLOG_MIGRATE_SUSPEND_FAILURE, S.SUSPENDED, retry="vm.destroy"),
    *_move(S.PROLOG_MIGRATE_UNKNOWN, S.PROLOG_MIGRATE_UNKNOWN_FAILURE, S.BOOT, do.next_generation, retry="vm.cleanup", send="vm.deploy"),
]
for _event in ("restore.ok", "deploy.ok", "recover_success"):
    ROWS.append(row(S.BOOT_MIGRATE, _event, S.RUNNING, do.runs))
for _event in ("restore.fail", "deploy.fail", "recover_failure"):
    ROWS.append(row(S.BOOT_MIGRATE, _event, S.BOOT_MIGRATE_FAILURE, do.note_error))
for _state, _begin, _target in ((S.BOOT_MIGRATE, do.again, None), (S.BOOT_MIGRATE_FAILURE, do.clear_error, S.BOOT_MIGRATE)):
    ROWS += [row(_state, "recover_retry", _target, _begin, do.next_generation, when=_saved, send="vm.restore"),
             row(_state, "recover_retry", _target, _begin, do.next_generation, send="vm.deploy")]
ROWS += [row(S.BOOT_MIGRATE_FAILURE, "recover_success", S.RUNNING, do.clear_error, do.runs),
         row(S.BOOT_MIGRATE_FAILURE, "recover_failure", ignore=True)]

ROWS += change_rows.ROWS

_HOSTED = ACTIVE | OFF
for _source, _event, _target in ((_HOSTED - CLEANING - BUSY_AWAY, "recover_delete", S.CLEANUP_DELETE),
                                 (_HOSTED - CLEANING - BUSY_AWAY, "recover_recreate", S.CLEANUP_RESUBMIT)):
    ROWS.append(row(_source, _event, _target, *_GO, go.give_up_move, disk.settle, settle.given_up, send="vm.cleanup"))
ROWS += [
    *DISK_ROWS,
    row(AWAY | BUSY_AWAY,      "recover_delete",  S.CLEANUP_DELETE,     *_GO, disk.settle, send="tm.delete"),
    row(WAITING | CLONING,     "recover_delete",  S.CLEANUP_DELETE,     *_GO, when=lambda vm: bool(vm.came), send="tm.delete"),
    row(WAITING | CLONING,     "recover_delete",  S.DONE,               do.finish),
    row(AWAY | BUSY_AWAY,      "recover_recreate", S.CLEANUP_RESUBMIT,  *_GO, disk.settle, send="tm.delete"),
    row(WAITING,               "recover_recreate", S.CLEANUP_RESUBMIT,  *_GO, when=lambda vm: bool(vm.came), send="tm.delete"),
    row(WAITING,               "recover_recreate", S.PENDING,           *_GO),
    row(CLONING,               "recover_recreate", ignore=True),
    row(set(S) - {S.DONE},     "recover_deletedb", S.DONE,              go.unreserve, settle.given_up, disk.settle, do.finish),
    row(CLEANING,              "cleanup.ok",      None,                 send="tm.delete"),
    row(CLEANING,              "cleanup.fail",    None,                 do.owe_guest, send="tm.delete"),
    row(S.CLEANUP_DELETE,      "delete.ok",       S.DONE,               do.stay_ends, do.finish),
    row(S.CLEANUP_DELETE,      "delete.fail",     S.DONE,               do.owe_files, do.stay_ends, do.finish),
    row(S.CLEANUP_RESUBMIT,    "delete.ok",       S.PENDING,            do.stay_ends, do.leave_host, do.came_new, snap.forget, settle.afresh),
    row(S.CLEANUP_RESUBMIT,    "delete.fail",     S.PENDING,            do.owe_files, do.stay_ends, do.leave_host, do.came_new, snap.forget, settle.afresh),
    row(S.CLEANUP_DELETE,      "recover_success", S.DONE,               do.stay_ends, do.finish),
    row(S.CLEANUP_RESUBMIT,    "recover_success", S.PENDING,            do.stay_ends, do.leave_host, do.came_new, snap.forget, settle.afresh),
    row(CLEANING,              "recover_failure", ignore=True),
    row(CLEANING,              "recover_retry",   None,                 do.again, send="vm.cleanup"),
    row(S.CLEANUP_RESUBMIT,    "recover_delete",  S.CLEANUP_DELETE,     send="vm.cleanup"),
    row(S.CLEANUP_DELETE,      "recover_delete",  None,                 do.again, send="vm.cleanup"),

    # what monitoring and libvirt's events say
    row(S.UNKNOWN,             "seen_poweroff",   ignore=True,          when=lambda vm: vm.to_hid >= 0),  # it may have moved: its destination tells
    row(LIVE,                  "seen_poweroff",   S.POWEROFF,           do.halts, do.stay_ends),
    row(S.SUSPENDED,           "seen_poweroff",   S.POWEROFF,           when=_paused),
    row(S.SUSPENDED,           "seen_poweroff",   ignore=True),
    row(S.UNKNOWN,             "seen_suspended",  ignore=True,          when=lambda vm: vm.to_hid >= 0),  # a migration's source stands still at its end
    row(LIVE,                  "seen_suspended",  S.SUSPENDED,          do.halts, do.stay_ends, go.unreserve),
    row(LIVE,                  "seen_saved",      S.SUSPENDED,          do.halts, do.stay_ends, do.came_stopped),  # and nobody heard of it
    row(S.RUNNING,             "seen_lost",       S.UNKNOWN,            keeps_op=True),  # what was asked for last tells whether it may have been saved
    row(S.UNKNOWN,             "seen_running",    ignore=True,          when=lambda vm: vm.to_hid >= 0),
    row(S.UNKNOWN,             "seen_running",    S.RUNNING,            go.note_stayed, when=go.did_not_move),
    row(S.UNKNOWN,             "seen_running",    S.RUNNING,            do.clear_error),
    row(S.UNKNOWN,             "seen_stayed",     S.RUNNING,            go.note_stayed, go.give_up_move),
    row(OFF,                   "seen_running",    S.RUNNING,            do.stays_again, do.runs),
    row({S.BOOT_FAILURE, S.BOOT_STOPPED_FAILURE, S.BOOT_UNDEPLOY_FAILURE, S.BOOT_MIGRATE_FAILURE}, "seen_running", S.RUNNING, do.clear_error, do.runs),
    row(S.RUNNING,             "seen_running",    ignore=True),
    row(set(S) - CLONING - {S.DONE}, "seen_found", S.RUNNING,           do.clear_resched, disk.settle, settle.as_recorded, go.unreserve, do.found),  # after a restore, accepted

    # its host is in ERROR: nothing runs there any more and it may start elsewhere, or why it may not
    row(LIVE,                  "fenced",          S.PENDING,            *_GO, do.halts, do.stay_ends, go.give_up_move, do.owe_fenced, do.came_undeployed, do.leave_host),
    row(LIVE,                  "stranded",        None,                 do.note_error, keeps_op=True),
]
_UNSURE = "it may have moved to another host, which is asked as soon as it answers; recover --success, --failure or --delete decide"
_DOUBTED = {"resume", "migrate", "poweroff", "poweroff_hard", "undeploy", "undeploy_hard", "terminate", "terminate_hard", "fenced"}
ROWS = [part for r in ROWS for part in split(r, S.UNKNOWN, _settled, _UNSURE if r.event in _DOUBTED else "")]

_PAUSED = "its guest is paused on its host and may write; resume it, stop it or end it first"
_OF_PAUSED = ("resume", "stop", "terminate", "terminate_hard")
ROWS = [part for r in ROWS for part in split(r, S.SUSPENDED, _stopped, "" if r.event in _OF_PAUSED or "." in r.event
                                             or r.event.startswith(("recover_", "seen_")) else _PAUSED)]

_SEEN = ("seen_poweroff", "seen_suspended", "seen_lost", "seen_running")
_KNOWN = {(s, r.event) for r in ROWS for s in r.sources}
ROWS += [row(s, event, ignore=True) for s in S for event in _SEEN if (s, event) not in _KNOWN]

VM = Machine("VM", ROWS)

USER_EVENTS = ("terminate", "terminate_hard", "undeploy", "undeploy_hard", "hold", "release", "stop", "suspend", "resume",
               "reboot", "reboot_hard", "resched", "unresched", "poweroff", "poweroff_hard")
"""The actions of one.vm.action, `-` written `_`."""
