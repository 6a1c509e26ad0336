"""How long the past is kept: DONE VMs, the change log, the series; purged in small batches."""
from __future__ import annotations

import asyncio

from onecore.kinds.vm.record import History, Vm, VmText
from onecore.lifecycle.core import Core
from onecore.pool.writer import Write
from onecore.wire.states import VmState

BATCH = 500
"""VMs in a round; four times as many rows of the change log."""
REST = 0.3
"""Seconds between two rounds."""


async def purge(core: Core) -> int:
    """One round; returns how many rows went.  Call again soon when it is not 0."""
    keep, now = core.config.retention, core.now()
    gone = 0
    if not core.store.refuses:
        gone += await _vms(core, now - keep.done_days * 86400)
        gone += await _log(core, now - keep.log_days * 86400)
    return gone + await asyncio.to_thread(core.series.purge, now - keep.series_hours * 3600)


async def purge_all(core: Core) -> None:
    """Round after round until nothing is too old, with rests in which others have the disk."""
    while await purge(core):
        await asyncio.sleep(REST)


async def purge_done(core: Core, before: int) -> int:
    """Forget all VMs that were DONE before that Unix second, with rests as above; how many they were."""
    gone = 0
    while not core.store.refuses and (some := await _vms(core, before)):
        gone += some
        await asyncio.sleep(REST)
    return gone


async def _vms(core: Core, before: int) -> int:
    rows = await asyncio.to_thread(core.database.rows, (
        f"SELECT oid, seq FROM vm_pool WHERE state = {int(VmState.DONE)} AND etime < :before "
        f"ORDER BY oid LIMIT {BATCH}"),
        {"before": before})
    writes: list[Write] = []
    for oid, last in rows:
        writes += [(Vm.TABLE, oid, None), (VmText.TABLE, oid, None)]
        writes += [(History.TABLE, (oid, seq), None) for seq in range(last + 1)]
    core.store.purge(writes)
    for oid, _ in rows:
        path = core.log.vm_path(oid)
        if path is not None:
            path.unlink(missing_ok=True)
    return len(rows)


async def _log(core: Core, before: int) -> int:
    oldest = await asyncio.to_thread(
        core.database.rows, f"SELECT seq, n, time FROM log ORDER BY seq, n LIMIT {BATCH * 4}")
    rows = [(seq, n) for seq, n, time in oldest if time < before]
    core.store.purge([("log", key, None) for key in rows])
    if rows:
        core.changelog.first_kept = max(core.changelog.first_kept, rows[-1][0])
    return len(rows)
