"""The files of a disk with snapshots, as they lie on the host: which stands on which."""
from __future__ import annotations

from collections.abc import Collection, Iterable

from drivers.base import Context, Executor, Permanent
from drivers.tm.facts import layer
from drivers.tm.layout import Disk, snapshot_name, snapshots_dir, source
from drivers.tm.steps import Step, perform
from onecore.wire.messages import Doc


def backing(executor: Executor, path: str) -> tuple[str, str]:
    """What a file says that it stands on: name and format; two empty texts when it stands alone or is no qcow2 file.

    It is read as qcow2 whatever it is; nothing that it names is opened.
    """
    try:
        found = layer(executor, path)
    except Permanent:
        return "", ""
    return found.backing, found.form


def kept(vm: Doc, disk: Disk) -> list[int]:
    """The disk's snapshots by the VM's document: what else has a number for its name is another name for one of these,
    or for the disk's own file."""
    told = vm.get("snapshots", {}).get(disk["DISK_ID"], {})
    return [int(each["id"]) for each in told.get("list", ())]


def sweep(executor: Executor, vm: Doc, disk: Disk, used: Iterable[str]) -> None:
    """Names that mean nothing any more are gone: of snapshots that the document does not have, but for what is USED."""
    directory, told = snapshots_dir(vm, disk), vm.get("snapshots", {}).get(disk["DISK_ID"], {})
    if "list" not in told or not executor.exists(directory):
        return
    needed = {*map(str, kept(vm, disk)), *(path.rpartition("/")[2] for path in used)}
    listed = executor.run(["find", directory, "-mindepth", "1", "-maxdepth", "1", "-printf", r"%f\n"]).splitlines()
    gone = [f"{directory}/{name}" for name in listed if name.isdecimal() and name not in needed]
    if gone:
        executor.run(["rm", "-f", "--", *gone])


def inodes(executor: Executor, paths: Iterable[str]) -> dict[str, str]:
    """What tells the files of PATHS apart (links are followed), by path; those that are not there are left out."""
    told = executor.run(["sh", "-c", 'stat -L --format="%d:%i %n" -- "$@" 2> /dev/null || true', "sh", *paths])
    found = (line.partition(" ") for line in told.splitlines())
    return {path: inode for inode, _, path in found}


def is_same(executor: Executor, one: str, other: str) -> bool:
    """Whether two names are of one file."""
    return executor.run(["sh", "-c", '[ "$1" -ef "$2" ] && echo yes || true', "sh", one, other]).strip() == "yes"


def rename(executor: Executor, path: str, name: str) -> None:
    """NAME means the file (or link) that PATH means, in one step, and on stable storage; PATH stays."""
    made = f"{name}.name"
    executor.run(["ln", "-P", "-f", "--", path, made])
    if not is_same(executor, made, name):
        executor.run(["mv", "-T", "--", made, name])
    executor.run(["sync", "--", name.rpartition("/")[0]])
    executor.run(["rm", "-f", "--", made])


def check_dispensable(executor: Executor, vm: Doc, disk: Disk, snapshot: int) -> None:
    """Permanent when other snapshots stand on one that is raw or an image: they could not be what that is."""
    name, path = snapshot_name(disk, snapshot), f"{vm['dir']}/{snapshot_name(disk, snapshot)}"
    told = {number: backing(executor, f"{vm['dir']}/{snapshot_name(disk, number)}")
            for number in kept(vm, disk) if number != snapshot}
    needing = [number for number, (below, _) in told.items() if below == name]
    is_link = executor.run(["sh", "-c", 'test -L "$1" && echo yes || true', "sh", path]).strip() == "yes"
    if needing and (is_link or any(told[number][1] != "qcow2" for number in needing)):
        raise Permanent(f"disk {disk['DISK_ID']}: snapshot {', '.join(map(str, needing))} cannot do without snapshot "
                        f"{snapshot}, as that is {'the image' if is_link else 'raw'} itself; delete the others first")


def rebase_children(ctx: Context, executor: Executor, vm: Doc, disk: Disk, snapshot: int, but: Collection[int]) -> None:
    """Snapshots that stand on SNAPSHOT, BUT some, stand on what that stands on, with the same content."""
    name = snapshot_name(disk, snapshot)
    onto, form = backing(executor, f"{vm['dir']}/{name}")
    if onto and onto != source(disk) and not onto.startswith(snapshot_name(disk, 0)[:-1]):
        raise Permanent(f"disk {disk['DISK_ID']}: snapshot {snapshot} stands on {onto}, which is none of its files")
    for number in kept(vm, disk):
        path = f"{vm['dir']}/{snapshot_name(disk, number)}"
        if number != snapshot and number not in but and backing(executor, path)[0] == name:
            argv = ("qemu-img", "rebase", "-q", "-f", "qcow2", *(("-F", form) if onto else ()), "-b", onto, path)
            perform(ctx, executor, [Step(f"snapshot {number} of disk {disk['DISK_ID']}", argv, grows=path)])
