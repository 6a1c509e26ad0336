"""High availability: a host that stays in ERROR is fenced, and its VMs whose storage is shared start elsewhere.

Nothing is restarted without a fence that succeeded (rule 12); the host and its VMs say why.
"""
from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from onecore.errors import WrongState
from onecore.kinds.datastore import Datastore
from onecore.kinds.host.commands import command, is_shared
from onecore.kinds.host.debts import debts
from onecore.kinds.host.record import Host, samples
from onecore.kinds.kind import tree_of
from onecore.kinds.restore import held
from onecore.kinds.usage import usage
from onecore.kinds.vm.commands import document
from onecore.kinds.vm.fire import fire, state_of
from onecore.kinds.vm.record import Vm, VmText
from onecore.kinds.vm.states import LIVE
from onecore.lifecycle.core import Core
from onecore.lifecycle.outbox import Owed
from onecore.pool.store import Actor, Tx
from onecore.wire.messages import News, Result
from onecore.wire.states import HostState

EVERY = 5.0
"""Seconds between two looks."""
NO_DRIVER = "there is no fence driver (its FENCE_MAD, or fence in [ha])"
_ACTOR = Actor(method="ha")
_SINCE = re.compile(r"(.*?)(?:; )?in ERROR since ([^;]+)", re.S)
_LONGEST = 500


@dataclass(slots=True)
class Episode:
    """A host's time in ERROR since it was last heard of, on the monotonic clock; a restart of oned begins it anew."""

    since: float
    next_try: float = 0.0
    fenced: bool = False
    unheard: bool = False
    """Nobody heard how its last fence ended: it may have worked."""
    told: dict[int, str] = field(default_factory=dict)
    """VM id -> what its log and its ERROR say already."""


def check(core: Core) -> None:
    """Fence the hosts that have been in ERROR for too long; for a timer."""
    if not core.config.ha.after or core.store.refuses or held(core):
        return
    now = core.clock.monotonic()
    limit = max(core.config.ha.after, core.config.monitoring.host_period + EVERY)
    for hid, episode in sorted(_follow(core).items()):
        host = core.store.get(Host, hid)
        if host is not None and now - episode.since >= limit and now >= episode.next_try and hid not in _fencing(core):
            _act(core, host, episode)


def expects(core: Core, news: News) -> bool:
    """Whether NEWS of a guest's end is the work of a fence, and no shutdown of its own."""
    episode = _episodes(core).get(news.hid)
    return news.state != "running" and (
        news.hid in _fencing(core) or (episode is not None and (episode.fenced or episode.unheard)))


def _episodes(core: Core) -> dict[int, Episode]:
    found: dict[int, Episode] = core.kinds.setdefault("host.dark", {})
    return found


def _fencing(core: Core) -> set[int]:
    found: set[int] = core.kinds.setdefault("host.fencing", set())
    return found


def _follow(core: Core) -> dict[int, Episode]:
    """The hosts in ERROR; one that was heard of meanwhile, back for a moment or paying its debts, begins anew."""
    found, now = _episodes(core), core.clock.monotonic()
    dark = {host.oid for host in core.store.all(Host) if host.state == HostState.ERROR}
    for hid in found.keys() - dark:
        del found[hid]
    for hid in dark:
        episode = found.get(hid)
        if episode is None or _was_heard(core, hid, episode):
            found[hid] = Episode(now if episode is None else samples(core).heard[hid])
    return found


def _was_heard(core: Core, hid: int, episode: Episode) -> bool:
    return samples(core).heard.get(hid, episode.since) > episode.since


def _goes_on(core: Core, hid: int, episode: Episode) -> bool:
    host = core.store.get(Host, hid)
    return (host is not None and host.state == HostState.ERROR and _episodes(core).get(hid) is episode
            and not _was_heard(core, hid, episode))


def _act(core: Core, host: Host, episode: Episode) -> None:
    """Fence HOST if that lets a VM go on; tell every VM that stays why."""
    vms, stay = _sorted(core, host)
    driver = tree_of(host.template).get("FENCE_MAD") or core.config.ha.fence
    why = (_brake(core, host) if driver else NO_DRIVER) if vms else ""
    if why:
        _refuse(core, host, episode, vms, why, stay)
        return
    _tell(core, host, episode, "", stay)
    if vms:
        _fence(core, host, episode, driver, vms)


def _sorted(core: Core, host: Host) -> tuple[list[Vm], dict[int, str]]:
    """The VMs of HOST that may start elsewhere, and why others stay; those with an operation under way are neither."""
    vms, stay = list[Vm](), dict[int, str]()
    for oid in sorted(usage(core).by_host.of(host.oid)):
        vm = core.store.get(Vm, oid)
        if vm is not None and not vm.op and state_of(vm) in LIVE:
            why = _stays(core, vm)
            if why:
                stay[oid] = why
            else:
                vms.append(vm)
    return vms, stay


def _stays(core: Core, vm: Vm) -> str:
    text, datastore = core.store.get(VmText, vm.oid), core.store.get(Datastore, vm.ds_id)
    if text is not None and tree_of(text.user).get("HA").upper() == "NO":
        return "its template says HA = NO"
    if vm.to_hid >= 0:
        return f"it may have moved to host {vm.to_hid}, which tells when it answers; recover decides before"
    if datastore is None or not is_shared(datastore):
        return f"its disks are in datastore {vm.ds_id}, which is the host's own"
    return ""


def _brake(core: Core, host: Host) -> str:
    """Why no host may be fenced now: too many are in ERROR at once.  Those that are fenced do not count."""
    fenced = {owed.hid for owed in core.store.all(Owed) if owed.fenced}
    hosts = [h for h in core.store.all(Host) if h.state != HostState.OFFLINE and h.oid not in fenced - {host.oid}]
    dark = [h for h in hosts if h.state == HostState.ERROR]
    near, near_dark = (sum(h.cid == host.cid for h in some) for some in (hosts, dark))
    too_many = len(dark) > core.config.ha.most_hosts
    if too_many or 2 * near_dark > near:
        what = f"{len(dark)} of {len(hosts)} hosts" if too_many else f"{near_dark} of {near} hosts of its cluster"
        return f"{what} are in ERROR at once, so that the front-end's own network may be cut: none is fenced"
    return ""


def _fence(core: Core, host: Host, episode: Episode, driver: str, vms: list[Vm]) -> None:
    asked, timeout, began = {vm.oid: vm.generation for vm in vms}, float(core.config.ha.timeout), core.clock.monotonic()
    core.log.warning(f"host {host.oid} ({host.name}) is fenced by {driver}, for VMs {_numbers(asked)}")
    _fencing(core).add(host.oid)

    def then(result: Result) -> None:
        _fencing(core).discard(host.oid)
        now, episode.unheard = core.clock.monotonic(), bool(result.data.get("unheard"))
        died = episode.unheard and now < began + timeout  # the driver, not the host: another one is asked at once
        episode.next_try = now + (0 if died else core.config.ha.retry)
        if _goes_on(core, host.oid, episode):
            _fenced(core, host.oid, episode, driver, asked, result)
        else:
            outcome = "worked" if result.ok else f"failed: {result.error}"
            core.log.warning(f"host {host.oid} ({host.name}) came back meanwhile; fencing it by {driver} {outcome}")
    order = command(core, host, driver, "fence", {"vms": [document(core, vm) for vm in vms]})
    core.dispatcher.ask("im", replace(order, lane=f"fence:{host.name}", timeout=timeout), then)


def _fenced(core: Core, hid: int, episode: Episode, driver: str, asked: dict[int, int], result: Result) -> None:
    host = core.store.get(Host, hid)
    assert host is not None
    if not result.ok:
        vms = [vm for oid in asked if (vm := core.store.get(Vm, oid)) is not None]
        _refuse(core, host, episode, vms, f"fencing by {driver} failed: {result.error}", {})
        return
    episode.fenced = True
    with core.store.tx(_ACTOR) as tx:
        if result.data.get("off"):
            _note_off(tx, core, hid)
        moved = [oid for oid, generation in asked.items() if _leaves(tx, core, host, oid, generation)]
        _note(tx, core, host, episode, f"fenced by {driver}; VMs {_numbers(moved)} start elsewhere")


def _note_off(tx: Tx, core: Core, hid: int) -> None:
    """The host is off: whatever it owes cannot run until it returns, also of VMs that the fence was not asked about."""
    for owed in debts(core, hid):
        if not owed.fenced:
            tx.put(replace(owed, fenced=1))
            tx.log("host", hid, "update", keys=["OWED"])


def _leaves(tx: Tx, core: Core, host: Host, oid: int, generation: int) -> bool:
    """Let a VM go, if it is what the fence was asked about; a later round sees to it otherwise."""
    vm = tx.get(Vm, oid)
    if vm is None or vm.op or vm.hid != host.oid or vm.generation != generation or state_of(vm) not in LIVE:
        return False
    try:
        fire(tx, core, vm, "fenced", seen=True)
    except WrongState as error:
        core.log.warning(f"VM {oid} stays on host {host.oid} ({host.name}), which is fenced: {error.text}")
        return False
    core.log.vm(oid, f"host {host.oid} ({host.name}) is fenced, the VM starts elsewhere", level="warning")
    return True


def _refuse(core: Core, host: Host, episode: Episode, vms: list[Vm], why: str, stay: dict[int, str]) -> None:
    """VMS are not restarted: host and VMs say WHY."""
    _tell(core, host, episode, f"{why[:_LONGEST]}; its VMs are not restarted",
          {**stay, **{vm.oid: why[:_LONGEST] for vm in vms}})


def _tell(core: Core, host: Host, episode: Episode, what: str, vms: dict[int, str]) -> None:
    """WHAT in the host's ERROR, and in that of each of VMS what it was not told yet."""
    with core.store.tx(_ACTOR) as tx:
        if what:
            _note(tx, core, host, episode, what)
        for oid, why in vms.items():
            vm = tx.get(Vm, oid)
            if vm is not None and not vm.op and vm.hid == host.oid and episode.told.get(oid) != why:
                episode.told[oid] = why
                _strand(tx, core, vm, f"host {host.oid} ({host.name}) is in ERROR, and the VM is not restarted: {why}")


def _strand(tx: Tx, core: Core, vm: Vm, text: str) -> None:
    try:
        fire(tx, core, vm, "stranded", error=text)
    except WrongState:  # it is not on its host any more, or off
        return


def _note(tx: Tx, core: Core, host: Host, episode: Episode, what: str) -> None:
    """WHAT behind the host's own error and since when it has it (an earlier oned may have said that already)."""
    found = _SINCE.match(host.error)
    began = core.clock.time() - core.clock.monotonic() + episode.since
    cause, since = found.groups() if found else (host.error, time.strftime("%F %T UTC", time.gmtime(began)))
    text = f"{cause}; in ERROR since {since}; {what}".removeprefix("; ")
    if text != host.error:
        tx.put(replace(host, error=text))
        tx.log("host", host.oid, "update", keys=["ERROR"])
        core.log.warning(f"host {host.oid} ({host.name}): {what}")


def _numbers(oids: Iterable[int]) -> str:
    return ", ".join(map(str, oids)) or "none"
