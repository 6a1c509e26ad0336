"""What must be true on the hosts before an operator's word that a step succeeded is taken.

Pure: what the drivers' `state` told goes in, what contradicts comes out.
"""
from __future__ import annotations

from dataclasses import dataclass

from onecore.kinds.vm.disk_record import about
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.rows import was_off
from onecore.kinds.vm.states import TRANSIENT, S
from onecore.wire.messages import Doc


@dataclass(frozen=True, slots=True)
class Claim:
    """What success of a state's step means.  `guest`: runs, gone or "" (it says nothing); `there`: on the destination.

    `files`: disks (all of them are there), checkpoint (that too), away (safe for a start elsewhere), saved (persistent
    disks came home), gone (no directory is left), without (`disk` went, a persistent one into its image), or "".
    """

    guest: str = ""
    files: str = ""
    there: bool = False
    disk: int = -1


_OFF = ("_POWEROFF", "_SUSPENDED", "_UNDEPLOYED", "_STOPPED")
_BOOT = {s for s in S if s.name.startswith("BOOT")}
_CLAIMS: dict[S, Claim] = {
    **{s: Claim(guest="runs") for s in _BOOT}, S.UNKNOWN: Claim(guest="runs"),
    S.PROLOG: Claim(files="disks"), S.PROLOG_FAILURE: Claim(files="disks"),
    S.PROLOG_UNDEPLOY: Claim(files="disks"), S.PROLOG_UNDEPLOY_FAILURE: Claim(files="disks"),
    S.PROLOG_RESUME: Claim(files="checkpoint"), S.PROLOG_RESUME_FAILURE: Claim(files="checkpoint"),
    S.SAVE_SUSPEND: Claim("gone", "checkpoint"), S.SAVE_STOP: Claim("gone", "checkpoint"),
    S.EPILOG: Claim("gone", "saved"), S.EPILOG_FAILURE: Claim("gone", "saved"),
    S.EPILOG_STOP: Claim("gone", "away"), S.EPILOG_STOP_FAILURE: Claim("gone", "away"),
    S.EPILOG_UNDEPLOY: Claim("gone", "away"), S.EPILOG_UNDEPLOY_FAILURE: Claim("gone", "away"),
    S.SHUTDOWN: Claim("gone"), S.SHUTDOWN_POWEROFF: Claim("gone"), S.SHUTDOWN_UNDEPLOY: Claim("gone"),
    S.CLEANUP_DELETE: Claim("gone", "gone"), S.CLEANUP_RESUBMIT: Claim("gone", "gone"),
    S.MIGRATE: Claim(guest="runs", there=True),
    **{s: Claim("gone", "disks", there=True) for s in S if s.name.startswith("PROLOG_MIGRATE")},
    **{s: Claim(files="disks") if s.name.endswith(_OFF) else Claim(guest="runs") for s in S
       if s.name.startswith(("HOTPLUG", "DISK_"))},
}
_DISKS = {"disk_attach": "disks", "disk_attach_undo": "without", "disk_detach": "without"}


def claim(state: S, vm: Vm) -> Claim:
    """What `recover --success` of VM in STATE says; an empty Claim where there is nothing to look at."""
    found = _CLAIMS.get(state, Claim())
    if state is S.SAVE_MIGRATE:
        return Claim("gone", "checkpoint" if vm.op_kind == "migrate" else "")
    if state is S.HOTPLUG_SNAPSHOT and was_off(vm):
        return Claim()
    if vm.op_kind in _DISKS and state in TRANSIENT:
        return Claim(found.guest, _DISKS[vm.op_kind], disk=about(vm)["disk_id"])
    if found.there and state is not S.MIGRATE and vm.op_kind.endswith("_back"):
        return Claim(found.guest, found.files)
    return found


def contradictions(said: Claim, vm: Vm, guest: Doc | None, files: Doc | None) -> list[str]:
    """What the drivers saw that is not as SAID, in words; GUEST and FILES are what their `state` told."""
    found = []
    if guest is not None and said.guest:
        alive = guest.get("state") == "running" and guest.get("generation") == vm.generation
        if said.guest == "runs" and not alive:
            found.append(f"its guest is {guest.get('state')}, not running" if guest.get("generation") in
                         (vm.generation, -1, 0) else f"its guest is of generation {guest.get('generation')}, "
                         f"not {vm.generation}")
        elif said.guest == "gone" and guest.get("state") not in ("gone", "poweroff"):
            found.append(f"its guest is still {guest.get('state')}")
    if files is not None and said.files:
        found += _of_files(said, files)
    return found


def _of_files(said: Claim, files: Doc) -> list[str]:
    if said.files == "saved":
        return [] if files.get("saved") else ["its persistent disks are not saved in their images"]
    if said.files == "without":
        return [f"disk {said.disk} is still there"] if files.get("disks", {}).get(str(said.disk)) else []
    if said.files == "gone":
        return ["its directory is still there"] if files.get("dir") else []
    missing = sorted(str(disk) for disk, there in files.get("disks", {}).items() if not there)
    found = ["its directory is missing"] if not files.get("dir") else []
    if missing and not found:
        found.append(f"disk {', '.join(missing)} is missing or not complete")
    if said.files == "checkpoint" and not files.get("checkpoint"):
        found.append("it has no checkpoint")
    return found
