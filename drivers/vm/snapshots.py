"""System snapshots: memory and disks of a running guest at one moment, kept in its qcow2 files.

QEMU makes and loads them; libvirt would start the guest anew to go back to one, lose it when that fails, forget its
snapshots whenever it ends, and not let it move while it knows of any.  `dir/snapshot.ID` says what devices the guest
had: what was saved fits no others.
"""
from __future__ import annotations

import json

from drivers.base import Context, DriverError, Executor, Permanent
from drivers.fence import fenced
from drivers.tm.layout import active_format, disk_path, is_cdrom
from drivers.vm import events, qmp
from drivers.vm.domain.live import Live
from drivers.vm.guest import Guest
from drivers.vm.inside import at_work, read
from drivers.vm.jobs import wake
from drivers.vm.work import LAST_SECONDS, ours
from onecore.wire.messages import Doc


def create(ctx: Context, args: Doc) -> Doc:
    """The snapshot is there; Permanent for a guest with a disk that cannot hold one."""
    executor, name = ctx.host(args["host"]), _name(args)
    with fenced(ctx, executor, args), events.quiet(ctx, args["host"], args["vm"]):
        guest = at_work(ctx, args)
        live = read(ctx, args, guest)
        nodes = holders(args["vm"], live)
        if not executor.exists(_path(args)) or _holding(ctx, args, guest, nodes) != nodes:
            executor.write(_path(args), json.dumps(live.shape()).encode(), 0o600)
            _drop(ctx, args, guest, _holding(ctx, args, guest, nodes))
            _make(ctx, args, guest, nodes)
        wake(ctx, args, guest)
    return {"hypervisor_id": name}


def revert(ctx: Context, args: Doc) -> Doc:
    """The guest is as it was; Permanent when there is no such snapshot, or it fits the guest no more."""
    executor = ctx.host(args["host"])
    with fenced(ctx, executor, args), events.quiet(ctx, args["host"], args["vm"]):
        guest = at_work(ctx, args)
        live = read(ctx, args, guest)
        nodes = holders(args["vm"], live)
        if _holding(ctx, args, guest, nodes) != nodes or not executor.exists(_path(args)):
            raise Permanent(f"VM {args['vm']['id']} has no snapshot {_name(args)}")
        refuse_another_shape(args["vm"], json.loads(executor.read(_path(args))), live.shape())
        qmp.run_job(ctx, args, guest, "snapshot-load", _job(args, "load"), _of(args, nodes))
        wake(ctx, args, guest)
    return {}


def delete(ctx: Context, args: Doc) -> Doc:
    """It is gone from the guest's disks, whether it runs or not."""
    away = bool(args["vm"].get("away"))
    executor = ctx.host({} if away else args["host"])
    with fenced(ctx, executor, args):
        guest = None if away else ours(ctx, args)
        if guest is not None and guest.is_on:
            with events.quiet(ctx, args["host"], args["vm"]):
                guest = at_work(ctx, args)
                nodes = [disk.node for disk in read(ctx, args, guest).disks() if disk.format == "qcow2"]
                _drop(ctx, args, guest, _holding(ctx, args, guest, nodes))
        else:
            _delete_from_files(executor, args)
        executor.run(["rm", "-f", "--", _path(args)])
    return {}


def is_whole(ctx: Context, args: Doc, guest: Guest | None) -> bool:
    """Whether the snapshot is there: on all disks of a guest that runs; of one that is off, begun or whole."""
    if not ctx.host(args["host"]).exists(_path(args)):
        return False
    if guest is None or not guest.is_on:
        return True
    nodes = [disk.node for disk in read(ctx, args, guest).disks() if disk.path and not disk.is_readonly]
    return _holding(ctx, args, guest, nodes) == nodes


def holders(vm: Doc, live: Live) -> list[str]:
    """The nodes that are to hold a snapshot of the guest; Permanent, naming them, when some cannot."""
    written = [disk for disk in live.disks() if disk.path and not disk.is_readonly]
    raw = [disk.target for disk in written if disk.format != "qcow2"]
    if raw or not written:
        raise Permanent(f"VM {vm['id']}: a system snapshot needs all its disks in qcow2, and "
                        f"{', '.join(raw) or 'it has no disk'} {'are' if len(raw) > 1 else 'is'} not")
    if live.has_variables():
        raise Permanent(f"VM {vm['id']}: there are no system snapshots of guests with UEFI")
    return [disk.node for disk in written]


def refuse_another_shape(vm: Doc, then: Doc, now: Doc) -> None:
    """Permanent, saying what, when the guest has other devices, processors or memory than it had."""
    differing = [f"{name} ({then.get(name, 'none')} then, {now.get(name, 'none')} now)"
                 for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    if differing:
        raise Permanent(f"VM {vm['id']} is not as it was when the snapshot was made: {'; '.join(differing)}")


def _make(ctx: Context, args: Doc, guest: Guest, nodes: list[str]) -> None:
    """Make it; one that is complete only after the command was cancelled is taken away again."""
    try:
        qmp.run_job(ctx, args, guest, "snapshot-save", _job(args, "save"), _of(args, nodes))
    except DriverError:
        last = ctx.beyond(LAST_SECONDS)
        try:
            _drop(last, args, guest, _holding(last, args, guest, nodes))
            last.host(args["host"]).run(["rm", "-f", "--", _path(args)])
        except DriverError as error:
            ctx.log("warning", str(error))
        raise


def _drop(ctx: Context, args: Doc, guest: Guest, nodes: list[str]) -> None:
    if nodes:
        qmp.run_job(ctx, args, guest, "snapshot-delete", _job(args, "delete"),
                    {"tag": _name(args), "devices": nodes})


def _holding(ctx: Context, args: Doc, guest: Guest, nodes: list[str]) -> list[str]:
    """Those of NODES that hold the snapshot."""
    known = qmp.images(ctx, args, guest)
    return [node for node in nodes
            if any(each["name"] == _name(args) for each in known.get(node, {}).get("snapshots", ()))]


def _of(args: Doc, nodes: list[str]) -> Doc:
    return {"tag": _name(args), "vmstate": nodes[0], "devices": nodes}


def _delete_from_files(executor: Executor, args: Doc) -> None:
    """Off: from each file that holds it."""
    vm, name = args["vm"], _name(args)
    for disk in vm["disks"]:
        path = disk_path(vm, disk)
        if active_format(vm, disk) == "qcow2" and not is_cdrom(disk) and executor.exists(path):
            held = json.loads(executor.run(["qemu-img", "info", "-f", "qcow2", "--output=json", "--", path]))
            if name in (each["name"] for each in held.get("snapshots", ())):
                executor.run(["qemu-img", "snapshot", "-q", "-d", name, "--", path])


def _name(args: Doc) -> str:
    """What hypervisors call it."""
    return f"snap-{int(args['snapshot']['id'])}"


def _job(args: Doc, verb: str) -> str:
    """What QEMU calls the job: each operation's own, so that what an earlier one left is never taken for its end."""
    return f"{verb}-{_name(args)}-{int(args['_']['op'])}"


def _path(args: Doc) -> str:
    return f"{args['vm']['dir']}/snapshot.{int(args['snapshot']['id'])}"
