"""Copies of a running guest's disks, of one moment, that stand alone: `dir/disk.N.saveas` for `tm saveas` to take."""
from __future__ import annotations

from contextlib import suppress
from xml.sax.saxutils import quoteattr

import libvirt

from drivers.base import Context, DriverError, Permanent
from drivers.fence import fenced
from drivers.tm.facts import need, written
from drivers.tm.layout import disk_path, vm_dir
from drivers.vm import events
from drivers.vm.domain.live import LiveDisk
from drivers.vm.guest import Guest
from drivers.vm.inside import at_work, one, read
from drivers.vm.jobs import at_a_standstill, end, thaw, tidy, until_ready, wake
from drivers.vm.work import LAST_SECONDS, ask, at_rest, ours
from onecore.wire.messages import Doc


def copy_disk(ctx: Context, args: Doc) -> Doc:
    """The copy is there, a qcow2 file; one of before is replaced."""
    vm, executor = args["vm"], ctx.host(args["host"])
    made = _place(vm, args)
    with fenced(ctx, executor, args), events.quiet(ctx, args["host"], vm):
        guest = at_work(ctx, args)
        live = read(ctx, args, guest).disk(str(args["disk_id"]))
        if live is None:
            raise Permanent(f"VM {vm['id']} runs without disk {args['disk_id']}")
        if live.copy_path == f"{made}.tmp":
            end(ctx, args, guest, live.target)
        executor.run(["rm", "-f", "--", made, f"{made}.tmp"])
        size = ask(ctx, args, "measuring a disk of", lambda _: int(guest.domain.blockInfo(live.target)[0]))
        need(executor, vm_dir(vm), min(size, written(executor, *live.chain)), "the copy of a disk")
        try:
            _copy(ctx, args, guest, live, f"{made}.tmp", "qcow2")
        except BaseException:
            with suppress(DriverError):
                ctx.beyond(LAST_SECONDS).host(args["host"]).run(["rm", "-f", "--", f"{made}.tmp"])
            raise
        for argv in (["chmod", "600", "--", f"{made}.tmp"], ["sync", "--", f"{made}.tmp"],
                     ["mv", "-T", "--", f"{made}.tmp", made]):
            executor.run(argv)
    return {}


def drop_copy(ctx: Context, args: Doc) -> Doc:
    """No copy is there, whole or begun, nothing makes one, and the guest does not stand still for it."""
    vm, executor = args["vm"], ctx.host(args["host"])
    made = _place(vm, args)
    with fenced(ctx, executor, args), events.quiet(ctx, args["host"], vm):
        guest = ours(ctx, args)
        if guest is not None and guest.is_on:
            at_rest(ctx, args)
            live = read(ctx, args, guest).disk(str(args["disk_id"]))
            if live is not None and live.copy_path == f"{made}.tmp":
                end(ctx, args, guest, live.target)
            wake(ctx, args, guest)
            thaw(ctx, args, guest)
        executor.run(["rm", "-f", "--", made, f"{made}.tmp"])
    return {}


def _place(vm: Doc, args: Doc) -> str:
    return f"{disk_path(vm, one(vm, 'disks', 'DISK_ID', args['disk_id']))}.saveas"


def _copy(ctx: Context, args: Doc, guest: Guest, live: LiveDisk, path: str, form: str) -> None:
    xml = f"<disk type='file'><source file={quoteattr(path)}/><driver type={quoteattr(form)}/></disk>"
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    ask(ctx, args, "copying a disk of", lambda _: guest.domain.blockCopy(live.target, xml, {}, flags))
    until_ready(ctx, args, guest, live.target, "copying the disk")
    with tidy(ctx, args, guest):
        last = ctx.beyond(LAST_SECONDS)
        with at_a_standstill(last, args, guest):
            end(last, args, guest, live.target)
