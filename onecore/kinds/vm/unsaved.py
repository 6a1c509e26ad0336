"""What a VM wrote on persistent disks, where that may be more than their images have: on a host's own storage."""
from __future__ import annotations

from onecore.kinds.datastore import Datastore
from onecore.kinds.host.commands import is_shared
from onecore.kinds.kind import tree_of
from onecore.kinds.vm.disk_record import is_saved
from onecore.kinds.vm.record import Vm, VmText
from onecore.lifecycle.core import Core


def unsaved(core: Core, vm: Vm) -> list[str]:
    """The ids of such disks; none of a VM that never ran."""
    datastore, text = core.store.get(Datastore, vm.ds_id), core.store.get(VmText, vm.oid)
    if not vm.generation or datastore is None or is_shared(datastore) or text is None:
        return []
    return [disk.get("DISK_ID", "") for disk in tree_of(text.template).vectors("DISK") if is_saved(disk)]
