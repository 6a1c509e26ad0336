"""Every transfer driver: a VM's files move to another host and another datastore, and back."""
from __future__ import annotations

import pytest
from rig import Bench, Disks

from onecore.wire.messages import Doc


@pytest.fixture(params=["host", "datastore", "both"])
def move(bench: Bench, disks: Disks, request: pytest.FixtureRequest) -> Doc:
    """The VM's files, 1 in a snapshot of disk 0, 2 on it, and 3 on disk 1, and where they are to go."""
    assert bench.ground.datastore and bench.ground.other
    vm, host = bench.ground.vm(1), bench.ground.host()
    here = {**bench.ground.datastore(), "id": 0, "base_path": vm["dir"].rpartition("/")[0]}
    there = {**here, "id": 5, "base_path": f"{here['base_path'].rpartition('/')[0]}/5"}
    made = {"host": host, "vm": vm, "datastore": here}
    bench.ok("prolog", **made)
    disks.write(host, vm, 0, 1)
    vm["snapshots"] = {"0": {"base": 0, "list": [{"id": 0, "parent": -1, "name": "", "size_mb": 1}]}}
    bench.ok("snap_create", **made, disk_id=0, snap_id=0)
    disks.write(host, vm, 0, 2)
    disks.write(host, vm, 1, 3)
    store = here if request.param == "host" else there
    return {**made, "to": bench.ground.other() if request.param != "datastore" else host, "to_datastore": store,
            "to_dir": f"{store['base_path']}/{vm['id']}"}


def there(move: Doc) -> Doc:
    """The VM where it moves to, as its next commands have it."""
    return {"host": move["to"], "datastore": move["to_datastore"], "vm": {**move["vm"], "dir": move["to_dir"]}}


def here(move: Doc) -> Doc:
    """The VM where it was."""
    return {name: move[name] for name in ("host", "datastore", "vm")}


def holds(disks: Disks, where: Doc) -> bool:
    """Whether all that the guest wrote is there."""
    return [disks.read(where["host"], where["vm"], disk) for disk in (0, 1)] == [2, 3]


def test_files_move_and_twice_ends_like_once(bench: Bench, disks: Disks, move: Doc) -> None:
    assert bench.ok("premigrate", **move, live=False) == {"problems": []}
    for _ in range(2):
        bench.ok("move", **move)
        assert holds(disks, there(move))
    bench.ok("snap_revert", **there(move), disk_id=0, snap_id=0)
    assert disks.read(move["to"], there(move)["vm"], 0) == 1
    bench.ok("epilog", **there(move))
    image = next(disk["SOURCE"] for disk in move["vm"]["disks"] if disk["DISK_ID"] == "1")
    assert disks.image(image) == 3
    assert not bench.ok("state", **here(move))["dir"] and not bench.ok("state", **there(move))["dir"]


@pytest.mark.parametrize("moved", [False, True])
def test_files_come_back_whatever_a_move_did(bench: Bench, disks: Disks, move: Doc, moved: bool) -> None:
    if moved:
        bench.ok("move", **move)
    for _ in range(2):
        bench.ok("move_back", **move)
        assert holds(disks, here(move))
    bench.ok("delete", **here(move))
    assert not bench.ok("state", **there(move))["dir"]


def test_what_is_whole_nowhere_is_refused(bench: Bench, move: Doc) -> None:
    bench.ok("delete", **here(move))
    for action in ("move", "move_back"):
        assert "VM 1" in bench.refused(action, **move)
    assert bench.ok("premigrate", **move, live=False)["problems"]


def test_kinds_that_do_not_fit_are_a_problem(bench: Bench, disks: Disks, move: Doc) -> None:
    other = {**move, "to_datastore": {**move["to_datastore"], "tm_mad": "another"}}
    assert "another" in bench.ok("premigrate", **other, live=False)["problems"][0]
    assert holds(disks, here(move))
