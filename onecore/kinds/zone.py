"""The zone: there is one, this cloud; nothing is federated, so zones are neither added nor removed."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from onecore.api import Body, Request, method
from onecore.errors import BadArgument, Forbidden, NotAllocated
from onecore.kinds import verbs
from onecore.kinds.kind import KINDS, Kind, changing, parse_template
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes

ENABLED, DISABLED = 0, 1
_ALONE = "there is one zone and nothing is federated"


@dataclass(frozen=True, slots=True)
class Zone(Record):
    """The zone; `state` is 0 (ENABLED) or 1 (DISABLED): then only administrators change anything."""

    TABLE: ClassVar[str] = "zone_pool"
    KIND: ClassVar[str] = "zone"
    oid: int
    name: str
    endpoint: str
    state: int = ENABLED


def body(core: Core, zone: Zone) -> list[bytes]:
    """<ZONE>."""
    return [escape_bytes(f"<ZONE><ID>{zone.oid}</ID>{xmlbody.text('NAME', zone.name)}<STATE>{zone.state}</STATE>"
                         f"<TEMPLATE>{xmlbody.text('ENDPOINT', zone.endpoint)}</TEMPLATE><SERVER_POOL></SERVER_POOL>"
                         "</ZONE>")]


ZONE = Kind("zone", "ZONE", Zone, "one.zone", "one.zonepool", body, owned=False, unique="all")
KINDS["zone"] = ZONE
verbs.declare(ZONE, "info", "pool", "rename")


@method("one.zone.update", right="MANAGE", on="zone")
def update(req: Request, zone: Zone, template: str, append: int = 0) -> int:
    """Change the ENDPOINT that clients are told."""
    if append not in (0, 1):
        raise BadArgument(f"append must be 0 (replace) or 1 (merge), not {append}")
    with changing():
        endpoint = parse_template(template).get("ENDPOINT")
    if not endpoint.startswith(("http://", "https://")):
        raise BadArgument(f"ENDPOINT must be the address of /RPC2, http://… or https://…, not {endpoint[:60]!r}")
    req.tx.put(replace(zone, endpoint=endpoint))
    req.tx.log("zone", zone.oid, "update", keys=["ENDPOINT"])
    return zone.oid


@method("one.zone.enable", right="ADMIN", on="zone")
def enable(req: Request, zone: Zone, enable: bool) -> int:
    """Let everybody change things, or administrators alone."""
    req.tx.put(replace(zone, state=ENABLED if enable else DISABLED))
    req.tx.log("zone", zone.oid, "update", keys=["STATE"])
    return zone.oid


def check_enabled(core: Core, method_name: str, admin: bool) -> None:
    """Raise Forbidden when the zone is disabled and somebody else than an administrator wants to change something."""
    if not admin and any(zone.state == DISABLED for zone in core.store.all(Zone)):
        raise Forbidden(f"the zone is disabled, {method_name} is for administrators until it is enabled again")


@method("one.zone.raftstatus", reads=True)
def raftstatus(req: Request) -> Body:
    """How this server stands to others: alone (state 0, SOLO)."""
    durable = req.core.store.durable
    return Body([escape_bytes(f"<RAFT><SERVER_ID>-1</SERVER_ID><STATE>0</STATE><TERM>0</TERM><VOTEDFOR>-1</VOTEDFOR>"
                              f"<COMMIT>{durable}</COMMIT><LOG_INDEX>{durable}</LOG_INDEX><LOG_TERM>0</LOG_TERM>"
                              "<FEDLOG_INDEX>-1</FEDLOG_INDEX></RAFT>")])


@method("one.zone.allocate")
def allocate(req: Request, template: str) -> int:
    """Refused: there is one zone."""
    verbs.require_create(req, "zone")
    parse_template(template)
    raise NotAllocated(f"{_ALONE}: no zone is added")


@method("one.zone.delete", right="ADMIN", on="zone")
def delete(req: Request, zone: Zone) -> int:
    """Refused: there is one zone."""
    raise BadArgument(f"{_ALONE}: zone {zone.oid} cannot be deleted", zone.oid)


@method("one.zone.addserver", right="ADMIN", on="zone")
def addserver(req: Request, zone: Zone, template: str) -> int:
    """Refused: the zone has one server."""
    raise BadArgument(f"{_ALONE}: the zone has one server", zone.oid)


@method("one.zone.delserver", right="ADMIN", on="zone")
def delserver(req: Request, zone: Zone, server_id: int) -> int:
    """Refused: the zone has one server."""
    raise BadArgument(f"{_ALONE}: there is no server {server_id}", zone.oid)


@method("one.zone.resetserver", right="ADMIN", on="zone")
def resetserver(req: Request, zone: Zone, server_id: int) -> int:
    """Refused: the zone has one server."""
    raise BadArgument(f"{_ALONE}: there is no server {server_id}", zone.oid)
