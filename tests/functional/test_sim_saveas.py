"""Disks that grow, or become images: failures, an operator's word and crashes in the middle of each."""
from __future__ import annotations

import pytest
from disk_ground import assert_agreed, disk, folder, guest, idle, image_state, survive
from makers import MakeGround
from sim import Refused
from sim_ground import ENDS, ROADS, Ground, assert_sums
from sim_points import CORE, Strike

from drivers.dummy.shelf import Shelf
from onecore.kinds.datastore import room
from onecore.kinds.image.record import Image
from onecore.kinds.kind import tree_of
from onecore.kinds.usage import usage
from onecore.wire.states import RECOVER

RESIZES = {"RUNNING": ("DISK_RESIZE", "vm.resize_disk"), "POWEROFF": ("DISK_RESIZE_POWEROFF", "tm.resize"),
           "UNDEPLOYED": ("DISK_RESIZE_UNDEPLOYED", "tm.resize")}
"""The state meanwhile and the driver's action, by the state before."""
SAVES = {"RUNNING": "HOTPLUG_SAVEAS", "POWEROFF": "HOTPLUG_SAVEAS_POWEROFF", "SUSPENDED": "HOTPLUG_SAVEAS_SUSPENDED",
         "STOPPED": "HOTPLUG_SAVEAS_STOPPED", "UNDEPLOYED": "HOTPLUG_SAVEAS_UNDEPLOYED"}
"""The state meanwhile, by the state before."""


def resize(ground: Ground, vm: int, size: int) -> None:
    """Ask for it, of disk 0."""
    ground.sim.call("one.vm.diskresize", vm, 0, str(size))


def save(ground: Ground, vm: int, name: str = "copy", snapshot: int = -1, number: int = 0) -> int:
    """Ask for it; the image's id."""
    return int(ground.sim.call("one.vm.disksaveas", vm, number, name, "", snapshot))


def content(ground: Ground, image: int) -> int:
    """What an image holds."""
    return Shelf(ground.sim.home / "dummy", "look").image(ground.sim.get(Image, image).source).content


def recover(ground: Ground, vm: int, word: str) -> None:
    """An operator's word."""
    ground.sim.call("one.vm.recover", vm, RECOVER[word], True)


def persistent(ground: Ground, state: str) -> tuple[int, int]:
    """A VM in STATE whose disk is an image itself; both ids."""
    sim, image = ground.sim, ground.sim.add_image("kept", persistent=True)
    vm = int(sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\nDISK=[IMAGE_ID={image}]\n", False))
    for action in ROADS[state]:
        ground.act(vm, action)
        sim.wait(vm, ENDS[action])
    return vm, image


# -- larger

@pytest.mark.parametrize("state", RESIZES)
def test_a_disk_grows(ground: Ground, state: str) -> None:
    """The record when it is done, capacity at once; the guest and the file have it."""
    sim, vm = ground.sim, ground.bring(state)
    resize(ground, vm, 25)
    assert (sim.state(vm), disk(sim, vm, 0)["SIZE"], sim.vm(vm).disk_mb) == (RESIZES[state][0], "10", 25)
    sim.wait(vm, state)
    assert (disk(sim, vm, 0)["SIZE"], sim.vm(vm).disk_mb, folder(sim, vm).disks["0"].mb) == ("25", 25, 25)
    assert usage(sim.core).sums.of(ground.host)[2] == (25 if state != "UNDEPLOYED" else 0)
    if state == "RUNNING":
        assert guest(sim, vm) == {"0": 25}
    for size in (25, 24, 1):
        with pytest.raises(Refused, match="has 25 MB; disks only grow"):
            resize(ground, vm, size)
    assert_agreed(sim, vm)
    ground.end(vm)


def test_a_persistent_disk_grows_with_its_image(ground: Ground) -> None:
    """It takes nothing of the system datastore; the image has the size at once, as its file has."""
    sim, (vm, image) = ground.sim, persistent(ground, "RUNNING")
    resize(ground, vm, 30)
    sim.wait(vm, "RUNNING")
    assert (sim.get(Image, image).size, sim.vm(vm).disk_mb) == (30, 0)
    assert_agreed(sim, vm)
    ground.end(vm)
    assert sim.get(Image, image).size == 30


def test_a_disk_that_does_not_fit(ground: Ground) -> None:
    """Neither where it lies, nor where its image does."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    other, _ = persistent(ground, "RUNNING")
    ground.script(disk_mb=20)
    sim.until(lambda: room(sim.core, 0)[1] == room(sim.core, 1)[1] == 20)
    for one, said in ((vm, "datastore 0 (.*): DISK 21 MB needed, 20 MB free"), (other, "datastore 1")):
        with pytest.raises(Refused, match=said):
            resize(ground, one, 31)
        resize(ground, one, 30)
        sim.wait(one, "RUNNING")


@pytest.mark.parametrize("state", RESIZES)
def test_a_resize_that_fails(ground: Ground, state: str) -> None:
    """As it was, capacity too; again when the fault is mended."""
    sim, vm = ground.sim, ground.bring(state)
    ground.script(rules=[{"action": RESIZES[state][1], "fail": "boom"}])
    resize(ground, vm, 25)
    sim.until(lambda: "boom" in sim.vm(vm).error)
    sim.wait(vm, state)
    assert (disk(sim, vm, 0)["SIZE"], sim.vm(vm).disk_mb) == ("10", 10)
    ground.script()
    resize(ground, vm, 25)
    sim.wait(vm, state)
    assert_agreed(sim, vm)
    ground.end(vm)


@pytest.mark.parametrize("word", ["success", "failure", "retry", "delete", "recreate", "delete-db"])
@pytest.mark.parametrize("state", RESIZES)
def test_an_operators_word_on_a_resize(ground: Ground, state: str, word: str) -> None:
    """What is under way ends as he says, or begins again."""
    sim, vm = ground.sim, ground.bring(state)
    ground.hang(RESIZES[state][1])
    resize(ground, vm, 25)
    sim.advance(3)
    assert sim.state(vm) == RESIZES[state][0]
    ground.script()
    recover(ground, vm, word)
    then = {"delete": "DONE", "delete-db": "DONE", "recreate": "PENDING"}.get(word, state)
    sim.wait(vm, then)
    if then != "DONE":
        size = 10 if word in ("failure", "recreate") else 25
        assert (disk(sim, vm, 0)["SIZE"], sim.vm(vm).disk_mb) == (str(size), size)
        ground.end(vm)
    elif word == "delete":
        ground.assert_nothing_left()


# -- saved as images

@pytest.mark.parametrize("state", SAVES)
def test_a_disk_becomes_an_image(ground: Ground, state: str) -> None:
    """LOCKED until the copy is there; it holds what the disk does; the disk says which image meanwhile."""
    sim, (vm, image) = ground.sim, persistent(ground, state)
    copy = save(ground, vm)
    assert (sim.state(vm), image_state(sim, copy)) == (SAVES[state], "LOCKED")
    assert disk(sim, vm, 0)["HOTPLUG_SAVE_AS"] == str(copy)
    with pytest.raises(Refused, match=f"is being saved from a disk of VM {vm}"):
        sim.call("one.image.delete", copy, True)
    sim.wait(vm, state)
    made = sim.get(Image, copy)
    assert (image_state(sim, copy), made.size, made.type, made.persistent, made.ds_id) == ("READY", 10, 2, 0, 1)
    assert made.source == f"dummy-{copy}" and content(ground, copy) == folder(sim, vm).disks["0"].content
    kept = tree_of(made.template)
    assert [kept.get(f"SAVED_{what}_ID") for what in ("VM", "DISK", "IMAGE")] == [str(vm), "0", str(image)]
    assert folder(sim, vm).disks["0"].copy is None
    assert_agreed(sim, vm)
    sim.call("one.image.delete", copy)
    ground.end(vm)


def test_a_snapshot_becomes_an_image(ground: Ground) -> None:
    """What was then, with the size of then, with the guest running and off; no copy is made beside the disk."""
    sim, (vm, _) = ground.sim, persistent(ground, "POWEROFF")
    sim.call("one.vm.disksnapshotcreate", vm, 0, "s")
    sim.wait(vm, "POWEROFF")
    then = folder(sim, vm).disks["0"].content
    resize(ground, vm, 20)
    sim.wait(vm, "POWEROFF")
    off = save(ground, vm, "off", 0)
    sim.wait(vm, "POWEROFF")
    ground.act(vm, "resume")
    sim.wait(vm, "RUNNING")
    assert folder(sim, vm).disks["0"].content == then + 1
    sent = len(sim.transport.sent)
    running = save(ground, vm, "running", 0)
    sim.wait(vm, "RUNNING")
    assert "copy_disk" not in [c.action for c in sim.transport.sent[sent:]]
    now = save(ground, vm, "now")
    sim.wait(vm, "RUNNING")
    assert [content(ground, image) for image in (off, running, now)] == [then, then, then + 1]
    assert image_state(sim, off) == image_state(sim, running) == "READY"
    with pytest.raises(Refused, match="has no snapshot 5"):
        save(ground, vm, "no", 5)
    ground.end(vm)


def test_a_volatile_disk_becomes_an_image(ground: Ground) -> None:
    """A DATABLOCK in the default datastore."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.call("one.vm.attach", vm, "DISK=[TYPE=fs,SIZE=20]")
    sim.wait(vm, "RUNNING")
    copy = save(ground, vm, number=1)
    sim.wait(vm, "RUNNING")
    made = sim.get(Image, copy)
    assert (made.ds_id, made.type, made.size, image_state(sim, copy)) == (1, 2, 20, "READY")
    ground.end(vm)


def test_a_vm_waits_for_the_image(ground: Ground) -> None:
    """CLONING until the copy is there; CLONING_FAILURE if it never will be."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    for fails in (False, True):
        ground.script(rules=[{"action": "tm.saveas", "delay": 2.0, **({"fail": "no room"} if fails else {})}])
        copy = save(ground, vm, f"copy{fails}")
        waits = int(sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\nDISK=[IMAGE_ID={copy}]\n", False))
        assert (sim.state(waits), image_state(sim, copy)) == ("CLONING", "LOCKED_USED")
        sim.wait(waits, "CLONING_FAILURE" if fails else "PENDING")
        assert image_state(sim, copy) == ("ERROR" if fails else "USED")
        ground.act(waits, "terminate")
        sim.wait(waits, "DONE")
    assert "no room" in sim.vm(vm).error
    sim.wait(vm, "RUNNING")
    ground.end(vm)


STEPS = [("RUNNING", "vm.copy_disk"), ("RUNNING", "tm.saveas"), *((state, "tm.saveas") for state in SAVES)]


@pytest.mark.parametrize(("state", "action"), STEPS)
def test_a_save_that_fails(ground: Ground, state: str, action: str) -> None:
    """The image is in ERROR and can be deleted; the VM is as it was; again works."""
    sim, vm = ground.sim, ground.bring(state)
    ground.script(rules=[{"action": action, "fail": "boom"}])
    copy = save(ground, vm)
    sim.until(lambda: "boom" in sim.vm(vm).error)
    sim.wait(vm, state)
    assert folder(sim, vm).disks["0"].copy is None
    assert image_state(sim, copy) == "ERROR" and "boom" in sim.get(Image, copy).error
    ground.script()
    sim.call("one.image.delete", copy)
    sim.until(lambda: sim.core.store.get(Image, copy) is None, what="the image to be gone")
    again = save(ground, vm)
    sim.wait(vm, state)
    assert image_state(sim, again) == "READY"
    assert_agreed(sim, vm)
    ground.end(vm)


@pytest.mark.parametrize("word", ["success", "failure", "retry", "delete", "recreate", "delete-db"])
@pytest.mark.parametrize(("state", "action"), STEPS)
def test_an_operators_word_on_a_save(ground: Ground, state: str, action: str, word: str) -> None:
    """No image is LOCKED for ever; none is READY of which nobody knows where it is."""
    sim, vm = ground.sim, ground.bring(state)
    ground.hang(action)
    copy = save(ground, vm)
    sim.advance(3)
    assert sim.state(vm) == SAVES[state]
    ground.script()
    recover(ground, vm, word)
    then = {"delete": "DONE", "delete-db": "DONE", "recreate": "PENDING"}.get(word, state)
    sim.wait(vm, then)
    assert image_state(sim, copy) == ("READY" if word == "retry" else "ERROR")
    assert (word == "success") == ("no driver told" in sim.get(Image, copy).error)
    if then != "DONE":
        assert "HOTPLUG_SAVE_AS" not in disk(sim, vm, 0)
        ground.end(vm)
    elif word == "delete":
        ground.assert_nothing_left()
    assert_sums(sim)


def live(ground: Ground, state: str, after: int) -> bool:
    """Grown and saved; whether the core died AFTER that many commits."""
    sim, (vm, _) = ground.sim, persistent(ground, state)
    epoch, before = sim.core.epoch, len(sim.core.store.all(Image))
    ground.script(delay={"default": 0.3})
    sim.strike(Strike("commit.after", after, CORE))
    survive(ground, lambda: save(ground, vm), lambda: len(sim.core.store.all(Image)) > before)
    if state not in ("SUSPENDED", "STOPPED"):
        survive(ground, lambda: resize(ground, vm, 30), lambda: disk(sim, vm, 0)["SIZE"] == "30")
    idle(sim)
    assert_agreed(sim, vm)
    images = sorted(image.oid for image in sim.core.store.all(Image))
    assert len(images) == before + 1 and image_state(sim, images[-1]) == "READY"
    sim.points.armed = False
    crashed = sim.core.epoch != epoch
    ground.end(vm)
    sim.close()
    return crashed


@pytest.mark.parametrize("state", SAVES)
def test_a_crash_after_each_commit(make_ground: MakeGround, state: str) -> None:
    """However far SQL got, there is one image, READY, and the disk has its size."""
    after = 1
    while live(make_ground(after), state, after):
        after += 1
    assert after > 2, "there was a crash after every commit"
