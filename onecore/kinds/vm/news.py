"""What hosts say of VMs, as events of the state table: libvirt's news at once, rosters of samples as a safety net."""
from __future__ import annotations

from onecore.errors import WrongState
from onecore.kinds.host.debts import is_paying
from onecore.kinds.host.record import Host
from onecore.kinds.image.record import Image
from onecore.kinds.usage import usage
from onecore.kinds.vm import doubts
from onecore.kinds.vm.commands import is_ours, question
from onecore.kinds.vm.fire import fire
from onecore.kinds.vm.record import Vm, ids, moment
from onecore.lifecycle.core import Core
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import News, Result, Sample
from onecore.wire.states import HostState, ImageState, Lcm, VmState

EVENTS = {"running": "seen_running", "suspended": "seen_suspended", "poweroff": "seen_poweroff",
          "crashed": "seen_poweroff",
          "gone": "seen_poweroff"}
SETTLE = 10
"""Seconds after a change during which a roster, which may be older, says nothing about a VM (a change in the future:
the clock was set back, and tells nothing)."""
WHETHER_SAVED = 30.0
"""Seconds in which a host tells what it has of a VM's files."""
_SAVING = ("suspend", "stop", "migrate")
"""Operations that save a guest first."""
_MONITOR = Actor(method="monitor")


def observe(tx: Tx, core: Core, oid: int, event: str, error: str = "") -> None:
    """One observation of one VM; a state in which it says nothing ignores it."""
    vm = tx.get(Vm, oid)
    if vm is not None:
        fire(tx, core, vm, event, seen=True, error=error)


def take_news(core: Core, news: News) -> None:
    """A domain changed by itself.  News of another generation, or of a VM that is not on that host, is a finding.

    A host that is OFFLINE is not heard: what was on its way when it became so would undo what that means for its VMs.
    """
    vm, host = core.store.get(Vm, news.vm), core.store.get(Host, news.hid)
    if host is not None and host.state == HostState.OFFLINE:
        return
    if vm is not None and vm.to_hid == news.hid != vm.hid and vm.generation == news.generation:
        return  # it comes: the migration's result, or the roster, says when it is there
    if vm is None or vm.hid != news.hid or vm.generation != news.generation:
        if news.state == "running":
            core.log.warning(f"host {news.hid} runs VM {news.vm} generation {news.generation}, "
                             "which should not be there")
        return
    if news.state not in EVENTS:
        core.log.warning(f"news of VM {news.vm} with unknown state {news.state!r}")
        return
    if vm.op and EVENTS[news.state] != "seen_running" and vm.state != VmState.ACTIVE:
        return
    _see(core, vm, EVENTS[news.state], news.detail)


def take_roster(core: Core, host: Host, sample: Sample) -> None:
    """Compare a host's list of domains with what should run there."""
    there = {doc["id"]: doc for doc in sample.vms if doc.get("id", -1) >= 0 and is_ours(core, doc)}
    for oid in sorted(usage(core).by_host.of(host.oid)):
        vm = core.store.get(Vm, oid)
        if vm is not None:
            doubts.look(core, vm)
            doubts.look_for_disk(core, vm)
        if vm is None or vm.op or (vm.changed <= core.now() and sample.time - vm.changed < SETTLE):
            continue
        event = _event(vm, there.get(oid), sample.roster)
        if event == "seen_running" and vm.to_hid >= 0 and _is_away(core, vm.to_hid):
            event = "seen_stayed"
        if event:
            _see(core, vm, event)
    for oid in sorted(usage(core).arriving.of(host.oid)):
        _settle(core, oid, there.get(oid), sample)


def _see(core: Core, vm: Vm, event: str, detail: str = "") -> None:
    """One observation; of a guest that is gone after a save, or a failure, it is asked first whether it was saved.

    The save may have failed, and its error have been taken away or its place been taken by another operation's since.
    """
    if event == "seen_running" and is_paying(core, vm.hid, vm.oid):
        return
    if event == "seen_poweroff" and vm.state == VmState.ACTIVE and (vm.op_kind in _SAVING or vm.error):
        return _ask_whether_saved(core, vm)
    with core.store.tx(_MONITOR) as tx:
        observe(tx, core, vm.oid, event, detail)


def _ask_whether_saved(core: Core, vm: Vm) -> None:
    """Nobody heard of the end of the save: with a whole checkpoint the VM is SUSPENDED, not POWEROFF.

    Without an answer it stays as it is: its next start would give up what it had in memory.  The next roster asks anew.
    """
    asking: set[int] = core.kinds.setdefault("vm.whether_saved", set())

    def then(result: Result) -> None:
        asking.discard(vm.oid)
        if not result.ok:
            core.log.warning(f"VM {vm.oid} has no guest on host {vm.hid} and may have been saved: {result.error}")
            return
        now = core.store.get(Vm, vm.oid)
        if now is not None and moment(now) == moment(vm):
            with core.store.tx(_MONITOR) as tx:
                saved = bool(result.data.get("has", {}).get("checkpoint"))
                observe(tx, core, vm.oid, "seen_saved" if saved else "seen_poweroff")
    if vm.oid not in asking:
        asking.add(vm.oid)
        look = {"look": {"checkpoint": True}}
        core.dispatcher.ask("vm", question(core, vm, "vm", "state", WHETHER_SAVED, look), then)


def _is_away(core: Core, hid: int) -> bool:
    """Whether a host cannot be asked; a migration to it is over then."""
    host = core.store.get(Host, hid)
    return host is None or host.state in (HostState.ERROR, HostState.OFFLINE)


def _settle(core: Core, oid: int, doc: dict[str, object] | None, sample: Sample) -> None:
    """A live migration ended and nobody could tell how: its destination has the guest, or has not."""
    vm = core.store.get(Vm, oid)
    if vm is None or vm.op or vm.state != VmState.ACTIVE or vm.lcm != Lcm.UNKNOWN or sample.time <= vm.changed:
        return
    there = doc is not None and doc.get("generation") == vm.generation
    state = doc.get("state") if there and doc else ""
    if vm.to_hid == vm.hid and state in ("running", "suspended"):
        with core.store.tx(_MONITOR) as tx:  # in which datastore its disks are only the driver can tell
            observe(tx, core, oid, "seen_either")
    elif there and state != "running":
        return  # it is coming, or its end: what it will be shows in the next sample
    elif there or sample.roster:
        with core.store.tx(_MONITOR) as tx:
            observe(tx, core, oid, "seen_moved" if there else "seen_not_moved")


def _event(vm: Vm, doc: dict[str, object] | None, complete: bool) -> str:
    """The event that a VM's line in the roster means, "" for none."""
    if doc is None:
        return "seen_poweroff" if complete and _should_show(vm) else ""
    if doc.get("generation") != vm.generation:
        return ""
    event = EVENTS.get(str(doc.get("state")), "")
    if vm.state == VmState.ACTIVE and vm.lcm == Lcm.UNKNOWN:
        return event
    running = vm.state == VmState.ACTIVE and vm.lcm == Lcm.RUNNING
    return "" if (event == "seen_running") == running else event


def _should_show(vm: Vm) -> bool:
    """Whether a host must have a guest of the VM, running or paused."""
    return (vm.state == VmState.ACTIVE and vm.lcm in (Lcm.RUNNING, Lcm.UNKNOWN)) or (
        vm.state == VmState.SUSPENDED and not vm.came)


def images_changed(tx: Tx, core: Core, image: Image) -> None:
    """An image became ready or failed: VMs that wait for it go on."""
    for oid in sorted(usage(core).by_image.of(image.oid)):
        vm = tx.get(Vm, oid)
        if vm is None or vm.state not in (VmState.CLONING, VmState.CLONING_FAILURE):
            continue
        states = [tx.get(Image, i).state for i in ids(vm.images)]  # type: ignore[union-attr]
        try:
            if ImageState.ERROR in states:
                fire(tx, core, vm, "images.failed", error=f"image {image.oid} ({image.name}): {image.error}")
            elif all(s in (ImageState.USED, ImageState.USED_PERS) for s in states):
                fire(tx, core, vm, "images.ready")
        except WrongState:
            continue
