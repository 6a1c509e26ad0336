"""Snapshots of disks: made, gone back to, deleted; failures, an operator's word and crashes in the middle of each."""
from __future__ import annotations

import pytest
from disk_ground import assert_agreed, disk, folder, idle, survive
from makers import MakeGround
from sim import Refused
from sim_ground import ENDS, ROADS, Ground, assert_sums
from sim_points import CORE, Strike

from onecore.kinds.datastore import room
from onecore.kinds.vm import snapshots
from onecore.kinds.vm.record import VmText
from onecore.kinds.vm.snapshots import DOUBT, Tree
from onecore.wire.states import RECOVER

STATES = {"RUNNING": ("DISK_SNAPSHOT", "DISK_SNAPSHOT_DELETE", ""),
          "POWEROFF": ("DISK_SNAPSHOT_POWEROFF", "DISK_SNAPSHOT_DELETE_POWEROFF", "DISK_SNAPSHOT_REVERT_POWEROFF"),
          "SUSPENDED": ("DISK_SNAPSHOT_SUSPENDED", "DISK_SNAPSHOT_DELETE_SUSPENDED", "")}
"""While one is made, deleted, gone back to."""


def call(ground: Ground, what: str, vm: int, *arguments: object) -> int:
    """one.vm.disksnapshotWHAT of disk 0."""
    return int(ground.sim.call(f"one.vm.disksnapshot{what}", vm, 0, *arguments))


def tree(ground: Ground, vm: int) -> Tree:
    """The snapshots of disk 0 in the record."""
    return snapshots.parse(ground.sim.get(VmText, vm).snapshots).get(0, Tree(False))


def there(ground: Ground, vm: int) -> list[int]:
    """Those on the host."""
    return sorted(int(number) for number in folder(ground.sim, vm).disks["0"].snapshots)


def agreed(ground: Ground, vm: int) -> None:
    """The record says what is on the host, and what it takes."""
    idle(ground.sim)
    found = tree(ground, vm)
    assert sorted(one.id for one in found.snaps) == there(ground, vm)
    assert int(disk(ground.sim, vm, 0).get("DISK_SNAPSHOT_TOTAL_SIZE", 0)) == found.total_mb
    assert_agreed(ground.sim, vm)


def make(ground: Ground, vm: int, number: int = 1) -> None:
    """That many, one after the other."""
    state = ground.sim.state(vm)
    for _ in range(number):
        call(ground, "create", vm, "s")
        ground.sim.wait(vm, state)


def linked(ground: Ground, state: str) -> int:
    """A VM whose snapshots stand on each other: of a qcow2 image, persistent."""
    sim = ground.sim
    image = int(sim.call("one.image.allocate", "NAME=linked\nTYPE=DATABLOCK\nSIZE=10\nFORMAT=qcow2\nPERSISTENT=YES", 1))
    sim.advance(1)
    vm = int(sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\nDISK=[IMAGE_ID={image}]\n", False))
    for action in ROADS[state]:
        ground.act(vm, action)
        sim.wait(vm, ENDS[action])
    return vm


@pytest.mark.parametrize("state", STATES)
def test_a_tree_grows_and_shrinks(ground: Ground, state: str) -> None:
    """The state meanwhile and after; ids; what takes room; rules where they stand on each other."""
    sim, vm = ground.sim, linked(ground, state)
    making, deleting, reverting = STATES[state]
    for number in range(3):
        assert call(ground, "create", vm, f"s{number}") == number
        assert sim.state(vm) == making
        sim.wait(vm, state)
        agreed(ground, vm)
    assert [(one.id, one.parent, one.name) for one in tree(ground, vm).snaps] == [
        (0, -1, "s0"), (1, 0, "s1"), (2, 1, "s2")]
    assert sim.vm(vm).disk_mb == 30, "the persistent disk lies with its image, its snapshots do not"
    for number, why in ((2, "active"), (1, "children: 2"), (7, "no snapshot 7; its snapshots are 0, 1, 2")):
        with pytest.raises(Refused, match=why):
            call(ground, "delete", vm, number)
    if not reverting:
        with pytest.raises(Refused, match="it is possible in POWEROFF"):
            call(ground, "revert", vm, 0)
        ground.end(vm)
        return
    call(ground, "revert", vm, 1)
    assert sim.state(vm) == reverting
    sim.wait(vm, state)
    assert tree(ground, vm).base == 1
    call(ground, "delete", vm, 2)
    assert sim.state(vm) == deleting
    sim.wait(vm, state)
    agreed(ground, vm)
    assert call(ground, "create", vm, "s3") == 3, "an id is given once"
    sim.wait(vm, state)
    assert [(one.id, one.parent) for one in tree(ground, vm).snaps] == [(0, -1), (1, 0), (3, 1)]
    agreed(ground, vm)
    ground.end(vm)


def test_copies_go_in_any_order(ground: Ground) -> None:
    """Of a raw disk: all but the active one, also while the guest runs."""
    vm = ground.bring("RUNNING")
    make(ground, vm, 3)
    for number in (1, 0):
        call(ground, "delete", vm, number)
        assert ground.sim.state(vm) == "DISK_SNAPSHOT_DELETE"
        ground.sim.wait(vm, "RUNNING")
        agreed(ground, vm)
    with pytest.raises(Refused, match="active"):
        call(ground, "delete", vm, 2)
    ground.end(vm)


def test_copies_need_room(ground: Ground) -> None:
    """A copy of a raw disk is asked to fit; what is no copy takes nothing at once."""
    sim, raw, chained = ground.sim, ground.bring("RUNNING"), linked(ground, "RUNNING")
    ground.script(disk_mb=5)
    sim.until(lambda: room(sim.core, 0)[1] == 5)
    with pytest.raises(Refused, match="DISK 10 MB needed, 5 MB free"):
        call(ground, "create", raw, "s")
    make(ground, chained)
    agreed(ground, chained)


def test_what_was_written_comes_back(ground: Ground) -> None:
    """A disk goes back to what it was; snapshots live through stop, undeploy and migration of the VM."""
    sim, vm = ground.sim, linked(ground, "POWEROFF")
    other = sim.add_host("node2")
    make(ground, vm)
    kept = folder(sim, vm).disks["0"].content
    for action in ("resume", "stop", "deploy", "undeploy", "deploy", "suspend", "resume", "poweroff"):
        ground.act(vm, action)
        sim.wait(vm, "RUNNING" if action == "resume" else ENDS[action])
        assert there(ground, vm) == [0], action
    sim.call("one.vm.migrate", vm, other, False, False, -1, 0)
    sim.wait(vm, "POWEROFF")
    assert folder(sim, vm).disks["0"].content > kept
    sim.call("one.vm.diskresize", vm, 0, "20")
    sim.wait(vm, "POWEROFF")
    call(ground, "revert", vm, 0)
    sim.wait(vm, "POWEROFF")
    assert folder(sim, vm).disks["0"].content == kept
    assert (disk(sim, vm, 0)["SIZE"], folder(sim, vm).disks["0"].mb) == ("20", 20), "disks only grow"
    agreed(ground, vm)
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")


def test_they_go_with_their_disk_and_with_a_new_life(ground: Ground) -> None:
    """detach; recreate."""
    sim, vm = ground.sim, ground.bring("POWEROFF")
    make(ground, vm, 2)
    sim.call("one.vm.detach", vm, 0)
    sim.wait(vm, "POWEROFF")
    assert sim.get(VmText, vm).snapshots == "" and sim.vm(vm).disk_mb == 0
    ground.end(vm)
    vm = ground.bring("POWEROFF")
    make(ground, vm, 2)
    ground.act(vm, "recover-recreate")
    sim.wait(vm, "PENDING")
    assert tree(ground, vm).snaps == () and sim.vm(vm).disk_mb == 10
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    assert call(ground, "create", vm, "") == 2
    sim.wait(vm, "RUNNING")
    agreed(ground, vm)
    ground.end(vm)


def test_another_name(ground: Ground) -> None:
    """At any time; nothing else changes."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    make(ground, vm)
    ground.script(delay={"vm.disk_snapshot_create": 5.0})
    call(ground, "create", vm, "second")
    sim.call("one.vm.disksnapshotrename", vm, 0, 0, "other")
    assert sim.vm(vm).disk_mb == 30, "the room that the second takes is still taken"
    sim.wait(vm, "RUNNING")
    assert [one.name for one in tree(ground, vm).snaps] == ["other", "second"]
    agreed(ground, vm)
    ground.end(vm)


STEPS = [
    # from        what      driver action
    ("RUNNING", "create", "vm.disk_snapshot_create"),
    ("RUNNING", "delete", "vm.disk_snapshot_delete"),
    ("POWEROFF", "create", "tm.snap_create"),
    ("POWEROFF", "delete", "tm.snap_delete"),
    ("POWEROFF", "revert", "tm.snap_revert"),
    ("SUSPENDED", "create", "tm.snap_create"),
    ("SUSPENDED", "delete", "tm.snap_delete"),
]
IDS = ["-".join(step[:2]) for step in STEPS]


def ask(ground: Ground, vm: int, what: str) -> None:
    """Make one, delete the first, go back to the first."""
    call(ground, what, vm, "again" if what == "create" else 0)


def is_done(ground: Ground, vm: int, what: str) -> bool:
    """Whether that shows in the record."""
    found = tree(ground, vm)
    return {"create": len(found.snaps) == 3, "delete": found.find(0) is None, "revert": found.base == 0}[what]


@pytest.mark.parametrize(("state", "what", "action"), STEPS, ids=IDS)
def test_what_fails_changes_nothing(ground: Ground, state: str, what: str, action: str) -> None:
    """With an error; the same again works when the fault is mended, under another id."""
    sim, vm = ground.sim, ground.bring(state)
    make(ground, vm, 2)
    before = tree(ground, vm)
    ground.script(rules=[{"action": action, "fail": "boom"}])
    ask(ground, vm, what)
    sim.until(lambda: "boom" in sim.vm(vm).error)
    sim.wait(vm, state)
    sim.until(lambda: DOUBT not in sim.get(VmText, vm).snapshots, limit=60, what="its host to tell")
    assert tree(ground, vm).snaps == before.snaps and tree(ground, vm).base == before.base
    assert sim.vm(vm).disk_mb == 30
    agreed(ground, vm)
    ground.script()
    ask(ground, vm, what)
    sim.wait(vm, state)
    assert is_done(ground, vm, what) and sim.vm(vm).error == ""
    if what == "create":
        assert [one.id for one in tree(ground, vm).snaps] == [0, 1, 3]
    agreed(ground, vm)
    ground.end(vm)


UNDOES = {"RUNNING": ("vm.disk_snapshot_create", "vm.disk_snapshot_delete"),
          "POWEROFF": ("tm.snap_create", "tm.snap_delete"), "SUSPENDED": ("tm.snap_create", "tm.snap_delete")}
"""What makes one, and what takes it back when that failed."""


@pytest.mark.parametrize("state", UNDOES)
def test_one_that_was_made_although_it_failed(ground: Ground, state: str) -> None:
    """What is called failed is taken back: the disk must not be more than the record says."""
    sim, vm = ground.sim, linked(ground, state)
    ground.script(delay={UNDOES[state][0]: 5.0})
    call(ground, "create", vm, "s")
    sim.until(lambda: there(ground, vm) == [0])
    sim.call("one.vm.recover", vm, RECOVER["failure"])
    sim.wait(vm, state)
    assert "recover" in sim.vm(vm).error and tree(ground, vm).snaps == ()
    agreed(ground, vm)
    ground.end(vm)


@pytest.mark.parametrize("state", UNDOES)
def test_one_of_which_nobody_knows(ground: Ground, state: str) -> None:
    """Neither made nor taken back, as far as anybody can tell: it counts, and may be deleted."""
    sim, vm = ground.sim, linked(ground, state)
    ground.script(rules=[{"action": action, "fail": "boom"} for action in UNDOES[state]])
    call(ground, "create", vm, "s")
    sim.until(lambda: "undoing it failed too" in sim.vm(vm).error)
    sim.wait(vm, state)
    assert [(one.id, one.sure) for one in tree(ground, vm).snaps] == [(0, False)] and tree(ground, vm).base == 0
    ground.script()
    call(ground, "delete", vm, 0)
    sim.wait(vm, state)
    assert tree(ground, vm).base == -1
    agreed(ground, vm)
    make(ground, vm)
    assert [(one.id, one.parent) for one in tree(ground, vm).snaps] == [(1, -1)]
    agreed(ground, vm)
    ground.end(vm)


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("state", UNDOES)
def test_a_doubt_ends_when_the_host_tells(ground: Ground, state: str, made: bool) -> None:
    """Nobody repairs the record by hand: with the next sample the files are looked at, whatever they show."""
    sim, vm = ground.sim, linked(ground, state)
    first, second = UNDOES[state]
    if made:
        sim.strike(Strike("step.after", 1, "deaf", first))
    silent = [{"action": second, "fail": "boom"}, {"action": "tm.state", "fail": "no route"}]
    ground.script(rules=[*([] if made else [{"action": first, "fail": "boom"}]), *silent])
    call(ground, "create", vm, "s")
    if made:
        sim.advance(2)
        sim.call("one.vm.recover", vm, RECOVER["failure"])
    sim.until(lambda: "undoing it failed too" in sim.vm(vm).error, limit=4000)
    sim.wait(vm, state)
    sim.advance(60)
    assert [one.sure for one in tree(ground, vm).snaps] == [False], "nobody could be asked yet"
    before = sim.vm(vm).disk_mb
    ground.script()
    sim.until(lambda: DOUBT not in sim.get(VmText, vm).snapshots, limit=60, what="the doubt to end")
    assert [one.id for one in tree(ground, vm).snaps] == ([0] if made else []) == there(ground, vm)
    assert tree(ground, vm).base == (0 if made else -1) and (sim.vm(vm).disk_mb < before) != made
    agreed(ground, vm)
    assert_sums(sim)
    ground.end(vm)


@pytest.mark.parametrize("state", UNDOES)
def test_one_that_was_deleted_although_it_failed(ground: Ground, state: str) -> None:
    """The host tells that it is gone, and so it is in the record."""
    sim, vm = ground.sim, ground.bring(state)
    make(ground, vm, 2)
    sim.strike(Strike("step.after", 1, "deaf", UNDOES[state][1]))
    call(ground, "delete", vm, 0)
    sim.advance(2)
    sim.call("one.vm.recover", vm, RECOVER["failure"])
    sim.wait(vm, state)
    assert [(one.id, one.sure) for one in tree(ground, vm).snaps] == [(0, False), (1, True)]
    sim.until(lambda: DOUBT not in sim.get(VmText, vm).snapshots, limit=60, what="its host to tell")
    assert [one.id for one in tree(ground, vm).snaps] == [1] == there(ground, vm)
    agreed(ground, vm)
    ground.end(vm)


@pytest.mark.parametrize("word", ["success", "failure", "retry"])
@pytest.mark.parametrize("state", UNDOES)
def test_an_operators_word_on_an_undo(ground: Ground, state: str, word: str) -> None:
    """Success: it is not there.  Failure: it counts as made."""
    sim, vm = ground.sim, linked(ground, state)
    ground.script(rules=[{"action": action, "hang": True} for action in UNDOES[state]])
    call(ground, "create", vm, "s")
    sim.advance(2)
    sim.call("one.vm.recover", vm, RECOVER["failure"])
    sim.advance(2)
    assert sim.vm(vm).op_kind == "disk_snapshot_create_undo" and sim.state(vm) == STATES[state][0]
    ground.script()
    sim.call("one.vm.recover", vm, RECOVER[word], True)
    sim.wait(vm, state)
    assert [one.id for one in tree(ground, vm).snaps] == ([0] if word == "failure" else [])
    ground.end(vm)


@pytest.mark.parametrize("word", ["success", "failure", "retry"])
@pytest.mark.parametrize(("state", "what", "action"), STEPS, ids=IDS)
def test_an_operators_word(ground: Ground, state: str, what: str, action: str, word: str) -> None:
    """What is under way ends as he says, or begins again."""
    sim, vm = ground.sim, ground.bring(state)
    make(ground, vm, 2)
    ground.hang(action)
    ask(ground, vm, what)
    sim.advance(3)
    assert sim.state(vm).startswith("DISK_SNAPSHOT")
    ground.script()
    sim.call("one.vm.recover", vm, RECOVER[word], True)
    sim.wait(vm, state)
    assert is_done(ground, vm, what) == (word != "failure")
    assert sim.vm(vm).disk_mb == 10 + tree(ground, vm).total_mb
    if word == "retry":
        agreed(ground, vm)
    ground.end(vm)


@pytest.mark.parametrize("what", ["delete", "recreate", "delete-db"])
@pytest.mark.parametrize(("state", "step", "action"), STEPS, ids=IDS)
def test_a_vm_that_ends_in_the_middle(ground: Ground, state: str, step: str, action: str, what: str) -> None:
    """Nothing is left of it; one that begins anew has no snapshots."""
    sim, vm = ground.sim, ground.bring(state)
    make(ground, vm, 2)
    ground.hang(action)
    ask(ground, vm, step)
    sim.advance(2)
    ground.script()
    sim.call("one.vm.recover", vm, RECOVER[what])
    if what == "recreate":
        sim.wait(vm, "PENDING")
        assert tree(ground, vm).snaps == () and sim.vm(vm).disk_mb == 10
        ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    if what != "delete-db":
        ground.assert_nothing_left()


def live(ground: Ground, after: int) -> bool:
    """Made, gone back to, deleted, of a VM that is off; whether the core died AFTER that many commits."""
    sim, vm = ground.sim, ground.bring("POWEROFF")
    make(ground, vm, 2)
    epoch = sim.core.epoch
    ground.script(delay={"default": 0.3})
    sim.strike(Strike("commit.after", after, CORE))
    for what in ("create", "revert"):
        survive(ground, lambda what=what: ask(ground, vm, what),  # type: ignore[misc]
                lambda what=what: is_done(ground, vm, what))  # type: ignore[misc]
        agreed(ground, vm)
    survive(ground, lambda: call(ground, "delete", vm, 1), lambda: tree(ground, vm).find(1) is None)
    agreed(ground, vm)
    assert [one.id for one in tree(ground, vm).snaps] == [0, 2]
    sim.points.armed = False
    crashed = sim.core.epoch != epoch
    ground.end(vm)
    sim.close()
    return crashed


def test_a_crash_after_each_commit(make_ground: MakeGround) -> None:
    """However far SQL got, each is done once."""
    after = 1
    while live(make_ground(after), after):
        after += 1
    assert after > 6, "there was a crash after every commit"
