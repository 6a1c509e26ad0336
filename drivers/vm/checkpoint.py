"""A guest's saved state: `dir/checkpoint`, written under another name first, so that under its own it is complete."""
from __future__ import annotations

from typing import Any

import libvirt

from drivers.base import Context, Executor, Permanent
from drivers.vm.domain.saved import generation, renewed
from drivers.vm.guest import Guest
from drivers.vm.work import ask, ours
from onecore.wire.messages import Doc

_JOB_TOTAL, _JOB_DONE = 3, 4


def path(vm: Doc) -> str:
    """The checkpoint's file on the VM's host."""
    return f"{vm['dir']}/checkpoint"


def save(ctx: Context, executor: Executor, args: Doc, guest: Guest) -> None:
    """Write the guest's state and end it; left early or failed, the guest runs on."""
    part = _part(args["vm"])
    executor.run(["rm", "-f", "--", part])
    ask(ctx, args, "saving", lambda _: guest.domain.save(part),
        on_stop=lambda _: guest.domain.abortJob(), tick=_Teller(ctx, guest.domain))
    _complete(executor, args["vm"])


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
    if not executor.exists(_part(vm)):
        return False
    try:
        _read_xml(ctx, args, _part(vm))
    except Permanent:
        return False
    _complete(executor, vm)
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


def remove(executor: Executor, vm: Doc) -> None:
    """The checkpoint is used up: the disks will not fit it any more."""
    executor.run(["rm", "-f", "--", path(vm), _part(vm)])


def _part(vm: Doc) -> str:
    return path(vm) + ".part"


def _complete(executor: Executor, vm: Doc) -> None:
    executor.run(["sync", "--", _part(vm)])
    executor.run(["mv", "-T", "--", _part(vm), path(vm)])


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
