"""The end of a snapshot of a running guest's disk, by where its file is among those that the disk consists of.

QEMU keeps calling a file as it did when it opened it.  So a file that got another name has the old one too, until the
guest's disk stands on it no more; which file is which is told by inode.
"""
from __future__ import annotations

from dataclasses import dataclass

from drivers.base import Context, DriverError, Permanent
from drivers.fence import fenced
from drivers.tm.layout import snapshot_name, vm_dir
from drivers.tm.on_disk import snap_delete
from drivers.vm import chain, events, qmp
from drivers.vm.disk_snapshots import Work, begin, commit, unmake
from drivers.vm.domain.live import LiveDisk
from drivers.vm.jobs import Growth, at_a_standstill, pivot, wake
from drivers.vm.work import LAST_SECONDS, ask, ours
from onecore.wire.messages import Doc

_POLL = 0.1


def delete(ctx: Context, args: Doc) -> Doc:
    """The snapshot is gone; what stood on it has all that it had.  Of a guest that does not run it goes from the files:
    one that ended while it was made leaves nobody in doubt."""
    guest = ours(ctx, args)
    if guest is None or not guest.is_on:
        return snap_delete(ctx, args)
    with fenced(ctx, ctx.host(args["host"]), args), events.quiet(ctx, args["host"], args["vm"]):
        work = begin(ctx, args)
        live = work.look(ctx)
        if live.path == work.step:
            unmake(ctx.beyond(LAST_SECONDS), work)
        elif work.host(ctx).exists(work.kept):
            _delete(ctx, work, live)
        wake(ctx, args, work.guest)
        work.drop_steps(ctx)
        chain.sweep(work.host(ctx), args["vm"], work.disk, work.look(ctx).chain)
    return {}


def _delete(ctx: Context, work: Work, live: LiveDisk) -> None:
    """By where the snapshot is among the files that the guest's disk consists of, if it is one of them."""
    layers = _layers(ctx, work, live)
    if layers.alias:
        if layers.at == 0:
            chain.rename(work.host(ctx), work.kept, work.path)
        _name_rightly(ctx, work, live)
        return
    chain.check_dispensable(work.host(ctx), work.args["vm"], work.disk, int(work.args["snap_id"]))
    chain.rebase_children(ctx, work.host(ctx), work.args["vm"], work.disk, int(work.args["snap_id"]), layers.known)
    if layers.at is None:
        work.host(ctx).run(["rm", "-f", "--", work.kept])
    elif layers.at == 1:
        commit(ctx, work, live)
        _to_the_kept(ctx.beyond(LAST_SECONDS), work, live)
    else:
        _merge(ctx, work, live, layers.at)
        chain.rename(work.host(ctx), work.kept, layers.names[layers.at - 1])
        _name_rightly(ctx.beyond(LAST_SECONDS), work, work.look(ctx))


@dataclass(frozen=True, slots=True)
class Layers:
    """The files of a disk that is in use, by what they are and not by what QEMU calls them."""

    names: list[str]
    """The name that each has by docs/drivers.md, that of the disk first; what QEMU calls it where it has none."""
    at: int | None
    """The place of the snapshot that is to go among them."""
    alias: bool
    """Whether that snapshot's file is already the disk's, or another snapshot's."""

    @property
    def known(self) -> list[int]:
        """The snapshots among them."""
        tails = (name.rpartition("/")[2] for name in self.names[1:])
        return [int(tail) for tail in tails if tail.isdecimal()]


def _layers(ctx: Context, work: Work, live: LiveDisk) -> Layers:
    vm, number = work.args["vm"], int(work.args["snap_id"])
    names = [work.path, *(f"{vm_dir(vm)}/{snapshot_name(work.disk, each)}" for each in chain.kept(vm, work.disk)
                          if each != number)]
    found = chain.inodes(work.host(ctx), [*live.chain, work.kept, *names])
    by_inode = {found[name]: name for name in reversed(names) if name in found}
    mine = found.get(work.kept, "")
    places = [place for place, path in enumerate(live.chain) if found.get(path) == mine]
    return Layers([by_inode.get(found.get(path, ""), path) for path in live.chain], next(iter(places), None),
                  mine in by_inode or 0 in places)


def _merge(ctx: Context, work: Work, live: LiveDisk, at: int) -> None:
    """The snapshot above the one that is to go is written into that one's file, and takes its place."""
    indexes, target = [index for _, index in live.layers], live.target
    base, top = (f"{target}[{indexes[place]}]" for place in (at, at - 1))
    if not _job(ctx, work, target):
        ask(ctx, work.args, "writing a disk snapshot of",
            lambda _: work.guest.domain.blockCommit(target, base, top, 0, 0))
    growth = Growth(ctx, "disk snapshot")
    while info := _job(ctx, work, target):
        growth.say(info)
        ctx.sleep(_POLL)
    if len(work.look(ctx).chain) >= len(live.chain):
        raise Permanent(f"disk {work.disk['DISK_ID']}: its snapshots could not be merged; is there room for them?")


def _job(ctx: Context, work: Work, target: str) -> Doc:
    info = ask(ctx, work.args, "following a copy of", lambda _: work.guest.domain.blockJobInfo(target, 0))
    return dict(info or {})


def _name_rightly(ctx: Context, work: Work, live: LiveDisk) -> None:
    """Each file of the disk says by its right name what it stands on; QEMU is told, which has them open."""
    layers = _layers(ctx, work, live)
    indexes, root = [index for _, index in live.layers], f"libvirt-{live.layers[0][1]}-format"
    for place, path in enumerate(live.chain[:-1]):
        below = layers.names[place + 1]
        wanted = below.removeprefix(f"{vm_dir(work.args['vm'])}/")
        if wanted != below and chain.backing(work.host(ctx), path)[0] != wanted:
            qmp.tell(ctx, work.args, work.guest, "change-backing-file", {
                "device": root, "image-node-name": f"libvirt-{indexes[place]}-format", "backing-file": wanted})


def _to_the_kept(ctx: Context, work: Work, live: LiveDisk) -> None:
    """The guest writes to what was the snapshot, which gets the disk's name; the other one stays while it runs.

    It may not write while the disk's name is that of the other, which hides what is below it: then it stands still
    until the snapshot's end is asked for again.
    """
    with at_a_standstill(ctx, work.args, work.guest) as still:
        still.ends = False
        try:
            pivot(ctx, work.args, work.guest, live.target)
            chain.rename(work.host(ctx), work.kept, work.path)
            still.ends = True
        except DriverError:
            still.ends = work.look(ctx).path == live.path
            raise
