"""The first scene: a cloud filled from no VM to 10,000; creating, reading and keeping them measured on the way."""
from __future__ import annotations

import os
import statistics
import time

from bench.endpoint.clients import Lean
from bench.endpoint.cloud import vm_template
from bench.endpoint.probes import peak_rss_mb, rss_mb, tree, written_bytes
from bench.endpoint.report import latencies
from bench.rig import wrk
from bench.rig.processes import cores, pin
from bench.rig.scene import CLIENTS, SETTLE, Scene

INFO_GOAL, ALLOCATE_GOAL, FLAT_GOAL, POOL_GOAL = 0.35, 0.03, 0.8, 60.0
POOLS: tuple[tuple[str, str, tuple[int, ...], float | None, str], ...] = (
    ("vmpool.info", "one.vmpool.info", (-2, -1, -1, -1), POOL_GOAL, "117 ms"),
    ("vmpool.infoextended", "one.vmpool.infoextended", (-2, -1, -1, -1), None, "573 ms"),
    ("a page of 100", "one.vmpool.info", (-2, 0, -100, -1), None, "1.7 ms"))
ALLOCATE_THEN = {0: "93/s", 1000: "82/s", 10_000: "24/s"}
INFO_THEN = {1000: "1,205–1,305/s = 0.05 F"}


def fill(scene: Scene) -> None:
    """Every figure of this scene, in the order of the sheet."""
    first, second, *between, last = scene.sizes.levels
    empty = _database(scene)
    ratios = [allocate(scene, first)]
    _to(scene, second)
    info(scene, second)
    for level in (second, *between):
        _to(scene, level)
        ratios.append(allocate(scene, level))
    written = _written(scene, last)
    info(scene, last)
    for pool in POOLS:
        measure_pool(scene, last, *pool)
    grown = {"grown_mb": rss_mb(scene.cloud.pid), "peak_mb": peak_rss_mb(scene.cloud.pid)}
    restart(scene, last, grown, empty)
    ratios.append(allocate(scene, last))
    scene.sheet.share(f"vm.allocate, at {last:,} as a share of at 0", ratios[-1] / ratios[0], FLAT_GOAL, "0.26")
    scene.sheet.figure("written for a vm.allocate", written / 1000, "KB", None, "200 KB")


def _database(scene: Scene) -> int:
    """Bytes of the database and its log."""
    return sum(path.stat().st_size for path in scene.cloud.home.glob("onecore.db*"))


def _count(scene: Scene) -> int:
    client = scene.cloud.client()
    found = client.text("one.vmpool.info", -2, -1, -1, -1).count("<VM><ID>")
    client.close()
    return found


def _to(scene: Scene, level: int) -> None:
    """Create VMs until there are so many."""
    missing = level - _count(scene)
    if missing > 0:
        scene.create(missing)


def _written(scene: Scene, level: int) -> float:
    """Bytes written for each VM, while VMs are created until there are LEVEL."""
    missing = level - _count(scene)
    time.sleep(SETTLE)
    before = written_bytes(scene.cloud.pid)
    scene.create(missing)
    time.sleep(SETTLE)
    return (written_bytes(scene.cloud.pid) - before) / missing


def allocate(scene: Scene, level: int) -> float:
    """The rate of one.vm.allocate from LEVEL VMs on; in floors."""
    (out, meter), beside = scene.turns.beside(lambda: scene.create(scene.sizes.chunk))
    spent = {**latencies(out.seconds), "server_cpu_ms": meter.server / scene.sizes.chunk * 1000,
             "other_cpu_s": meter.other}
    return scene.sheet.rate(
        f"vm.allocate, {CLIENTS} clients, {level:,} VMs", scene.sizes.chunk / (out.ended - out.begun), beside,
        ALLOCATE_GOAL, ALLOCATE_THEN.get(level, ""), spent,
        f", p50 {spent['p50_ms']:.1f} ms, p99 {spent['p99_ms']:.0f} ms")


def info(scene: Scene, level: int) -> None:
    """The rate of one.vm.info of all VMs in turn, oned pinned to one core."""
    cloud = scene.cloud
    script = wrk.calls_in_turn(scene.directory / "info.lua", "one.vm.info", cloud.auth, 0, level - 1)
    free = os.sched_getaffinity(0)
    pin(cloud.pid, {cores()[0]})
    try:
        rate, beside = scene.turns.rates(cloud.endpoint, script, scene.sizes.rounds)
    finally:
        pin(cloud.pid, free)
    what = f"vm.info, {wrk.CLIENTS} clients, {level:,} VMs"
    scene.sheet.rate(what, rate, beside, INFO_GOAL, INFO_THEN.get(level, ""))


def measure_pool(scene: Scene, level: int, name: str, method: str, arguments: tuple[int, ...], most: float | None,
                 then: str) -> None:
    """The latency of a pool, with one client."""
    call = Lean(scene.cloud.endpoint, scene.cloud.auth)
    seconds, size = [], 0
    for _ in range(scene.sizes.pools):
        begun = time.perf_counter()
        answer = call(method, *arguments)
        seconds.append(time.perf_counter() - begun)
        size = len(answer) if isinstance(answer, bytes) else 0
    middle, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    scene.sheet.figure(f"{name}, {level:,} VMs, {size / 1e6:.1f} MB", middle, "ms", most,
                       then if level == 10_000 else "",
                       {"worst_ms": worst, "first_ms": seconds[0] * 1000, "bytes": size}, f", worst {worst:.1f}")


def restart(scene: Scene, level: int, grown: dict[str, float], empty: int) -> None:
    """What LEVEL VMs cost to keep: memory, time to start, size of the database once the log is written back."""
    cloud, sheet = scene.cloud, scene.sheet
    cloud.end()
    kept = (_database(scene) - empty) / level / 1000
    seconds = cloud.start()
    fresh, whole = rss_mb(cloud.pid), sum(map(rss_mb, tree(cloud.pid)))
    details = {**grown, "with_drivers_mb": whole}
    sheet.figure(f"memory of oned, {level:,} VMs, after a start", fresh, "MB", None, "222–253 MB", details,
                 f", {grown['grown_mb']:.0f} after all of the above")
    sheet.figure(f"start, {level:,} VMs, to the first answer", seconds, "s")
    sheet.figure("database, each VM on hold", kept, "KB", None, "8.7 KB")


def sample() -> str:
    """The template of a VM as this scene makes them."""
    return vm_template("full", 0, 1)
