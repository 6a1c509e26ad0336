"""Rows of the state table: how a VM's NICs, size and configuration change, and its system snapshots.

A change that failed, or that the operator calls failed, is undone: nobody knows how far it came.  The undo is a kind of
its own, so that a crash goes on with it.
"""
# ruff: noqa: E501 (a row is a line: the table is read by columns)
from __future__ import annotations

from onecore.kinds.vm import effects as do
from onecore.kinds.vm import nic_effects as nic
from onecore.kinds.vm import resize_effects as size
from onecore.kinds.vm import settle
from onecore.kinds.vm import system_snapshot_effects as snap
from onecore.kinds.vm.conf_effects import configure
from onecore.kinds.vm.exec_effects import begins
from onecore.kinds.vm.public import CLONING, WAITING, S
from onecore.kinds.vm.rows import GO, all_of, of_kind, was_off
from onecore.lifecycle.machine import Row, row

COLD = WAITING | CLONING | {S.POWEROFF, S.UNDEPLOYED}
"""Where a VM's next start is all that a change can concern."""
ENDING = {s for s in S if s.name in (
    "PROLOG", "PROLOG_UNDEPLOY", "EPILOG", "EPILOG_UNDEPLOY", "SHUTDOWN", "SHUTDOWN_POWEROFF", "SHUTDOWN_UNDEPLOY", "CLEANUP_RESUBMIT", "CLEANUP_DELETE",
    "PROLOG_FAILURE", "BOOT_FAILURE", "EPILOG_FAILURE", "EPILOG_UNDEPLOY_FAILURE", "PROLOG_UNDEPLOY_FAILURE", "BOOT_UNDEPLOY_FAILURE",
    "PROLOG_MIGRATE_POWEROFF", "PROLOG_MIGRATE_POWEROFF_FAILURE", "HOTPLUG_SAVEAS_POWEROFF", "HOTPLUG_PROLOG_POWEROFF", "HOTPLUG_EPILOG_POWEROFF",
    "DISK_SNAPSHOT_POWEROFF", "DISK_SNAPSHOT_REVERT_POWEROFF", "DISK_SNAPSHOT_DELETE_POWEROFF")}
"""Where a new configuration is kept although something is under way: no guest that runs on will miss it."""

_deleted_off = all_of(was_off, of_kind("snapshot_delete"))

NICS: list[Row] = [
    row(S.RUNNING,      "nic_attach",      S.HOTPLUG_NIC, *GO, nic.comes, send="vm.attach_nic"),
    row(S.RUNNING,      "nic_detach",      S.HOTPLUG_NIC, *GO, nic.leaves, send="vm.detach_nic"),
    row(S.RUNNING,      "nic_update",      S.HOTPLUG_NIC, *GO, nic.as_decided, send="vm.update_nic"),
    row(S.POWEROFF,     "nic_attach",      None,          nic.as_decided, keeps_op=True),
    row(S.POWEROFF,     "nic_detach",      None,          nic.gone, keeps_op=True),
    row(COLD | {S.SUSPENDED, S.STOPPED}, "nic_update", None, nic.as_decided, keeps_op=True),

    row(S.HOTPLUG_NIC,  "attach_nic.ok",   S.RUNNING,     settle.plugged),
    row(S.HOTPLUG_NIC,  "attach_nic.fail", None,          do.note_error, nic.attach_undone, send="vm.detach_nic"),
    row(S.HOTPLUG_NIC,  "detach_nic.ok",   S.RUNNING,     nic.gone),
    row(S.HOTPLUG_NIC,  "detach_nic.fail", S.RUNNING,     do.add_error, settle.plugged),
    row(S.HOTPLUG_NIC,  "update_nic.ok",   S.RUNNING),
    row(S.HOTPLUG_NIC,  "update_nic.fail", None,          do.note_error, nic.update_undone, when=of_kind("nic_update"), send="vm.update_nic"),
    row(S.HOTPLUG_NIC,  "update_nic.fail", S.RUNNING,     do.add_error),

    row(S.HOTPLUG_NIC,  "recover_success", S.RUNNING,     settle.plugged, when=of_kind("nic_attach")),
    row(S.HOTPLUG_NIC,  "recover_success", S.RUNNING,     when=of_kind("nic_update", "nic_update_undo")),
    row(S.HOTPLUG_NIC,  "recover_success", S.RUNNING,     nic.gone),
    row(S.HOTPLUG_NIC,  "recover_failure", None,          do.note_error, nic.attach_undone, when=of_kind("nic_attach"), send="vm.detach_nic"),
    row(S.HOTPLUG_NIC,  "recover_failure", None,          do.note_error, nic.update_undone, when=of_kind("nic_update"), send="vm.update_nic"),
    row(S.HOTPLUG_NIC,  "recover_failure", S.RUNNING,     do.add_error, settle.plugged),
    row(S.HOTPLUG_NIC,  "recover_retry",   None,          do.again, when=of_kind("nic_attach"), send="vm.attach_nic"),
    row(S.HOTPLUG_NIC,  "recover_retry",   None,          do.again, when=of_kind("nic_update", "nic_update_undo"), send="vm.update_nic"),
    row(S.HOTPLUG_NIC,  "recover_retry",   None,          do.again, send="vm.detach_nic"),
]

SNAPSHOTS: list[Row] = [
    row(S.RUNNING,      "snapshot_create", S.HOTPLUG_SNAPSHOT, *GO, snap.comes, send="vm.snapshot_create"),
    row(S.RUNNING,      "snapshot_revert", S.HOTPLUG_SNAPSHOT, *GO, snap.in_use, send="vm.snapshot_revert"),
    row({S.RUNNING, S.POWEROFF}, "snapshot_delete", S.HOTPLUG_SNAPSHOT, *GO, snap.in_use, send="vm.snapshot_delete"),

    row(S.HOTPLUG_SNAPSHOT, "snapshot_create.ok", S.RUNNING, snap.made),
    row(S.HOTPLUG_SNAPSHOT, "snapshot_create.fail", None, do.note_error, snap.undone, send="vm.snapshot_delete"),
    row(S.HOTPLUG_SNAPSHOT, "snapshot_revert.ok", S.RUNNING, snap.idle),
    row(S.HOTPLUG_SNAPSHOT, "snapshot_revert.fail", S.RUNNING, do.note_error, snap.idle),
    row(S.HOTPLUG_SNAPSHOT, "snapshot_delete.ok", S.POWEROFF, snap.gone, when=_deleted_off),
    row(S.HOTPLUG_SNAPSHOT, "snapshot_delete.ok", S.RUNNING, snap.gone),
    row(S.HOTPLUG_SNAPSHOT, "snapshot_delete.fail", S.POWEROFF, do.add_error, snap.idle, when=_deleted_off),
    row(S.HOTPLUG_SNAPSHOT, "snapshot_delete.fail", S.RUNNING, do.add_error, snap.idle),

    row(S.HOTPLUG_SNAPSHOT, "recover_success", S.RUNNING, snap.made, when=of_kind("snapshot_create")),
    row(S.HOTPLUG_SNAPSHOT, "recover_success", S.RUNNING, snap.idle, when=of_kind("snapshot_revert")),
    row(S.HOTPLUG_SNAPSHOT, "recover_success", S.POWEROFF, snap.gone, when=_deleted_off),
    row(S.HOTPLUG_SNAPSHOT, "recover_success", S.RUNNING, snap.gone),
    row(S.HOTPLUG_SNAPSHOT, "recover_failure", None, do.note_error, snap.undone, when=of_kind("snapshot_create"), send="vm.snapshot_delete"),
    row(S.HOTPLUG_SNAPSHOT, "recover_failure", S.POWEROFF, do.add_error, snap.idle, when=_deleted_off),
    row(S.HOTPLUG_SNAPSHOT, "recover_failure", S.RUNNING, do.add_error, snap.idle),
    row(S.HOTPLUG_SNAPSHOT, "recover_retry", None, do.again, when=of_kind("snapshot_create"), send="vm.snapshot_create"),
    row(S.HOTPLUG_SNAPSHOT, "recover_retry", None, do.again, when=of_kind("snapshot_revert"), send="vm.snapshot_revert"),
    row(S.HOTPLUG_SNAPSHOT, "recover_retry", None, do.again, send="vm.snapshot_delete"),
]

RESIZE: list[Row] = [
    row(S.RUNNING,      "resize",          S.HOTPLUG_RESIZE, *GO, size.reserve, send="vm.resize"),
    row(COLD,           "resize",          None,          size.become, keeps_op=True),
]
for _event, _first in (("resize.ok", True), ("recover_success", True), ("resize.fail", False), ("recover_failure", False)):
    RESIZE += [
        row(S.HOTPLUG_RESIZE, _event, S.RUNNING, size.become, when=of_kind("resize")),
        row(S.HOTPLUG_RESIZE, _event, S.RUNNING, size.stay)] if _first else [
        row(S.HOTPLUG_RESIZE, _event, None, do.note_error, size.undone, when=of_kind("resize"), send="vm.resize"),
        row(S.HOTPLUG_RESIZE, _event, S.RUNNING, do.add_error, size.doubt)]
RESIZE.append(row(S.HOTPLUG_RESIZE, "recover_retry", None, do.again, send="vm.resize"))

CONF: list[Row] = [
    row(S.RUNNING,      "updateconf",      S.HOTPLUG,     *GO, configure, send="vm.updateconf"),
    row(COLD | ENDING,  "updateconf",      None,          configure, keeps_op=True),
    row(S.HOTPLUG,      "updateconf.ok",   S.RUNNING),
    row(S.HOTPLUG,      "updateconf.fail", S.RUNNING,     do.note_error),
    row(S.HOTPLUG,      "recover_success", S.RUNNING,     when=of_kind("updateconf")),
    row(S.HOTPLUG,      "recover_failure", S.RUNNING,     do.note_error, when=of_kind("updateconf")),
    row(S.HOTPLUG,      "recover_retry",   None,          do.again, when=of_kind("updateconf"), send="vm.updateconf"),
]

ROWS = [*NICS, *SNAPSHOTS, *RESIZE, *CONF, row(S.RUNNING, "exec", None, begins, keeps_op=True)]
