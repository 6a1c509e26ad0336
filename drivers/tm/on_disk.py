"""What every driver does to one disk of a guest that is off, where its files are: resized, kept as snapshots."""
from __future__ import annotations

from drivers.base import Action, Context, DriverError, Executor, Permanent
from drivers.fence import fenced
from drivers.tm.facts import MB, Found, Layer, guest_size, layer, need, written
from drivers.tm.layout import (
    GONE,
    Disk,
    active_format,
    base,
    disk_format,
    disk_path,
    one_disk,
    size_mb,
    snapshot_name,
    snapshots,
    source,
    vm_dir,
)
from drivers.tm.place import is_settled, settled, whose
from drivers.tm.stack import create_steps, delete_steps, form_of, gone_steps, revert_steps, stands_on, undo_steps
from drivers.tm.steps import Step, perform
from onecore.wire.messages import Doc


def resize(ctx: Context, args: Doc) -> Doc:
    """The disk has `size_mb`; Permanent when it has more."""
    vm, place = whose(ctx, args)
    disk, wanted = one_disk(vm, args["disk_id"]), int(args["size_mb"])
    path, form = disk_path(vm, disk), active_format(vm, disk)
    with fenced(ctx, place, args):
        settled(place, vm)
        now = guest_size(place, path, form)
        if now > wanted * MB:
            raise Permanent(f"disk {disk['DISK_ID']} has {-(-now // MB)} MB, more than {wanted}: disks only grow")
        if now < wanted * MB:
            grow = ("qemu-img", "resize", "-q", "-f", form, path, f"{wanted}M")
            what = f"growing disk {disk['DISK_ID']}"
            perform(ctx, place, [Step(what, grow), Step(what, ("sync", "--", path))])
    return {}


def snap_create(ctx: Context, args: Doc) -> Doc:
    """The disk's content is kept as the snapshot, and the disk goes on from it."""
    vm, place = whose(ctx, args)
    disk, number = one_disk(vm, args["disk_id"]), int(args["snap_id"])
    with fenced(ctx, place, args):
        found = settled(place, vm)
        if snapshot_name(disk, number) in found:
            _check_stands(place, vm, disk, number)
        else:
            form = _form_before(vm, disk, number)
            refuse_inner(place, vm, disk, form)
            _create(ctx, place, vm, disk, number, form)
    return {}


def snap_revert(ctx: Context, args: Doc) -> Doc:
    """The disk's content is the snapshot's; what was on it since the last one is given up."""
    vm, place = whose(ctx, args)
    disk, number = one_disk(vm, args["disk_id"]), int(args["snap_id"])
    name = snapshot_name(disk, number)
    with fenced(ctx, place, args):
        found = settled(place, vm)
        check_there(vm, disk, number, found)
        layers = layers_of(place, vm, disk, found)
        refuse_inner(place, vm, disk, "qcow2")
        form = form_of(disk, number, layers)
        larger = size_mb(disk) * MB > guest_size(place, f"{vm_dir(vm)}/{name}", form)
        perform(ctx, place, revert_steps(vm, disk, number, form, size_mb(disk) if larger else 0))
    return {}


def snap_delete(ctx: Context, args: Doc) -> Doc:
    """The snapshot is gone, and what was made from it stands on what that stood on."""
    vm, place = whose(ctx, args)
    disk, number = one_disk(vm, args["disk_id"]), int(args["snap_id"])
    name = snapshot_name(disk, number)
    with fenced(ctx, place, args):
        found = settled(place, vm)
        if name in found:
            layers = layers_of(place, vm, disk, found, name)
            size = written(place, disk_path(vm, disk), f"{vm_dir(vm)}/{name}")
            steps = delete_steps(vm, disk, number, layers, found[name], size)
            need(place, source(disk).rpartition("/")[0] if found[name] else vm_dir(vm), size, f"disk {disk['DISK_ID']}")
            perform(ctx, place, steps)
        else:
            perform(ctx, place, gone_steps(vm, disk, number))
    return {}


def looked(place: Executor, vm: Doc, found: Found | None, args: Doc) -> Doc:
    """`has` of `state`: one disk and its snapshots, as its `look` names them; nothing without, or of what is not there.

    A snapshot whose file is the disk's own is being made; one whose deletion began is there until that ends.
    """
    look = args.get("look")
    return {"has": _seen(place, vm, found, look)} if look and found and is_settled(found) else {}


def _seen(place: Executor, vm: Doc, found: Found, look: Doc) -> Doc:
    disk = one_disk(vm, look["disk_id"])
    path = disk_path(vm, disk)
    if path.rpartition("/")[2] not in found:
        return {}
    told: Doc = {}
    if "snap_id" in look:
        name = snapshot_name(disk, int(look["snap_id"]))
        told["snapshot"] = name in found and not _is_same(place, path, f"{vm_dir(vm)}/{name}")
    elif "base" in look:
        told["base"] = stands_on(disk, layer(place, path).backing) == int(look["base"])
    else:
        told["disk_mb"] = guest_size(place, path, active_format(vm, disk)) // MB
    return told


def _is_same(place: Executor, *paths: str) -> bool:
    return len(set(place.run(["stat", "-L", "-c", "%d %i", "--", *paths]).splitlines())) < len(paths)


def check_there(vm: Doc, disk: Disk, number: int, found: Found) -> None:
    """Permanent unless the snapshot is there, as it was made."""
    name = snapshot_name(disk, number)
    if name not in found:
        raise Permanent(f"disk {disk['DISK_ID']}: its snapshot {number} is missing in {vm_dir(vm)}")
    if name + GONE in found:
        raise Permanent(f"disk {disk['DISK_ID']}: the deletion of its snapshot {number} began and did not end; it does "
                        "not hold any more what it did: delete it again")


def _create(ctx: Context, place: Executor, vm: Doc, disk: Disk, number: int, form: str) -> None:
    """A failure leaves the disk as it was."""
    try:
        perform(ctx, place, create_steps(vm, disk, number, form))
    except DriverError:
        perform(ctx, place, undo_steps(vm, disk, number))
        raise


def _check_stands(place: Executor, vm: Doc, disk: Disk, number: int) -> None:
    """Permanent unless the disk stands on the snapshot, which was made then by an earlier run."""
    if stands_on(disk, layer(place, disk_path(vm, disk)).backing) != number:
        raise Permanent(f"disk {disk['DISK_ID']} has a snapshot {number} already, on which it does not stand")


def _form_before(vm: Doc, disk: Disk, number: int) -> str:
    """The disk's format before the snapshot was made: the VM's document has it already."""
    told = vm["snapshots"][disk["DISK_ID"]]["list"] if vm.get("snapshots") else []
    parent = next((int(each.get("parent", -1)) for each in told if int(each["id"]) == number), base(vm, disk))
    return "qcow2" if parent >= 0 else disk_format(disk, str(vm.get("tm_mad") or "qcow2"))


def refuse_inner(place: Executor, vm: Doc, disk: Disk, form: str) -> None:
    """Permanent when there are system snapshots in the disk's file, which must stay the disk's own."""
    if form == "qcow2" and layer(place, disk_path(vm, disk)).inner:
        raise Permanent(f"disk {disk['DISK_ID']} has system snapshots: delete these first")


def layers_of(place: Executor, vm: Doc, disk: Disk, found: Found, *more: str) -> dict[str, Layer]:
    """What the disk's files say of themselves, from the disk down, then those that it does not stand on.

    A raw file is not read: a guest may have written anything on it.
    """
    layers: dict[str, Layer] = {}
    raw: set[str] = set()
    for name in [disk_path(vm, disk).rpartition("/")[2], *snapshots(vm, disk), *more]:
        while name in found and name not in layers and name not in raw:
            layers[name] = layer(place, f"{vm_dir(vm)}/{name}")
            below = stands_on(disk, layers[name].backing)
            form, name = layers[name].form, snapshot_name(disk, below) if below >= 0 else ""
            raw |= {name} if form != "qcow2" else set()
    return layers


ACTIONS: dict[str, Action] = {
    "resize": resize, "snap_create": snap_create, "snap_revert": snap_revert, "snap_delete": snap_delete,
}
