"""Snapshots of a running guest's disk.  How the files lie is said in docs/drivers.md.

QEMU opens a file again by its name when it begins or ends to write to it, so a name that it uses never comes to mean
another file: the file with the final name is made by a copy job.  While names change the guest stands still for a
moment: whatever breaks then, the file under the disk's name holds all that the guest wrote.
"""
from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import libvirt

from drivers.base import Context, DriverError, Executor, Permanent
from drivers.fence import fenced
from drivers.tm.layout import Disk, disk_path, snapshot_name, vm_dir
from drivers.tm.on_disk import refuse_inner
from drivers.tm.stack import stack_dir_steps
from drivers.tm.steps import perform
from drivers.vm import chain, events
from drivers.vm.domain.live import LiveDisk
from drivers.vm.guest import Guest
from drivers.vm.inside import at_work, one, read
from drivers.vm.jobs import at_a_standstill, end, pivot, thaw, tidy, until_ready, wake
from drivers.vm.work import LAST_SECONDS, ask
from onecore.wire.messages import Doc

_SNAPSHOT = (libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
             | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)
_COPY = (libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB | libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
         | libvirt.VIR_DOMAIN_BLOCK_COPY_SHALLOW)
_COMMITS = "active-commit"
_COMMIT = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | libvirt.VIR_DOMAIN_BLOCK_COMMIT_SHALLOW


@dataclass(frozen=True, slots=True)
class Work:
    """A snapshot of a disk that is to come or to go, and the guest that uses the disk."""

    args: Doc
    guest: Guest
    disk: Disk

    def host(self, ctx: Context) -> Executor:
        """The guest's host, for as long as CTX goes on."""
        return ctx.host(self.args["host"])

    @property
    def path(self) -> str:
        """The disk's file."""
        return disk_path(self.args["vm"], self.disk)

    @property
    def kept(self) -> str:
        """The snapshot's."""
        return f"{vm_dir(self.args['vm'])}/{snapshot_name(self.disk, self.args['snap_id'])}"

    @property
    def step(self) -> str:
        """What the guest writes to while the file with the disk's name is made."""
        return f"{self.kept}.tmp"

    def drop_steps(self, ctx: Context) -> None:
        """The files by way of which the snapshot is made are gone; the guest uses none of them."""
        self.host(ctx).run(["rm", "-f", "--", self.step, f"{self.path}.tmp"])

    def look(self, ctx: Context) -> LiveDisk:
        """The disk as the guest has it; Permanent when it has none such."""
        found = read(ctx, self.args, self.guest).disk(self.disk["DISK_ID"])
        if found is None:
            raise Permanent(f"VM {self.args['vm']['id']} runs without disk {self.disk['DISK_ID']}")
        return found


def create(ctx: Context, args: Doc) -> Doc:
    """The disk's content of one moment is the snapshot, and the guest goes on with an overlay of it."""
    with fenced(ctx, ctx.host(args["host"]), args), events.quiet(ctx, args["host"], args["vm"]):
        work = begin(ctx, args)
        live = work.look(ctx)
        made = work.host(ctx).exists(work.kept)
        if live.path == work.step or not made or chain.is_same(work.host(ctx), work.path, work.kept):
            if live.path != work.step:
                refuse_inner(work.host(ctx), args["vm"], work.disk, live.format)
                _prepare(ctx, work, live)
            with tidy(ctx, args, work.guest):
                _switch(ctx.beyond(LAST_SECONDS), work)
        wake(ctx, args, work.guest)
        thaw(ctx, args, work.guest)
        work.drop_steps(ctx)
        chain.sweep(work.host(ctx), args["vm"], work.disk, work.look(ctx).chain)
    return {}


def begin(ctx: Context, args: Doc) -> Work:
    """The work that an action's args ask for; Permanent when the guest does not run or has no such disk."""
    guest = at_work(ctx, args)
    return Work(args, guest, one(args["vm"], "disks", "DISK_ID", args["disk_id"]))


def _prepare(ctx: Context, work: Work, live: LiveDisk) -> None:
    """The snapshot's name for the file that the guest writes to, and two empty overlays of that."""
    run = work.host(ctx).run
    size = ask(ctx, work.args, "measuring a disk of", lambda _: int(work.guest.domain.blockInfo(live.target)[0]))
    perform(ctx, work.host(ctx), stack_dir_steps(work.args["vm"], work.disk))
    run(["ln", "-P", "-f", "--", work.path, work.kept])
    for path in (work.step, f"{work.path}.tmp"):
        run(["rm", "-f", "--", path])
        run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", live.format,
             "-b", snapshot_name(work.disk, work.args["snap_id"]), path, str(size)])
        run(["chmod", "600", "--", path])
        run(["sync", "--", path])


def _switch(ctx: Context, work: Work) -> None:
    """The guest writes to an overlay with the disk's name, by way of another; or to what it wrote to before."""
    with at_a_standstill(ctx, work.args, work.guest) as still:
        try:
            _to_the_step(ctx, work)
            _to_the_name(ctx, work)
        except DriverError as error:
            still.ends = False  # it may not write while the file with its disk's name is another
            _back(ctx, work)
            still.ends = True
            raise error


def _to_the_step(ctx: Context, work: Work) -> None:
    live = work.look(ctx)
    if live.path != work.step:
        others = [disk.target for disk in read(ctx, work.args, work.guest).disks() if disk.target != live.target]
        xml = (f"<domainsnapshot><disks><disk name={quoteattr(live.target)} snapshot='external' type='file'>"
               f"<driver type='qcow2'/><source file={quoteattr(work.step)}/></disk>"
               f"{''.join(f'<disk name={quoteattr(name)} snapshot={chr(34)}no{chr(34)}/>' for name in others)}"
               "</disks></domainsnapshot>")
        ask(ctx, work.args, "making a disk snapshot of", lambda _: work.guest.domain.snapshotCreateXML(xml, _SNAPSHOT))


def _to_the_name(ctx: Context, work: Work) -> None:
    live, ready = work.look(ctx), f"{work.path}.tmp"
    if not live.job:
        if work.host(ctx).exists(ready):
            work.host(ctx).run(["mv", "-T", "--", ready, work.path])
        xml = f"<disk type='file'><source file={quoteattr(work.path)}/><driver type='qcow2'/></disk>"
        ask(ctx, work.args, "making a disk snapshot of",
            lambda _: work.guest.domain.blockCopy(live.target, xml, {}, _COPY))
    until_ready(ctx, work.args, work.guest, live.target, "disk snapshot")
    pivot(ctx, work.args, work.guest, live.target)


def unmake(ctx: Context, work: Work) -> None:
    """There is no snapshot, the making of which was left half-way; the guest stands still until that is so."""
    with at_a_standstill(ctx, work.args, work.guest) as still:
        still.ends = False
        _back(ctx, work)
        still.ends = True


def _back(ctx: Context, work: Work) -> None:
    """The guest writes to the disk's file as before, and there is no snapshot."""
    end(ctx, work.args, work.guest, work.look(ctx).target)
    live = work.look(ctx)
    if not chain.is_same(work.host(ctx), work.path, work.kept):
        chain.rename(work.host(ctx), work.kept, work.path)
    if live.path == work.step:
        commit(ctx, work, live)
        pivot(ctx, work.args, work.guest, live.target)
    work.host(ctx).run(["rm", "-f", "--", work.kept])
    work.drop_steps(ctx)


def commit(ctx: Context, work: Work, live: LiveDisk) -> None:
    """What the guest writes to is written into what that stands on, until both are the same."""
    if live.job not in ("", _COMMITS):
        end(ctx, work.args, work.guest, live.target)
    if live.job != _COMMITS:
        ask(ctx, work.args, "writing a disk snapshot of",
            lambda _: work.guest.domain.blockCommit(live.target, None, None, 0, _COMMIT))
    until_ready(ctx, work.args, work.guest, live.target, "disk snapshot")
