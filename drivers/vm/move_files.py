"""The files of a guest that moves while it runs: what QEMU copies, what is copied as it is, what is there already."""
from __future__ import annotations

from dataclasses import dataclass

from drivers.base import Context, Permanent
from drivers.tm import carry
from drivers.tm.epilog import CHECKPOINT, kept
from drivers.tm.facts import Found, each_written, layer, look, need
from drivers.tm.layout import Disk, active_format, disk_path, vm_dir
from drivers.tm.steps import Step, perform
from drivers.tm.trip import Trip, arrived_steps, begin_steps, copy_steps, pass_steps
from drivers.vm.domain.live import Live
from drivers.vm.guest import Guest
from drivers.vm.inside import read
from drivers.vm.qmp import images
from onecore.wire.messages import Doc

APART = "ssh"
"""The TM_MAD whose files are on a host's own storage."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the files: `made` are disks that QEMU copies, by their names in the guest; `names` the others."""

    made: dict[str, Disk]
    names: list[str]


def is_apart(vm: Doc) -> bool:
    """Whether the VM's files are on its host's own storage."""
    return vm.get("tm_mad") == APART


def stays(way: Trip) -> bool:
    """Whether the files are where they are to be: on a file system that both hosts see."""
    return vm_dir(way.vm) == vm_dir(way.moved) and (way.here is way.there or not is_apart(way.vm))


def plan(vm: Doc, live: Live, found: Found) -> Plan:
    """What is to be done with the VM's files FOUND; what the guest cannot write, and links, are copied as they are.

    What is left of a checkpoint stays behind: a guest that runs has none.
    """
    made: dict[str, Disk] = {}
    for disk in vm["disks"]:
        name, there = _name(vm, disk), live.disk(disk["DISK_ID"])
        if there is not None and not there.is_readonly and not there.is_removable and not found.get(name, "-"):
            made[there.target] = disk
    copied = {_name(vm, disk) for disk in made.values()}
    return Plan(made, [name for name in kept(vm, found) if name not in copied and not name.startswith(CHECKPOINT)])


def bring(ctx: Context, way: Trip, doing: Plan, found: Found, sizes: dict[str, int]) -> None:
    """The directory is there with everything but the content of the disks that QEMU copies; SIZES are their bytes."""
    vm, moved, there = way.vm, way.moved, way.there
    names = [*doing.names, *(_name(vm, disk) for disk in doing.made.values())]
    bytes_of = dict(zip(names, each_written(way.here, [f"{vm_dir(vm)}/{name}" for name in names]), strict=True))
    perform(ctx, there, carry.arrive_steps(moved, here=False))
    need(there, vm_dir(moved), sum(bytes_of.values()), f"VM {vm['id']}")
    perform(ctx, there, begin_steps(moved, doing.names))
    if is_apart(vm) and way.here is not way.there:
        perform(ctx, way.here, pass_steps(way, doing.names), to=there)
    else:
        perform(ctx, there, copy_steps(way, {name: bytes_of[name] for name in doing.names}, found))
    for target, disk in doing.made.items():
        perform(ctx, there, make_steps(way, disk, sizes[target]))
    perform(ctx, there, arrived_steps(moved, doing.names, found))


def settle(ctx: Context, to: Doc, moved: Doc) -> None:
    """The directory there, on the host TO, is to be believed from now on."""
    perform(ctx, ctx.host(to), carry.settle_steps(moved, here=False))


def take_away(ctx: Context, host: Doc, vm: Doc) -> None:
    """Nothing is left of the VM's directory on a host: its files are safe elsewhere."""
    place = ctx.host(host)
    if look(place, vm) is not None:
        perform(ctx, place, carry.leave_steps(vm, here=False))


def refuse_inner(ctx: Context, args: Doc, guest: Guest, doing: Plan) -> None:
    """Permanent when a disk that QEMU is to copy holds system snapshots: these would stay behind."""
    held = inner(ctx, args, guest, doing)
    if held:
        raise Permanent(f"VM {args['vm']['id']} has {held}")


def inner(ctx: Context, args: Doc, guest: Guest, doing: Plan) -> str:
    """The system snapshots that a copy of the guest's disks would not have, in words; empty: none."""
    live, known = read(ctx, args, guest), images(ctx, args, guest)
    found = sorted({str(each["name"]) for target in doing.made if (disk := live.at(target))
                    for each in known.get(disk.node, {}).get("snapshots", ())})
    return f"system snapshots ({', '.join(found)}) that would stay behind: delete these first" if found else ""


def refuse_unmovable(vm: Doc, doing: Plan, live: Live, one_host: bool) -> None:
    """Permanent, saying why, when the guest's files cannot be copied while it runs."""
    problems = file_problems(vm, doing, live, one_host)
    if problems:
        raise Permanent(f"VM {vm['id']}: {'; '.join(problems)}")


def file_problems(vm: Doc, doing: Plan, live: Live, one_host: bool) -> list[str]:
    """Why the guest's files cannot be copied while it runs; on ONE_HOST it goes on with those that are not copied."""
    problems = []
    for disk in live.disks():
        if one_host and disk.path and disk.target not in doing.made and not disk.is_removable:
            problems.append(f"{disk.target} is its image itself or read-only, and the guest has it open: it can move "
                            "to another datastore only with the guest off")
    if one_host and live.has_variables():
        problems.append("a guest with UEFI can move to another datastore only when it is off")
    return problems


def make_steps(way: Trip, disk: Disk, size: int) -> list[Step]:
    """An empty file for QEMU to copy the disk into, that stands on what the disk stands on."""
    form, path, what = active_format(way.vm, disk), disk_path(way.moved, disk), f"disk {disk['DISK_ID']}"
    below = layer(way.here, disk_path(way.vm, disk)) if form == "qcow2" else None
    backing = ("-u", "-b", below.backing, "-F", below.form) if below and below.backing else ()
    return [Step(what, ("qemu-img", "create", "-q", "-f", form, *backing, path, str(size))),
            Step(what, ("chmod", "600", "--", path))]


def _name(vm: Doc, disk: Disk) -> str:
    return disk_path(vm, disk).rpartition("/")[2]
