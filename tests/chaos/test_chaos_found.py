"""Runs that found something that did not hold: each is repeated, and holds."""
from __future__ import annotations

import pytest
from chaos_actions import ACTIONS
from chaos_pool import Worker
from chaos_run import Plan
from sim_points import Strike

FOUND = (
    # a guest that may have been saved was taken for powered off when nobody could tell, and lost its memory
    ("RUNNING/save-unheard", 1, "step.middle:vm.state#1=driver~1"),
    # a scheduled action that failed was not given its time at another try (the harness's own fault)
    ("RUNNING/schedule-snapshot", 1, "step.before:vm.disk_snapshot_create#1=hang~1"),
    # a size that could be given neither to the guest nor back
    ("RUNNING/HOTPLUG_RESIZE/recover-failure", 1, "step.middle:vm.resize#2=hang~1"),
    # a move that was tried again and could not begin: the VM was POWEROFF and half of its files stayed elsewhere
    ("PROLOG_MIGRATE_POWEROFF_FAILURE/recover-retry", 5, "step.before:vm.destroy#1=deaf~1"),
    ("PROLOG_MIGRATE_SUSPEND_FAILURE/recover-retry", 5, "step.before:vm.destroy#1=late~30"),
    # the file of a disk whose coming was given up
    ("POWEROFF/disk-attach-volatile", 5, "step.after:tm.attach#1=deaf~1"),
    # what a live migration of which nobody heard left where the VM was: files in another datastore, networks
    ("RUNNING/migrate-live-store", 11, "step.middle:vm.migrate#5=deaf~1"),
    # the same when it had not moved: its record said so, as the host has its guest either way
    ("RUNNING/migrate-live-store", 1, "step.before:vm.migrate#1=deaf~1"),
    # a dummy's migration that was given up left networks on either side
    ("RUNNING/MIGRATE/recover-retry", 11, "step.middle:vm.migrate#4=hang~1"),
    ("RUNNING/migrate-live", 11, "step.middle:vm.migrate#6=hang~1"),
    # a guest that is paused on a host that speaks again, of which the first news could not be stored: UNKNOWN for ever
    ("UNKNOWN/guest-suspended", 21, "commit.before#3=fail~1"),
    # a dummy's start that was given up took the networks of the next one away
    ("SUSPENDED/BOOT_SUSPENDED/recover-retry", 5, "cancel.before:vm.restore#1=delay~20"),
    # an operator's word that a move had failed, before the hosts told that it had not: the only disks were removed
    ("UNKNOWN-moving/recover-failure", 32, "send.before:vm.cleanup#1=core~1"),
    # a fence that works after it was given up
    ("RUNNING-fenceable/fenced-as-its-end-fails", 2, "step.middle:im.fence#1=late~90"),
    # a fence that worked, and whose driver died before anybody heard: the VM was POWEROFF
    ("RUNNING-fenceable/host-silent", 31, "step.after:im.fence#1=driver~1"),
    # a guest that is being ended as something owed was taken for one that runs, and the VM was POWEROFF afterwards
    ("PENDING/BOOT/recover-success", 834, "answer.before:one.vm.recover#1=driver~1 step.before:vm.state#1=late~90"),
    # news that was on its way when its host became OFFLINE
    ("RUNNING/host-status-2", 2152, "answer.before:one.hostpool.info#1=both~1"),
    # a live migration that did not happen, of which nobody heard: the VM ran where it was, and nothing said why
    ("RUNNING/migrate-live", 61, "step.middle:vm.migrate#4=deaf~1"),
    # a debt that was paid in the moment in which its VM became DONE: its files were not removed, and nobody owed them
    ("PROLOG_MIGRATE_SUSPEND_FAILURE/terminate", 4028, "result.after:vm.cleanup#1=core~1 "
     "step.middle:tm.delete#2=late~90 step.middle:vm.cleanup#6=late~5"),
    # a move that was said to be done, and was but for the end of the files where they had been
    ("RUNNING/SAVE_MIGRATE/recover-success", 5270, "result.after:vm.state#1=both~1 step.middle:tm.move#4=deaf~1"),
    # a disk that was taken away, unheard: its VM had it still, and could not be ended
    ("RUNNING-disk/HOTPLUG-detach/recover-retry", 1740, "step.after:tm.detach#1=deaf~1"),
    # debts had another time than [deadlines] say, and the harness waited shorter
    ("UNKNOWN-moving/recover-failure", 244, "step.after:tm.delete#1=deaf~1 step.middle:tm.delete#1=deaf~1"),
    # a start that had worked when somebody said that it had failed (the row's own fault: what hosts tell counts)
    ("PENDING/BOOT/recover-failure", 305, "step.after:vm.deploy#1=hang~1 step.after:vm.deploy#1=deaf~1 "
     "commit.before#1=both~1 result.before:vm.deploy#1=delay~20"),
)


@pytest.mark.parametrize(("action", "seed", "strikes"), FOUND)
def test_what_was_found(worker: Worker, action: str, seed: int, strikes: str) -> None:
    """STRIKES: one or more, with a space between; in each store."""
    struck = tuple(Strike.parse(strike) for strike in strikes.split())
    reports = [worker.run(Plan(action, store, seed, struck)) for store in ACTIONS[action].stores]
    assert any(report.struck for report in reports)
    assert [f"{report.plan.command()}: {report.violations}" for report in reports if report.violations] == []
