"""Security groups: rules that VMs' NICs name.  Which VMs do is derived from their templates.

No network driver filters by them yet, so a change has nothing to apply on hosts: every member is up to date at once.
"""
from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from onecore.api import Request, method
from onecore.errors import BadArgument, NotAllocated, WrongState
from onecore.kinds import verbs
from onecore.kinds.kind import (
    KINDS,
    MAX_ID,
    Kind,
    check_name,
    elements,
    identifier,
    inner_xml,
    new_perms,
    owner_xml,
    parse_template,
    permissions_xml,
    whole,
)
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.wire import xmlbody
from onecore.wire.template import Tree, Vector
from onecore.wire.xmlrpc import escape_bytes

PROTOCOLS, TYPES = ("TCP", "UDP", "ICMP", "ICMPV6", "IPSEC", "ALL"), ("INBOUND", "OUTBOUND")
_NAMED = re.compile(rb"&lt;SECURITY_GROUPS&gt;&lt;!\[CDATA\[([0-9,]*)\]\]&gt;&lt;/SECURITY_GROUPS&gt;")
"""A NIC's security groups in a template's fragment, as kind.inner_xml writes it."""
_NICS = (b"NIC", b"NIC_ALIAS")
MAX_RULES = 1000


@dataclass(frozen=True, slots=True)
class SecurityGroup(Record):
    """A security group; its rules are in its template."""

    TABLE: ClassVar[str] = "secgroup_pool"
    KIND: ClassVar[str] = "secgroup"
    oid: int
    uid: int
    gid: int
    name: str
    perms: int
    template: bytes


def members_of(fragment: bytes) -> set[int]:
    """The security groups that the NICs in a VM's template name."""
    if b"&lt;SECURITY_GROUPS&gt;" not in fragment:
        return set()
    named = (part for name, nic in elements(fragment) if name in _NICS for found in _NAMED.findall(nic)
             for part in found.decode().split(","))
    return {number for part in named if (number := whole(part, 0, MAX_ID)) is not None}


def members(core: Core, oid: int) -> set[int]:
    """The VMs with a NIC in a group."""
    found: set[int] = core.kinds["secgroup.members"].of(oid)
    return found


def body(core: Core, group: SecurityGroup) -> list[bytes]:
    """<SECURITY_GROUP>."""
    empty = "".join(f"<{state}_VMS></{state}_VMS>" for state in ("OUTDATED", "UPDATING", "ERROR"))
    return [escape_bytes(f"<SECURITY_GROUP>{owner_xml(core, group)}{permissions_xml(group.perms)}"
                         f"{xmlbody.ids('UPDATED_VMS', sorted(members(core, group.oid)))}{empty}<TEMPLATE>"),
            group.template, b"&lt;/TEMPLATE&gt;&lt;/SECURITY_GROUP&gt;"]


def check_rules(tree: Tree) -> None:
    """Raise NotAllocated naming what is wrong in a RULE."""
    rules = tree.all("RULE")
    if len(rules) > MAX_RULES:
        raise NotAllocated(f"RULE may be given {MAX_RULES} times, not {len(rules)}")
    for rule in rules:
        if not isinstance(rule, dict):
            raise NotAllocated(f"RULE must be a vector, RULE = [ … ], not {rule[:40]!r}")
        _check_rule(rule)


def _check_rule(rule: Vector) -> None:
    for key, words in (("PROTOCOL", PROTOCOLS), ("RULE_TYPE", TYPES)):
        if rule.get(key, "").upper() not in words:
            raise NotAllocated(f"RULE {key} must be one of {', '.join(words)}, not {rule.get(key, '')[:40]!r}")
    if rule.get("RANGE"):
        if rule["PROTOCOL"].upper() not in ("TCP", "UDP"):
            raise NotAllocated("RULE RANGE is for PROTOCOL TCP and UDP")
        _check_ports(rule["RANGE"])
    if rule.get("ICMP_TYPE") and whole(rule["ICMP_TYPE"], 0, 255) is None:
        raise NotAllocated(f"RULE ICMP_TYPE must be a number from 0 to 255, not {rule['ICMP_TYPE'][:40]!r}")
    if rule.get("IP"):
        try:
            ipaddress.ip_address(rule["IP"])
        except ValueError:
            raise NotAllocated(f"RULE IP must be an address, not {rule['IP'][:40]!r}") from None
        if whole(rule.get("SIZE", ""), 1, 2**62) is None:
            raise NotAllocated("RULE IP needs SIZE, the number of addresses from IP on")


def _check_ports(text: str) -> None:
    for part in text.split(","):
        first, colon, last = part.strip().partition(":")
        low, high = whole(first, 0, 65535), whole(last, 0, 65535) if colon else whole(first, 0, 65535)
        if low is None or high is None or high < low:
            raise NotAllocated(f"RULE RANGE must be ports, such as 22,80,1000:2000, not {text[:40]!r}")


def _updated(req: Request, group: SecurityGroup, _old: Tree, new: Tree) -> SecurityGroup:
    check_rules(new)
    return group


SECGROUP = Kind("secgroup", "SECURITY_GROUP", SecurityGroup, "one.secgroup", "one.secgrouppool", body)
KINDS["secgroup"] = SECGROUP
verbs.declare(SECGROUP, "info", "pool", "update", "rename", "chmod", "chown", on_update=_updated)


@method("one.secgroup.allocate")
def allocate(req: Request, template: str) -> int:
    """Make a group of NAME and RULEs."""
    verbs.require_create(req, "secgroup")
    tree = parse_template(template)
    check_rules(tree)
    return _make(req, tree.get("NAME"), inner_xml(_ordered(tree.without(["NAME"]))))


def _ordered(tree: Tree) -> Tree:
    """As the schema has it: DESCRIPTION before all else."""
    return Tree(sorted(tree.pairs, key=lambda pair: pair[0] != "DESCRIPTION"))


def _make(req: Request, name: str, template: bytes) -> int:
    check_name(req.tx, req.core, SECGROUP, name, req.caller.uid)
    oid, who = req.tx.next_id("secgroup"), req.caller
    req.tx.put(SecurityGroup(oid, who.uid, who.gid, name, new_perms(req.core, who), template))
    req.tx.log("secgroup", oid, "create", new=name)
    return oid


@method("one.secgroup.clone", right="USE", on="secgroup")
def clone(req: Request, group: SecurityGroup, name: str) -> int:
    """Another one with the same rules."""
    verbs.require_create(req, "secgroup")
    return _make(req, name, group.template)


@method("one.secgroup.commit", right="MANAGE", on="secgroup")
def commit(req: Request, group: SecurityGroup, recovery: bool = False) -> int:
    """Have the rules apply to all members; they do already."""
    req.tx.log("secgroup", group.oid, "update", keys=["COMMIT"])
    return group.oid


@method("one.secgroup.delete", right="MANAGE", on="secgroup")
def delete(req: Request, group: SecurityGroup) -> int:
    """Remove a group that no VM is in."""
    if group.oid == 0:
        raise BadArgument(f"security group 0 ({group.name}) is part of the cloud and cannot be deleted", 0)
    used = sorted(members(req.core, group.oid))
    if used:
        raise WrongState(f"security group {group.oid} is in use by VMs {', '.join(map(str, used[:10]))}", group.oid)
    verbs.remove(req.tx, SECGROUP, group)
    return group.oid


def of_nic(req: Request, given: str, networks: str) -> str:
    """SECURITY_GROUPS of a NIC: those it names, which the caller must be let use, and those of its network."""
    named = [_listed(req, part) for part in given.split(",") if part.strip()]
    theirs = [int(part) for part in networks.split(",") if part.strip().isdecimal()]
    return ",".join(map(str, dict.fromkeys([*named, *theirs]))) or "0"


def check_new(req: Request, before: str, now: str) -> None:
    """Raise NoExists, or Forbidden for groups in NOW, the SECURITY_GROUPS of a network, without USE on them.

    NICs get those without being asked.  What was there BEFORE stays.
    """
    for part in {part.strip() for part in now.split(",")} - {part.strip() for part in before.split(",")}:
        if part.isdecimal():
            _listed(req, part)


def _listed(req: Request, part: str) -> int:
    from onecore.kinds.vm.allocate import use_of
    oid = identifier(part.strip(), "NIC SECURITY_GROUPS")
    group: Any = verbs.existing("secgroup", req.core, oid)
    use_of(req, "secgroup", group)
    return oid

