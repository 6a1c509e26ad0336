"""What a migration does to the records: its destination reserved, the VM there when that is a fact, what is left owed.

Effects of the state table, as kinds/vm/effects.py.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from onecore.kinds.host.commands import is_shared
from onecore.kinds.host.record import Host
from onecore.kinds.kind import KINDS
from onecore.kinds.vm.effects import Info, action_of, history, note_error, owe, stay_ends
from onecore.kinds.vm.public import MOVING, STATE_OF
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.pool.store import Tx


def reserve(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """Capacity on the destination, INFO's host and datastore, is the VM's too."""
    host, datastore = info["host"], info["datastore"]
    return replace(vm, to_hid=host.oid, to_cid=host.cid, to_ds=datastore.oid)


def unreserve(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It goes nowhere."""
    return replace(vm, to_hid=-1, to_cid=-1, to_ds=-1)


def arrive(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The VM is on its destination: the stay ends and another begins there, which is over too when the VM is off."""
    before = history(tx, vm)
    host = tx.get(Host, vm.to_hid)
    if before is None or host is None:
        return unreserve(tx, core, vm, info)
    off, now = bool(before.etime), core.now()
    vm = stay_ends(tx, core, vm, info)
    stay = replace(before, seq=vm.seq + 1, hid=host.oid, hostname=host.name, cid=host.cid, vm_mad=host.vm_mad,
                   tm_mad=_tm_of(tx, core, vm.to_ds, before.tm_mad), ds_id=vm.to_ds, stime=now,
                   etime=now if off else 0, pstime=now, petime=now, rstime=0, retime=0, estime=0, eetime=0,
                   action=action_of(vm) if off else 0, uid=-1, gid=-1, rid="")
    tx.put(stay)
    return unreserve(tx, core, replace(vm, hid=host.oid, cid=host.cid, ds_id=vm.to_ds, seq=stay.seq), info)


def arrive_running(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """As arrive; the guest never stopped."""
    vm = arrive(tx, core, vm, info)
    stay = history(tx, vm)
    if stay is not None:
        tx.put(replace(stay, rstime=core.now()))
    return replace(vm, error="")


def owe_left(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """What the driver could not remove, on the hosts that it names, is owed; call before the record moves."""
    for hid in info.get("left") or ():
        if hid in (vm.hid, vm.to_hid):
            owe(tx, core, vm, int(hid), vm.ds_id if hid == vm.hid else vm.to_ds, 1)
    return vm


def owe_source(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """What is left on the host that the VM was seen to have left is owed; call before the record moves."""
    owe(tx, core, vm, vm.hid, vm.ds_id, 1)
    return vm


def owe_behind(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """A move is said to be done: what it left where the VM was is owed; call before the record moves.

    `unseen` in INFO: nobody looked whether the files are at the destination, and those there stay.
    """
    if not info.get("unseen") and _is_apart(tx, vm):
        owe(tx, core, vm, vm.hid, vm.ds_id, 1)
    return vm


def owe_there(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """As owe_behind, of a move that was taken back: what is left at its destination."""
    if not info.get("unseen") and _is_apart(tx, vm):
        owe(tx, core, vm, vm.to_hid, vm.to_ds, 1)
    return vm


def _is_apart(tx: Tx, vm: Vm) -> bool:
    """Whether a VM's files are not the same, seen from both ends of its move."""
    return vm.ds_id != vm.to_ds or not is_shared(tx.get(KINDS["datastore"].record, vm.ds_id))


def anew(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The same live migration once more."""
    return replace(vm, op_kind="live_migrate")


def give_up_move(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The VM goes nowhere, and what the move left on its destination, files and guest, is owed.

    `unseen` in INFO: that it stays is an operator's word alone.  Its files there may be the only ones, and are kept.
    """
    if vm.to_hid < 0:
        return vm
    owe(tx, core, vm, vm.to_hid, vm.to_ds, 0 if info.get("unseen") else 1)
    return unreserve(tx, core, vm, info)


def did_not_move(vm: Any) -> bool:
    """Whether it is known that a live migration, of which nobody heard how it ended, did not happen."""
    return bool(vm.to_hid < 0 and vm.op_kind == "seen_not_moved")


def note_stayed(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """It runs where it was, after a live migration of which nobody heard how it ended."""
    return note_error(tx, core, vm, {"error": "its live migration did not happen, as its hosts tell; its log has more"})


def tried(vm: Any) -> bool:
    """Whether a move was begun before, so that files may be anywhere."""
    return STATE_OF.get((vm.prev_state, vm.prev_lcm)) in MOVING


def begun_before(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """A further try of a move, from the beginning: files may be anywhere, as the state before says from now on."""
    return vm if tried(vm) else replace(vm, prev_state=vm.state, prev_lcm=vm.lcm)


def turn_back(tx: Tx, core: Core, vm: Vm, info: Info) -> Vm:
    """The files go back to where they came from: the operation's kind says so from now on."""
    kind = vm.op_kind.removesuffix("_back").removesuffix("_hard")
    return replace(vm, op_kind=f"{kind}_back", error="")


def _tm_of(tx: Tx, core: Core, ds_id: int, otherwise: str) -> str:
    found = tx.get(KINDS["datastore"].record, ds_id)
    return str(getattr(found, "tm_mad", otherwise))

