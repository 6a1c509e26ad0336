"""Giving and taking back addresses."""
from __future__ import annotations

from collections.abc import Iterable

from onecore.errors import BadArgument, NotAllocated
from onecore.kinds.vnet.record import Lease, Range, Vnet, addresses, index_of
from onecore.kinds.vnet.taken import Free
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx


def free(core: Core) -> Free:
    """The index of taken addresses."""
    made: Free = core.kinds["vnet.free"]
    return made


def ranges(core: Core, vnet: int) -> list[Range]:
    """The ranges of a network, by id."""
    keys = core.kinds["vnet.ranges"].of(vnet)
    found = (core.store.get(Range, key) for key in sorted(keys))
    return [r for r in found if r is not None]


def used(core: Core, vnet: int) -> int:
    """How many addresses of a network are taken, those reserved for other networks among them."""
    return sum(used_in(core, r) for r in ranges(core, vnet))


def used_in(core: Core, found: Range) -> int:
    """How many addresses of a range are taken."""
    return len(free(core).taken(found.vnet, found.ar)) + free(core).reserved.count(found.vnet, found.ar)


def give(tx: Tx, core: Core, vnet: Vnet, vm: int, nic: int, wanted: dict[str, str]) -> tuple[Range, dict[str, str]]:
    """Lease an address for a NIC, the one that IP, IP6 or MAC asks for or the next; raises NotAllocated."""
    for key in ("IP", "IP6", "MAC"):
        if wanted.get(key):
            return _give_wanted(tx, core, vnet, vm, nic, key, wanted[key])
    among = ranges(core, vnet.oid)
    if wanted.get("AR_ID"):
        among = [r for r in among if str(r.ar) == wanted["AR_ID"]]
        if not among:
            raise NotAllocated(f"AR_ID {wanted['AR_ID'][:40]!r} is no address range of virtual network {vnet.oid} "
                               f"({vnet.name})")
    for found in among:
        index = free(core).next(found)
        if index is not None:
            tx.put(Lease(vnet.oid, found.ar, index, vm, nic))
            return found, addresses(found, index)
    raise NotAllocated(f"Cannot get IP/MAC lease from virtual network {vnet.oid} ({vnet.name}): "
                       "all addresses are in use.")


def _give_wanted(tx: Tx, core: Core, vnet: Vnet, vm: int, nic: int, key: str,
                 value: str) -> tuple[Range, dict[str, str]]:
    for found, index in find(core, vnet, key, value):
        if index in free(core).taken(vnet.oid, found.ar) or free(core).reserved.at(vnet.oid, found.ar, index):
            continue
        tx.put(Lease(vnet.oid, found.ar, index, vm, nic))
        return found, addresses(found, index)
    raise NotAllocated(f"Cannot get IP/MAC lease from virtual network {vnet.oid} ({vnet.name}): {key} {value[:60]} is "
                       "not in its ranges or in use.")


def find(core: Core, vnet: Vnet, key: str, value: str) -> Iterable[tuple[Range, int]]:
    """The ranges that have an address, with its index; KEY says which: IP, IP6 or MAC.  Raises NotAllocated."""
    try:
        for found in ranges(core, vnet.oid):
            index = index_of(found, key, value)
            if index is not None:
                yield found, index
    except ValueError:
        raise NotAllocated(f"{key} is not an address: {value[:60]!r}") from None


def take_back(tx: Tx, core: Core, vm: int) -> None:
    """Free all addresses of a VM."""
    for key in free(core).of_vm(vm):
        lease = tx.get(Lease, key)
        if lease is not None:
            tx.delete(lease)


def take_back_nic(tx: Tx, core: Core, vm: int, nic: int) -> None:
    """Free the address of one NIC, or alias, of a VM."""
    for key in free(core).of_vm(vm):
        lease = tx.get(Lease, key)
        if lease is not None and lease.nic == nic:
            tx.delete(lease)


def hold(tx: Tx, core: Core, vnet: Vnet, wanted: dict[str, str]) -> None:
    """Keep an address from being given."""
    for key in ("IP", "IP6", "MAC"):
        if wanted.get(key):
            _give_wanted(tx, core, vnet, -1, -1, key, wanted[key])
            return
    raise BadArgument("LEASES must name an IP, IP6 or MAC to hold")


def release(tx: Tx, core: Core, vnet: Vnet, wanted: dict[str, str]) -> None:
    """Let go of a held address."""
    for key in ("IP", "IP6", "MAC"):
        if wanted.get(key):
            for found, index in find(core, vnet, key, wanted[key]):
                lease = free(core).taken(vnet.oid, found.ar).get(index)
                if lease is not None and lease.vm == -1:
                    tx.delete(lease)
                    return
            raise BadArgument(f"{key} {wanted[key]} is not on hold in virtual network {vnet.oid}", vnet.oid)
    raise BadArgument("LEASES must name an IP, IP6 or MAC to release")
