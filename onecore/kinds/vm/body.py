"""<VM>: the full body and the short one of pools.  Fragments are kept as long as what they were made of stands."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from onecore.kinds import sealed
from onecore.kinds.kind import elements, group_name, lock_xml, permissions_xml, user_name
from onecore.kinds.vm import scheduled, snapshots
from onecore.kinds.vm.owner_places import restricted
from onecore.kinds.vm.record import History, Scheduled, Vm, VmText
from onecore.lifecycle.core import Core
from onecore.pool.record import Record
from onecore.pool.store import Store
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes

_SHORT = (b"CPU", b"MEMORY", b"VCPU", b"DISK", b"NIC", b"GRAPHICS")
_MONITORED = (("CPU", "cpu"), ("DISKRDBYTES", "diskrdbytes"), ("DISKRDIOPS", "diskrdiops"),
              ("DISKWRBYTES", "diskwrbytes"), ("DISKWRIOPS", "diskwriops"))
_USER = b"&lt;/TEMPLATE&gt;&lt;USER_TEMPLATE&gt;"
_END_USER = b"&lt;/USER_TEMPLATE&gt;"


class Bodies:
    """What was rendered lately.  A short body is dropped when one of its records or its sample changes."""

    def __init__(self) -> None:
        self.short: dict[int, bytes] = {}
        self.heads: dict[int, tuple[Vm, Any, bytes]] = {}
        self.tails: dict[int, tuple[Vm, History | None, str, bytes]] = {}
        self.template: dict[int, tuple[bytes, bytes]] = {}
        self.scheduled: dict[int, bytes] = {}

    def follow(self, store: Store) -> None:
        """Hear of every change."""
        store.index(Vm, _Changes(self.changed, "oid"))
        store.index(VmText, _Changes(self.changed, "oid"))
        store.index(History, _Changes(self.changed, "vid"))
        store.index(Scheduled, _Changes(self.rescheduled, "vid"))

    def changed(self, oid: int) -> None:
        """What the short body of a VM shows is different now."""
        self.short.pop(oid, None)

    def rescheduled(self, oid: int) -> None:
        """What the full body of a VM shows of its scheduled actions is different now."""
        self.heads.pop(oid, None)
        self.scheduled.pop(oid, None)

    def clear(self) -> None:
        """Drop all."""
        for kept in (self.short, self.heads, self.tails, self.template, self.scheduled):
            kept.clear()

    def forget(self, oid: int) -> None:
        """Drop what is kept of a VM."""
        for kept in (self.short, self.heads, self.tails, self.template, self.scheduled):
            kept.pop(oid, None)


class _Changes:
    """An index that only tells which VM a changed record belongs to."""

    def __init__(self, tell: Callable[[int], None], field: str) -> None:
        self._tell, self._oid = tell, attrgetter(field)

    def change(self, old: Record | None, new: Record | None) -> None:
        """A record was added, replaced or removed."""
        self._tell(self._oid(new if new is not None else old))


class Archived:
    """A VM that left memory, as SQL has it: stands in for a Vm in `body`."""

    def __init__(self, vm: Vm, text: VmText, stays: list[History]) -> None:
        self.vm, self.text, self.stays = vm, text, stays
        self.oid, self.uid, self.gid, self.perms, self.lock = vm.oid, vm.uid, vm.gid, vm.perms, vm.lock


def _bodies(core: Core) -> Bodies:
    made: Bodies = core.kinds["vm.bodies"]
    return made


def body(core: Core, vm: Vm | Archived) -> list[bytes]:
    """The full body."""
    if isinstance(vm, Archived):
        end = _tail(vm.vm, vm.stays, vm.text.snapshots)
        return _full(core, vm.vm, vm.text, vm.stays, _head(core, vm.vm, None), end)
    text = core.store.get(VmText, vm.oid)
    if text is None:
        return []
    kept, sample = _bodies(core), core.kinds["samples"].vms.get(vm.oid)
    head = kept.heads.get(vm.oid)
    if head is None or head[0] is not vm or head[1] is not sample:
        head = kept.heads[vm.oid] = (vm, sample, _head(core, vm, sample))
    last = core.store.get(History, (vm.oid, vm.seq))
    tail = kept.tails.get(vm.oid)
    if tail is None or tail[0] is not vm or tail[1] is not last or tail[2] is not text.snapshots:
        made = _tail(vm, stays(core, vm), text.snapshots)
        tail = kept.tails[vm.oid] = (vm, last, text.snapshots, made)
    planned = kept.scheduled.get(vm.oid)
    if planned is None:
        planned = kept.scheduled[vm.oid] = scheduled.vectors_xml(core, vm.oid) + _USER
    return [head[2], restricted(core, vm, text.template), planned, text.user, tail[3]]


def opened(core: Core, vm: Vm | Archived) -> list[bytes]:
    """The full body with encrypted attributes in plain; nothing of it is kept."""
    one = vm.vm if isinstance(vm, Archived) else vm
    text = vm.text if isinstance(vm, Archived) else core.store.get(VmText, vm.oid)
    if text is None:
        return []
    whole = body(core, vm)
    template, user = (sealed.fragment(core, "vm", one.oid, part) for part in (whole[1], text.user))
    return [whole[0], template, whole[2], user, whole[4]]


def _full(core: Core, vm: Vm, text: VmText, found: list[History], head: bytes, tail: bytes) -> list[bytes]:
    return [head, text.template, _USER, text.user, tail]


def stays(core: Core, vm: Vm) -> list[History]:
    """The history of a VM in memory, oldest first."""
    return [h for seq in range(vm.seq + 1) if (h := core.store.get(History, (vm.oid, seq))) is not None]


def _id(core: Core, vm: Vm) -> str:
    return (f"<ID>{vm.oid}</ID><UID>{vm.uid}</UID><GID>{vm.gid}</GID>{xmlbody.text('UNAME', user_name(core, vm.uid))}"
            f"{xmlbody.text('GNAME', group_name(core, vm.gid))}{xmlbody.text('NAME', vm.name)}")


def _head(core: Core, vm: Vm, sample: Any) -> bytes:
    polled = sample[0] if sample else 0
    return escape_bytes(
        f"<VM>{_id(core, vm)}{permissions_xml(vm.perms)}<LAST_POLL>{polled}</LAST_POLL><STATE>{vm.state}</STATE>"
        f"<LCM_STATE>{vm.lcm}</LCM_STATE><PREV_STATE>{vm.prev_state}</PREV_STATE><PREV_LCM_STATE>{vm.prev_lcm}</PREV_LCM_STATE>"
        f"<RESCHED>{vm.resched}</RESCHED><STIME>{vm.stime}</STIME><ETIME>{vm.etime}</ETIME>"
        f"{xmlbody.text('DEPLOY_ID', vm.deploy_id)}{lock_xml(vm)}{monitoring(vm.oid, sample)}"
        f"{scheduled.ids_xml(core, vm.oid)}<TEMPLATE>")


def monitoring(oid: int, sample: Any) -> str:
    """<MONITORING> of the latest sample (time, document)."""
    return "<MONITORING>" + (values(oid, sample[0], sample[1]) if sample else "") + "</MONITORING>"


def values(oid: int, time: int, doc: dict[str, Any]) -> str:
    """What stands in <MONITORING>, in the schema's order."""
    text = "".join(f"<{tag}>{_plain(doc[key])}</{tag}>" for tag, key in _MONITORED if doc.get(key) is not None)
    text += "".join(f"<DISK_SIZE><ID>{d['id']}</ID><SIZE>{d['size_mb']}</SIZE></DISK_SIZE>"
                    for d in doc.get("disk_size", ()))
    text += f"<ID>{oid}</ID>"
    for tag, key in (("MEMORY", "memory_kb"), ("NETRX", "netrx"), ("NETTX", "nettx")):
        if doc.get(key) is not None:
            text += f"<{tag}>{int(doc[key])}</{tag}>"
    return text + f"<TIMESTAMP>{time}</TIMESTAMP>"


def _plain(value: Any) -> str:
    return f"{float(value):.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _tail(vm: Vm, found: list[History], disks: str) -> bytes:
    each = "".join(
        f"<HISTORY><OID>{vm.oid}</OID><SEQ>{h.seq}</SEQ>{xmlbody.text('HOSTNAME', h.hostname)}<HID>{h.hid}</HID>"
        f"<CID>{h.cid}</CID><STIME>{h.stime}</STIME><ETIME>{h.etime}</ETIME>{xmlbody.text('VM_MAD', h.vm_mad)}"
        f"{xmlbody.text('TM_MAD', h.tm_mad)}"
        f"<DS_ID>{h.ds_id}</DS_ID><PLAN_ID>-1</PLAN_ID><ACTION_ID>-1</ACTION_ID><PSTIME>{h.pstime}</PSTIME><PETIME>{h.petime}</PETIME>"
        f"<RSTIME>{h.rstime}</RSTIME><RETIME>{h.retime}</RETIME><ESTIME>{h.estime}</ESTIME><EETIME>{h.eetime}</EETIME>"
        f"<ACTION>{h.action}</ACTION><UID>{h.uid}</UID><GID>{h.gid}</GID>{xmlbody.text('REQUEST_ID', h.rid)}"
        "</HISTORY>" for h in found)
    return _error(vm) + _END_USER + escape_bytes(
        f"<HISTORY_RECORDS>{each}</HISTORY_RECORDS>{snapshots.xml(disks)}"
        "<BACKUPS><BACKUP_CONFIG></BACKUP_CONFIG><BACKUP_IDS></BACKUP_IDS></BACKUPS></VM>")


def _error(vm: Vm) -> bytes:
    return escape_bytes(xmlbody.text("ERROR", vm.error)) if vm.error else b""


def pool_body(core: Core, vm: Vm) -> list[bytes]:
    """The short body."""
    kept = _bodies(core).short
    found = kept.get(vm.oid)
    if found is None:
        text = core.store.get(VmText, vm.oid)
        if text is None:
            return []
        last = core.store.get(History, (vm.oid, vm.seq))
        found = kept[vm.oid] = short(core, vm, text, last, core.kinds["samples"].vms.get(vm.oid))
    return [found]


def short(core: Core, vm: Vm, text: VmText, last: History | None, sample: Any) -> bytes:
    """The short body of any VM, also of one that left memory."""
    polled = sample[0] if sample else 0
    stay = "" if last is None else (
        f"<HISTORY><OID>{vm.oid}</OID><SEQ>{last.seq}</SEQ>{xmlbody.text('HOSTNAME', last.hostname)}"
        f"<HID>{last.hid}</HID><CID>{last.cid}</CID><DS_ID>{last.ds_id}</DS_ID>{xmlbody.text('VM_MAD', last.vm_mad)}"
        f"{xmlbody.text('TM_MAD', last.tm_mad)}<ACTION>{last.action}</ACTION></HISTORY>")
    head = (f"<VM>{_id(core, vm)}<LAST_POLL>{polled}</LAST_POLL><STATE>{vm.state}</STATE>"
            f"<LCM_STATE>{vm.lcm}</LCM_STATE><RESCHED>{vm.resched}</RESCHED><STIME>{vm.stime}</STIME>"
            f"<ETIME>{vm.etime}</ETIME>{xmlbody.text('DEPLOY_ID', vm.deploy_id)}{lock_xml(vm)}")
    rest = f"{monitoring(vm.oid, sample)}<USER_TEMPLATE>"
    return b"".join((escape_bytes(head), _short_template(core, vm.oid, text.template), escape_bytes(rest),
                     text.user, _error(vm), _END_USER,
                     escape_bytes(f"<HISTORY_RECORDS>{stay}</HISTORY_RECORDS></VM>")))


def _short_template(core: Core, oid: int, template: bytes) -> bytes:
    kept = _bodies(core).template
    found = kept.get(oid)
    if found is None or found[0] is not template:
        parts: dict[bytes, list[bytes]] = {}
        for name, element in elements(template):
            parts.setdefault(name, []).append(element)
        chosen = b"".join(part for wanted in _SHORT for part in parts.get(wanted, ()))
        found = kept[oid] = (template, b"&lt;TEMPLATE&gt;" + chosen + b"&lt;/TEMPLATE&gt;")
    return found[1]


async def warm(core: Core, extended: bool) -> None:
    """Render what a pool's answer needs, a little at a time, so that nobody else waits for a cold one."""
    one, kept = (body, {}) if extended else (pool_body, _bodies(core).short)
    cold = [vm for vm in core.store.all(Vm) if vm.oid not in kept]
    for number, vm in enumerate(cold):
        one(core, vm)
        if number % 100 == 99:
            await asyncio.sleep(0)
