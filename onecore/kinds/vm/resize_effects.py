"""What a resize does to the records.  While a running guest is resized, the VM takes the larger of old and new."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from onecore.kinds.vm.edit import keep, template_of
from onecore.kinds.vm.effects import Info
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.size import Size, size_of
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx


def wanted(vm: Vm) -> Size | None:
    """The size that the guest is given by the operation under way, None when that is no resize."""
    if not vm.op_args or vm.op_kind not in ("resize", "resize_undo"):
        return None
    return Size.of(json.loads(vm.op_args)["size"])


def reserve(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The host keeps the larger of old and new for the VM."""
    both = Size(vm.cpu, 0, vm.memory).larger(Size.of(json.loads(vm.op_args)["size"]))
    return replace(vm, cpu=both.cpu, memory=both.memory)


def become(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It has what was asked for: by the call, or by the operation that it began."""
    args = info.get("args") or json.loads(vm.op_args)
    return _become(tx, vm, args["changes"])


def undone(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Nobody knows which size the guest has: it is given the old one."""
    was, args = size_of(template_of(tx, vm)), json.loads(vm.op_args)
    given = {"size": was.document(), "tried": args["size"]}
    return replace(vm, op_kind="resize_undo", op_args=json.dumps(given, separators=(",", ":")))


def stay(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It has what TEMPLATE says."""
    size = size_of(template_of(tx, vm))
    return replace(vm, cpu=size.cpu, memory=size.memory)


def doubt(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The old size could not be given back either: the VM has the larger of both, so that no host is promised twice."""
    size, tried = size_of(template_of(tx, vm)), Size.of(json.loads(vm.op_args)["tried"])
    larger = {"CPU": f"{tried.cpu / 100:g}" if tried.cpu > size.cpu else "",
              "VCPU": str(tried.vcpu) if tried.vcpu > size.vcpu else "",
              "MEMORY": str(tried.memory) if tried.memory > size.memory else ""}
    return _become(tx, vm, {name: value for name, value in larger.items() if value})


def _become(tx: Tx, vm: Vm, changes: Mapping[str, str]) -> Vm:
    tree = template_of(tx, vm)
    for name, value in changes.items():
        tree.set(name, value)
    keep(tx, vm, tree)
    size = size_of(tree)
    return replace(vm, cpu=size.cpu, memory=size.memory)
