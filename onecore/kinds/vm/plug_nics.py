"""one.vm.attachnic, detachnic, updatenic: NICs and aliases of a VM that exists."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument, NotAllocated
from onecore.kinds import restricted, verbs
from onecore.kinds.cluster import cluster_ids
from onecore.kinds.kind import changing, parse_template, tree_of
from onecore.kinds.vm import eth, nics
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire, state_of
from onecore.kinds.vm.nic_effects import find
from onecore.kinds.vm.public import S
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.requirements import require
from onecore.lifecycle.core import Core
from onecore.wire.template import Tree, Vector

ANY_TIME = (*nics.BANDWIDTH, "FILTER", "FILTER_IP_SPOOFING", "FILTER_MAC_SPOOFING", "LINK_STATE", "GUEST_MTU",
            "GATEWAY", "GATEWAY6", "DNS", "SEARCH_DOMAIN", "METRIC", "IP6_METRIC", "METHOD", "IP6_METHOD", "RDP", "SSH")
"""What may change in a NIC."""
NOT_RUNNING = ("MODEL", "VIRTIO_QUEUES")
"""What may change in a NIC while no guest has it."""


@method("one.vm.attachnic", right="MANAGE", on="vm")
def attachnic(req: Request, vm: Vm, template: str) -> int:
    """Give the VM one more NIC, or an alias to one: TEMPLATE holds one NIC or NIC_ALIAS."""
    check(vm, "nic_attach")
    with changing():
        name, given = _given(template, "NIC", "NIC_ALIAS")
        restricted.check(req, "vm", Tree([(name, given)]))
        tree = template_of(req.tx, vm)
        number = _join(req, vm, tree, name, given)
    fire(req.tx, req.core, vm, "nic_attach", args={"nic_id": number}, tree=tree)
    return vm.oid


def _given(template: str, *names: str) -> tuple[str, Vector]:
    """The one vector of one of NAMES in a template; raises NotAllocated."""
    found = [(name, value) for name, value in parse_template(template) if name in names]
    if len(found) != 1 or not isinstance(found[0][1], dict):
        raise NotAllocated(f"the template must hold {' or '.join(f'{name} = [ … ]' for name in names)} once")
    return found[0][0], found[0][1]


def _join(req: Request, vm: Vm, tree: Tree, name: str, given: Vector) -> int:
    """Put the NIC into TREE, complete, with an address; its id."""
    alias = name == "NIC_ALIAS"
    most, number = nics.MAX_ALIASES if alias else nics.MAX_NICS, nics.next_id(tree)
    if len(tree.vectors(name)) >= most:
        raise NotAllocated(f"{name} may be given {most} times, VM {vm.oid} has so many")
    tree.add(name, given)
    oid = (nics.complete_alias if alias else nics.complete)(req, tree, given, vm.oid, number)
    if vm.cid >= 0 and vm.cid not in cluster_ids(verbs.existing("vnet", req.core, oid).clusters):
        raise NotAllocated(f"{name}: network {oid} is not in cluster {vm.cid}, where VM {vm.oid} is")
    require(req.core, tree)
    eth.add(req.core, tree, given)
    return number


@method("one.vm.detachnic", right="MANAGE", on="vm")
def detachnic(req: Request, vm: Vm, nic_id: int) -> int:
    """Take a NIC with its aliases, or one alias, from the VM."""
    check(vm, "nic_detach")
    existing(template_of(req.tx, vm), vm, nic_id)
    fire(req.tx, req.core, vm, "nic_detach", args={"nic_id": nic_id})
    return vm.oid


def existing(tree: Tree, vm: Vm, number: int) -> Vector:
    """The NIC or alias of that number; raises BadArgument naming those that there are."""
    ids = [nic["NIC_ID"] for nic in eth.interfaces(tree)]
    if str(number) not in ids:
        raise BadArgument(f"nic_id: VM {vm.oid} has no NIC {number}, it has {', '.join(ids) or 'none'}", vm.oid)
    return find(tree, number)


@method("one.vm.updatenic", right="MANAGE", on="vm")
def updatenic(req: Request, vm: Vm, nic_id: int, template: str, append: int = 0) -> int:
    """Change what may change in a NIC: the keys that are given (append 1), or all of them (0)."""
    check(vm, "nic_update")
    if append not in (0, 1):
        raise BadArgument(f"append must be 0 (replace) or 1 (merge), not {append}", vm.oid)
    tree = template_of(req.tx, vm)
    old = dict(existing(tree, vm, nic_id))
    if eth.is_alias(old):
        raise BadArgument(f"nic_id: {nic_id} is an alias; detach it and attach another", vm.oid)
    with changing():
        new = _changed(req, vm, old, _given(template, "NIC")[1], bool(append))
    if new != old:
        eth.swap(req.core, tree, old, new)
        nic = find(tree, nic_id)
        nic.clear()
        nic.update(new)
        fire(req.tx, req.core, vm, "nic_update", args={"nic_id": nic_id, "was": old}, tree=tree)
    return vm.oid


def _changed(req: Request, vm: Vm, old: Vector, given: Vector, append: bool) -> Vector:
    """The NIC as it shall be; raises NotAllocated or Forbidden naming the key that may not change."""
    may = ANY_TIME if state_of(vm) is S.RUNNING else (*ANY_TIME, *NOT_RUNNING)
    for key, value in given.items():
        if key not in may and old.get(key, "") != value:
            raise NotAllocated(f"NIC {key} cannot be changed in a NIC that is there; what can: {', '.join(may)}; for "
                               "anything else, another network too, detach the NIC and attach another")
    wanted = {key: given[key] for key in may if key in given}
    if not append:
        fixed = () if req.caller.admin else restricted.keys(req.core, "vm", "NIC", may)
        free = [key for key in may if key not in given and key not in fixed]
        wanted |= {key: _by_network(req.core, old).get(key, "") for key in free}
    wanted.setdefault("MODEL", old.get("MODEL", ""))
    wanted["MODEL"] = wanted["MODEL"] or req.core.config.defaults.nic_model
    new = {key: value for key, value in {**old, **wanted}.items() if value}
    nics.check_values(new)
    restricted.check_changed(req, "vm", "NIC", old, new, vm.oid)
    return new


def _by_network(core: Core, nic: Vector) -> Vector:
    """What a NIC of its network has that does not say."""
    settings = tree_of(verbs.existing("vnet", core, int(nic["NETWORK_ID"])).template)
    return {key: settings.get(key) for key in nics.FROM_NETWORK if settings.get(key)}
