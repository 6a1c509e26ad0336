"""What hosts owe: clean-up that could not be done when it was due, paid before the host is used again (rule 12)."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from onecore.kinds.host.commands import command
from onecore.kinds.host.record import Host
from onecore.kinds.kind import KINDS
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.pool.store import Actor
from onecore.wire.messages import Command, Doc, Result


def debts(core: Core, hid: int) -> list[Owed]:
    """What a host owes."""
    return [owed for owed in core.store.all(Owed) if owed.hid == hid]


def pay(core: Core, host: Host) -> None:
    """Have what a host owes cleaned up; each debt is struck off when its driver confirms."""
    paying: set[tuple[int, int]] = core.kinds.setdefault("host.paying", set())
    for owed in debts(core, host.oid):
        vm: Any = core.store.get(KINDS["vm"].record, owed.vid)
        if vm is not None and vm.hid == host.oid and vm.generation > owed.generation:  # what is there now is not owed
            _strike_off(core, owed)
        elif owed.key() not in paying and (vm is None or not (vm.op or (owed.files and vm.hid >= 0))):
            paying.add((owed.hid, owed.vid))
            _pay_steps(core, owed, _steps(core, host, owed))


def _steps(core: Core, host: Host, owed: Owed) -> list[tuple[str, Command]]:
    base = core.home / "datastores" / str(owed.ds_id)
    datastore: Any = core.store.get(KINDS["datastore"].record, owed.ds_id)
    vm: Doc = {"id": owed.vid, "name": "", "generation": owed.generation, "deploy_id": f"one-{owed.vid}", "nics": [],
          "disks": [], "attrs": {}, "user": {}, "context": {}, "context_disk": None, "context_files": [],
          "dir": str(base / str(owed.vid)), "tm_mad": datastore.tm_mad if datastore else "", "away": False}
    steps = [("vm", command(core, host, host.vm_mad, "cleanup", {"vm": vm}))]
    if owed.files and datastore is not None:
        where = {"id": owed.ds_id, "base_path": str(base)}
        steps.append(("tm", command(core, host, datastore.tm_mad, "delete", {"vm": vm, "datastore": where})))
    return steps


def _pay_steps(core: Core, owed: Owed, steps: list[tuple[str, Command]]) -> None:
    family, command = steps[0]

    def then(result: Result) -> None:
        if result.ok and len(steps) > 1:
            return _pay_steps(core, owed, steps[1:])
        core.kinds["host.paying"].discard(owed.key())
        if result.ok:
            _strike_off(core, owed)
        else:
            core.log.warning(f"host {owed.hid} still owes the clean-up of VM {owed.vid}: {result.error}")
    core.dispatcher.ask(family, replace(command, generation=owed.generation), then)


def _strike_off(core: Core, owed: Owed) -> None:
    with core.store.tx(Actor(method="owed")) as tx:
        if tx.get(Owed, owed.key()) == owed:
            tx.delete(owed)
            tx.log("host", owed.hid, "update", keys=["OWED"])
