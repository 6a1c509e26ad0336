"""Recovering virtual networks."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument
from onecore.kinds.vnet import delete
from onecore.kinds.vnet.record import Vnet
from onecore.wire.states import VnetState

DELETE = 2
OPERATIONS = {0: "failure", 1: "success", DELETE: "delete", 3: "retry"}


@method("one.vn.recover", right="MANAGE", on="vnet")
def recover(req: Request, vnet: Vnet, operation: int) -> int:
    """End what a network is stuck in: failure (0), success (1), delete (2: as one.vn.delete), retry (3).

    A network is made and changed in one step here, on no host, so that there is never anything to fail, to call a
    success or to try again.
    """
    if operation not in OPERATIONS:
        known = ", ".join(f"{number} ({name})" for number, name in OPERATIONS.items())
        raise BadArgument(f"operation must be one of {known}, not {operation}", vnet.oid)
    if operation == DELETE:
        delete(req, vnet)
        return vnet.oid
    raise BadArgument(f"operation {OPERATIONS[operation]} cannot be done: VNET {vnet.oid} is in state "
                      f"{VnetState(vnet.state).name}, nothing of it is under way", vnet.oid)
