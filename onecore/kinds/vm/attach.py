"""one.vm.attach and one.vm.detach: a disk more, a disk less, while the VM runs or is powered off."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument
from onecore.kinds import restricted
from onecore.kinds.cluster import cluster_ids
from onecore.kinds.datastore import Datastore
from onecore.kinds.host.room import check_growth, takes
from onecore.kinds.kind import changing, parse_template
from onecore.kinds.vm import disks
from onecore.kinds.vm.disk_record import check_no_moments, existing, is_saved, next_id
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.requirements import require
from onecore.wire.template import Vector


@method("one.vm.attach", right="MANAGE", on="vm")
def attach(req: Request, vm: Vm, template: str) -> int:
    """Give the VM the DISK of a template: of an image, or a volatile one."""
    check(vm, "disk_attach")
    with changing():
        disk, tree = _disk_of(req, template), template_of(req.tx, vm)
        check_no_moments(tree, vm)
        number = next_id(vm, tree)
        disks.add(req, tree, disk, number)
        require(req.core, tree)
    _check_cluster(req, vm, disk)
    datastore = req.core.store.get(Datastore, vm.ds_id)
    if datastore is not None:
        check_growth(req.core, vm, takes(disk, datastore))
    disk["ATTACH"] = "YES"
    fire(req.tx, req.core, vm, "disk_attach", args={"disk_id": number, "save": False}, template=tree)
    return vm.oid


def _disk_of(req: Request, template: str) -> Vector:
    """The DISK of TEMPLATE; raises BadArgument or Forbidden."""
    given = parse_template(template)
    restricted.check(req, "vm", given)
    found = given.all("DISK")
    if len(found) != 1 or not isinstance(found[0], dict):
        raise BadArgument(f"template must hold one DISK = [ … ], not {len(found)}" if len(found) != 1 else
                          "DISK must be a vector, DISK = [ … ]")
    return found[0]


def _check_cluster(req: Request, vm: Vm, disk: Vector) -> None:
    """Raise BadArgument when the disk's image is not for the cluster of the VM's host."""
    store = req.core.store.get(Datastore, int(disk["DATASTORE_ID"])) if disk.get("DATASTORE_ID") else None
    if store is not None and vm.cid >= 0 and vm.cid not in cluster_ids(store.clusters):
        raise BadArgument(f"IMAGE {disk['IMAGE_ID']} ({disk['IMAGE']}) is in datastore {store.oid}, which is not part "
                          f"of cluster {vm.cid}, where the VM is", vm.oid)


@method("one.vm.detach", right="MANAGE", on="vm")
def detach(req: Request, vm: Vm, disk_id: int) -> int:
    """Take a disk from the VM; what is on a persistent one is in its image then, all else is gone."""
    check(vm, "disk_detach")
    tree = template_of(req.tx, vm)
    disk = existing(tree, vm, disk_id)
    check_no_moments(tree, vm)
    fire(req.tx, req.core, vm, "disk_detach", args={"disk_id": disk_id, "save": is_saved(disk)})
    return vm.oid
