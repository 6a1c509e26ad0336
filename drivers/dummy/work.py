"""One action at work on a dummy VM's directory: what it finds there, and what it leaves; an older one is refused."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from drivers.base import Context, Permanent
from drivers.dummy.folder import ARRIVING, Disk, Folder, image, is_saved, is_whole, missing, size_mb
from drivers.dummy.shelf import Held, Place, Shelf, place_of, shelf
from drivers.dummy.stage import act
from onecore.wire.messages import Doc


@dataclass(frozen=True, slots=True)
class Work:
    """The VM, where its directory is, and the operation (epoch, generation, number)."""

    shelf: Shelf
    vm: Doc
    place: Place
    by: tuple[int, int, int]

    def look(self, place: Place | None = None) -> Folder | None:
        """The directory now, at PLACE or its own; Permanent when a newer operation was there."""
        found = self.shelf.get(place or self.place)
        if found and found.by > self.by:
            raise Permanent(f"superseded by operation {found.by[2]} (epoch {found.by[0]}, generation {found.by[1]})")
        return found

    def whole(self) -> Folder:
        """The directory, which must be there and complete."""
        found = self.look()
        if found is None or not is_whole(self.vm, found):
            raise Permanent(incomplete(self.vm, found, self.place))
        return found

    def settled(self) -> Folder:
        """The directory, which must be there, whatever disks are in it."""
        found = self.look()
        if found is None or found.mark:
            raise Permanent(incomplete(self.vm, found, self.place))
        return found

    def put(self, folder: Folder, place: Place | None = None) -> None:
        """The directory is so from now on."""
        self.shelf.put(place or self.place, replace(folder, by=self.by))

    def drop(self) -> None:
        """The directory is gone; none there is fine."""
        self.shelf.drop(self.place)

    def made(self, disk: Mapping[str, str]) -> Disk:
        """A new file for a disk: what its image holds; nobody has brought that home any more."""
        held = self.shelf.image(image(disk)) if image(disk) else Held()
        if is_saved(disk):
            self.shelf.put_image(image(disk), Held(held.content))
        return Disk(size_mb(disk), held.content)

    def save(self, disk: Mapping[str, str], file: Disk) -> None:
        """A persistent disk's content is in its image."""
        self.shelf.put_image(image(disk), Held(file.content, int(self.vm["id"]), int(self.vm["generation"])))

    def is_home(self, disk: Mapping[str, str]) -> bool:
        """Whether this run of the VM brought that disk home."""
        held = self.shelf.image(image(disk))
        return (held.vm, held.generation) == (int(self.vm["id"]), int(self.vm["generation"]))


def begin(ctx: Context, action: str, args: Doc) -> Work:
    """Let ACTION take its time and its fate; then the work on the VM's directory on its host."""
    act(ctx, action, args["host"], args["vm"])
    return work_at(ctx, args, own_place(args))


def work_at(ctx: Context, args: Doc, place: Place) -> Work:
    """The work of an action on the VM's directory at PLACE."""
    run = args["_"]
    return Work(shelf(ctx, "tm"), args["vm"], place, (run["epoch"], run["generation"], run["op"]))


def own_place(args: Doc) -> Place:
    """Where the VM of an action has its directory."""
    return place_of({} if args["vm"].get("away") else args["host"], args["vm"], args["datastore"])


def carry(ctx: Context, args: Doc, action: str, source: Place, target: Place) -> None:
    """The directory goes from SOURCE to TARGET, whatever an earlier run of this did; ACTION's time passes meanwhile."""
    here, there = work_at(ctx, args, source), work_at(ctx, args, target)
    if source == target:
        act(ctx, action, args["host"], args["vm"])
        here.whole()
    elif is_whole(here.vm, here.look()):
        there.look()
        there.put(Folder(mark=ARRIVING))
        act(ctx, action, args["host"], args["vm"])
        there.look()
        there.put(here.whole())
        leave(here)
    else:
        act(ctx, action, args["host"], args["vm"])
        there.whole()
        leave(here)


def leave(work: Work) -> None:
    """The directory, which is whole elsewhere or not wanted any more, is gone; none there is fine."""
    if work.look() is not None:
        work.drop()


def incomplete(vm: Doc, found: Folder | None, place: Place) -> str:
    """What is wrong with a VM's directory."""
    where = f"VM {vm['id']} in datastore {place[1]} on {place[0].lstrip('%')}"
    if found is None:
        return f"{where}: its directory is missing"
    lost = ", ".join(f"disk.{number}" for number in missing(vm, found))
    return f"{where}: {'its files are not complete' if found.mark else f'{lost} missing'}"
