"""one.vm.exec, retryexec, cancelexec: a command inside a guest, by its agent.

It is no operation of the VM, which may be anything else meanwhile.  It is given to the guest once: what runs while oned
ends is lost, and told so, never begun again.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from onecore.api import Request, method
from onecore.errors import BadArgument, WrongState
from onecore.kinds.vm.commands import question
from onecore.kinds.vm.edit import template_of
from onecore.kinds.vm.exec_effects import NAME, output, write
from onecore.kinds.vm.fire import check, fire
from onecore.kinds.vm.record import Vm, VmText
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import Result
from onecore.wire.template import Vector

MAX_BYTES = 65536
"""Of a command, and of what it reads."""
AGAIN = 1.0
"""Seconds until a result is taken that cannot be stored now."""
LOST = "oned was started anew while this ran: what became of it is not known"


@dataclass(slots=True)
class Run:
    """A command that a guest has: the number of the question that the driver answers, and whether it is to end."""

    op: int = 0
    cancelled: bool = False


def _runs(core: Core) -> dict[int, Run]:
    """The commands under way, by VM."""
    made: dict[int, Run] = core.kinds.setdefault("vm.exec", {})
    return made


@method("one.vm.exec", right="MANAGE", on="vm")
def execute(req: Request, vm: Vm, command: str, command_stdin: str = "") -> int:
    """Have the guest's agent run a command; QEMU_GA_EXEC of the VM's body tells what became of it."""
    check(vm, "exec")
    for name, value, least in (("command", command, 1), ("command_stdin", command_stdin, 0)):
        if not least <= len(value.encode()) <= MAX_BYTES:
            raise BadArgument(f"{name} must have {least} to {MAX_BYTES} bytes, not {len(value.encode())}", vm.oid)
    last = template_of(req.tx, vm).vector(NAME)
    if last is not None and last["STATUS"] == "RUNNING":
        raise WrongState(f"a command runs in VM {vm.oid} already, cancelexec ends it", vm.oid)
    fire(req.tx, req.core, vm, "exec", command=command, stdin=command_stdin)
    req.tx.after(lambda: _begin(req.core, vm.oid, command, command_stdin, req.rid))
    return vm.oid


@method("one.vm.retryexec", right="MANAGE", on="vm")
def retry(req: Request, vm: Vm) -> int:
    """Run the last command again."""
    last = _last(req, vm)
    return int(execute(req, vm, last["COMMAND"], last.get("STDIN", "")))


@method("one.vm.cancelexec", right="MANAGE", on="vm")
def cancel(req: Request, vm: Vm) -> int:
    """End the command that runs."""
    if _last(req, vm)["STATUS"] != "RUNNING":
        raise WrongState(f"no command runs in VM {vm.oid}", vm.oid)
    req.tx.log("vm", vm.oid, "update", keys=["EXEC"])
    req.tx.after(lambda: _cancel(req.core, vm.oid))
    return vm.oid


def _last(req: Request, vm: Vm) -> Vector:
    found = template_of(req.tx, vm).vector(NAME)
    if found is None:
        raise WrongState(f"VM {vm.oid} was given no command yet", vm.oid)
    return found


def _begin(core: Core, oid: int, command: str, stdin: str, rid: str) -> None:
    """The record says that it runs, and that is durable: give it to the driver."""
    vm = core.store.get(Vm, oid)
    if vm is None:
        return
    run = _runs(core)[oid] = Run()
    asked = question(core, vm, "vm", "exec", float(core.config.deadlines.exec), {"command": command, "stdin": stdin},
                     rid)
    lane = f"exec:{asked.lane.partition(':')[2]}"  # nobody waits behind it but other commands of that host's guests
    run.op = core.dispatcher.ask("vm", replace(asked, lane=lane), lambda result: _ended(core, oid, run, result, rid))


def _cancel(core: Core, oid: int) -> None:
    run = _runs(core).get(oid)
    if run is not None:
        run.cancelled = True
        core.dispatcher.cancel(run.op)


def _ended(core: Core, oid: int, run: Run, result: Result, rid: str) -> None:
    """Keep what became of it; later, when nothing can be stored now."""
    if core.store.refuses:
        core.clock.call_later(AGAIN, lambda: _ended(core, oid, run, result, rid))
        return
    if _runs(core).get(oid) is run:
        del _runs(core)[oid]
        with core.store.tx(Actor(method="driver", rid=rid)) as tx:
            _keep(tx, oid, _outcome(run, result))


def _outcome(run: Run, result: Result) -> Vector:
    if result.ok:
        data = result.data
        return {"STATUS": "DONE", "PID": str(data.get("pid", "")), "RETURN_CODE": str(data.get("return_code", "")),
                "STDOUT": output(str(data.get("stdout") or "")), "STDERR": output(str(data.get("stderr") or ""))}
    ended = run.cancelled or result.cancelled
    return {"STATUS": "CANCELLED" if ended else "ERROR", "STDERR": output(result.error)}


def _keep(tx: Tx, oid: int, outcome: Vector) -> None:
    vm = tx.get(Vm, oid)
    last = template_of(tx, vm).vector(NAME) if vm is not None else None
    if vm is not None and last is not None and last["STATUS"] == "RUNNING":
        write(tx, vm, {**last, **outcome})
        tx.log("vm", oid, "update", keys=["EXEC"])


def give_up_lost(core: Core) -> None:
    """After a start, or when memory was loaded again: what the records call running and nobody runs has failed."""
    lost = [text.oid for text in core.store.all(VmText)
            if NAME.encode() in text.template and text.oid not in _runs(core)]
    if lost:
        with core.store.tx(Actor(method="start")) as tx:
            for oid in lost:
                _keep(tx, oid, {"STATUS": "ERROR", "STDERR": output(LOST)})
