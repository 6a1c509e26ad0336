"""What is on a host and should not be there: verdicts over domains, directories and taps.  Looks, and changes nothing.

A *wild* domain is none of this cloud, or of a VM that it has never heard of; a *zombie* is of a VM that should not run
there.  `keep` says why `reconcile` leaves something alone: whatever a VM may still need, and whatever is in doubt.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from onecore.kinds.host.commands import is_shared
from onecore.kinds.host.record import Findings, Host, samples
from onecore.kinds.kind import KINDS, lookup
from onecore.kinds.vm.commands import is_ours
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.pool.store import Counter
from onecore.wire.messages import Doc, Sample
from onecore.wire.states import HostState, Lcm, VmState, vm_name

SETTLE = 10
"""Seconds after a change of a VM in which nothing is said about what is left of it: the answer may be older."""
_TAP = re.compile(r"one-(\d{1,9})-\d+\Z")
OWED = "the host owes its clean-up, which is done as soon as the host answers"


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something on a host; `kind` is wild, zombie, file or tap, `name` the domain, path or device.

    `keep` empty: reconcile removes it.
    """

    kind: str
    name: str
    why: str
    keep: str = ""
    vm: int = -1
    generation: int = -1
    state: str = ""
    ds: int = -1
    size_mb: int = 0


Case = Callable[[], Orphan | None]


@dataclass(frozen=True, slots=True)
class Past:
    """VMs that are DONE, as SQL has them; `complete` when what is not in it is not in SQL either."""

    vms: Mapping[int, Vm]
    complete: bool = True


UNREAD = Past({}, complete=False)


class Judge:
    """Tells what is what on HOST, asked at Unix time MOMENT."""

    def __init__(self, core: Core, host: Host, moment: int, past: Past = UNREAD, domains: Iterable[Doc] = ()) -> None:
        self.core, self.host, self.moment, self.past = core, host, moment, past
        self._domains = list(domains)

    def domain(self, doc: Doc) -> Orphan | None:
        """A domain of a sample or survey; None when it is where it should be, or too much is going on to tell."""
        vid, name = int(doc.get("id", -1)), str(doc.get("name") or doc.get("deploy_id") or f"one-{doc.get('id')}")
        generation, state = int(doc.get("generation") or 0), str(doc.get("state") or "")

        def found(kind: str, why: str, keep: str = "") -> Orphan:
            return Orphan(kind, name, why, keep, vid, generation, state)
        if vid < 0:
            return found("wild", "not of this cloud")
        if not is_ours(self.core, doc):
            return found("wild", f"of another cloud, which has a VM {vid} too")
        if self.unknown(vid):
            return found("wild", f"this cloud has never heard of a VM {vid}")
        verdict = self._zombie(vid, generation)
        return found("zombie", *verdict) if verdict else None

    def _zombie(self, vid: int, generation: int) -> tuple[str, str] | None:
        vm = self.vm(vid)
        if vm is None:
            keep = self._owed(vid) or self._newer(vid, generation)
            return None if self._just_ended(vid) else (f"VM {vid} is DONE", keep)
        if self._changed(vm) or (vm.hid == self.host.oid and (vm.op or vm.generation == generation)):
            return None
        if vm.hid == self.host.oid:
            return (f"VM {vid} is on this host with generation {vm.generation}",
                    "the next start of its VM ends it")
        return f"VM {vid} {self._where(vm)}", self._owed(vid) or self._newer(vid, generation) or self._doubt(vm)

    def directory(self, doc: Doc) -> Orphan | None:
        """A VM's directory in a datastore; None when it belongs there."""
        vid, ds = int(doc["vm"]), int(doc["ds"])
        vm, datastore = self.vm(vid), self.core.store.get(KINDS["datastore"].record, ds)

        def found(why: str, keep: str = "") -> Orphan:
            return Orphan("file", str(doc["path"]), why, keep, vid, ds=ds, size_mb=int(doc.get("size_mb") or 0))
        if self.unknown(vid):
            why = f"this cloud has never heard of a VM {vid}"
            return found(why, why)
        if datastore is None:
            return found(f"datastore {ds} is gone", "nobody knows how its files are removed")
        if vm is None:
            keep = self._owed(vid) or self._guest(vid) or self._runs_elsewhere(vid, is_shared(datastore))
            return None if self._just_ended(vid) else found(f"VM {vid} is DONE", keep)
        if is_shared(datastore) or vm.hid == self.host.oid or self._changed(vm):
            return None
        keep = self._owed(vid) or self._doubt(vm) or self._guest(vid)
        if vm.hid < 0:
            keep = keep or f"VM {vid} may start from it again"
        return found(f"VM {vid} {self._where(vm)}", keep)

    def tap(self, name: str) -> Orphan | None:
        """A network device that no running domain uses; None when its VM is about to, or just did."""
        match = _TAP.match(name)
        if match is None:
            return Orphan("tap", name, "no running domain uses it", "its name does not say that it is of this cloud")
        vid = int(match[1])
        vm = self.vm(vid)
        if self.unknown(vid):
            why = f"this cloud has never heard of a VM {vid}"
            return Orphan("tap", name, why, why, vid)
        if vm is None:
            return None if self._just_ended(vid) else Orphan("tap", name, f"VM {vid} is DONE", self._guest(vid), vid)
        if self._changed(vm) or (vm.hid == self.host.oid and (vm.op or vm.state == VmState.ACTIVE)):
            return None
        keep = "an operation is under way" if vm.op else self._guest(vid)
        return Orphan("tap", name, f"VM {vid} {self._where(vm)}", keep, vid)

    def _guest(self, vid: int) -> str:
        """Why a guest on this host may need what is there of a VM: it is none that reconcile ends first."""
        for doc in self._domains:
            if doc.get("id") == vid or doc.get("name") == f"one-{vid}":
                found = self.domain(doc)
                if found is None or found.kind == "wild" or found.keep:
                    return f"a guest {doc.get('name')} is on this host"
        return ""

    def _runs_elsewhere(self, vid: int, shared: bool) -> str:
        """Why a guest on another host may need files that it sees too."""
        for hid, sample in samples(self.core).hosts.items() if shared else ():
            if hid != self.host.oid and any(doc.get("id") == vid for doc in sample.vms):
                return f"host {hid} still has a guest of it"
        return ""

    def vm(self, vid: int) -> Vm | None:
        """The VM, unless it is DONE."""
        vm = self.core.store.get(Vm, vid)
        return None if vm is None or vm.state == VmState.DONE else vm

    def unknown(self, vid: int) -> bool:
        """Whether no VM of that id was ever made, as far as this database knows."""
        if self.core.store.get(Vm, vid) is not None or lookup(self.core, "vm").gone.get(vid) is not None:
            return False
        counter = self.core.store.get(Counter, "vm")
        never = counter is None or vid > counter.last or any(
            first <= vid <= last for first, last in self.core.kinds.get("vm.gaps", ()))
        return never or (self.past.complete and vid not in self.past.vms)

    def _just_ended(self, vid: int) -> bool:
        gone = self.core.store.get(Vm, vid) or lookup(self.core, "vm").gone.get(vid)
        return gone is not None and self._changed(gone)

    def _changed(self, vm: Vm) -> bool:
        return vm.changed <= self.core.now() and self.moment - vm.changed < SETTLE

    def _newer(self, vid: int, generation: int) -> str:
        known = self.vm(vid) or self.past.vms.get(vid) or lookup(self.core, "vm").gone.get(vid)
        if known is None or generation <= known.generation:
            return ""
        return f"its generation {generation} is newer than this cloud knows ({known.generation})"

    def _owed(self, vid: int) -> str:
        return OWED if self.core.store.get(Owed, (self.host.oid, vid)) is not None else ""

    def _where(self, vm: Vm) -> str:
        state = vm_name(vm.state, vm.lcm)
        return f"is {state} on host {vm.hid}" if vm.hid >= 0 else f"is {state} on no host"

    def _doubt(self, vm: Vm) -> str:
        """Why what is here may be the best that there is of a VM on another host, or on none."""
        if vm.op:
            return "an operation is under way"
        if vm.hid < 0:
            return ""
        there = self.core.store.get(Host, vm.hid)
        if there is None or not _answers(self.core, there):
            return f"host {vm.hid}, where the VM should be, cannot be asked"
        if vm.state in (VmState.POWEROFF, VmState.SUSPENDED):
            return ""
        if (vm.state, vm.lcm) != (VmState.ACTIVE, Lcm.RUNNING):
            return f"the VM is {vm_name(vm.state, vm.lcm)}"
        return "" if _runs(self.core, vm) else f"host {vm.hid} does not confirm that the VM runs there"


def _answers(core: Core, host: Host) -> bool:
    heard = samples(core).heard.get(host.oid)
    return (host.state in (HostState.MONITORED, HostState.DISABLED) and not host.error and heard is not None
            and core.clock.monotonic() - heard <= core.config.monitoring.host_silence)


def _runs(core: Core, vm: Vm) -> bool:
    sample = samples(core).hosts.get(vm.hid)
    return any(doc.get("id") == vm.oid and doc.get("generation") == vm.generation and doc.get("state") == "running"
               for doc in (sample.vms if sample else ()))


def findings(core: Core, host: Host, sample: Sample) -> Findings:
    """The wild domains and zombies that a sample shows."""
    judge = Judge(core, host, sample.time)
    found = [orphan for doc in sample.vms if not _belongs(core, host, doc) and (orphan := judge.domain(doc))]
    return Findings(_names(found, "wild"), _names(found, "zombie"))


def _belongs(core: Core, host: Host, doc: Doc) -> bool:
    """Whether a domain is where it should be, as nearly all are."""
    vm = core.store.get(Vm, doc.get("id", -1))
    return (vm is not None and vm.hid == host.oid and vm.generation == doc.get("generation")
            and is_ours(core, doc))


def _names(found: Iterable[Orphan], kind: str) -> tuple[str, ...]:
    return tuple(sorted(orphan.name for orphan in found if orphan.kind == kind))


def cases(judge: Judge, survey: Mapping[str, Any]) -> list[Case]:
    """Each thing that a survey shows, as a call that gives the verdict on it as things stand then."""
    kinds = (judge.domain, "domains"), (judge.directory, "dirs"), (judge.tap, "taps")
    return [partial(verdict, thing) for verdict, name in kinds for thing in survey.get(name, ())]
