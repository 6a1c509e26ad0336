"""What hosts owe: clean-up that could not be done when it was due, paid before the host is used again (rule 12)."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from onecore.kinds.datastore import document as datastore_document
from onecore.kinds.host.commands import command, is_shared
from onecore.kinds.host.record import Host, samples
from onecore.kinds.kind import KINDS
from onecore.kinds.restore import held
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.pool.store import Actor
from onecore.wire.messages import Command, Doc, Result
from onecore.wire.states import HostState, Lcm, VmState

OWES = "owes "
MOST_SHOWN, LONGEST = 10, 500
"""Debts that a host's ERROR names, and how long the reason in it may be."""


def debts(core: Core, hid: int) -> list[Owed]:
    """What a host owes."""
    return [owed for owed in core.store.all(Owed) if owed.hid == hid]


def is_paying(core: Core, hid: int, vid: int) -> bool:
    """Whether the guest of a VM on a host is being ended as something owed: that it runs still says nothing."""
    return (hid, vid) in core.kinds.get("host.paying", ())


def describe(core: Core, host: Host) -> list[str]:
    """What a host owes, in words, one debt each."""
    return [f"the end of VM {owed.vid} of generation {owed.generation}" + (" with its files" if owed.files else "")
            for owed in sorted(debts(core, host.oid), key=lambda owed: owed.vid)]


def pay(core: Core, host: Host) -> None:
    """Have what a host owes cleaned up; each debt is struck off when its driver confirms.  Not in a held cloud."""
    if held(core):
        return
    paying: set[Any] = core.kinds.setdefault("host.paying", set())
    for owed in debts(core, host.oid):
        left = _due(core, host, owed) if owed.key() not in paying else None
        if left:
            paying.add(owed.key())
            _pay_step(core, owed, left[0])
        elif left is not None:
            _strike_off(core, owed)
    if not host.error.startswith(OWES) and debts(core, host.oid):
        _show(core, host, "it is ON when that is done")


def _alive(core: Core, vid: int) -> Any:
    """A VM's record, None when it is DONE: that may be in memory for a moment yet."""
    vm: Any = core.store.get(KINDS["vm"].record, vid)
    return None if vm is None or vm.state == VmState.DONE else vm


def _due(core: Core, host: Host, owed: Owed) -> list[tuple[str, Command]] | None:
    """The steps by which a debt is paid as things are now; None: not now.

    That is while the VM is coming here, or may have come, or an operation is under way that a clean-up, as the newer
    one, might end.
    """
    vm, left = _alive(core, owed.vid), _steps(core, host, owed)
    here = vm is not None and vm.hid == host.oid
    if here and (vm.generation > owed.generation or _lives(vm)):  # what is there now is not owed
        left = left[1:] if vm.ds_id != owed.ds_id else []  # but its files in another datastore
    if vm is not None and left and (
            _may_come(vm, owed) or (vm.op and (here or vm.generation == owed.generation))):
        return None
    return left


def _may_come(vm: Any, owed: Owed) -> bool:
    """Whether a VM is on its way to the host that owes, or may be there; or, from there, to the files that would go."""
    return bool(vm.to_hid == owed.hid and (vm.hid != owed.hid or (owed.files and vm.to_ds == owed.ds_id)))


def _lives(vm: Any) -> bool:
    return bool(vm.state == VmState.ACTIVE and vm.lcm in (Lcm.RUNNING, Lcm.UNKNOWN))


def _has_files(core: Core, owed: Owed, datastore: Any) -> bool:
    """Whether the VM's directory goes too: not if the VM's disks are in it by now."""
    if not owed.files or datastore is None:
        return False
    vm = _alive(core, owed.vid)
    if vm is None or vm.ds_id != owed.ds_id:
        return True
    return bool(vm.hid != owed.hid and not (is_shared(datastore) and _is_somewhere(vm)))


def _is_somewhere(vm: Any) -> bool:
    """Whether a VM has files, on a host or on the front-end."""
    return vm is not None and (vm.hid >= 0 or bool(vm.came))


def _steps(core: Core, host: Host, owed: Owed) -> list[tuple[str, Command]]:
    base = core.home / "datastores" / str(owed.ds_id)
    datastore: Any = core.store.get(KINDS["datastore"].record, owed.ds_id)
    vm: Doc = {"id": owed.vid, "name": "", "generation": owed.generation, "deploy_id": f"one-{owed.vid}",
               "nics": json.loads(owed.nics or "[]"),
          "disks": [], "attrs": {}, "user": {}, "context": {}, "context_disk": None, "context_files": [],
          "dir": str(base / str(owed.vid)), "tm_mad": datastore.tm_mad if datastore else "", "away": False}
    steps = [("vm", command(core, host, host.vm_mad, "cleanup", {"vm": vm, "owed": True}))]
    if _has_files(core, owed, datastore):
        steps.append(("tm", command(core, host, datastore.tm_mad, "delete", {
            "vm": vm, "datastore": datastore_document(core, datastore),
            "left_over": _is_somewhere(_alive(core, owed.vid))})))
    return steps


def _pay_step(core: Core, owed: Owed, step: tuple[str, Command]) -> None:
    family, command = step

    def then(result: Result) -> None:
        rest: list[tuple[str, Command]] | None = []
        if result.ok and command.action == "cleanup":
            samples(core).ended(owed.hid, owed.vid)
            rest = _rest(core, owed)
        if rest:
            return _pay_step(core, owed, rest[0])
        core.kinds["host.paying"].discard(owed.key())
        if not result.ok:
            _note(core, owed.hid, f"VM {owed.vid}: {result.error}")
        elif rest is not None:
            _strike_off(core, owed)
    core.dispatcher.ask(family, replace(command, generation=owed.generation), then)


def _rest(core: Core, owed: Owed) -> list[tuple[str, Command]] | None:
    """What is due besides the guest's end, which is done; decided anew, for its files.  None: not now."""
    host = core.store.get(Host, owed.hid)
    due = _due(core, host, owed) if host is not None and core.store.get(Owed, owed.key()) == owed else []
    return None if due is None else [step for step in due if step[1].action != "cleanup"]


def _strike_off(core: Core, owed: Owed) -> None:
    with core.store.tx(Actor(method="owed")) as tx:
        if tx.get(Owed, owed.key()) == owed:
            tx.delete(owed)
            tx.log("host", owed.hid, "update", keys=["OWED"])


def _note(core: Core, hid: int, why: str) -> None:
    """Why a host did not pay what it owes: in the log and, while that keeps it from being ON, in its ERROR."""
    host = core.store.get(Host, hid)
    if host is None:
        return
    core.log.warning(f"host {hid} ({host.name}) still owes a clean-up: {why}")
    _show(core, host, why)


def _show(core: Core, host: Host, why: str) -> None:
    owes = describe(core, host)
    text = f"{OWES}{', '.join(owes[:MOST_SHOWN])}{' …' if len(owes) > MOST_SHOWN else ''}; {why[:LONGEST]}"
    if host.state in (HostState.ERROR, HostState.INIT) and text != host.error:
        with core.store.tx(Actor(method="owed")) as tx:
            tx.put(replace(host, error=text))
            tx.log("host", host.oid, "update", keys=["ERROR"])
