"""Reservations: networks that are made of parts of another one's address ranges."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from onecore.api import Request, method
from onecore.auth.authorize import authorize
from onecore.errors import BadArgument, NotAllocated
from onecore.kinds import verbs
from onecore.kinds.kind import check_name, identifier, new_perms, parse_template, rules, whole
from onecore.kinds.vnet import VNET, range_of
from onecore.kinds.vnet.leases import find, free, ranges
from onecore.kinds.vnet.ranges import MAX_SIZE
from onecore.kinds.vnet.record import Range, Vnet, addresses, mac_number
from onecore.wire.template import Tree


@method("one.vn.reserve", right="USE", on="vnet")
def reserve(req: Request, vnet: Vnet, template: str) -> int:
    """Reserve SIZE addresses in a row for a new network NAME, or for the reservation NETWORK_ID; returns its id.

    AR_ID says from which range, IP, IP6 or MAC from which address on.
    """
    if vnet.parent >= 0:
        raise BadArgument(f"virtual network {vnet.oid} is itself a reservation from network {vnet.parent}; "
                          "reserve from that one", vnet.oid)
    tree = parse_template(template)
    size = whole(tree.get("SIZE"), 1, MAX_SIZE)
    if size is None:
        raise NotAllocated(f"SIZE must be a whole number from 1 to {MAX_SIZE}, not {tree.get('SIZE')[:40]!r}")
    found, index = _place(req, vnet, tree, size)
    child = _extended(req, vnet, tree.get("NETWORK_ID")) if tree.get("NETWORK_ID") else _new(req, vnet, tree)
    req.tx.put(_part(found, index, size, child))
    req.tx.put(replace(child, next_ar=child.next_ar + 1))
    req.tx.log("vnet", vnet.oid, "update", new=f"{size} for network {child.oid}", keys=["LEASES"])
    return child.oid


@method("one.vn.free_ar", right="MANAGE", on="vnet")
def free_ar(req: Request, vnet: Vnet, ar_id: int) -> int:
    """Give a reserved address range, of which no address is in use, back to the network it comes from."""
    found = range_of(req, vnet, ar_id)
    if found.parent < 0:
        raise BadArgument(f"address range {ar_id} of network {vnet.oid} is not reserved from another network", vnet.oid)
    if taken := free(req.core).taken(vnet.oid, ar_id):
        raise BadArgument(f"address range {ar_id} of network {vnet.oid} has {len(taken)} addresses in use", vnet.oid)
    req.tx.delete(found)
    req.tx.log("vnet", vnet.oid, "update", keys=["AR"])
    return vnet.oid


def _place(req: Request, vnet: Vnet, tree: Tree, size: int) -> tuple[Range, int]:
    """Where SIZE free addresses in a row are: the range and the first one's index; raises NotAllocated."""
    for found, wanted in _asked(req, vnet, tree):
        index = free(req.core).gap(found, size, wanted)
        if index is not None:
            return found, index
    raise NotAllocated(f"SIZE: there are no {size} free addresses in a row in virtual network {vnet.oid} where they "
                       "are asked for")


def _asked(req: Request, vnet: Vnet, tree: Tree) -> Iterable[tuple[Range, int]]:
    """The ranges that may be taken from, each with the index to begin at, -1: any."""
    number = identifier(tree.get("AR_ID"), "AR_ID") if tree.get("AR_ID") else -1
    only = range_of(req, vnet, number) if number >= 0 else None
    for key in ("IP", "IP6", "MAC"):
        if tree.get(key):
            return [(r, i) for r, i in find(req.core, vnet, key, tree.get(key)) if only in (None, r)]
    return [(r, -1) for r in ([only] if only else ranges(req.core, vnet.oid))]


def _extended(req: Request, vnet: Vnet, given: str) -> Vnet:
    """The reservation from VNET that is to grow."""
    child: Vnet = verbs.existing("vnet", req.core, identifier(given, "NETWORK_ID"))
    authorize(req.caller, "MANAGE", "vnet", child, rules(req.core))
    verbs.check_lock(child, "MANAGE", VNET.noun)
    if child.parent != vnet.oid:
        raise NotAllocated(f"NETWORK_ID must be a reservation from virtual network {vnet.oid}, {child.oid} is none")
    req.tx.log("vnet", child.oid, "update", keys=["AR"])
    return child


def _new(req: Request, vnet: Vnet, tree: Tree) -> Vnet:
    """A network of the caller's that is like VNET but for its addresses."""
    if not tree.get("NAME"):
        raise NotAllocated("NAME of the reservation, or NETWORK_ID of one that is to grow, must be given")
    name = check_name(req.tx, req.core, VNET, tree.get("NAME"), req.caller.uid)
    oid = req.tx.next_id("vnet")
    req.tx.log("vnet", oid, "create", new=name)
    return replace(vnet, oid=oid, uid=req.caller.uid, gid=req.caller.gid, name=name, lock="", next_ar=0,
                   perms=new_perms(req.core, req.caller), parent=vnet.oid)


def _part(found: Range, index: int, size: int, child: Vnet) -> Range:
    """SIZE addresses of a range from INDEX on, as a range of CHILD."""
    first = addresses(found, index)
    return replace(found, vnet=child.oid, ar=child.next_ar, size=size, mac=mac_number(first["MAC"]),
                   ip=first.get("IP", ""), ip6=first["IP6"] if found.ip6 else "", parent=found.vnet,
                   parent_ar=found.ar, parent_idx=index)
