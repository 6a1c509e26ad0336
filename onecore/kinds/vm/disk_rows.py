"""The part of the state table that is about disks: attached, detached, kept as snapshots, resized, saved as images."""
# ruff: noqa: E501 (a row is a line: the table is read by columns)
from __future__ import annotations

from onecore.kinds.vm import disk_effects as disk
from onecore.kinds.vm import effects as do
from onecore.kinds.vm import saveas_effects as save
from onecore.kinds.vm import snapshot_effects as snap
from onecore.kinds.vm.public import S
from onecore.kinds.vm.rows import GO, of_kind, step
from onecore.lifecycle.machine import Row, row

_attaching, _undoing = of_kind("disk_attach"), of_kind("disk_attach_undo")

DISK_ROWS: list[Row] = [
    # attach: its file first, then the guest has it; when the guest cannot have it, both are taken back
    row(S.RUNNING,             "disk_attach",     S.HOTPLUG,            *GO, disk.comes, send="tm.attach"),
    row(S.HOTPLUG,             "attach.ok",       None,                 send="vm.attach_disk"),
    row(S.HOTPLUG,             "attach.fail",     None,                 do.note_error, disk.undo, send="tm.detach"),
    row(S.HOTPLUG,             "attach_disk.ok",  S.RUNNING,            disk.stays),
    row(S.HOTPLUG,             "attach_disk.fail", None,                do.note_error, disk.undo, send="vm.detach_disk"),

    # detach: the guest gives it up, then its file goes; while the guest may have it, the record has it
    row(S.RUNNING,             "disk_detach",     S.HOTPLUG,            *GO, disk.goes, send="vm.detach_disk"),
    row(S.HOTPLUG,             "detach_disk.ok",  None,                 send="tm.detach"),
    row(S.HOTPLUG,             "detach_disk.fail", S.RUNNING,           do.add_error, disk.stays),
    row(S.HOTPLUG,             "detach.ok",       S.RUNNING,            disk.gone, when=_undoing),
    row(S.HOTPLUG,             "detach.ok",       S.RUNNING,            disk.saved),
    row(S.HOTPLUG,             "detach.fail",     S.RUNNING,            do.add_error, disk.gone, when=_undoing),
    row(S.HOTPLUG,             "detach.fail",     S.RUNNING,            do.add_error, disk.stays),

    row(S.HOTPLUG,             "recover_success", S.RUNNING,            disk.stays, when=_attaching),
    row(S.HOTPLUG,             "recover_success", S.RUNNING,            disk.gone, when=_undoing),
    row(S.HOTPLUG,             "recover_success", S.RUNNING,            disk.saved),
    row(S.HOTPLUG,             "recover_failure", None,                 do.note_error, disk.undo, when=_attaching, send="vm.detach_disk"),
    row(S.HOTPLUG,             "recover_failure", S.RUNNING,            do.add_error, disk.stays),
    row(S.HOTPLUG,             "recover_retry",   None,                 do.again, when=_attaching, send="tm.attach"),
    row(S.HOTPLUG,             "recover_retry",   None,                 do.again, send="vm.detach_disk"),

    # the same of a VM that is off: files only
    row(S.POWEROFF,            "disk_attach",     S.HOTPLUG_PROLOG_POWEROFF, *GO, disk.comes, send="tm.attach"),
    row(S.HOTPLUG_PROLOG_POWEROFF, "attach.ok",   S.POWEROFF,           disk.stays),
    row(S.HOTPLUG_PROLOG_POWEROFF, "attach.fail", None,                 do.note_error, disk.undo, send="tm.detach"),
    row(S.HOTPLUG_PROLOG_POWEROFF, "detach.ok",   S.POWEROFF,           disk.gone),
    row(S.HOTPLUG_PROLOG_POWEROFF, "detach.fail", S.POWEROFF,           do.add_error, disk.gone),
    row(S.HOTPLUG_PROLOG_POWEROFF, "recover_success", S.POWEROFF,       disk.gone, when=_undoing),
    row(S.HOTPLUG_PROLOG_POWEROFF, "recover_success", S.POWEROFF,       disk.stays),
    row(S.HOTPLUG_PROLOG_POWEROFF, "recover_failure", S.POWEROFF,       do.add_error, disk.gone, when=_undoing),
    row(S.HOTPLUG_PROLOG_POWEROFF, "recover_failure", None,             do.note_error, disk.undo, send="tm.detach"),
    row(S.HOTPLUG_PROLOG_POWEROFF, "recover_retry", None,               do.again, when=_undoing, send="tm.detach"),
    row(S.HOTPLUG_PROLOG_POWEROFF, "recover_retry", None,               do.again, send="tm.attach"),
    row(S.POWEROFF,            "disk_detach",     S.HOTPLUG_EPILOG_POWEROFF, *GO, disk.goes, send="tm.detach"),
    *step(S.HOTPLUG_EPILOG_POWEROFF, "detach",   S.POWEROFF,           S.POWEROFF, disk.saved, back=(disk.stays,), family="tm"),
]


def _made(stays: S, state: S, create: str, delete: str) -> list[Row]:
    """A snapshot is made by CREATE and, when that failed, deleted by DELETE: nobody knows how far it came."""
    made, gone = create.partition(".")[2], delete.partition(".")[2]
    undoing = of_kind("disk_snapshot_create_undo")
    return [
        row(stays, "disk_snapshot_create", state, *GO, snap.begins, send=create),
        row(state, f"{made}.ok",           stays, snap.done),
        row(state, f"{made}.fail",         None,  do.note_error, snap.undo, send=delete),
        row(state, f"{gone}.ok",           stays, snap.undone),
        row(state, f"{gone}.fail",         stays, do.add_error, snap.doubted),
        row(state, "recover_success",      stays, snap.undone, when=undoing),
        row(state, "recover_success",      stays, snap.doubted),
        row(state, "recover_failure",      stays, do.add_error, snap.doubted, when=undoing),
        row(state, "recover_failure",      None,  do.note_error, snap.undo, send=delete),
        row(state, "recover_retry",        None,  do.again, when=undoing, send=delete),
        row(state, "recover_retry",        None,  do.again, send=create)]


def _changed(stays: S, event: str, state: S, action: str) -> list[Row]:
    """A snapshot is deleted or gone back to by ACTION."""
    family, _, verb = action.partition(".")
    return [row(stays, event, state, *GO, send=action),
            *step(state, verb, stays, stays, snap.done, back=(snap.unsure,), family=family)]


for _stays, _create, _delete, _family in (
        (S.RUNNING, S.DISK_SNAPSHOT, S.DISK_SNAPSHOT_DELETE, "vm.disk_snapshot"),
        (S.POWEROFF, S.DISK_SNAPSHOT_POWEROFF, S.DISK_SNAPSHOT_DELETE_POWEROFF, "tm.snap"),
        (S.SUSPENDED, S.DISK_SNAPSHOT_SUSPENDED, S.DISK_SNAPSHOT_DELETE_SUSPENDED, "tm.snap")):
    DISK_ROWS += [*_made(_stays, _create, f"{_family}_create", f"{_family}_delete"),
                  *_changed(_stays, "disk_snapshot_delete", _delete, f"{_family}_delete")]
DISK_ROWS += _changed(S.POWEROFF, "disk_snapshot_revert", S.DISK_SNAPSHOT_REVERT_POWEROFF, "tm.snap_revert")

# -- larger

for _stays, _state, _send in ((S.RUNNING, S.DISK_RESIZE, "vm.resize_disk"), (S.POWEROFF, S.DISK_RESIZE_POWEROFF, "tm.resize"),
                              (S.UNDEPLOYED, S.DISK_RESIZE_UNDEPLOYED, "tm.resize")):
    _family, _, _verb = _send.partition(".")
    DISK_ROWS += [row(_stays, "disk_resize", _state, *GO, disk.grows, send=_send),
                  *step(_state, _verb, _stays, _stays, disk.grown, back=(disk.not_grown,), family=_family)]

# -- saved as an image; a guest that runs has the disk copied beside it first, and when that comes to nothing the copy goes

_live, _left = of_kind("disk_saveas_live"), of_kind("disk_saveas_live_undo")
for _stays, _state in ((S.RUNNING, S.HOTPLUG_SAVEAS), (S.POWEROFF, S.HOTPLUG_SAVEAS_POWEROFF), (S.SUSPENDED, S.HOTPLUG_SAVEAS_SUSPENDED),
                       (S.UNDEPLOYED, S.HOTPLUG_SAVEAS_UNDEPLOYED), (S.STOPPED, S.HOTPLUG_SAVEAS_STOPPED)):
    if _stays is S.RUNNING:
        DISK_ROWS += [
            row(_stays,        "disk_saveas_live", _state,              *GO, save.begins, send="vm.copy_disk"),
            row(_state,        "copy_disk.ok",    None,                 send="tm.saveas"),
            row(_state,        "copy_disk.fail",  None,                 do.note_error, save.undo, send="vm.drop_copy"),
            row(_state,        "saveas.fail",     None,                 do.note_error, save.undo, when=_live, send="vm.drop_copy"),
            row(_state,        "drop_copy.ok",    _stays,               save.over),
            row(_state,        "drop_copy.fail",  _stays,               do.add_error, save.over),
            row(_state,        "recover_success", None,                 save.believed, when=_live, send="vm.drop_copy"),
            row(_state,        "recover_success", _stays,               save.over, when=_left),
            row(_state,        "recover_failure", None,                 do.note_error, save.undo, when=_live, send="vm.drop_copy"),
            row(_state,        "recover_failure", _stays,               do.add_error, save.over, when=_left),
            row(_state,        "recover_retry",   None,                 do.again, when=_live, send="vm.copy_disk"),
            row(_state,        "recover_retry",   None,                 do.again, when=_left, send="vm.drop_copy"),
        ]
    DISK_ROWS += [row(_stays,  "disk_saveas",     _state,               *GO, save.begins, send="tm.saveas"),
                  *step(_state, "saveas",         _stays,               _stays, save.done, back=(save.failed,), family="tm")]
