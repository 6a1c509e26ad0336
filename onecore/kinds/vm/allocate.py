"""A new VM from a template: checked, its disks, NICs and context resolved, addresses leased, records made."""
from __future__ import annotations

from typing import Any

from onecore.api import Request
from onecore.auth.authorize import authorize
from onecore.kinds import restricted, verbs
from onecore.kinds.kind import KINDS, check_name, inner_xml, new_perms, rules
from onecore.kinds.vm import affinity, context, disks, nics, ports, scheduling, shape
from onecore.kinds.vm.record import Vm, VmText, text
from onecore.kinds.vm.requirements import require
from onecore.kinds.vm.shape import TEMPLATE_NAMES, fragment
from onecore.kinds.vm.size import check_limits, size_of
from onecore.wire.states import VmState
from onecore.wire.template import Tree

NEVER_GIVEN = ("VMID", "AUTOMATIC_REQUIREMENTS", "AUTOMATIC_DS_REQUIREMENTS", "AUTOMATIC_NIC_REQUIREMENTS",
               "TM_MAD_SYSTEM", *shape.OURS)


def allocate(req: Request, tree: Tree, hold: bool = False, written: Tree | None = None) -> int:
    """Make a VM of TREE; PENDING, HOLD, or CLONING while an image is not ready.  Returns its id.

    WRITTEN: the part that the caller wrote, when an administrator wrote the rest.
    """
    verbs.require_create(req, "vm")
    core, who = req.core, req.caller
    tree = tree.copy()
    tree.remove(*NEVER_GIVEN)
    shape.check(tree)
    restricted.check(req, "vm", tree if written is None else written)
    size = size_of(tree)
    check_limits(tree)
    oid = req.tx.next_id("vm")
    name = check_name(req.tx, core, KINDS["vm"], (tree.get("NAME") or f"one-{oid}").replace("%i", str(oid)), who.uid)
    found = disks.resolve(req, tree)
    given = nics.resolve(req, tree, oid)
    now = core.now()
    affinity.resolve(req, tree)
    scheduling.take(req, tree, oid, now)
    ports.give(core.config.defaults, tree, oid)
    context.build(req, tree, oid, name, found.next_id)
    require(core, tree)
    held = hold or tree.get("SUBMIT_ON_HOLD").upper() == "YES"
    state = VmState.CLONING if found.waits else VmState.HOLD if held else VmState.PENDING
    req.tx.put(Vm(oid, who.uid, who.gid, name, new_perms(core, who), "", int(state), 0, 0, 0, 0, now, 0, now, "",
                  size.cpu, size.memory, found.size_mb, -1, -1, -1, -1, text(found.images), text(given), "", 0, 0,
                  "hold" if held else "", 0, 0, ""))
    req.tx.put(VmText(oid, _template(tree, oid), inner_xml(_user_template(tree)), 0))
    req.tx.log("vm", oid, "create", new=state.name)
    req.tx.after(lambda: core.log.vm(oid, f"Created by user {who.uid} ({who.name}), state {state.name}", req.rid))
    return oid


def _template(tree: Tree, oid: int) -> bytes:
    tree.set("VMID", str(oid))
    tree.set("TM_MAD_SYSTEM", "")
    return fragment(tree)


_NOT_USERS = frozenset(TEMPLATE_NAMES) | {"NAME", "ERROR"}


def _user_template(tree: Tree) -> Tree:
    return tree.without(_NOT_USERS)


def use_of(req: Request, kind: str, obj: Any) -> None:
    """USE right on an image or network that a template names."""
    authorize(req.caller, "USE", kind, obj, rules(req.core))
    verbs.check_lock(obj, "USE", KINDS[kind].noun)
