"""Virtual data centres: which groups may use which clusters, hosts, datastores and networks; kept as ACL rules.

A VDC's rules follow from its record, and are added and dropped with each change of it; what another VDC gives stays.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from onecore import api
from onecore.api import Request, method
from onecore.auth import acl
from onecore.auth.acl import ALL, CLUSTER, GROUP, INDIVIDUAL, RESOURCES, RIGHTS
from onecore.auth.authorize import authorize
from onecore.config import Tenants
from onecore.errors import BadArgument
from onecore.kinds import verbs
from onecore.kinds.acl import add, drop_rule
from onecore.kinds.kind import KINDS, Kind, check_name, inner_xml, parse_template
from onecore.kinds.kind import rules as rules_in_force
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.pool.store import Tx
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes

EVERY = -10
"""In place of an id: all objects of the kind in the zone."""
PARTS = {"clusters": ("cluster", "CLUSTER"), "hosts": ("host", "HOST"), "datastores": ("datastore", "DATASTORE"),
         "vnets": ("vnet", "VNET")}
"""Field: the kind, and its element; in the order of the schema."""


@dataclass(frozen=True, slots=True)
class Vdc(Record):
    """`groups` are ids as text; the others `zone:id` as text, id -10 for all."""

    TABLE: ClassVar[str] = "vdc_pool"
    KIND: ClassVar[str] = "vdc"
    oid: int
    name: str
    template: bytes
    groups: str = ""
    clusters: str = ""
    hosts: str = ""
    datastores: str = ""
    vnets: str = ""

    @property
    def gids(self) -> tuple[int, ...]:
        """The groups."""
        return tuple(map(int, self.groups.split()))

    def members(self, field: str) -> list[tuple[int, int]]:
        """(zone, id) of what it has of a part."""
        pairs = (part.split(":") for part in getattr(self, field).split())
        return [(int(zone), int(oid)) for zone, oid in pairs]

    def with_members(self, field: str, members: list[tuple[int, int]]) -> Vdc:
        """The VDC with other members of a part."""
        return replace(self, **{field: " ".join(f"{zone}:{oid}" for zone, oid in sorted(members))})  # type: ignore[arg-type]


def body(core: Core, vdc: Vdc) -> list[bytes]:
    """<VDC>."""
    parts = "".join(f"<{tag}S>{''.join(_member(tag, *one) for one in vdc.members(field))}</{tag}S>"
                    for field, (_, tag) in PARTS.items())
    return [escape_bytes(f"<VDC><ID>{vdc.oid}</ID>{xmlbody.text('NAME', vdc.name)}{xmlbody.ids('GROUPS', vdc.gids)}"
                         f"{parts}<TEMPLATE>"), vdc.template, b"&lt;/TEMPLATE&gt;&lt;/VDC&gt;"]


def _member(tag: str, zone: int, oid: int) -> str:
    return f"<{tag}><ZONE_ID>{zone}</ZONE_ID><{tag}_ID>{oid}</{tag}_ID></{tag}>"


VDC = Kind("vdc", "VDC", Vdc, "one.vdc", "one.vdcpool", body, owned=False, unique="all")
KINDS["vdc"] = VDC
verbs.declare(VDC, "info", "pool", "update", "rename")


# -- the rules

def rights(config: Tenants) -> dict[str, dict[int, int]]:
    """{part: {rights: kinds}}: what groups may do with what a VDC has."""
    given = {"clusters": {"HOST": config.vdc_cluster_host, "NET": config.vdc_cluster_net,
                          "DATASTORE": config.vdc_cluster_datastore},
             "hosts": {"HOST": config.vdc_host}, "datastores": {"DATASTORE": config.vdc_datastore},
             "vnets": {"NET": config.vdc_net}}
    out: dict[str, dict[int, int]] = {}
    for field, kinds in given.items():
        for kind, text in kinds.items():
            mask = sum(RIGHTS[word] for word in text.split("+") if word in RIGHTS)
            if mask:
                found = out.setdefault(field, {})
                found[mask] = found.get(mask, 0) | RESOURCES[kind]
    return out


def rules(vdc: Vdc, given: dict[str, dict[int, int]]) -> Iterator[acl.Rule]:
    """The rules that a VDC stands for."""
    for gid in vdc.gids:
        for field, by_rights in given.items():
            for zone, oid in vdc.members(field):
                target = ALL if oid == EVERY else (CLUSTER if field == "clusters" else INDIVIDUAL) | oid
                for mask, kinds in by_rights.items():
                    yield acl.Rule(GROUP | gid, kinds | target, mask, INDIVIDUAL | zone)


def change(tx: Tx, core: Core, before: Vdc, after: Vdc) -> None:
    """Keep a VDC as it is now, and the rules that follow."""
    given = rights(core.config.tenants)
    kept = {rule for vdc in tx.store.all(Vdc) if vdc.oid != before.oid for rule in rules(vdc, given)}
    was, now = dict.fromkeys(rules(before, given)), dict.fromkeys(rules(after, given))
    for rule in was:
        if rule not in now and rule not in kept:
            drop_rule(tx, rule)
    for rule in now:
        if rule not in was:
            add(tx, rule)
    tx.put(after)


def join_default(tx: Tx, core: Core, gid: int) -> None:
    """A new group is in VDC 0, if that is there."""
    vdc = tx.get(Vdc, 0)
    if vdc is not None:
        change(tx, core, vdc, replace(vdc, groups=_ids([*vdc.gids, gid])))
        tx.log("vdc", 0, "update", keys=["GROUPS"])


def _ids(gids: list[int]) -> str:
    return " ".join(map(str, sorted(gids)))


def forget(tx: Tx, kind: str, oid: int) -> None:
    """An object that is no more is in no VDC; the rules about it are dropped with it."""
    fields = [field for field, (name, _) in PARTS.items() if name == kind]
    for vdc in list(tx.store.all(Vdc)):
        after = replace(vdc, groups=_ids([g for g in vdc.gids if g != oid])) if kind == "group" else vdc
        for field in fields:
            after = after.with_members(field, [one for one in vdc.members(field) if one[1] != oid])
        if after != vdc:
            tx.put(after)
            tx.log("vdc", vdc.oid, "update", keys=[kind.upper()])


verbs.ON_REMOVE.append(forget)


# -- methods

@method("one.vdc.allocate")
def allocate(req: Request, template: str, cluster_id: int = -1) -> int:
    """Make a VDC without groups and resources; CLUSTER_ID is not read."""
    verbs.require_create(req, "vdc")
    tree = parse_template(template)
    oid = req.tx.next_id("vdc")
    name = check_name(req.tx, req.core, VDC, tree.get("NAME") or f"vdc-{oid}", -1)
    req.tx.put(Vdc(oid, name, inner_xml(tree.without(["NAME"]))))
    req.tx.log("vdc", oid, "create", new=name)
    return oid


@method("one.vdc.delete", right="ADMIN", on="vdc")
def delete(req: Request, vdc: Vdc) -> int:
    """Remove a VDC, and what it allowed."""
    if vdc.oid == 0:
        raise BadArgument("VDC 0 (default) is part of the cloud and cannot be deleted", 0)
    change(req.tx, req.core, vdc, Vdc(vdc.oid, vdc.name, vdc.template))
    verbs.remove(req.tx, VDC, vdc)
    return vdc.oid


def _group(req: Request, group_id: int) -> int:
    group = verbs.existing("group", req.core, group_id)
    authorize(req.caller, "ADMIN", "group", group, rules_in_force(req.core))
    return int(group.oid)


def _keep(req: Request, before: Vdc, after: Vdc, key: str) -> int:
    change(req.tx, req.core, before, after)
    req.tx.log("vdc", before.oid, "update", keys=[key])
    return before.oid


@method("one.vdc.addgroup", right="ADMIN", on="vdc")
def addgroup(req: Request, vdc: Vdc, group_id: int) -> int:
    """Let a group use what the VDC has."""
    gid = _group(req, group_id)
    if gid in vdc.gids:
        raise BadArgument(f"Group {gid} is already assigned to the VDC {vdc.oid}", vdc.oid)
    return _keep(req, vdc, replace(vdc, groups=_ids([*vdc.gids, gid])), "GROUPS")


@method("one.vdc.delgroup", right="ADMIN", on="vdc")
def delgroup(req: Request, vdc: Vdc, group_id: int) -> int:
    """Take that from a group again."""
    gid = _group(req, group_id)
    if gid not in vdc.gids:
        raise BadArgument(f"Group {gid} is not assigned to the VDC {vdc.oid}", vdc.oid)
    return _keep(req, vdc, replace(vdc, groups=_ids([g for g in vdc.gids if g != gid])), "GROUPS")


def _resource(req: Request, kind: str, zone_id: int, oid: int) -> tuple[int, int]:
    """A zone and an object in it, -10 for all, that the caller administers; raises NoExists or Forbidden."""
    in_force = rules_in_force(req.core)
    authorize(req.caller, "ADMIN", "zone", verbs.existing("zone", req.core, zone_id), in_force)
    obj = None if oid == EVERY else verbs.existing(kind, req.core, oid)
    authorize(req.caller, "ADMIN", kind, obj, in_force)
    return zone_id, oid


def _adder(field: str, kind: str) -> Callable[..., int]:
    def join(req: Request, vdc: Vdc, zone_id: int, resource_id: int) -> int:
        """Give the VDC's groups an object of a zone, or all of the kind (-10), in place of single ones."""
        one = _resource(req, kind, zone_id, resource_id)
        before = vdc.members(field)
        if one in before:
            raise BadArgument(f"{kind} {resource_id} of zone {zone_id} is already assigned to the VDC {vdc.oid}",
                              vdc.oid)
        kept = [] if resource_id == EVERY else before
        return _keep(req, vdc, vdc.with_members(field, [*kept, one]), field.upper())
    return join


def _remover(field: str, kind: str) -> Callable[..., int]:
    def leave(req: Request, vdc: Vdc, zone_id: int, resource_id: int) -> int:
        """Take an object of a zone, or all of the kind (-10), from the VDC's groups again."""
        one = _resource(req, kind, zone_id, resource_id)
        before = vdc.members(field)
        if one not in before:
            raise BadArgument(f"{kind} {resource_id} of zone {zone_id} is not assigned to the VDC {vdc.oid}", vdc.oid)
        return _keep(req, vdc, vdc.with_members(field, [m for m in before if m != one]), field.upper())
    return leave


for _field, (_kind, _tag) in PARTS.items():
    api.register(f"one.vdc.add{_tag.lower()}", _adder(_field, _kind), "ADMIN", "vdc")
    api.register(f"one.vdc.del{_tag.lower()}", _remover(_field, _kind), "ADMIN", "vdc")
