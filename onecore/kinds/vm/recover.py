"""one.vm.recover: the operator decides what becomes of a step; what the hosts show is asked before."""
from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from onecore.api import Request, method
from onecore.errors import BadArgument, WrongState
from onecore.kinds.image.record import BUSY, Image
from onecore.kinds.kind import tree_of
from onecore.kinds.vm import pending
from onecore.kinds.vm.commands import question
from onecore.kinds.vm.disk_record import about
from onecore.kinds.vm.facts import Claim, claim, contradictions
from onecore.kinds.vm.fire import fire, state_of
from onecore.kinds.vm.placing import check_alone
from onecore.kinds.vm.proofs import proof
from onecore.kinds.vm.public import CLONING
from onecore.kinds.vm.record import Vm, VmText, ids, moment
from onecore.kinds.vm.states import CLEANING, VM, S
from onecore.kinds.vm.unsaved import unsaved
from onecore.wire.messages import Doc, Result
from onecore.wire.states import ImageState
from onecore.wire.template import Vector

RECOVER = ("failure", "success", "retry", "delete", "recreate", "deletedb")
_ENDS = ("delete", "recreate")
_FIRST = {S.PROLOG, S.PROLOG_FAILURE, S.BOOT, S.BOOT_FAILURE}
"""States of a first start: nothing was written yet."""
SECONDS = 30.0
"""How long the drivers have to look."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of the VM as it was then (`moment`), and why the operator is not believed."""

    moment: tuple[object, ...]
    why: list[str]


async def _look(req: Request, vm: Vm, operation: int, force: bool) -> Look | None:
    word = RECOVER[operation] if 0 <= operation < len(RECOVER) else ""
    if force or word not in ("success", *_ENDS) and not (word == "failure" and _may_have_moved(vm)):
        return None
    VM.decide(state_of(vm), vm, f"recover_{word}")
    if word in _ENDS:
        return await _look_for_unsaved(req, vm)
    said = claim(state_of(vm), vm) if word == "success" else Claim(files="disks")
    more = proof(state_of(vm), vm, _nic(req, vm)) if word == "success" else None
    looks = {more.family: more.look} if more else {}
    families = [name for name, what in (("vm", said.guest), ("tm", said.files)) if what or name in looks]
    answers = await asyncio.gather(*(_ask(req, vm, family, said, looks.get(family)) for family in families))
    silent = [answer.error for answer in answers if not answer.ok]
    if silent:
        return Look(moment(vm), [f"its host cannot be asked ({'; '.join(silent)}); --force takes your word for it"])
    told: dict[str, Doc] = {family: answer.data for family, answer in zip(families, answers, strict=True)}
    found = contradictions(said, vm, told.get("vm"), told.get("tm"))
    if more and not found:  # of a guest that is gone, that it lacks a disk says nothing
        found = list(filter(None, [more.missing(told[more.family].get("has", {}))]))
    return Look(moment(vm), found)


async def _look_for_unsaved(req: Request, vm: Vm) -> Look | None:
    """Whether the VM's end would remove the only copy of what it wrote on persistent disks."""
    has_files = (vm.hid >= 0 or bool(vm.came)) and state_of(vm) not in CLEANING | _FIRST
    disks = unsaved(req.core, vm) if has_files else []
    if not disks:
        return None
    answer = await _ask(req, vm, "tm", Claim(), None)
    if answer.ok and answer.data.get("saved"):
        return Look(moment(vm), [])
    where = f"what it wrote on its persistent disks ({', '.join(disks)}) is not in their images"
    asked = "" if answer.ok else f", as far as anybody can tell (its host cannot be asked: {answer.error})"
    return Look(moment(vm), [f"{where}{asked}; terminate or recover --retry saves it, --force gives it up"])


def _nic(req: Request, vm: Vm) -> Vector:
    """The NIC that the VM's operation is about; an alias, which no guest has, is none."""
    number = about(vm).get("nic_id")
    text = req.core.store.get(VmText, vm.oid)
    nic = pending.leaving(tree_of(text.template), int(number)) if text is not None and number is not None else {}
    return {} if "PARENT_ID" in nic else nic


def _what_it_waits_for(req: Request, vm: Vm) -> str:
    """Why there is nothing to retry: no step of the VM's own is under way, or failed."""
    images = [image for oid in ids(vm.images) if (image := req.tx.get(Image, oid)) is not None]
    return (f"recover --retry of VM {vm.oid} in state {state_of(vm).name}: it goes on by itself when its images are "
            f"ready; {', '.join(filter(None, map(_not_ready, images)))}")


def _not_ready(image: Image) -> str:
    """Why a VM that has IMAGE waits for it; "" when it does not."""
    if image.state in (ImageState.USED, ImageState.USED_PERS):
        return ""
    said = f"image {image.oid} ({image.name})"
    if image.state in BUSY:
        return f"{said} is being made"
    why = f"failed: {image.error}" if image.state == ImageState.ERROR else f"is {ImageState(image.state).name}"
    return f"{said} {why}; `oneimage enable {image.oid}` once it is well"


def _may_have_moved(vm: Vm) -> bool:
    """Whether nobody could tell yet how its migration ended."""
    return state_of(vm) is S.UNKNOWN and vm.to_hid >= 0


async def _ask(req: Request, vm: Vm, family: str, said: Claim, look: Doc | None) -> Result:
    """A driver's `state` of the VM, and what it is to LOOK at: on its host, or where it goes, or where a stop leaves
    its files."""
    core = req.core
    if said.there and vm.to_hid >= 0 and (family == "tm" or said.guest == "runs"):
        vm = replace(vm, hid=vm.to_hid, ds_id=vm.to_ds, to_hid=-1, to_ds=-1)
    command = question(core, vm, family, "state", SECONDS, {"look": look} if look else None, req.rid)
    if said.files == "away" and family == "tm":
        command.args["vm"]["away"] = True
    return await core.dispatcher.question(family, command)


@method("one.vm.recover", right="ADMIN", on="vm", prepare=_look)
def recover(req: Request, vm: Vm, operation: int, force: bool = False) -> int:
    """Failure (0), success (1), retry (2), delete (3), recreate (4), delete-db (5).

    Success is refused when what the VM's host shows contradicts it, or nothing, unless FORCE; so is the failure of a
    migration whose end is not known, when the host that the VM came from does not have its disks; and delete or
    recreate when the only copy of what was written on persistent disks would go with the VM.
    """
    if not 0 <= operation < len(RECOVER):
        raise BadArgument("operation must be 0 (failure), 1 (success), 2 (retry), 3 (delete), 4 (recreate) or "
                          f"5 (delete-db), not {operation}", vm.oid)
    word = RECOVER[operation]
    look: Look | None = req.prepared
    if look is not None and look.why:
        what = ":" if word in _ENDS else " is not what its host shows:"
        raise WrongState(f"recover --{word} of VM {vm.oid} in state {state_of(vm).name}{what} {'; '.join(look.why)}",
                         vm.oid)
    if look is not None and look.moment != moment(vm):
        raise WrongState(f"VM {vm.oid} changed while its host was asked, it is in state {state_of(vm).name} now",
                         vm.oid)
    if word == "retry" and state_of(vm) in CLONING:
        raise WrongState(_what_it_waits_for(req, vm), vm.oid)
    if word == "retry" and not force and state_of(vm).name.startswith("BOOT"):
        check_alone(req.core, vm)
    line = f"recover --{word} by user {req.caller.uid} in state {state_of(vm).name}"
    req.tx.after(lambda: req.core.log.vm(vm.oid, line, req.rid))
    unseen = look is None and word in ("success", "failure")
    fire(req.tx, req.core, vm, f"recover_{word}", unseen=unseen)
    return vm.oid
