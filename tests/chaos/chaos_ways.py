"""What is asked for while something is under way: another try, or that it be taken for done, failed, or be given up."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from chaos_action import Action, forgets_disks
from chaos_facts import Facts
from chaos_roads import a_moment, act, call, come, hangs, migrate, speak, unheard, well
from chaos_site import Site, Step
from chaos_users import reconcile


@dataclass(frozen=True)
class Way:
    """How a VM comes to a state in which something is under way, what that waits for, and where it leads.
    """

    state: str
    start: str
    ask: Step
    waits: str
    goal: str
    failure: str
    more: str = ""
    """What distinguishes it from others of that state."""
    last: str = ""
    """The last of its commands, where that is another than the one that it waits for."""

    @property
    def name(self) -> str:
        """The state, and more."""
        return f"{self.state} {self.more}".strip()


_DISK, _NIC = call("one.vm.attach", "DISK=[IMAGE_ID={spare}]"), call("one.vm.attachnic", "NIC=[NETWORK_ID={network}]")
_CONF = call("one.vm.updateconf", "CONTEXT=[A=b]", 1)

WAYS = (
    # state, from, asked for, waits for, goal, on failure
    Way("PROLOG", "PENDING", act("deploy"), "tm.prolog", "RUNNING", "PROLOG_FAILURE"),
    Way("BOOT", "PENDING", act("deploy"), "vm.deploy", "RUNNING", "BOOT_FAILURE"),
    Way("PROLOG_RESUME", "STOPPED", act("deploy"), "tm.prolog_resume", "RUNNING", "PROLOG_RESUME_FAILURE"),
    Way("BOOT_STOPPED", "STOPPED", act("deploy"), "vm.restore", "RUNNING", "BOOT_STOPPED_FAILURE"),
    Way("PROLOG_UNDEPLOY", "UNDEPLOYED", act("deploy"), "tm.prolog_resume", "RUNNING", "PROLOG_UNDEPLOY_FAILURE"),
    Way("BOOT_UNDEPLOY", "UNDEPLOYED", act("deploy"), "vm.deploy", "RUNNING", "BOOT_UNDEPLOY_FAILURE"),
    Way("SAVE_SUSPEND", "RUNNING", act("suspend"), "vm.save", "SUSPENDED", "RUNNING"),
    Way("BOOT_SUSPENDED", "SUSPENDED", act("resume"), "vm.restore", "RUNNING", "SUSPENDED"),
    Way("SAVE_STOP", "RUNNING", act("stop"), "vm.save", "STOPPED", "RUNNING"),
    Way("EPILOG_STOP", "RUNNING", act("stop"), "tm.epilog_stop", "STOPPED", "EPILOG_STOP_FAILURE"),
    Way("SHUTDOWN_POWEROFF", "RUNNING", act("poweroff"), "vm.shutdown", "POWEROFF", "RUNNING"),
    Way("BOOT_POWEROFF", "POWEROFF", act("resume"), "vm.deploy", "RUNNING", "POWEROFF"),
    Way("BOOT_UNKNOWN", "UNKNOWN", act("resume"), "vm.deploy", "RUNNING UNKNOWN", "UNKNOWN RUNNING"),
    Way("SHUTDOWN_UNDEPLOY", "RUNNING", act("undeploy"), "vm.shutdown", "UNDEPLOYED", "RUNNING"),
    Way("EPILOG_UNDEPLOY", "RUNNING", act("undeploy"), "tm.epilog_stop", "UNDEPLOYED", "EPILOG_UNDEPLOY_FAILURE"),
    Way("SHUTDOWN", "RUNNING", act("terminate"), "vm.shutdown", "DONE", "RUNNING"),
    Way("EPILOG", "RUNNING", act("terminate"), "tm.epilog", "DONE", "EPILOG_FAILURE"),
    Way("CLEANUP_RESUBMIT", "RUNNING", act("recover-recreate"), "vm.cleanup", "PENDING", "PENDING"),
    Way("CLEANUP_DELETE", "RUNNING", act("recover-delete"), "vm.cleanup", "DONE", "DONE"),
    Way("MIGRATE", "RUNNING", migrate(1, live=True), "vm.migrate", "RUNNING", "RUNNING UNKNOWN"),
    Way("SAVE_MIGRATE", "RUNNING", migrate(1), "vm.save", "RUNNING", "RUNNING"),
    Way("SAVE_MIGRATE", "RUNNING", migrate(1, kind=1), "vm.shutdown", "RUNNING", "RUNNING", "off"),
    Way("SAVE_MIGRATE", "RUNNING", migrate(1, kind=2), "vm.destroy", "RUNNING", "RUNNING", "hard"),
    Way("PROLOG_MIGRATE", "RUNNING", migrate(1), "tm.move", "RUNNING", "PROLOG_MIGRATE_FAILURE"),
    Way("PROLOG_MIGRATE", "RUNNING", migrate(1, "other", kind=1), "tm.move", "RUNNING", "PROLOG_MIGRATE_FAILURE",
        "off"),
    Way("BOOT_MIGRATE", "RUNNING", migrate(1), "vm.restore", "RUNNING", "BOOT_MIGRATE_FAILURE"),
    Way("BOOT_MIGRATE", "RUNNING", migrate(1, kind=2), "vm.deploy", "RUNNING", "BOOT_MIGRATE_FAILURE", "off"),
    Way("PROLOG_MIGRATE_POWEROFF", "POWEROFF", migrate(1), "tm.move", "POWEROFF", "PROLOG_MIGRATE_POWEROFF_FAILURE"),
    Way("PROLOG_MIGRATE_POWEROFF", "POWEROFF", migrate(1), "vm.destroy", "POWEROFF",
        "PROLOG_MIGRATE_POWEROFF_FAILURE", "begins", "tm.move"),
    Way("PROLOG_MIGRATE_SUSPEND", "SUSPENDED", migrate(1), "tm.move", "SUSPENDED", "PROLOG_MIGRATE_SUSPEND_FAILURE"),
    Way("PROLOG_MIGRATE_UNKNOWN", "UNKNOWN", migrate(1), "tm.move", "RUNNING", "PROLOG_MIGRATE_UNKNOWN_FAILURE"),

    Way("HOTPLUG", "RUNNING", _DISK, "tm.attach", "RUNNING", "RUNNING", "attach", "vm.attach_disk"),
    Way("HOTPLUG", "RUNNING", _DISK, "vm.attach_disk", "RUNNING", "RUNNING", "attached"),
    Way("HOTPLUG", "RUNNING disk", call("one.vm.detach", 3), "vm.detach_disk", "RUNNING", "RUNNING", "detach",
        "tm.detach"),
    Way("HOTPLUG", "RUNNING", _CONF, "vm.updateconf", "RUNNING", "RUNNING", "conf"),
    Way("HOTPLUG_PROLOG_POWEROFF", "POWEROFF", _DISK, "tm.attach", "POWEROFF", "POWEROFF"),
    Way("HOTPLUG_EPILOG_POWEROFF", "POWEROFF disk", call("one.vm.detach", 3), "tm.detach", "POWEROFF", "POWEROFF"),
    Way("HOTPLUG_NIC", "RUNNING", _NIC, "vm.attach_nic", "RUNNING", "RUNNING", "attach"),
    Way("HOTPLUG_NIC", "RUNNING nic", call("one.vm.detachnic", 1), "vm.detach_nic", "RUNNING", "RUNNING", "detach"),
    Way("HOTPLUG_NIC", "RUNNING", call("one.vm.updatenic", 0, "NIC=[INBOUND_AVG_BW=100]", 1), "vm.update_nic",
        "RUNNING", "RUNNING", "update"),
    Way("HOTPLUG_RESIZE", "RUNNING", call("one.vm.resize", "MEMORY=128\nCPU=2", False), "vm.resize", "RUNNING",
        "RUNNING"),
    Way("HOTPLUG_SNAPSHOT", "RUNNING", call("one.vm.snapshotcreate", "s"), "vm.snapshot_create", "RUNNING", "RUNNING",
        "create"),
    Way("HOTPLUG_SNAPSHOT", "RUNNING system", call("one.vm.snapshotrevert", 0), "vm.snapshot_revert", "RUNNING",
        "RUNNING", "revert"),
    Way("HOTPLUG_SNAPSHOT", "RUNNING system", call("one.vm.snapshotdelete", 0), "vm.snapshot_delete", "RUNNING",
        "RUNNING", "delete"),
    Way("HOTPLUG_SNAPSHOT", "POWEROFF system", call("one.vm.snapshotdelete", 0), "vm.snapshot_delete", "POWEROFF",
        "POWEROFF", "delete off"),
    Way("DISK_SNAPSHOT", "RUNNING", call("one.vm.disksnapshotcreate", 0, "s"), "vm.disk_snapshot_create", "RUNNING",
        "RUNNING"),
    Way("DISK_SNAPSHOT_DELETE", "RUNNING snapshot", call("one.vm.disksnapshotdelete", 0, 0),
        "vm.disk_snapshot_delete", "RUNNING", "RUNNING"),
    Way("DISK_SNAPSHOT_POWEROFF", "POWEROFF", call("one.vm.disksnapshotcreate", 0, "s"), "tm.snap_create", "POWEROFF",
        "POWEROFF"),
    Way("DISK_SNAPSHOT_DELETE_POWEROFF", "POWEROFF snapshot", call("one.vm.disksnapshotdelete", 0, 0),
        "tm.snap_delete", "POWEROFF", "POWEROFF"),
    Way("DISK_SNAPSHOT_REVERT_POWEROFF", "POWEROFF snapshot", call("one.vm.disksnapshotrevert", 0, 0),
        "tm.snap_revert", "POWEROFF", "POWEROFF"),
    Way("DISK_SNAPSHOT_SUSPENDED", "SUSPENDED", call("one.vm.disksnapshotcreate", 0, "s"), "tm.snap_create",
        "SUSPENDED", "SUSPENDED"),
    Way("DISK_SNAPSHOT_DELETE_SUSPENDED", "SUSPENDED snapshot", call("one.vm.disksnapshotdelete", 0, 0),
        "tm.snap_delete", "SUSPENDED", "SUSPENDED"),
    Way("DISK_RESIZE", "RUNNING", call("one.vm.diskresize", 0, "20"), "vm.resize_disk", "RUNNING", "RUNNING"),
    Way("DISK_RESIZE_POWEROFF", "POWEROFF", call("one.vm.diskresize", 0, "20"), "tm.resize", "POWEROFF", "POWEROFF"),
    Way("DISK_RESIZE_UNDEPLOYED", "UNDEPLOYED", call("one.vm.diskresize", 0, "20"), "tm.resize", "UNDEPLOYED",
        "UNDEPLOYED"),
    Way("HOTPLUG_SAVEAS", "RUNNING", call("one.vm.disksaveas", 0, "saved"), "vm.copy_disk", "RUNNING", "RUNNING",
        "live", "tm.saveas"),
    Way("HOTPLUG_SAVEAS", "RUNNING", call("one.vm.disksaveas", 0, "saved"), "tm.saveas", "RUNNING", "RUNNING",
        "copied"),
    Way("HOTPLUG_SAVEAS", "RUNNING snapshot", call("one.vm.disksaveas", 0, "saved", "", 0), "tm.saveas", "RUNNING",
        "RUNNING", "snapshot"),
    *(Way(f"HOTPLUG_SAVEAS_{state}", state, call("one.vm.disksaveas", 0, "saved"), "tm.saveas", state, state)
      for state in ("POWEROFF", "SUSPENDED", "UNDEPLOYED", "STOPPED")),
)
"""How a VM comes to each state in which something is under way."""
_HARDER = {"SHUTDOWN": "terminate-hard", "SHUTDOWN_POWEROFF": "poweroff-hard", "SHUTDOWN_UNDEPLOY": "undeploy-hard"}
CONFIGURED = (
    "PROLOG", "PROLOG_UNDEPLOY", "EPILOG", "EPILOG_UNDEPLOY", "SHUTDOWN", "SHUTDOWN_POWEROFF", "SHUTDOWN_UNDEPLOY",
    "CLEANUP_RESUBMIT", "CLEANUP_DELETE", "PROLOG_MIGRATE_POWEROFF", "HOTPLUG_SAVEAS_POWEROFF",
    "HOTPLUG_PROLOG_POWEROFF", "HOTPLUG_EPILOG_POWEROFF", "DISK_SNAPSHOT_POWEROFF", "DISK_SNAPSHOT_REVERT_POWEROFF",
    "DISK_SNAPSHOT_DELETE_POWEROFF")
"""States in which a new configuration is kept although something is under way."""


def under_way() -> Iterator[Action]:
    """What is asked for while something is under way."""
    for way in WAYS:
        cleans = way.state.startswith("CLEANUP")
        yield _row(way, act("recover-retry"), "recover-retry", way.goal)
        yield _failure(way, cleans)
        yield _row(way, act("recover-success"), "recover-success", way.goal, done=True)
        yield _row(way, act("recover-delete"), "recover-delete", "DONE")
        yield _row(way, act("recover-deletedb"), "recover-deletedb", "DONE", then=(speak, reconcile))
        if not cleans:
            yield _row(way, act("recover-recreate"), "recover-recreate", "PENDING")
        if way.state in _HARDER:
            yield _row(way, act(_HARDER[way.state]), _HARDER[way.state], way.goal)
        if way.state in CONFIGURED:
            yield _row(way, _CONF, "updateconf", f"{way.goal} {way.failure}")


def _failure(way: Way, cleans: bool) -> Action:
    """A start of which somebody said that it failed may have worked after all: its guest is found, and the VM runs."""
    goals = way.goal if cleans else f"{way.failure} POWEROFF" if way.state == "BOOT_UNKNOWN" else way.failure
    row = _row(way, act("recover-failure"), "recover-failure", goals, ignored=cleans)
    if not way.state.startswith("BOOT"):
        return row

    def failed(facts: Facts, site: Site) -> bool:
        if facts.state(site.vm) != "RUNNING":
            return True
        before, _, after = " ".join(facts.path(site.vm)).rpartition(f" {way.state} ")
        return bool(before) and not set(way.failure.split()).isdisjoint(after.split())
    return replace(row, goals=row.goals | {"RUNNING"}, done=failed)


def _row(way: Way, ask: Step, name: str, goals: str, done: bool = False, then: tuple[Step, ...] = (),
         ignored: bool = False) -> Action:
    """DONE: the last command of the way is carried out, and nobody hears of it."""
    cleans = way.state.startswith("CLEANUP")
    last = "tm.delete" if cleans else way.last or way.waits
    begin = unheard(last) if done else hangs(way.waits)
    first = (begin, way.ask, come(way.state), a_moment, *(() if done else (well,)))
    again = frozenset({"POWEROFF", "SUSPENDED"} if way.state == "SAVE_MIGRATE" else ())
    return Action(way.start, f"{way.name}/{name}", ask, frozenset(goals.split()), first, then, patience=_patience(way),
                  retry=way.ask if again else None, again=again,
                  ignored=ignored, overtaken=frozenset(f"{way.goal} {way.failure}".split()), leaves=bool(then),
                  forgets=cleans or forgets_disks("", name) or "REVERT" in way.state or "revert" in way.more)


def _patience(way: Way) -> float:
    """After a live migration of which nobody knows how it ended, the hosts tell."""
    return 40.0 if way.state == "MIGRATE" else 0.0
