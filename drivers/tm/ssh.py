"""tm/ssh: disks are copies on the host's own storage; images, and VMs that are on no host, are on the front-end.

Where a VM's host is the front-end itself, its directory is the same before and after a stop.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from drivers.base import Action, Context, Executor, Permanent, Temporary
from drivers.fence import fenced
from drivers.tm import carry
from drivers.tm.carry import forget_steps
from drivers.tm.epilog import keep_steps, kept, missing_disks, remove_steps
from drivers.tm.facts import Found, images_written, look, need, virtual_sizes, written
from drivers.tm.layout import VOLATILE, disk_path, kind, source, vm_dir
from drivers.tm.prolog import clear_steps, disks_to_make, make_dir_steps, prolog_steps
from drivers.tm.saved import check_saved, note_saved
from drivers.tm.steps import perform
from onecore.wire.messages import Doc


def prolog(ctx: Context, args: Doc) -> Doc:
    """Make the VM's directory on the host with a copy of each disk; one that is complete already is kept."""
    vm, place = _whose(ctx, args)
    with _alone(ctx, args, place):
        found = look(place, vm) or {}
        if not carry.is_settled(found):
            perform(ctx, place, remove_steps(vm))
            found = {}
        perform(ctx, place, [*make_dir_steps(vm), *clear_steps(vm, found)])
        _make(ctx, place, vm, found)
    return {}


def epilog(ctx: Context, args: Doc) -> Doc:
    """Save persistent disks into their images on the front-end; when all are verified there, remove the rest."""
    vm, place = _whose(ctx, args)
    with _alone(ctx, args, place):
        found = look(place, vm)
        if found is None or carry.LEAVING in found:
            _check_safe(ctx, place, vm)
        elif carry.ARRIVING in found:
            raise Permanent(_incomplete(vm, found))
        else:
            _save(ctx, place, vm, found)
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
    vm, place = _whose(ctx, args)
    if args.get("left_over"):
        with fenced(ctx, place, args):
            perform(ctx, place, remove_steps(vm))
        return {}
    try:
        with _alone(ctx, args, place):
            perform(ctx, place, [*remove_steps(vm), *forget_steps(vm)])
    except Temporary:
        if not place.is_local:
            front = ctx.host({})
            with fenced(ctx, front, args):
                perform(ctx, front, forget_steps(vm))
        raise
    return {}


def _whose(ctx: Context, args: Doc) -> tuple[Doc, Executor]:
    """The VM, its directory checked before anything is made beside it, and where its files are."""
    vm = args["vm"]
    vm_dir(vm)
    return vm, ctx.host({} if vm.get("away") else args["host"])


@contextmanager
def _alone(ctx: Context, args: Doc, place: Executor) -> Iterator[None]:
    """Under the VM's fence on its host and, if that is another machine, then on the front-end.

    In this order: an older operation that is at work on both ends as soon as it is refused on the host.
    """
    with ExitStack() as held:
        held.enter_context(fenced(ctx, place, args))
        if not place.is_local:
            held.enter_context(fenced(ctx, ctx.host({}), args))
        yield


def _make(ctx: Context, place: Executor, vm: Doc, present: Collection[str]) -> None:
    front = ctx.host({})
    copied = [disk for disk in disks_to_make(vm, present) if kind(disk) not in VOLATILE]
    sizes, virtual = images_written(front, copied), virtual_sizes(front, copied)
    need(place, vm_dir(vm), sum(sizes[source(disk)] for disk in copied), f"VM {vm['id']}")
    content = partial(carry.fetch_steps, virtual)
    perform(ctx, place, prolog_steps(vm, present, {"clone": content, "link": content}))


def _save(ctx: Context, place: Executor, vm: Doc, found: Found) -> None:
    for disk in carry.saved_disks(vm):
        path, what = disk_path(vm, disk), f"saving disk {disk['DISK_ID']}"
        if path.rpartition("/")[2] not in found:
            raise Permanent(f"{what}: {path} is missing; nothing was removed")
        perform(ctx, place, carry.clear_image_steps(disk))
        need(ctx.host({}), source(disk).rpartition("/")[0], written(place, path), what)
        perform(ctx, place, carry.save_steps(vm, disk))
    if carry.saved_disks(vm):
        note_saved(ctx, vm)


def _check_safe(ctx: Context, place: Executor, vm: Doc) -> None:
    """No disks on the host: all was saved before, unless they are on the front-end, or lost."""
    if not place.is_local and carry.is_whole(vm, look(ctx.host({}), vm)):
        raise Permanent(f"VM {vm['id']}: {vm_dir(vm)} is on the front-end, not on its host; nothing was removed")
    if carry.saved_disks(vm):
        check_saved(ctx, vm)


def _move(ctx: Context, args: Doc, home: bool) -> Doc:
    vm, place = _whose(ctx, args)
    with _alone(ctx, args, place):
        if place.is_local:
            _keep(ctx, place, vm)
        else:
            _move_between(ctx, place, vm, home)
    return {}


def _keep(ctx: Context, place: Executor, vm: Doc) -> None:
    found = look(place, vm)
    if found is None or not carry.is_settled(found):
        raise Permanent(_incomplete(vm, found))
    perform(ctx, place, keep_steps(vm, found))


def _move_between(ctx: Context, place: Executor, vm: Doc, home: bool) -> None:
    """Whatever an earlier run did: from where the directory is whole, or it is where it should be already."""
    front = ctx.host({})
    before, after = (place, front) if home else (front, place)
    found = look(before, vm)
    if found is not None and carry.is_whole(vm, found):
        names = kept(found)
        size = sum(written(before, f"{vm_dir(vm)}/{name}") for name in names)
        perform(ctx, place, carry.arrive_steps(vm, here=home))
        need(after, vm_dir(vm), size, f"VM {vm['id']}")
        perform(ctx, place, carry.carry_steps(vm, names, home))
    elif not carry.is_whole(vm, look(after, vm)):
        raise Permanent(f"{_incomplete(vm, found)} on {'its host' if home else 'the front-end'}")
    perform(ctx, place, carry.leave_steps(vm, here=not home) if found is not None else ())


def _incomplete(vm: Doc, found: Found | None) -> str:
    if found is None:
        return f"VM {vm['id']}: {vm_dir(vm)} is missing"
    missing = missing_disks(vm, found)
    what = f"{', '.join(missing)} missing" if missing else "its files are not complete"
    return f"VM {vm['id']}: {what} in {vm_dir(vm)}"


ACTIONS: dict[str, Action] = {
    "prolog": prolog, "epilog": epilog, "epilog_stop": epilog_stop, "prolog_resume": prolog_resume, "delete": delete,
}
