"""one.vm.resize: another share of processors, number of them, or memory; of a running guest too, as far as it goes."""
from __future__ import annotations

from onecore.api import Request, method
from onecore.errors import BadArgument, WrongState
from onecore.kinds.host.record import Host, capacity
from onecore.kinds.kind import changing, parse_template, tree_of
from onecore.kinds.usage import usage
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.fire import check, fire, state_of
from onecore.kinds.vm.public import S
from onecore.kinds.vm.record import Vm, VmText
from onecore.kinds.vm.size import Size, check_limits, size_of
from onecore.lifecycle.core import Core
from onecore.wire.template import Tree

SIZES = ("CPU", "VCPU", "MEMORY")
LIMITS = ("VCPU_MAX", "MEMORY_MAX", "MEMORY_SLOTS", "MEMORY_RESIZE_MODE")
"""What a guest knows from its start: changed only while it is off."""


@method("one.vm.resize", right="MANAGE", on="vm")
def resize(req: Request, vm: Vm, template: str, enforce: bool = True) -> int:
    """Give the VM another size: CPU, VCPU, MEMORY, and while it is off also how far they may grow.

    ENFORCE: only if its host has room.  Only administrators can do without.
    """
    check(vm, "resize")
    tree = template_of(req.tx, vm)
    with changing():
        changes = _changes(vm, tree, parse_template(template))
        new = tree.merged(Tree(changes.items()))
        size, old = size_of(new), size_of(tree)
        check_limits(new)
    if not changes and not (vm.error and state_of(vm) is S.RUNNING):  # else the guest may have less than the record
        return vm.oid
    if state_of(vm) is S.RUNNING:
        _check_live(req, vm, tree, old, size, changes)
    if enforce or not req.caller.admin:
        _check_room(req.core, vm, size)
    fire(req.tx, req.core, vm, "resize", args={"size": size.document(), "changes": changes})
    return vm.oid


def _changes(vm: Vm, tree: Tree, given: Tree) -> dict[str, str]:
    """What is given and is not so already; raises BadArgument naming what is no size."""
    changes: dict[str, str] = {}
    for name, value in given:
        if name not in (*SIZES, *LIMITS) or not isinstance(value, str):
            raise BadArgument(f"template: {name} is no size; those are {', '.join((*SIZES, *LIMITS))}", vm.oid)
        if value not in ("", "0") and value != tree.get(name):
            changes[name] = value
    return changes


def _check_live(req: Request, vm: Vm, tree: Tree, old: Size, new: Size, changes: dict[str, str]) -> None:
    """Raise WrongState when a running guest cannot become so large."""
    if fixed := [name for name in LIMITS if name in changes]:
        raise WrongState(f"{fixed[0]} cannot change while the guest runs; power VM {vm.oid} off", vm.oid)
    text = req.tx.get(VmText, vm.oid)
    hot = (tree_of(text.user).vector("HOT_RESIZE") if text is not None else None) or {}
    for name, key, was, now in (("VCPU", "CPU_HOT_ADD_ENABLED", old.vcpu, new.vcpu),
                                ("MEMORY", "MEMORY_HOT_ADD_ENABLED", old.memory, new.memory)):
        most = max(int(tree.get(f"{name}_MAX") or 0), was)
        if now > was and hot.get(key, "YES").upper() == "NO":
            raise WrongState(f"{name} of a running guest cannot grow: VM {vm.oid} has HOT_RESIZE/{key}=NO", vm.oid)
        if now > most:
            raise WrongState(f"{name} of a running guest can grow to {most} ({name}_MAX), not {now}; power VM {vm.oid} "
                             "off for more", vm.oid)


def _check_room(core: Core, vm: Vm, size: Size) -> None:
    """Raise WrongState when the VM's host has not got what it is to have more."""
    host = core.store.get(Host, vm.hid)
    if host is None:
        return
    max_cpu, max_kb = capacity(core, host)
    cpu, kb, _, _ = usage(core).sums.of(host.oid)
    short = []
    if size.cpu > vm.cpu and cpu - vm.cpu + size.cpu > max_cpu:
        short.append(f"CPU {(size.cpu - vm.cpu) / 100:g} more needed, {max(0, max_cpu - cpu) / 100:g} free")
    if size.memory > vm.memory and kb + (size.memory - vm.memory) * 1024 > max_kb:
        short.append(f"MEMORY {size.memory - vm.memory} MB more needed, {max(0, max_kb - kb) // 1024} MB free")
    if short:
        raise WrongState(f"Not enough capacity on host {host.oid} ({host.name}): {'; '.join(short)}", vm.oid)
