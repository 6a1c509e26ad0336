"""A guest's saved state: `dir/checkpoint`, written under another name first, so that under its own it is complete.

Before a guest that was given the state runs the file has a third name, under which it is none any more: whatever ends
the guest then, its disks have moved on.
"""
from __future__ import annotations

from typing import Any

import libvirt

from drivers.base import Context, DriverError, Executor, Permanent
from drivers.vm.domain.saved import generation, renewed
from drivers.vm.guest import Guest
from drivers.vm.work import LAST_SECONDS, ask, ours
from onecore.wire.messages import Doc

_JOB_TOTAL, _JOB_DONE = 3, 4


def path(vm: Doc) -> str:
    """The checkpoint's file on the VM's host."""
    return f"{vm['dir']}/checkpoint"


def save(ctx: Context, executor: Executor, args: Doc, guest: Guest) -> None:
    """Write the guest's state and end it; left early or failed, the guest runs on.  Left too late, it is saved.

    What there was fits a guest that has run since no more, and is not to be found when nobody hears of this one's end.
    """
    vm = args["vm"]
    part = _part(vm)
    if guest.loaded:
        executor.run(["rm", "-f", "--", part])
    else:
        remove(executor, vm)
    try:
        ask(ctx, args, "saving", lambda _: guest.domain.save(part),
            on_stop=lambda _: guest.domain.abortJob(), tick=_Teller(ctx, guest.domain))
    except DriverError as error:
        if not _is_saved(ctx.beyond(LAST_SECONDS), args):
            raise
        ctx.log("warning", f"VM {vm['id']} is saved all the same: {error}")
    _complete(to_its_end(ctx).host(args["host"]), vm)


def to_its_end(ctx: Context) -> Context:
    """The command when its guest is saved: it has its time, and no cancel stops it."""
    return ctx.beyond(max(LAST_SECONDS, ctx.deadline - ctx.now()))


def _is_saved(ctx: Context, args: Doc) -> bool:
    """Whether the guest is gone and its state there, as far as the host tells."""
    try:
        return ours(ctx, args) is None and _is_written(ctx, ctx.host(args["host"]), args)
    except DriverError:
        return False


def keep(ctx: Context, executor: Executor, args: Doc) -> None:
    """Save a guest of an older generation than the VM's that has run since the checkpoint: it holds the VM's state.

    Somebody paused it on its host, or it was restored and nobody heard of that.
    """
    vm, guest = args["vm"], ours(ctx, args)
    if guest is None or not guest.is_on or guest.starting or guest.loaded or guest.generation == vm["generation"]:
        return
    if not is_complete(ctx, executor, args) or generation(_read_xml(ctx, args, path(vm))) < guest.generation:
        save(ctx, executor, args, guest)


def is_complete(ctx: Context, executor: Executor, args: Doc) -> bool:
    """Whether there is a whole checkpoint; one that only lacks its name, from a driver that ended, gets it."""
    vm = args["vm"]
    if executor.exists(path(vm)):
        return True
    if not is_there(ctx, executor, args):
        return False
    _complete(executor, vm)
    return True


def is_there(ctx: Context, executor: Executor, args: Doc) -> bool:
    """The same of a VM without a guest, for who only looks: nothing gets a name."""
    vm = args["vm"]
    if executor.exists(path(vm)):
        return True
    return _is_written(ctx, executor, args)


def _is_written(ctx: Context, executor: Executor, args: Doc) -> bool:
    """Whether the file that a save writes is whole."""
    part = _part(args["vm"])
    if not executor.exists(part):
        return False
    try:
        _read_xml(ctx, args, part)
    except Permanent:
        return False
    return True


def peek(ctx: Context, args: Doc) -> str:
    """As xml(), for who only looks: a file that still lacks its name goes on doing so."""
    vm, executor = args["vm"], ctx.host(args["host"])
    found = next((file for file in (path(vm), _part(vm)) if executor.exists(file)), None)
    if found is None:
        raise Permanent(f"VM {vm['id']} does not run and has no checkpoint in {path(vm)}")
    return renewed(_read_xml(ctx, args, found), vm)


def xml(ctx: Context, executor: Executor, args: Doc) -> str:
    """The domain document to restore the checkpoint with; Permanent when there is no whole checkpoint."""
    vm = args["vm"]
    if not is_complete(ctx, executor, args):
        raise Permanent(f"VM {vm['id']} has no checkpoint in {path(vm)}")
    return renewed(_read_xml(ctx, args, path(vm)), vm)


def use(executor: Executor, vm: Doc) -> None:
    """The guest that was given it may run from now on: it is a checkpoint no more, also when the host loses power."""
    if executor.exists(path(vm)):
        _rename(executor, vm, path(vm), _used(vm))


def unuse(executor: Executor, vm: Doc) -> None:
    """The guest that was given it never ran: it is a checkpoint again."""
    if is_used(executor, vm):
        _rename(executor, vm, _used(vm), path(vm))


def is_used(executor: Executor, vm: Doc) -> bool:
    """Whether what there is of a checkpoint was given to a guest that may have run since."""
    return executor.exists(_used(vm)) and not executor.exists(path(vm))


def remove(executor: Executor, vm: Doc) -> None:
    """There is no checkpoint: the disks will not fit it any more."""
    executor.run(["rm", "-f", "--", path(vm), _part(vm), _used(vm)])
    executor.run(["sync", "--", vm["dir"]])


def _part(vm: Doc) -> str:
    return path(vm) + ".part"


def _used(vm: Doc) -> str:
    return path(vm) + ".used"


def _complete(executor: Executor, vm: Doc) -> None:
    executor.run(["sync", "--", _part(vm)])
    _rename(executor, vm, _part(vm), path(vm))
    executor.run(["rm", "-f", "--", _used(vm)])


def _rename(executor: Executor, vm: Doc, old: str, new: str) -> None:
    executor.run(["mv", "-T", "--", old, new])
    executor.run(["sync", "--", vm["dir"]])


def _read_xml(ctx: Context, args: Doc, file: str) -> str:
    """libvirt marks a file as whole at the end of a save, and refuses to read another."""
    return ask(ctx, args, "reading the checkpoint of",
               lambda connection: str(connection.saveImageGetXMLDesc(file, libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)))


class _Teller:
    """Tells the core how far a save is, and nothing while it stands still: that would renew its deadline for ever."""

    def __init__(self, ctx: Context, domain: Any) -> None:
        self._ctx, self._domain, self._done = ctx, domain, 0

    def __call__(self, _: Any) -> None:
        info = self._domain.jobInfo()
        done, total = int(info[_JOB_DONE]), int(info[_JOB_TOTAL])
        if done > self._done:
            self._done = done
            self._ctx.progress("saving", done, total)
