"""Every body in every state: what VMs look like to clients as they go through their states, and what they are on."""
from __future__ import annotations

from collections.abc import Iterator

from sim import Sim
from xsd import problems

from onecore.kinds.kind import KINDS
from onecore.kinds.vm.record import Vm
from onecore.wire.states import vm_name
from onecore.wire.xmlrpc import unescape

SEEN: set[tuple[str, str]] = set()
"""(state, operation) in which bodies were looked at: once each in a process, for it takes its time."""
_BESIDE = ("host", "image", "vnet", "user", "group")
"""Other kinds, whose bodies change with a VM's state."""


def wrong(sim: Sim) -> Iterator[str]:
    """What the schemas say against bodies in a state that was not seen yet."""
    for vm in list(sim.core.store.all(Vm)):
        state = vm_name(vm.state, vm.lcm), vm.op_kind
        if state in SEEN:
            continue
        SEEN.add(state)
        for found in _problems(sim, "vm", vm, "vm"):
            yield f"in {state} {found}"
        for name in _BESIDE:
            for other in list(sim.core.store.all(KINDS[name].record)):
                yield from (f"with a VM in {state} {found}" for found in _problems(sim, name, other, name))


def _problems(sim: Sim, name: str, record: object, schema: str) -> Iterator[str]:
    kind = KINDS[name]
    for pool, make in (("", kind.body), ("_pool", kind.pool_body or kind.body)):
        body = unescape(b"".join(make(sim.core, record)).decode())
        body = f"<{kind.noun}_POOL>{body}</{kind.noun}_POOL>" if pool else body
        if name not in ("user", "group") or not pool:  # whose pools hold more than bodies
            yield from (f"{schema}{pool}.xsd: {found}\n{body}" for found in problems(f"{schema}{pool}", body))
