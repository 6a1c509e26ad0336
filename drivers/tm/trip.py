"""A VM's files on their way to another host or datastore: from where to where, and the steps.  Pure, but for Trip."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.base import Context, Executor, Permanent
from drivers.tm.facts import Found
from drivers.tm.layout import active_format, disk_path, vm_dir
from drivers.tm.place import whose
from drivers.tm.prolog import TEMPORARY
from drivers.tm.stack import stack_dir_steps, stacked
from drivers.tm.steps import Deed, Pass, Step
from onecore.wire.messages import Doc


@dataclass(frozen=True, slots=True)
class Trip:
    """The VM as it is HERE and as it will be THERE, each with its machine; `stays`: that is the same place."""

    vm: Doc
    here: Executor
    moved: Doc
    there: Executor

    @property
    def stays(self) -> bool:
        """Whether it is the same directory of the same machine."""
        return self.here is self.there and vm_dir(self.vm) == vm_dir(self.moved)

    def back(self) -> Trip:
        """The way back."""
        return Trip(self.moved, self.there, self.vm, self.here)


def trip(ctx: Context, args: Doc) -> Trip:
    """The move that an action is about; Permanent when its datastores are of different kinds."""
    problem = unlike(args)
    if problem:
        raise Permanent(f"VM {args['vm']['id']}: {problem}")
    vm, here = whose(ctx, args)
    moved = {**vm, "dir": args["to_dir"], "tm_mad": args["to_datastore"]["tm_mad"], "away": False}
    vm_dir(moved)
    return Trip(vm, here, moved, ctx.host(args["to"]))


def unlike(args: Doc) -> str:
    """Why files of the one datastore cannot be files of the other; empty: they can."""
    here, there = args["datastore"], args["to_datastore"]
    if here["tm_mad"] == there["tm_mad"]:
        return ""
    return (f"datastore {here['id']} keeps the files of VMs in the way of TM_MAD {here['tm_mad']}, datastore "
            f"{there['id']} in that of {there['tm_mad']}: they move only between datastores of one kind")


def pass_steps(way: Trip, names: Sequence[str]) -> list[Deed]:
    """The files NAMES are on the other host, under temporary names."""
    return [Pass(f"{name} of VM {way.vm['id']}", f"{vm_dir(way.vm)}/{name}", f"{vm_dir(way.moved)}/{name}{TEMPORARY}")
            for name in names]


def copy_steps(way: Trip, sizes: Mapping[str, int], found: Found) -> list[Step]:
    """The same where one machine sees both directories, of files of SIZES bytes on disk, by name.

    FOUND is what is in the first: links stay links.
    """
    steps: list[Step] = []
    for name, size in sizes.items():
        path, made = f"{vm_dir(way.vm)}/{name}", f"{vm_dir(way.moved)}/{name}{TEMPORARY}"
        what = f"{name} of VM {way.vm['id']}"
        copy = ("cp", "-d", "--sparse=always", "--reflink=auto", "--", path, made)
        steps.append(Step(what, copy, grows=made, total=size))
        if not found[name]:
            steps += [Step(what, ("sync", "--", made)), Step(f"{what}: comparing", ("cmp", "--", path, made))]
    return steps


def begin_steps(moved: Doc, names: Sequence[str]) -> list[Step]:
    """Where snapshots go is there."""
    return [step for disk in stacked(moved, names) for step in stack_dir_steps(moved, disk)]


def arrived_steps(moved: Doc, names: Sequence[str], found: Found) -> list[Step]:
    """All files have come under temporary names: they get their own, and what they stand on is there."""
    steps: list[Step] = []
    for name in names:
        path, what = f"{vm_dir(moved)}/{name}", f"{name} of VM {moved['id']}"
        steps += [] if found[name] else [Step(what, ("chmod", "600", "--", path + TEMPORARY))]
        steps.append(Step(what, ("mv", "-T", "--", path + TEMPORARY, path)))
    return [*steps, *_chain_steps(moved, names)]


def _chain_steps(moved: Doc, names: Sequence[str]) -> list[Step]:
    """Fail unless all that the disks stand on can be found."""
    paths = [disk_path(moved, disk) for disk in moved["disks"] if active_format(moved, disk) == "qcow2"]
    return [Step(f"what {path} stands on", ("qemu-img", "info", "-U", "-f", "qcow2", "--backing-chain", path))
            for path in paths if path.rpartition("/")[2] in names]
