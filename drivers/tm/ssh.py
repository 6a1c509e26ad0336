"""tm/ssh: disks are copies on the host's own storage; images, and VMs that are on no host, are on the front-end.

Where a VM's host is the front-end itself, its directory is the same before and after a stop.
"""
from __future__ import annotations

from drivers.base import Action, Context, Executor, Permanent, Temporary
from drivers.fence import fenced
from drivers.tm import carry, move, on_disk, saveas
from drivers.tm.epilog import keep_steps, kept, remove_steps
from drivers.tm.facts import each_written, look, need
from drivers.tm.layout import disk_path, one_disk, vm_dir
from drivers.tm.own import alone, check_safe, make, save, save_all
from drivers.tm.place import ARRIVING, LEAVING, incomplete, is_settled, settled, told, whose
from drivers.tm.prolog import clear_steps, make_dir_steps
from drivers.tm.saved import is_noted
from drivers.tm.stack import drop_steps
from drivers.tm.steps import perform
from onecore.wire.messages import Doc


def prolog(ctx: Context, args: Doc) -> Doc:
    """Make the VM's directory on the host with a copy of each disk; one that is complete already is kept."""
    vm, place = whose(ctx, args)
    with alone(ctx, args, place):
        found = look(place, vm) or {}
        if not is_settled(found):
            perform(ctx, place, remove_steps(vm))
            found = {}
        perform(ctx, place, [*make_dir_steps(vm), *clear_steps(vm, found)])
        make(ctx, place, vm, found)
    return {}


def epilog(ctx: Context, args: Doc) -> Doc:
    """Save persistent disks into their images on the front-end; when all are verified there, remove the rest."""
    vm, place = whose(ctx, args)
    with alone(ctx, args, place):
        found = look(place, vm)
        if found is None or LEAVING in found:
            check_safe(ctx, place, vm)
        elif ARRIVING in found:
            raise Permanent(incomplete(vm, found))
        else:
            save_all(ctx, place, vm, found)
        if not place.is_local:
            perform(ctx, place, remove_steps(vm, here=True))
        perform(ctx, place, carry.leave_steps(vm, here=False) if found is not None else ())
    return {}


def epilog_stop(ctx: Context, args: Doc) -> Doc:
    """Move the VM's directory, a checkpoint in it too, from the host to the front-end."""
    return _move(ctx, args, home=True)


def prolog_resume(ctx: Context, args: Doc) -> Doc:
    """Move the VM's directory from the front-end to the host."""
    return _move(ctx, args, home=False)


def delete(ctx: Context, args: Doc) -> Doc:
    """Remove the VM's directory from its host, and from the front-end what is there of it.

    What is `left_over` on the host is removed there alone: the VM may be somewhere else by now.
    """
    vm, place = whose(ctx, args)
    if args.get("left_over"):
        with fenced(ctx, place, args):
            perform(ctx, place, remove_steps(vm))
        return {}
    try:
        with alone(ctx, args, place):
            perform(ctx, place, [*remove_steps(vm), *carry.forget_steps(vm)])
    except Temporary:
        if not place.is_local:
            front = ctx.host({})
            with fenced(ctx, front, args):
                perform(ctx, front, carry.forget_steps(vm))
        raise
    return {}


def attach(ctx: Context, args: Doc) -> Doc:
    """A copy of the disk's image, or an empty disk, is in the VM's directory."""
    vm, place = whose(ctx, args)
    with alone(ctx, args, place):
        make(ctx, place, {**vm, "disks": [one_disk(vm, args["disk_id"])]}, settled(place, vm))
    return {}


def detach(ctx: Context, args: Doc) -> Doc:
    """The disk's content is in its image, with `save`; then its files are gone."""
    vm, place = whose(ctx, args)
    disk = one_disk(vm, args["disk_id"])
    with alone(ctx, args, place):
        found = settled(place, vm)
        if args.get("save") and disk_path(vm, disk).rpartition("/")[2] in found:
            save(ctx, place, vm, disk, found)
        perform(ctx, place, drop_steps(vm, disk))
    return {}


def state(ctx: Context, args: Doc) -> Doc:
    """What of the VM's files is there, complete; whether the front-end has the persistent disks' content."""
    vm, place = whose(ctx, args)
    found = look(place, vm)
    return {**told(vm, found), "saved": not carry.saved_disks(vm) or is_noted(ctx, vm),
            **on_disk.looked(place, vm, found, args)}


def _move(ctx: Context, args: Doc, home: bool) -> Doc:
    vm, place = whose(ctx, args)
    with alone(ctx, args, place):
        if place.is_local:
            perform(ctx, place, keep_steps(vm, settled(place, vm)))
        else:
            _move_between(ctx, place, vm, home)
    return {}


def _move_between(ctx: Context, place: Executor, vm: Doc, home: bool) -> None:
    """Whatever an earlier run did: from where the directory is whole, or it is where it should be already."""
    front = ctx.host({})
    before, after = (place, front) if home else (front, place)
    found = look(before, vm)
    if found is not None and not incomplete(vm, found):
        names = kept(vm, found)
        size = sum(each_written(before, [f"{vm_dir(vm)}/{name}" for name in names]))
        perform(ctx, place, carry.arrive_steps(vm, here=home))
        need(after, vm_dir(vm), size, f"VM {vm['id']}")
        perform(ctx, place, carry.carry_steps(vm, names, home))
    elif incomplete(vm, look(after, vm)):
        raise Permanent(f"{incomplete(vm, found)} on {'its host' if home else 'the front-end'}")
    perform(ctx, place, carry.leave_steps(vm, here=not home) if found is not None else ())


ACTIONS: dict[str, Action] = {
    "prolog": prolog, "epilog": epilog, "epilog_stop": epilog_stop, "prolog_resume": prolog_resume, "delete": delete,
    "attach": attach, "detach": detach, "state": state, "saveas": saveas.action(apart=True),
    **on_disk.ACTIONS, **move.actions(apart=True),
}
