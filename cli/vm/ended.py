"""VMs that are DONE, by name: no pool tells of them unless it is asked to."""

from __future__ import annotations

import time

from cli.cells import clock, number, value
from cli.session import Session
from onecore.wire.states import VmState

LATELY = 3600.0
"""Seconds after its end for which a VM still goes by its name."""


def ended(session: Session, name: str) -> int | None:
    """The id of the VM of that NAME that ended last, which is told; None when none did LATELY."""
    from onecore.wire import xmlbody

    query = "" if "&" in name else f"VM.NAME={name}"  # finds longer names too
    pool = xmlbody.read(session.text("one.vmpool.info", -2, -1, -1, int(VmState.DONE), query))
    since = time.time() - LATELY
    found = [vm for vm in pool.findall("VM") if value(vm, "NAME") == name and number(vm, "ETIME") >= since]
    if not found:
        return None
    last = max(found, key=lambda vm: (number(vm, "ETIME"), number(vm, "ID")))
    oid = int(number(last, "ID"))
    session.fail_text(f"no VM is named {name} now; the last one was VM {oid}, DONE at {clock(number(last, 'ETIME'))}")
    return oid
