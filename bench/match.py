"""How long a match takes: 1,000 VMs on 200 and on 1,250 hosts, alike and all different.  No server, no I/O.

    python -m bench.match [VMS]

One line a case: CPU milliseconds for the columns, for the match, and for the match again when nothing fits any more.
"""
from __future__ import annotations

import math
import sys
import time

from scheduler.bodies import Datastore, Demand, Host
from scheduler.match import match
from scheduler.plan import Plan, Waiting
from scheduler.ranks import policy
from scheduler.snapshot import Snapshot


def cloud(hosts: int) -> Snapshot:
    """HOSTS hosts of 16 cores and 64 GB, one system datastore."""
    snapshot = Snapshot()
    snapshot.put_hosts(
        Host(i, f"node{i}", 2, 0, 1600, 64 << 20, {0: 1e6},
             {"ID": (str(i),), "CLUSTER_ID": ("0",), "TEMPLATE/ARCH": ("x86_64",), "TEMPLATE/RACK": (str(i % 40),),
              "MONITORING/CAPACITY/FREE_CPU": (str(1600 - i % 100),)}) for i in range(hosts))
    snapshot.put_datastores([Datastore(0, "system", True, True, frozenset((0,)), False, math.nan, frozenset(),
                                       {"ID": ("0",), "CLUSTERS/ID": ("0",)})])
    return snapshot


def vms(count: int, different: bool, cpu: int) -> list[Waiting]:
    """COUNT VMs; different ones differ in memory and in the rack that they do not want."""
    return [Waiting(i, Demand(
        cpu, (1024 + i * different) * 1024, 10, "(CLUSTER_ID = 0) & !(PUBLIC_CLOUD = YES)",
        f'ARCH = "x86*" & RACK != {i % 40 if different else 0}', store_automatic='"CLUSTERS/ID" @> 0'))
        for i in range(count)]


def timed(snapshot: Snapshot, waiting: list[Waiting], name: str) -> tuple[float, float, Plan]:
    """(ms for the view, ms for the match, the plan)."""
    begun = time.process_time()
    view = snapshot.view()
    seen = time.process_time()
    plan = match(view, waiting, policy(name))
    return (seen - begun) * 1000, (time.process_time() - seen) * 1000, plan


def main() -> None:
    """Print a line a case."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for hosts in (200, 1250):
        for different in (False, True):
            for name in ("packing", "striping", "load-aware"):
                snapshot = cloud(hosts)
                columns, spent, plan = timed(snapshot, vms(count, different, 100), name)
                _, refusing, full = timed(snapshot, vms(count, different, 10 ** 6), name)
                kind = "different" if different else "alike"
                print(f"{hosts:5} hosts  {count} {kind:9}  {name:10}  view {columns:5.1f} ms"
                      f"  match {spent:6.1f} ms ({len(plan.placements)} placed)"
                      f"  refusals {refusing:6.1f} ms ({len(full.refusals)})")


if __name__ == "__main__":
    main()
