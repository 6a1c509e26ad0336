"""What a new configuration does to the records: TEMPLATE, and the little of it that the schema leaves to the user's."""
from __future__ import annotations

from onecore.kinds.vm.edit import keep, keep_user
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx


def configure(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """TEMPLATE is INFO's `tree`, USER_TEMPLATE its `user`."""
    keep(tx, vm, info["tree"])
    keep_user(tx, vm, info["user"])
    return vm
