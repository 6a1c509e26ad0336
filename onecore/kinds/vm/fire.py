"""fire(): the only way in which a VM's state changes.  Asks the table, runs effects, keeps the operation, logs."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from onecore.kinds.host import drain
from onecore.kinds.restore import refuse
from onecore.kinds.vm.effects import ENDS_A_STAY, note_asker
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.states import STATE_OF, VM, S
from onecore.lifecycle.core import Core
from onecore.lifecycle.machine import Row
from onecore.lifecycle.operations import Ended
from onecore.lifecycle.outbox import Outbox
from onecore.pool.store import Tx
from onecore.wire.states import vm_name


def state_of(vm: Vm) -> S:
    """The public pair of a VM."""
    return STATE_OF[vm.state, vm.lcm]


def check(vm: Vm, event: str) -> None:
    """Raise WrongState when EVENT cannot move VM now, before anything else is asked about it."""
    VM.decide(state_of(vm), vm, event)


def fire(tx: Tx, core: Core, vm: Vm, event: str, **info: Any) -> Vm:
    """Move VM by EVENT; returns the record as kept.  Raises WrongState.  INFO is for the effects."""
    line = VM.decide(state_of(vm), vm, event)
    if line.ignore:
        return vm
    old = vm
    answer = event.endswith((".ok", ".fail"))
    if not answer:
        refuse(core, "vm", vm.oid, event.replace("_", "-"), line.send, line.target is S.DONE)
    if not answer and not line.keeps_op:
        vm = replace(vm, op_kind=_op_kind(vm, event), op_args=_op_args(vm, event, info))
    if line.target is not None:
        state, lcm = line.target.value
        vm = replace(vm, state=state, lcm=lcm, prev_state=old.state, prev_lcm=old.lcm, changed=core.now())
    for effect in line.effects:
        vm = effect(tx, core, vm, info)
    if event in ENDS_A_STAY:
        note_asker(tx, vm)
    if not line.keeps_op:
        vm = _operate(tx, core, old, vm, line, answer)
    vm = tx.put(drain.follow(tx, core, vm, event))
    drain.left(tx, core, old, vm)
    if (vm.state, vm.lcm) != (old.state, old.lcm):
        tx.log("vm", vm.oid, "state", vm_name(old.state, old.lcm), vm_name(vm.state, vm.lcm), _keys(old, vm))
        tx.after(lambda: core.log.vm(vm.oid, f"New state is {vm_name(vm.state, vm.lcm)}", tx.actor.rid))
    else:
        tx.log("vm", vm.oid, "update", keys=[event.upper()])
    if vm.error and vm.error != old.error:
        core.log.vm(vm.oid, vm.error, tx.actor.rid, "error")
    return vm


def _op_kind(vm: Vm, event: str) -> str:
    """A recover of an operation goes on with that operation's name."""
    return vm.op_kind if event in ("recover_retry", "recover_success", "recover_failure") and vm.op_kind else event


def _op_args(vm: Vm, event: str, info: dict[str, Any]) -> str:
    """What the operation is about, JSON: `args` of INFO for a new one; a recover goes on with what there is."""
    if event in ("recover_retry", "recover_success", "recover_failure"):
        return vm.op_args
    return json.dumps(info["args"], separators=(",", ":")) if info.get("args") else ""


def _keys(old: Vm, new: Vm) -> list[str]:
    return ["STATE", "LCM_STATE"] + (["HID"] if old.hid != new.hid else [])


def _operate(tx: Tx, core: Core, old: Vm, vm: Vm, line: Row, answer: bool) -> Vm:
    """Begin, continue or end the VM's operation."""
    if old.op and not answer:
        box = tx.get(Outbox, old.op)
        if box is not None:
            tx.delete(box)
        replaced = old.op
        tx.after(lambda: core.dispatcher.drop(replaced))
    if old.op and (not line.send or not answer):
        _note_end(tx, core, old, vm, answer)
    if not line.send:
        return replace(vm, op=0, op_args="")
    op = old.op if answer and old.op else core.dispatcher.new_op()
    attempt = old.op_attempt + 1 if op == old.op else 1
    tx.put(Outbox(op, "vm", vm.oid, line.send, attempt, core.now(), tx.actor.rid))
    tx.after(lambda: core.dispatcher.send(op))
    return replace(vm, op=op, op_attempt=attempt, op_since=core.now() if op != old.op else vm.op_since)


def _note_end(tx: Tx, core: Core, old: Vm, vm: Vm, answer: bool) -> None:
    """Tell who waits for the operation that it ended: as the state says, or because another took its place."""
    error = (vm.error if vm.error != old.error else "") if answer else f"replaced by {vm.op_kind.replace('_', '-')}"
    ended = Ended(old.op, "vm", vm.oid, old.op_kind, old.op_since, core.now(), not error, error, tx.actor.rid)
    tx.after(lambda: core.operations.note(ended))
