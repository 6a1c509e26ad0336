"""What users, administrators and the match-maker ask for where a VM rests, and where it failed."""
from __future__ import annotations

from collections.abc import Iterator

from chaos_action import Action, user
from chaos_roads import speak
from chaos_site import STORES, Site


def reconcile(site: Site) -> None:
    """What is left on the hosts and of no use goes; on the front-end, of which nobody tells, it is removed by hand."""
    site.sim.advance(30)
    for host in site.hosts:
        site.call("onecore.host.reconcile", host, False)
    for path in (site.sim.home / "dummy").glob(f"%front/disks/*-{site.vm}"):
        path.unlink()
    (site.sim.home / "dummy" / "%moments" / str(site.vm)).unlink(missing_ok=True)
    site.sim.nets.difference_update({net for net in site.sim.nets if net[1] == site.vm})


WAITING = ("PENDING", "HOLD", "PENDING stopped", "PENDING undeployed", "HOLD stopped", "HOLD undeployed")
RESTING = ("RUNNING", "POWEROFF", "SUSPENDED", "SUSPENDED paused", "STOPPED", "UNDEPLOYED")
MENDED = {
    # failure                    another try    as it was before
    "PROLOG_FAILURE":            ("RUNNING",    ""),
    "BOOT_FAILURE":              ("RUNNING",    ""),
    "EPILOG_FAILURE":            ("DONE",       ""),
    "EPILOG_STOP_FAILURE":       ("STOPPED",    ""),
    "EPILOG_UNDEPLOY_FAILURE":   ("UNDEPLOYED", ""),
    "PROLOG_RESUME_FAILURE":     ("RUNNING",    ""),
    "BOOT_STOPPED_FAILURE":      ("RUNNING",    ""),
    "PROLOG_UNDEPLOY_FAILURE":   ("RUNNING",    ""),
    "BOOT_UNDEPLOY_FAILURE":     ("RUNNING",    ""),
    "PROLOG_MIGRATE_FAILURE":    ("RUNNING",    "RUNNING"),
    "PROLOG_MIGRATE_FAILURE off": ("RUNNING",   "RUNNING"),
    "BOOT_MIGRATE_FAILURE":      ("RUNNING",    ""),
    "BOOT_MIGRATE_FAILURE off":  ("RUNNING",    ""),
    "PROLOG_MIGRATE_POWEROFF_FAILURE": ("POWEROFF", "POWEROFF"),
    "PROLOG_MIGRATE_SUSPEND_FAILURE": ("SUSPENDED", "SUSPENDED"),
    "PROLOG_MIGRATE_UNKNOWN_FAILURE": ("RUNNING", "RUNNING UNKNOWN"),
}
"""Where another try of what failed leads."""


def users() -> Iterator[Action]:
    """What users, administrators and the match-maker ask for where a VM rests."""
    for start in (*WAITING, *RESTING, "CLONING", "CLONING_FAILURE"):
        for end in ("terminate", "terminate-hard", "recover-delete"):
            yield user(start, end, "DONE")
        yield user(start, "recover-deletedb", "DONE", then=(reconcile,))
    for start in (*WAITING, "STOPPED", "UNDEPLOYED"):
        yield user(start, "deploy", "RUNNING")
    for start in (*WAITING, *RESTING, *MENDED):
        yield user(start, "recover-recreate", "PENDING")
    for start in ("PENDING", "PENDING stopped", "PENDING undeployed"):
        yield user(start, "hold", "HOLD")
    for start in ("HOLD", "HOLD stopped", "HOLD undeployed"):
        yield user(start, "release", "PENDING")
    for start, goal in (("STOPPED", "PENDING"), ("UNDEPLOYED", "PENDING"), ("SUSPENDED", "RUNNING"),
                        ("SUSPENDED paused", "RUNNING"), ("POWEROFF", "RUNNING"), ("UNKNOWN", "RUNNING UNKNOWN")):
        yield user(start, "resume", goal)
    yield user("RUNNING system", "recover-delete", "DONE")
    for start in ("RUNNING", "UNKNOWN", "POWEROFF"):
        for mark in ("resched", "unresched"):
            yield user(start, mark, start)
    for action in ("reboot", "reboot-hard"):
        yield user("RUNNING", action, "RUNNING")
    yield user("RUNNING", "suspend", "SUSPENDED")
    for start in ("RUNNING", "SUSPENDED", "SUSPENDED paused"):
        yield user(start, "stop", "STOPPED")
    for start in ("RUNNING", "UNKNOWN"):
        for action in ("poweroff", "poweroff-hard"):
            yield user(start, action, "POWEROFF")
    for start in ("RUNNING", "UNKNOWN", "POWEROFF"):
        for action in ("undeploy", "undeploy-hard"):
            yield user(start, action, "UNDEPLOYED")
    for action, goal in (("terminate", "DONE"), ("terminate-hard", "DONE"), ("recover-delete", "DONE"),
                         ("recover-recreate", "PENDING"), ("recover-success", "RUNNING UNKNOWN"),
                         ("recover-failure", "POWEROFF RUNNING")):
        yield user("UNKNOWN", action, goal)
    yield user("UNKNOWN", "recover-deletedb", "DONE", then=(speak, reconcile))


def failed() -> Iterator[Action]:
    """What is asked for where a VM failed."""
    for start, (goal, back) in MENDED.items():
        yield user(start, "recover-retry", goal)
        yield user(start, "recover-failure", back or start.split()[0], ignored=not back)
        yield user(start, "recover-success", f"{goal} {start.split()[0]} POWEROFF", lies=True)
        for end in ("terminate", "terminate-hard"):
            yield user(start, end, "DONE", stores=STORES if start in ("PROLOG_FAILURE", "BOOT_FAILURE") else STORES[:1])
        yield user(start, "recover-delete", "DONE")
        yield user(start, "recover-deletedb", "DONE", then=(reconcile,))
    for operation in ("recover-success", "recover-failure"):
        yield user("CLONING_FAILURE", operation, "CLONING_FAILURE", ignored=True)
    yield user("CLONING", "recover-recreate", "PENDING", ignored=True)
    yield user("CLONING_FAILURE", "recover-recreate", "CLONING_FAILURE", ignored=True)
