"""What the actions of tm/ssh have in common: files of a host's own, images and stopped VMs on the front-end."""
from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from drivers.base import Context, DriverError, Executor, Permanent
from drivers.fence import fenced
from drivers.tm import carry
from drivers.tm.epilog import flatten_steps
from drivers.tm.facts import Found, images_written, look, need, virtual_sizes, written
from drivers.tm.layout import VOLATILE, Disk, base, disk_path, image_format, kind, source, vm_dir
from drivers.tm.place import chain, incomplete
from drivers.tm.prolog import TEMPORARY, disks_to_make, prolog_steps
from drivers.tm.saved import check_saved, note_saved
from drivers.tm.steps import perform
from drivers.token import Token
from onecore.wire.messages import Doc

_LAST_SECONDS = 8.0
"""What is taken away when a command was cancelled, or its time is up, may take so long."""


@contextmanager
def alone(ctx: Context, args: Doc, place: Executor) -> Iterator[None]:
    """Under the VM's fence on its host and, if that is another machine, then on the front-end.

    In this order: an older operation that is at work on both ends as soon as it is refused on the host.
    """
    with ExitStack() as held:
        held.enter_context(fenced(ctx, place, args))
        if not place.is_local:
            held.enter_context(fenced(ctx, ctx.host({}), args))
        yield


def make(ctx: Context, place: Executor, vm: Doc, present: Collection[str]) -> None:
    """Copies of the images of the VM's disks, and its empty ones; those that are PRESENT stay."""
    front = ctx.host({})
    copied = [disk for disk in disks_to_make(vm, present) if kind(disk) not in VOLATILE]
    sizes, virtual = images_written(front, copied), virtual_sizes(front, copied)
    need(place, vm_dir(vm), sum(sizes[source(disk)] for disk in copied), f"VM {vm['id']}")
    content = partial(carry.fetch_steps, virtual)
    perform(ctx, place, prolog_steps(vm, present, {"clone": content, "link": content}))


def save_all(ctx: Context, place: Executor, vm: Doc, found: Found) -> None:
    """Every persistent disk's content is in its image, and the front-end says so; Permanent when one is missing."""
    for disk in carry.saved_disks(vm):
        save(ctx, place, vm, disk, found)
    if carry.saved_disks(vm):
        note_saved(ctx, vm)


def save(ctx: Context, place: Executor, vm: Doc, disk: Disk, found: Found) -> None:
    """The disk's content is in its image; Permanent when its file is missing."""
    path, what = disk_path(vm, disk), f"saving disk {disk['DISK_ID']}"
    if path.rpartition("/")[2] not in found:
        raise Permanent(f"{what}: {path} is missing; nothing was removed")
    perform(ctx, place, carry.clear_image_steps(disk))
    size = written(place, *chain(vm, disk, found))
    need(ctx.host({}), source(disk).rpartition("/")[0], size, what)
    if base(vm, disk) >= 0:
        whole = path + TEMPORARY
        with passing(place, whole):
            need(place, vm_dir(vm), size, what)
            perform(ctx, place, [*flatten_steps(what, path, "qcow2", whole, image_format(disk), size),
                                 *carry.save_steps(vm, disk, whole)])
    else:
        perform(ctx, place, carry.save_steps(vm, disk, path))


@contextmanager
def passing(place: Executor, path: str) -> Iterator[None]:
    """In the block there may be a file at PATH; whatever ends it, none is left, nor what a killed driver left there."""
    gone = ("rm", "-f", "--", path)
    place.run(gone)
    try:
        yield
    except Exception:
        with suppress(DriverError):
            place.bound(Token(), lambda: _LAST_SECONDS).run(gone)
        raise
    place.run(gone)


def check_safe(ctx: Context, place: Executor, vm: Doc) -> None:
    """No disks on the host: all was saved before, unless they are on the front-end, or lost."""
    if not place.is_local and not incomplete(vm, look(ctx.host({}), vm)):
        raise Permanent(f"VM {vm['id']}: {vm_dir(vm)} is on the front-end, not on its host; nothing was removed")
    if carry.saved_disks(vm):
        check_saved(ctx, vm)
