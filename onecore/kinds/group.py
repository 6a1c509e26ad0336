"""Groups: record, body, and the methods about a group itself (its administrators: kinds/group_admins.py)."""
from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from onecore.api import Body, Request, method
from onecore.errors import BadArgument
from onecore.kinds import verbs
from onecore.kinds.kind import KINDS, Kind, changing, check_name, lookup, parse_template
from onecore.kinds.quota import body as quota
from onecore.kinds.quota.methods import forget as forget_quota
from onecore.kinds.vdc import join_default
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.pool.store import Members
from onecore.wire import xmlbody
from onecore.wire.template import Tree, to_xml
from onecore.wire.xmlrpc import escape_bytes

RULE = ("ID", "SCOPE", "VNTEMPLATE")
_IDS = re.compile(r"[0-9]{1,8}(-[0-9]{1,8})?( *, *[0-9]{1,8}(-[0-9]{1,8})?)*\Z", re.A)
SYSTEM_GROUPS = 100
"""Groups below are the cloud's own."""


@dataclass(frozen=True, slots=True)
class Group(Record):
    """A group; its members are found through users.  `admins` are ids as text, `vlans` the rules as XML."""

    TABLE: ClassVar[str] = "group_pool"
    KIND: ClassVar[str] = "group"
    oid: int
    name: str
    template: bytes
    admins: str = ""
    vlans: str = ""

    @property
    def admin_ids(self) -> frozenset[int]:
        """Who administers it."""
        return frozenset(map(int, self.admins.split()))


def members(core: Core, gid: int) -> set[Any]:
    """Ids of the users that are in a group (not to be changed)."""
    found: Members[Any] = core.kinds["user.groups"]
    return found.of(gid)


def _head(core: Core, group: Group) -> list[bytes]:
    return [escape_bytes(f"<GROUP><ID>{group.oid}</ID>{xmlbody.text('NAME', group.name)}<TEMPLATE>"), group.template,
            escape_bytes(f"</TEMPLATE>{xmlbody.ids('USERS', members(core, group.oid))}"
                         f"{xmlbody.ids('ADMINS', group.admin_ids)}")]


def body(core: Core, group: Group) -> list[bytes]:
    """<GROUP>."""
    return [*_head(core, group), escape_bytes(
        f"{quota.of(core, 'group', group.oid)}<VLAN_RULES><ID>{group.oid}</ID>{group.vlans}</VLAN_RULES>"
        f"{quota.defaults(core, 'group')}</GROUP>")]


def pool_body(core: Core, group: Group) -> list[bytes]:
    """<GROUP> inside the pool."""
    return [*_head(core, group), b"&lt;/GROUP&gt;"]


GROUP = Kind("group", "GROUP", Group, "one.group", "one.grouppool", body, pool_body, owned=False, unique="all",
             own=lambda who: who.gid)
KINDS["group"] = GROUP
verbs.declare(GROUP, "info", "update")


@method("one.grouppool.info", reads=True)
def pool_info(req: Request) -> Body:
    """The groups that the caller may see."""
    records = verbs.select(req, GROUP, -2, -1, -1)
    out = verbs.pool_body(req, GROUP, records)
    each = "".join(f"<QUOTAS><ID>{g.oid}</ID>{quota.of(req.core, 'group', g.oid)}</QUOTAS>" for g in records)
    out[-1] = escape_bytes(f"{each}{quota.defaults(req.core, 'group')}</GROUP_POOL>")
    return out


@method("one.group.allocate")
def allocate(req: Request, name: str) -> int:
    """Make a group; it may use what VDC 0 has."""
    verbs.require_create(req, "group")
    check_name(req.tx, req.core, GROUP, name, -1)
    oid = req.tx.next_id("group")
    req.tx.put(Group(oid, name, b""))
    req.tx.log("group", oid, "create", new=name)
    join_default(req.tx, req.core, oid)
    return oid


@method("one.group.delete", right="ADMIN", on="group")
def delete(req: Request, group: Group) -> int:
    """Remove a group that has no users and owns nothing; ACL rules about it go too."""
    if group.oid < SYSTEM_GROUPS:
        raise BadArgument(f"group {group.oid} ({group.name}) is part of the cloud and cannot be deleted", group.oid)
    if users := sorted(members(req.core, group.oid)):
        raise BadArgument(f"group {group.oid} ({group.name}) still has users {', '.join(map(str, users[:10]))}",
                          group.oid)
    for kind in KINDS.values():
        count = lookup(req.core, kind.name).group.count(group.oid) if kind.owned else 0
        if count:
            raise BadArgument(f"group {group.oid} still owns {count} objects of kind {kind.name}; delete or chown them "
                              "first", group.oid)
    forget_quota(req.tx, "group", group.oid)
    verbs.remove(req.tx, GROUP, group)
    return group.oid


@method("one.group.vlan", right="ADMIN", on="group")
def vlan(req: Request, group: Group, vlan_rules: str) -> int:
    """Keep the VLANs that are delegated to the group, RULE = [ID, SCOPE, VNTEMPLATE] …, in place of those before."""
    with changing():
        rules = [_rule(value) for name, value in parse_template(vlan_rules, "vlan_rules") if name == "RULE"]
    req.tx.put(replace(group, vlans=to_xml(Tree(("RULE", rule) for rule in rules), "T")[3:-4]))
    req.tx.log("group", group.oid, "update", keys=["VLAN_RULES"])
    return group.oid


def _rule(value: Any) -> dict[str, str]:
    """A rule with its keys in the order of the schema; raises BadArgument naming the one that is wrong."""
    if not isinstance(value, dict):
        raise BadArgument(f"vlan_rules: RULE must be a vector, RULE = [ … ], not {value[:40]!r}")
    if unknown := [key for key in value if key not in RULE]:
        raise BadArgument(f"vlan_rules: RULE may hold {', '.join(RULE)}, not {unknown[0]}")
    if not _IDS.match(value.get("ID", "")):
        raise BadArgument("vlan_rules: RULE/ID must be numbers and ranges such as 1, 33, 400-700, "
                          f"not {value.get('ID', '')[:40]!r}")
    return {key: value.get(key, "") for key in RULE}
