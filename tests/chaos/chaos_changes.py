"""VMs that move, and VMs that change: disks, snapshots, NICs, size, configuration; what is scheduled for them."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaos_action import Action, Done
from chaos_facts import Facts, content
from chaos_roads import act, call, migrate, speak
from chaos_site import Site, Step


def _row(start: str, name: str, ask: Step, goals: str, done: Done, **more: Any) -> Action:
    return Action(start, name, ask, frozenset(goals.split()), done=done, **more)


# -- moves

SAVED, OFF = frozenset(("SUSPENDED",)), frozenset(("POWEROFF",))
"""Where a VM is that was saved, or powered off, to be moved, and nobody heard of it; it is moved as it is."""

def _at(host: int, store: bool = False) -> Done:
    """The VM is on that host and, with STORE, in the other datastore."""
    def done(facts: Facts, site: Site) -> bool:
        row = facts.vms[site.vm]
        return bool(row["hid"] == site.hosts[host] and (row["ds_id"] == site.stores[site.store]) != store)
    return done


def moves() -> Iterator[Action]:
    """To the other host, to the other datastore, to both, in every way."""
    yield _row("RUNNING", "migrate-live", migrate(1, live=True), "RUNNING", _at(1), patience=40)
    yield _row("RUNNING", "migrate-live-store", migrate(0, "other", live=True), "RUNNING", _at(0, True), patience=40)
    for start, kinds in (("RUNNING", (0, 1, 2)), ("POWEROFF", (0,)), ("SUSPENDED", (0,)), ("UNKNOWN", (0,))):
        for kind in kinds:
            goal = "RUNNING" if start == "UNKNOWN" else start
            more = {"again": (OFF if kind else SAVED) if start == "RUNNING" else frozenset()}
            yield _row(start, f"migrate-{kind}", migrate(1, kind=kind), goal, _at(1), **more)
            yield _row(start, f"migrate-{kind}-both", migrate(1, "other", kind=kind), goal, _at(1, True), **more)
    for start in ("RUNNING", "POWEROFF", "SUSPENDED"):
        yield _row(start, "migrate-store", migrate(0, "other"), start, _at(0, True),
                   again=SAVED if start == "RUNNING" else frozenset())
    for operation in ("success", "failure"):
        yield Action("UNKNOWN moving", f"recover-{operation}", lambda site, operation=operation: site.act(
            f"recover-{operation}"), frozenset(("RUNNING", "UNKNOWN", "POWEROFF")), patience=30, lies=True)
    for action in ("recover-delete", "recover-recreate"):
        yield Action("UNKNOWN moving", action, lambda site, action=action: site.act(action),
                     frozenset({"DONE" if action == "recover-delete" else "PENDING"}), forgets=True)
    yield Action("UNKNOWN moving", "hosts-tell", speak, frozenset({"RUNNING"}), patience=30)


# -- disks

def _disk_more(facts: Facts, site: Site) -> bool:
    """Ids of disks that failed to come are not given again."""
    return len(facts.disks(site.vm)) == 3


def _disk_less(facts: Facts, site: Site) -> bool:
    return "0" not in [disk["DISK_ID"] for disk in facts.disks(site.vm)]


def _detached(facts: Facts, site: Site) -> bool:
    """It is gone, and what the guest wrote on it is in its image."""
    gone = "3" not in [disk["DISK_ID"] for disk in facts.disks(site.vm)]
    return gone and content(facts.home, f"dummy-{site.spare}") >= site.written


def _snapshots(number: int, base: int = -2) -> Done:
    """Disk 0 has so many snapshots, and stands on BASE."""
    def done(facts: Facts, site: Site) -> bool:
        tree = facts.snapshots(site.vm).get("0", {"snaps": [], "base": -1})
        return len(tree["snaps"]) == number and base in (-2, tree["base"])
    return done


def _size(disk: str, size: str) -> Done:
    return lambda facts, site: [each["SIZE"] for each in facts.disks(site.vm) if each["DISK_ID"] == disk] == [size]


def _saved(facts: Facts, site: Site) -> bool:
    return facts.image("saved") == "READY"


def _template(path: str, *values: str) -> Done:
    """What an attribute of the VM is, in all of its places."""
    return lambda facts, site: tuple(node.text or "" for node in facts.template(site.vm).findall(path)) == values


def _disks() -> Iterator[Action]:
    attach = call("one.vm.attach", "DISK=[IMAGE_ID={spare}]")
    for start in ("RUNNING", "POWEROFF"):
        yield _row(start, "disk-attach", attach, start, _disk_more)
        yield _row(start, "disk-attach-volatile", call("one.vm.attach", "DISK=[TYPE=fs,SIZE=5]"), start, _disk_more)
        yield _row(f"{start} disk", "disk-detach", call("one.vm.detach", 3), start, _detached)
        yield _row(f"{start} disk", "disk-detach-volatile", call("one.vm.detach", 0), start, _disk_less)
    for start in ("RUNNING", "POWEROFF", "SUSPENDED"):
        yield _row(start, "disk-snapshot-create", call("one.vm.disksnapshotcreate", 0, "s"), start, _snapshots(1))
        yield _row(f"{start} snapshot", "disk-snapshot-create", call("one.vm.disksnapshotcreate", 0, "third"), start,
                   _snapshots(3))
        yield _row(f"{start} snapshot", "disk-snapshot-delete", call("one.vm.disksnapshotdelete", 0, 0), start,
                   _snapshots(1))
    yield _row("POWEROFF snapshot", "disk-snapshot-revert", call("one.vm.disksnapshotrevert", 0, 0), "POWEROFF",
               _snapshots(2, 0), forgets=True)
    yield _row("RUNNING snapshot", "disk-snapshot-rename", call("one.vm.disksnapshotrename", 0, 0, "other"), "RUNNING",
               lambda facts, site: facts.snapshots(site.vm)["0"]["snaps"][0]["name"] == "other")
    for start in ("RUNNING", "POWEROFF", "UNDEPLOYED"):
        yield _row(start, "disk-resize", call("one.vm.diskresize", 1, "20"), start, _size("1", "20"))
    for start in ("RUNNING", "POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED"):
        yield _row(start, "disk-saveas", call("one.vm.disksaveas", 1, "saved"), start, _saved)
    for start in ("RUNNING", "POWEROFF", "SUSPENDED"):
        yield _row(f"{start} snapshot", "disk-saveas", call("one.vm.disksaveas", 0, "saved", "", 0), start, _saved)
    for start in ("RUNNING snapshot", "POWEROFF snapshot", "SUSPENDED snapshot"):
        yield Action(start, "terminate", lambda site: site.act("terminate"), frozenset({"DONE"}))


# -- NICs, snapshots of the whole, size, configuration

def _changes() -> Iterator[Action]:
    nic = call("one.vm.attachnic", "NIC=[NETWORK_ID={network}]")
    alias = call("one.vm.attachnic", "NIC_ALIAS=[NETWORK_ID={network},PARENT=NIC0]")
    bandwidth = call("one.vm.updatenic", 0, "NIC=[INBOUND_AVG_BW=100]", 1)
    for start in ("RUNNING", "POWEROFF"):
        yield _row(start, "nic-attach", nic, start, _template("NIC/NIC_ID", "0", "1"))
        yield _row(start, "nic-attach-alias", alias, start, _template("NIC_ALIAS/PARENT", "NIC0"))
        yield _row(f"{start} nic", "nic-detach", call("one.vm.detachnic", 1), start, _template("NIC/NIC_ID", "0"))
    for start in ("PENDING", "HOLD", "CLONING", "CLONING_FAILURE", "RUNNING", "POWEROFF", "SUSPENDED", "STOPPED",
                  "UNDEPLOYED"):
        goal = "PENDING" if start == "CLONING" else start
        yield _row(start, "nic-update", bandwidth, goal, _template("NIC/INBOUND_AVG_BW", "100"))
    yield _row("RUNNING", "snapshot-create", call("one.vm.snapshotcreate", "s"), "RUNNING",
               _template("SNAPSHOT/NAME", "s"))
    yield _row("RUNNING system", "snapshot-revert", call("one.vm.snapshotrevert", 0), "RUNNING",
               lambda facts, site: True, forgets=True)
    for start in ("RUNNING", "POWEROFF"):
        yield _row(f"{start} system", "snapshot-delete", call("one.vm.snapshotdelete", 0), start,
                   _template("SNAPSHOT/NAME"))
    for start in ("PENDING", "HOLD", "CLONING", "CLONING_FAILURE", "RUNNING", "POWEROFF", "UNDEPLOYED"):
        goal = "PENDING" if start == "CLONING" else start
        yield _row(start, "resize", call("one.vm.resize", "MEMORY=128\nCPU=2", False), goal, _resized)
        yield _row(start, "updateconf", call("one.vm.updateconf", "CONTEXT=[A=b]", 1), goal,
                   _template("CONTEXT/A", "b"))
    for start in ("PROLOG_FAILURE", "BOOT_FAILURE", "EPILOG_FAILURE", "EPILOG_UNDEPLOY_FAILURE",
                  "PROLOG_UNDEPLOY_FAILURE", "BOOT_UNDEPLOY_FAILURE", "PROLOG_MIGRATE_POWEROFF_FAILURE"):
        yield _row(start, "updateconf", call("one.vm.updateconf", "CONTEXT=[A=b]", 1), start,
                   _template("CONTEXT/A", "b"), fails_before=True)
    yield Action("RUNNING", "exec", call("one.vm.exec", "true"), frozenset({"RUNNING"}))


def _resized(facts: Facts, site: Site) -> bool:
    row = facts.vms[site.vm]
    return (row["memory"], row["cpu"]) == (128, 200)


def changes() -> Iterator[Action]:
    """What changes in a VM that stays where it is."""
    yield from _disks()
    yield from _changes()


# -- what is scheduled

def _schedule(action: str, more: str = "") -> Step:
    """In twenty seconds."""
    def ask(site: Site) -> None:
        time = int(site.sim.clock.time()) + 20
        site.call("one.vm.schedadd", site.vm, f"SCHED_ACTION=[ACTION={action},TIME={time}{more}]")
    return ask


def scheduled() -> Iterator[Action]:
    """Done once, at its time or late, whatever died before."""
    yield Action("RUNNING", "schedule-poweroff", _schedule("poweroff"), frozenset({"POWEROFF"}), patience=60)
    yield _row("RUNNING", "schedule-snapshot", _schedule("disk-snapshot-create", ',ARGS="0,once"'), "RUNNING",
               _snapshots(1), patience=60)
    yield Action("RUNNING scheduled", "schedule-time", lambda site: site.sim.advance(25), frozenset({"SUSPENDED"}),
                 patience=30, retry=act("suspend"))
    yield Action("RUNNING scheduled", "schedule-delete", call("one.vm.scheddelete", 0), frozenset({"RUNNING"}))
    yield Action("RUNNING scheduled", "schedule-update", call("one.vm.schedupdate", 0, "SCHED_ACTION=[ACTION=stop]"),
                 frozenset({"STOPPED"}), patience=60, retry=act("stop"))
