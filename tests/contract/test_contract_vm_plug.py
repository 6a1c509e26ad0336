"""Every VM driver: what changes in a running guest, each action twice ending like once, a failure leaving what was."""
from __future__ import annotations

from typing import Any

import pytest
from rig import Bench

from onecore.wire.messages import Doc

CHANGES: dict[str, Doc] = {
    "attach_disk": {"disk_id": 0}, "detach_disk": {"disk_id": 7}, "attach_nic": {"nic_id": 0},
    "detach_nic": {"nic_id": 7, "nic": {"NIC_ID": "7", "MAC": "02:00:c0:a8:7b:77"}}, "update_nic": {"nic_id": 0},
    "resize": {}, "resize_disk": {"disk_id": 0, "size_mb": 1}, "updateconf": {}, "exec": {"command": "true"},
    "snapshot_create": {"snapshot": {"id": 0, "name": "one"}},
    "snapshot_revert": {"snapshot": {"id": 0, "name": "one", "hypervisor_id": "snap-0"}},
    "disk_snapshot_create": {"disk_id": 0, "snap_id": 0}, "copy_disk": {"disk_id": 0}}
"""The actions on a running guest, with arguments."""


def has(bench: Bench, pair: Doc) -> Doc:
    """What the guest has."""
    assert bench.ground.has is not None
    return bench.ground.has(pair["host"], pair["vm"])


def with_disk(bench: Bench, pair: Doc, number: int) -> Doc:
    """PAIR with one more disk in the VM's document."""
    assert bench.ground.add_disk is not None
    disk = bench.ground.add_disk(pair["vm"], number)
    return {**pair, "vm": {**pair["vm"], "disks": [*pair["vm"]["disks"], disk]}}


def with_nic(pair: Doc, number: int, **more: str) -> Doc:
    """PAIR with one more NIC in the VM's document, like its first one."""
    nic = {**pair["vm"]["nics"][0], "NIC_ID": str(number), "MAC": f"02:00:c0:a8:7b:{number + 0x80:02x}", **more}
    return {**pair, "vm": {**pair["vm"], "nics": [*pair["vm"]["nics"], nic]}}


def seen(bench: Bench, pair: Doc, **look: Any) -> Any:
    """What `state` tells of what LOOK names."""
    return bench.ok("state", **pair, look=look)["has"]


def test_a_disk_comes_and_goes(bench: Bench, pair: Doc) -> None:
    assert (seen(bench, pair, disk_id=2), seen(bench, pair, disk_id=0)["disk_mb"] >= 0) == ({"disk_mb": -1}, True)
    before = has(bench, pair)
    more = with_disk(bench, pair, 2)
    for _ in range(2):
        bench.ok("attach_disk", **more, disk_id=2)
        assert has(bench, pair)["disks"] == [*before["disks"], "2"]
    for _ in range(2):
        bench.ok("detach_disk", **more, disk_id=2)
        assert has(bench, pair) == before


def test_a_nic_comes_and_goes(bench: Bench, pair: Doc) -> None:
    before = has(bench, pair)
    more = with_nic(pair, 1)
    for again in range(2):
        assert seen(bench, more, nic=more["vm"]["nics"][1])["nic"] is bool(again)
        bench.ok("attach_nic", **more, nic_id=1)
        assert has(bench, pair)["nics"] == [*before["nics"], "1"]
    for _ in range(2):
        bench.ok("detach_nic", **pair, nic_id=1, nic=more["vm"]["nics"][1])
        assert has(bench, pair) == before


def test_an_alias_is_no_device(bench: Bench, pair: Doc) -> None:
    before = has(bench, pair)
    alias = {**pair["vm"]["nics"][0], "NIC_ID": "2", "PARENT": "NIC0", "PARENT_ID": "0", "ALIAS_ID": "0"}
    bench.ok("attach_nic", host=pair["host"], vm={**pair["vm"], "aliases": [alias]}, nic_id=2)
    assert has(bench, pair) == before
    bench.ok("detach_nic", **pair, nic_id=2, nic=alias)
    assert has(bench, pair) == before


def test_a_nic_is_updated_in_place(bench: Bench, pair: Doc) -> None:
    before = has(bench, pair)
    changed: list[Any] = [{**pair["vm"]["nics"][0], "LINK_STATE": "down"}]
    for _ in range(2):
        bench.ok("update_nic", host=pair["host"], vm={**pair["vm"], "nics": changed}, nic_id=0)
    assert has(bench, pair) == before


def test_processors_are_plugged(bench: Bench, pair: Doc) -> None:
    more = {**pair, "vm": {**pair["vm"], "vcpu": 2}}
    for _ in range(2):
        bench.ok("resize", **more)
        assert has(bench, pair)["vcpu"] == seen(bench, pair, size=True)["vcpu"] == 2


def test_a_disk_only_grows(bench: Bench, pair: Doc) -> None:
    for size in (3, 3, 2):
        bench.ok("resize_disk", **pair, disk_id=0, size_mb=size)
        assert seen(bench, pair, disk_id=0) == {"disk_mb": 3}
    assert "9" in bench.refused("resize_disk", **pair, disk_id=9, size_mb=3)


def test_the_configuration_is_written_anew(bench: Bench, pair: Doc) -> None:
    for _ in range(2):
        bench.ok("updateconf", host=pair["host"], vm={**pair["vm"], "context": {"SET_HOSTNAME": "new"}})


def test_a_command_runs_in_the_guest(bench: Bench, pair: Doc) -> None:
    if not bench.ground.agent:
        pytest.skip("this rig's guests have no agent")
    done = bench.ok("exec", **pair, command="echo hello", stdin="")
    assert done["return_code"] == 0 and "hello" in done["stdout"] and done["pid"] > 0
    assert bench.ok("exec", **pair, command="exit 3", stdin="")["return_code"] == 3


def test_a_guest_that_does_not_run_refuses_all(bench: Bench, pair: Doc) -> None:
    bench.ok("destroy", **pair)
    for action in sorted(CHANGES):
        assert "not run" in bench.refused(action, **pair, **CHANGES[action])


def test_a_command_that_was_overtaken_changes_nothing(bench: Bench, pair: Doc) -> None:
    pair["vm"]["generation"] = 2
    bench.ok("deploy", generation=2, **pair)
    before = has(bench, pair)
    older = {**pair, "vm": {**pair["vm"], "generation": 1}}
    for action, args in (*CHANGES.items(), ("snapshot_delete", {"snapshot": {"id": 0, "hypervisor_id": "snap-0"}})):
        assert "superseded" in bench.refused(action, generation=1, **older, **args)
        assert has(bench, pair) == before
