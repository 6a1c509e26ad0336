"""recover --success of a change: refused when the host shows that it was not made, or cannot be asked; or forced."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_beside import beside
from chaos_roads import a_moment, call, come, hangs, unheard
from chaos_site import Site, Step, Stock
from sim import refused

_NIC, _VOLATILE = "NIC=[NETWORK_ID={network}]", "DISK=[TYPE=fs,SIZE=5]"
CASES = {
    # the action that hangs: from, asked for, state meanwhile, what the host shows when nothing of it was done
    "vm.attach_disk": ("RUNNING", call("one.vm.attach", _VOLATILE), "HOTPLUG", "does not have disk 3"),
    "vm.detach_disk": ("RUNNING disk", call("one.vm.detach", 3), "HOTPLUG", "still has disk 3|disk 3 is still there"),
    "vm.attach_nic": ("RUNNING", call("one.vm.attachnic", _NIC), "HOTPLUG_NIC", "does not have NIC 1"),
    "vm.detach_nic": ("RUNNING nic", call("one.vm.detachnic", 1), "HOTPLUG_NIC", "still has NIC 1"),
    "vm.resize": ("RUNNING", call("one.vm.resize", "MEMORY=128\nCPU=2", False), "HOTPLUG_RESIZE",
                  "1 CPUs and 64 MB, not 1 and 128"),
    "vm.snapshot_create": ("RUNNING", call("one.vm.snapshotcreate", "s"), "HOTPLUG_SNAPSHOT",
                           "snapshot 0 is not there"),
    "vm.snapshot_delete": ("RUNNING system", call("one.vm.snapshotdelete", 0), "HOTPLUG_SNAPSHOT", "0 is still there"),
    "vm.snapshot_delete off": ("POWEROFF system", call("one.vm.snapshotdelete", 0), "HOTPLUG_SNAPSHOT",
                               "0 is still there"),
    "vm.disk_snapshot_create": ("RUNNING", call("one.vm.disksnapshotcreate", 0, "s"), "DISK_SNAPSHOT",
                                "disk 0 does not have snapshot 0"),
    "vm.disk_snapshot_delete": ("RUNNING snapshot", call("one.vm.disksnapshotdelete", 0, 0), "DISK_SNAPSHOT_DELETE",
                                "disk 0 still has snapshot 0"),
    "tm.snap_create": ("POWEROFF", call("one.vm.disksnapshotcreate", 0, "s"), "DISK_SNAPSHOT_POWEROFF",
                       "disk 0 does not have snapshot 0"),
    "tm.snap_delete": ("POWEROFF snapshot", call("one.vm.disksnapshotdelete", 0, 0), "DISK_SNAPSHOT_DELETE_POWEROFF",
                       "disk 0 still has snapshot 0"),
    "tm.snap_delete suspended": ("SUSPENDED snapshot", call("one.vm.disksnapshotdelete", 0, 0),
                                 "DISK_SNAPSHOT_DELETE_SUSPENDED", "disk 0 still has snapshot 0"),
    "vm.resize_disk": ("RUNNING", call("one.vm.diskresize", 0, "20"), "DISK_RESIZE", "disk 0 has 10 MB, not 20"),
    "tm.resize": ("POWEROFF", call("one.vm.diskresize", 0, "20"), "DISK_RESIZE_POWEROFF", "disk 0 has 10 MB, not 20"),
    "tm.resize away": ("UNDEPLOYED", call("one.vm.diskresize", 0, "20"), "DISK_RESIZE_UNDEPLOYED",
                       "disk 0 has 10 MB, not 20"),
    "tm.attach": ("POWEROFF", call("one.vm.attach", _VOLATILE), "HOTPLUG_PROLOG_POWEROFF", "disk 3 is missing"),
    "tm.snap_revert": ("POWEROFF snapshot", call("one.vm.disksnapshotrevert", 0, 0), "DISK_SNAPSHOT_REVERT_POWEROFF",
                       "disk 0 does not stand on snapshot 0"),
    # of these a host shows nothing: they are believed when it can be asked
    "vm.update_nic": ("RUNNING", call("one.vm.updatenic", 0, "NIC=[INBOUND_AVG_BW=100]", 1), "HOTPLUG_NIC", ""),
    "vm.updateconf": ("RUNNING", call("one.vm.updateconf", "CONTEXT=[A=b]", 1), "HOTPLUG", ""),
    "vm.snapshot_revert": ("RUNNING system", call("one.vm.snapshotrevert", 0), "HOTPLUG_SNAPSHOT", ""),
    "vm.copy_disk": ("RUNNING", call("one.vm.disksaveas", 0, "saved"), "HOTPLUG_SAVEAS", ""),
    "tm.saveas": ("POWEROFF", call("one.vm.disksaveas", 0, "saved"), "HOTPLUG_SAVEAS_POWEROFF", ""),
}
AWAY = ({"action": "vm.state", "fail": "no route"}, {"action": "tm.state", "fail": "no route"})


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return Stock(tmp_path_factory.mktemp("stock"), beside)


@pytest.fixture
def site(stock: Stock, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """At the starting place of the case."""
    made = stock.open(CASES[request.param][0], "shared", tmp_path / "run", 1)
    yield made
    made.sim.close()


def begin(site: Site, case: str, how: Step) -> None:
    """The change is under way."""
    _, ask, state, _ = CASES[case]
    if case == "tm.snap_revert":  # the guest writes once more after the snapshot
        site.act("resume")
        site.wait("RUNNING")
        site.act("poweroff")
        site.wait("POWEROFF")
    how(site)
    ask(site)
    come(state)(site)
    a_moment(site)


@pytest.mark.parametrize(("site", "case"), [(case, case) for case in CASES], indirect=["site"])
def test_what_was_not_done_is_not_believed(site: Site, case: str) -> None:
    """Nor what nobody can be asked about; an operator who insists is."""
    action, (start, _, state, shown) = case.partition(" ")[0], CASES[case]
    begin(site, case, hangs(action))

    def success(force: bool = False) -> None:
        site.call("one.vm.recover", site.vm, 1, force)
    if shown:
        refused(0x0800, f"{state} is not what its host shows: .*({shown})", success)
    site.script({"action": action, "hang": True}, *AWAY)
    refused(0x0800, "its host cannot be asked .*no route", success)
    assert site.sim.state(site.vm) == state
    if shown:
        success(force=True)
    else:
        site.script()
        success()
    site.wait(start.partition(" ")[0])


_DONE = [case for case in CASES if CASES[case][3] and case.partition(" ")[0] not in ("tm.attach",)]


@pytest.mark.parametrize(("site", "case"), [(case, case) for case in _DONE], indirect=["site"])
def test_what_was_done_and_not_heard_of_is_believed(site: Site, case: str) -> None:
    """The driver carried it out, and hangs."""
    last = {"vm.detach_disk": "tm.detach"}.get(case, case.partition(" ")[0])
    begin(site, case, unheard(last))
    site.call("one.vm.recover", site.vm, 1)
    site.wait(CASES[case][0].partition(" ")[0])
