"""Disks that are attached and detached: failures at each step, an operator's word at each step, a crash after each."""
from __future__ import annotations

import pytest
from disk_ground import assert_agreed, disk, folder, guest, idle, ids, image_state, survive, template
from makers import MakeGround
from sim import Refused
from sim_ground import Ground, assert_sums
from sim_points import CORE, Strike

from onecore.kinds.image.record import Image
from onecore.kinds.usage import usage
from onecore.wire.states import RECOVER

VOLATILE = "DISK=[TYPE=fs,SIZE=20]"


def attach(ground: Ground, vm: int, template: str = VOLATILE) -> None:
    """Ask for it."""
    ground.sim.call("one.vm.attach", vm, template)


def detach(ground: Ground, vm: int, number: int) -> None:
    """Ask for it."""
    ground.sim.call("one.vm.detach", vm, number)


def recover(ground: Ground, vm: int, operation: str, force: bool = False) -> None:
    """An operator's word."""
    ground.sim.call("one.vm.recover", vm, RECOVER[operation], force)


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_disks_come_and_go(ground: Ground, state: str) -> None:
    """Volatile, a clone, a persistent one; ids are not given twice; what a persistent one has grown to stays."""
    sim, vm = ground.sim, ground.bring(state)
    kept, states = sim.add_image("kept", persistent=True), {"RUNNING": "HOTPLUG", "POWEROFF": "HOTPLUG_PROLOG_POWEROFF"}
    for number, given in enumerate((VOLATILE, f"DISK=[IMAGE_ID={ground.image},SIZE=30]",
                                    f"DISK=[IMAGE_ID={kept},SIZE=40]")):
        attach(ground, vm, given)
        assert (sim.state(vm), template(sim, vm)[-1]["ATTACH"]) == (states[state], "YES")
        sim.wait(vm, state)
        assert_agreed(sim, vm)
        assert ids(sim, vm) == [0, *range(1, number + 2)]
    assert [template(sim, vm)[n]["TARGET"] for n in range(4)] == ["vda", "vdb", "vdc", "vdd"]
    assert sim.vm(vm).disk_mb == 10 + 20 + 30 and image_state(sim, kept) == "USED_PERS"
    assert usage(sim.core).sums.of(ground.host)[2] == 60
    states = {"RUNNING": "HOTPLUG", "POWEROFF": "HOTPLUG_EPILOG_POWEROFF"}
    for number in (3, 1, 2):
        detach(ground, vm, number)
        assert (sim.state(vm), disk(sim, vm, number)["DETACH"]) == (states[state], "YES")
        sim.wait(vm, state)
        assert_agreed(sim, vm)
    assert ids(sim, vm) == [0] and image_state(sim, ground.image) == "USED"
    assert (sim.get(Image, kept).size, image_state(sim, kept)) == (40, "READY")
    attach(ground, vm)
    sim.wait(vm, state)
    assert ids(sim, vm) == [0, 4], "what is left of disk 3 is never taken for another"
    assert_agreed(sim, vm)
    ground.end(vm)


def test_the_last_of_several_disks_of_an_image_frees_it(ground: Ground) -> None:
    """Two of one image: it stays USED while one is left."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    other = sim.add_image("other")
    for _ in range(2):
        attach(ground, vm, f"DISK=[IMAGE_ID={other}]")
        sim.wait(vm, "RUNNING")
    for number, state in ((1, "USED"), (2, "READY")):
        detach(ground, vm, number)
        sim.wait(vm, "RUNNING")
        assert image_state(sim, other) == state
    assert_agreed(sim, vm)
    ground.end(vm)


FAILS = [
    # from       what       driver action      the disks then
    ("RUNNING", "attach", "tm.attach", [0]),
    ("RUNNING", "attach", "vm.attach_disk", [0]),
    ("RUNNING", "detach", "vm.detach_disk", [0, 1]),
    ("RUNNING", "detach", "tm.detach", [0, 1]),
    ("POWEROFF", "attach", "tm.attach", [0]),
    ("POWEROFF", "detach", "tm.detach", [0, 1]),
]


@pytest.mark.parametrize("persistent", [False, True], ids=["clone", "persistent"])
@pytest.mark.parametrize(("state", "what", "fails", "left"), FAILS, ids=["-".join(row[:3]) for row in FAILS])
def test_what_fails_leaves_the_vm_as_it_was(ground: Ground, state: str, what: str, fails: str, left: list[int],
                                           persistent: bool) -> None:
    """With an error; the same again works when the fault is mended."""
    sim, vm = ground.sim, ground.bring(state)
    image = sim.add_image("second", persistent)
    given = f"DISK=[IMAGE_ID={image}]"
    if what == "detach":
        attach(ground, vm, given)
        sim.wait(vm, state)
    ground.script(rules=[{"action": fails, "fail": "boom"}])
    attach(ground, vm, given) if what == "attach" else detach(ground, vm, 1)
    sim.until(lambda: "boom" in sim.vm(vm).error)
    sim.wait(vm, state)
    idle(sim)
    assert ids(sim, vm) == left
    ground.script()
    if fails != "tm.detach" or state != "RUNNING":  # there the guest has it no more until it is detached again
        assert_agreed(sim, vm)
    attach(ground, vm, given) if what == "attach" else detach(ground, vm, 1)
    sim.wait(vm, state)
    assert_agreed(sim, vm)
    assert sim.vm(vm).error == "" and len(ids(sim, vm)) == (2 if what == "attach" else 1)
    ground.end(vm)


def test_an_undo_that_fails_keeps_the_disk(ground: Ground) -> None:
    """Nobody knows whether the guest has it: the record does, and it can be detached."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(rules=[{"action": "vm.*tach_disk", "fail": "boom"}])
    attach(ground, vm)
    sim.until(lambda: sim.vm(vm).op_kind == "disk_attach_undo")
    sim.wait(vm, "RUNNING")
    assert ids(sim, vm) == [0, 1] and "boom" in sim.vm(vm).error and "ATTACH" not in disk(sim, vm, 1)
    ground.script()
    detach(ground, vm, 1)
    sim.wait(vm, "RUNNING")
    assert_agreed(sim, vm)
    ground.end(vm)


def test_an_undo_whose_file_stays(ground: Ground) -> None:
    """The guest has it not: the VM has it not; what is left goes with the VM."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(rules=[{"action": "vm.attach_disk", "fail": "boom"}, {"action": "tm.detach", "fail": "busy"}])
    attach(ground, vm)
    sim.until(lambda: "busy" in sim.vm(vm).error)
    sim.wait(vm, "RUNNING")
    assert ids(sim, vm) == [0] and "1" in folder(sim, vm).disks
    ground.script()
    attach(ground, vm, "DISK=[TYPE=swap,SIZE=5]")
    sim.wait(vm, "RUNNING")
    assert ids(sim, vm) == [0, 2] and guest(sim, vm) == {"0": 10, "2": 5}
    ground.end(vm)


WORDS = [
    # from       what       hangs               word        ids      then
    ("RUNNING", "attach", "tm.attach", "failure", [0]),
    ("RUNNING", "attach", "tm.attach", "retry", [0, 1]),
    ("RUNNING", "attach", "vm.attach_disk", "failure", [0]),
    ("RUNNING", "attach", "vm.attach_disk", "success", [0, 1]),
    ("RUNNING", "attach", "vm.attach_disk", "retry", [0, 1]),
    ("RUNNING", "detach", "vm.detach_disk", "failure", [0, 1]),
    ("RUNNING", "detach", "vm.detach_disk", "success", [0]),
    ("RUNNING", "detach", "vm.detach_disk", "retry", [0]),
    ("RUNNING", "detach", "tm.detach", "failure", [0, 1]),
    ("RUNNING", "detach", "tm.detach", "success", [0]),
    ("RUNNING", "detach", "tm.detach", "retry", [0]),
    ("POWEROFF", "attach", "tm.attach", "failure", [0]),
    ("POWEROFF", "attach", "tm.attach", "success", [0, 1]),
    ("POWEROFF", "attach", "tm.attach", "retry", [0, 1]),
    ("POWEROFF", "detach", "tm.detach", "failure", [0, 1]),
    ("POWEROFF", "detach", "tm.detach", "success", [0]),
    ("POWEROFF", "detach", "tm.detach", "retry", [0]),
]


@pytest.mark.parametrize(("state", "what", "hangs", "word", "left"), WORDS, ids=["-".join(row[:4]) for row in WORDS])
def test_an_operators_word(ground: Ground, state: str, what: str, hangs: str, word: str, left: list[int]) -> None:
    """What is under way ends as he says, or begins again."""
    sim, vm = ground.sim, ground.bring(state)
    if what == "detach":
        attach(ground, vm)
        sim.wait(vm, state)
    ground.hang(hangs)
    attach(ground, vm) if what == "attach" else detach(ground, vm, 1)
    sim.advance(3)
    assert sim.state(vm).startswith("HOTPLUG")
    ground.script()
    recover(ground, vm, word, force=True)
    sim.wait(vm, state)
    assert ids(sim, vm) == left and not [d for d in template(sim, vm) if {"ATTACH", "DETACH"} & d.keys()]
    assert ("recover" in sim.vm(vm).error) == (word == "failure")
    ground.act(vm, "terminate-hard" if state == "RUNNING" else "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


@pytest.mark.parametrize("word", ["success", "failure", "retry"])
@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_an_operators_word_on_an_undo(ground: Ground, state: str, word: str) -> None:
    """Success: it is undone.  Failure of a guest that runs: it may have the disk."""
    sim, vm = ground.sim, ground.bring(state)
    slow = "vm.attach_disk" if state == "RUNNING" else "tm.attach"
    back = "vm.detach_disk" if state == "RUNNING" else "tm.detach"
    ground.script(rules=[{"action": slow, "hang": True}, {"action": back, "hang": True}])
    attach(ground, vm)
    sim.advance(2)
    recover(ground, vm, "failure")
    sim.advance(2)
    assert sim.vm(vm).op_kind == "disk_attach_undo" and sim.state(vm).startswith("HOTPLUG")
    ground.script()
    recover(ground, vm, word, force=True)
    sim.wait(vm, state)
    kept = word == "failure" and state == "RUNNING"
    assert ids(sim, vm) == ([0, 1] if kept else [0])
    ground.act(vm, "recover-delete")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_what_is_not_saved_is_not_called_detached(ground: Ground, state: str) -> None:
    """recover --success is not believed while the file is there; retry saves it."""
    sim, vm = ground.sim, ground.bring(state)
    image = sim.add_image("kept", persistent=True)
    attach(ground, vm, f"DISK=[IMAGE_ID={image}]")
    sim.wait(vm, state)
    ground.hang("tm.detach")
    detach(ground, vm, 1)
    sim.advance(3)
    with pytest.raises(Refused, match="disk 1 is still there"):
        recover(ground, vm, "success")
    ground.script()
    recover(ground, vm, "retry")
    sim.wait(vm, state)
    assert_agreed(sim, vm)
    assert ids(sim, vm) == [0]
    ground.end(vm)


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_what_is_not_there_is_not_called_attached(ground: Ground, state: str) -> None:
    """recover --success is not believed while the file is missing, nor while the guest does not have it."""
    sim, vm = ground.sim, ground.bring(state)
    ground.hang("tm.attach")
    attach(ground, vm)
    sim.advance(3)
    with pytest.raises(Refused, match="disk 1 is missing"):
        recover(ground, vm, "success")
    ground.hang("vm.attach_disk")
    recover(ground, vm, "retry")
    sim.advance(3)
    if state == "RUNNING":
        with pytest.raises(Refused, match="does not have disk 1"):
            recover(ground, vm, "success")
        ground.script()
        recover(ground, vm, "retry")
    sim.wait(vm, state)
    assert ids(sim, vm) == [0, 1]
    ground.end(vm)


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_a_disk_that_went_unheard_is_not_the_vms_any_more(ground: Ground, state: str) -> None:
    """Its file was removed and nobody heard: the host tells, and the VM can be ended; its image is free."""
    sim, vm = ground.sim, ground.bring(state)
    attach(ground, vm)
    sim.wait(vm, state)
    sim.strike(Strike("step.after", 1, "deaf", "tm.detach"))
    sim.call("one.vm.detach", vm, 1)
    sim.advance(2)
    recover(ground, vm, "failure")
    sim.wait(vm, state)
    assert ids(sim, vm) == [0, 1]
    sim.until(lambda: ids(sim, vm) == [0], limit=60, what="its host to tell")
    assert_sums(sim)
    ground.end(vm)


@pytest.mark.parametrize("what", ["delete", "recreate", "delete-db"])
@pytest.mark.parametrize(("state", "hangs"), [("RUNNING", "tm.attach"), ("RUNNING", "vm.attach_disk"),
                                              ("POWEROFF", "tm.attach")])
def test_a_vm_that_ends_in_the_middle(ground: Ground, state: str, hangs: str, what: str) -> None:
    """Its images are free again; one that begins anew has the disk from the start."""
    sim, vm = ground.sim, ground.bring(state)
    image = sim.add_image("second", persistent=True)
    ground.hang(hangs)
    attach(ground, vm, f"DISK=[IMAGE_ID={image}]")
    sim.advance(2)
    ground.script()
    recover(ground, vm, what)
    if what == "recreate":
        sim.wait(vm, "PENDING")
        assert "ATTACH" not in disk(sim, vm, 1) and image_state(sim, image) == "USED_PERS"
        ground.act(vm, "deploy")
        sim.wait(vm, "RUNNING")
        assert_agreed(sim, vm)
        ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    assert image_state(sim, image) == "READY"
    if what != "delete-db":
        ground.assert_nothing_left()


def test_a_guest_that_ends_meanwhile(ground: Ground) -> None:
    """It cannot take the disk: undone where that can be; the VM is POWEROFF as hosts tell."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(delay={"tm.attach": 5.0})
    attach(ground, vm)
    (sim.home / "dummy" / "node1" / str(vm)).unlink()
    sim.until(lambda: sim.state(vm) == "POWEROFF", what=lambda: str(sim.path(vm)))
    for number in ids(sim, vm)[1:]:
        detach(ground, vm, number)
        sim.wait(vm, "POWEROFF")
    assert_agreed(sim, vm)
    ground.end(vm)


def come_and_go(ground: Ground, state: str, after: int) -> bool:
    """A disk comes and goes; whether the core died AFTER that many commits."""
    sim, vm = ground.sim, ground.bring(state)
    image, epoch = sim.add_image("kept", persistent=True), sim.core.epoch
    ground.script(delay={"default": 0.3})
    sim.strike(Strike("commit.after", after, CORE))
    survive(ground, lambda: attach(ground, vm, f"DISK=[IMAGE_ID={image}]"), lambda: len(ids(sim, vm)) == 2)
    assert_agreed(sim, vm)
    survive(ground, lambda: detach(ground, vm, 1), lambda: ids(sim, vm) == [0])
    assert_agreed(sim, vm)
    sim.points.armed = False
    crashed = sim.core.epoch != epoch
    ground.end(vm)
    sim.close()
    return crashed


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_a_crash_after_each_commit(make_ground: MakeGround, state: str) -> None:
    """However far SQL got, the disk comes and goes, once each, and the three agree."""
    after = 1
    while come_and_go(make_ground(after), state, after):
        after += 1
    assert after > 4, "there was a crash after every commit"
