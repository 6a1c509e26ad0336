"""Groups: record, body, methods."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onecore.api import Body, Request, method
from onecore.kinds import verbs
from onecore.kinds.kind import KINDS, Kind, check_name
from onecore.kinds.user import User
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes


@dataclass(frozen=True, slots=True)
class Group(Record):
    """A group; its members are found through users."""

    TABLE: ClassVar[str] = "group_pool"
    KIND: ClassVar[str] = "group"
    oid: int
    name: str
    template: bytes


def _quotas() -> str:
    return "<DATASTORE_QUOTA/><NETWORK_QUOTA/><VM_QUOTA/><IMAGE_QUOTA/>"


def _head(core: Core, group: Group) -> list[bytes]:
    members = [u.oid for u in core.store.all(User) if group.oid in u.gids]
    return [escape_bytes(f"<GROUP><ID>{group.oid}</ID>{xmlbody.text('NAME', group.name)}<TEMPLATE>"), group.template,
            escape_bytes(f"</TEMPLATE>{xmlbody.ids('USERS', members)}<ADMINS></ADMINS>")]


def body(core: Core, group: Group) -> list[bytes]:
    """<GROUP>."""
    return [*_head(core, group), escape_bytes(
        f"{_quotas()}<VLAN_RULES><ID>{group.oid}</ID></VLAN_RULES><DEFAULT_GROUP_QUOTAS>{_quotas()}</DEFAULT_GROUP_QUOTAS></GROUP>")]


def pool_body(core: Core, group: Group) -> list[bytes]:
    """<GROUP> inside the pool."""
    return [*_head(core, group), b"&lt;/GROUP&gt;"]


GROUP = Kind("group", "GROUP", Group, "one.group", "one.grouppool", body, pool_body, owned=False, unique="all",
             own=lambda who: who.gid)
KINDS["group"] = GROUP
verbs.declare(GROUP, "info")


@method("one.grouppool.info", reads=True)
def pool_info(req: Request) -> Body:
    """The groups that the caller may see."""
    out = verbs.pool_body(req, GROUP, verbs.select(req, GROUP, -2, -1, -1))
    out[-1] = escape_bytes(f"<DEFAULT_GROUP_QUOTAS>{_quotas()}</DEFAULT_GROUP_QUOTAS></GROUP_POOL>")
    return out


@method("one.group.allocate")
def allocate(req: Request, name: str) -> int:
    """Make a group."""
    verbs.require_create(req, "group")
    check_name(req.tx, req.core, GROUP, name, -1)
    oid = req.tx.next_id("group")
    req.tx.put(Group(oid, name, b""))
    req.tx.log("group", oid, "create", new=name)
    return oid
