"""Persistent images have one writer: no VM takes one that is being copied, or that an older guest may write to."""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sim import refused

from drivers.fencing import dummy
from onecore.kinds.image.record import Image
from onecore.kinds.vm.effects import owe
from onecore.lifecycle.outbox import Outbox
from onecore.wire.states import ImageState

if TYPE_CHECKING:
    from ha_ground import HaGround, MakeHa

pytest_plugins = ["ha_ground"]

ACTION = 0x0800
VM = "CPU=1\nMEMORY=64\n"


def state(ha: HaGround, image: int) -> str:
    """Its name."""
    return ImageState(ha.sim.get(Image, image).state).name


@pytest.fixture
def ground(make_ha: MakeHa) -> HaGround:
    """Hosts that nobody fences."""
    return make_ha(after=0, deadlines={"image": 60, "cleanup": 10, "grace": 5})


def test_a_persistent_image_is_not_used_while_it_is_cloned(ground: HaGround) -> None:
    """Neither by a new VM nor attached; the copy is whole, and then it can be used."""
    sim = ground.sim
    image, vm = sim.add_image("kept", persistent=True), ground.vm()
    ground.script({"action": "ds.clone", "delay": 20})
    copy = int(sim.call("one.image.clone", image, "copy", -1))
    text = rf"IMAGE {image} \(kept\) is persistent and being cloned as IMAGE {copy}.* when it is READY again"
    refused(ACTION, text, lambda: sim.call("one.vm.allocate", f"{VM}DISK=[IMAGE_ID={image}]\n", False))
    refused(ACTION, text, lambda: sim.call("one.vm.attach", vm, f"DISK=[IMAGE_ID={image}]"))
    assert (state(ground, image), state(ground, copy)) == ("CLONE", "LOCKED")
    sim.until(lambda: state(ground, copy) == "READY", limit=60, what="the copy")
    assert state(ground, image) == "READY"
    ground.vm(f"DISK=[IMAGE_ID={image}]\n")
    assert state(ground, image) == "USED_PERS"


def test_an_image_that_became_persistent_while_it_is_cloned(ground: HaGround) -> None:
    """Also when a VM that had it hides that, so that it is READY."""
    sim, image = ground.sim, ground.sim.add_image("kept")
    ground.script({"action": "ds.clone", "delay": 20})
    sim.call("one.image.clone", image, "copy", -1)
    vm = int(sim.call("one.vm.allocate", f"{VM}DISK=[IMAGE_ID={image}]\n", True))
    sim.call("one.vm.action", "terminate", vm)
    sim.call("one.image.persistent", image, True)
    assert state(ground, image) == "READY"
    refused(ACTION, "being cloned", lambda: sim.call("one.vm.allocate", f"{VM}DISK=[IMAGE_ID={image}]\n", False))


def test_a_persistent_image_that_is_cloned_by_the_same_call(ground: HaGround) -> None:
    """An instance with copies of the template's images, and the original as a disk besides."""
    sim, image = ground.sim, ground.sim.add_image("kept", persistent=True)
    template = int(sim.call("one.template.allocate", f"NAME=t\n{VM}DISK=[IMAGE_ID={image}]\n"))
    refused(ACTION, "being cloned", lambda: sim.call(
        "one.template.instantiate", template, "mine", False, f"DISK=[IMAGE_ID={image}]\n", True))
    assert state(ground, image) == "READY"


@pytest.mark.parametrize("became", [s for s in ImageState if s is not ImageState.CLONE])
def test_the_end_of_a_copy_is_taken_whatever_its_original_is(ground: HaGround, became: ImageState) -> None:
    """The copy is READY, nothing stays in the outbox, and the original is as it was."""
    sim, image = ground.sim, ground.sim.add_image("kept", persistent=True)
    ground.script({"action": "ds.clone", "delay": 20})
    copy = int(sim.call("one.image.clone", image, "copy", -1))
    ground.put(replace(sim.get(Image, image), state=int(became)))
    sim.until(lambda: state(ground, copy) == "READY", limit=60, what="the copy")
    assert state(ground, image) == became.name and not sim.core.store.all(Outbox)


def take(ha: HaGround, image: int) -> int:
    """A new VM with the image."""
    return int(ha.sim.call("one.vm.allocate", f"{VM}DISK=[IMAGE_ID={image}]\n", False))


def cut_off(ha: HaGround, image: int) -> int:
    """A VM with the image on node1, which cannot be reached any more; the VM was deleted, and its guest may run on."""
    vm = ha.vm(f"DISK=[IMAGE_ID={image}]\n")
    ha.script({"action": "vm.*", "host": "node1", "fail": "no route"})
    ha.silence(1)
    ha.sim.call("one.vm.recover", vm, 3, False)
    ha.sim.wait(vm, "DONE", limit=100)
    assert vm in ha.guests()[1]
    return vm


def owes(ha: HaGround, vm: int, image: int, what: str = "used") -> str:
    """What a refusal says."""
    return (rf"IMAGE {image} \(\w+\) may still be written to by the guest of VM {vm}, whose end host {ha.ids[0]} "
            rf"\(node1\) owes; it can be {what} when that host answers .* fenced, .*onehost delete")


def test_an_image_whose_guest_may_run_on_is_nobody_elses(ground: HaGround) -> None:
    """Until its host has ended the guest; a restart of oned forgets nothing."""
    sim = ground.sim
    image, other = sim.add_image("kept", persistent=True), ground.vm(host=2)
    vm = cut_off(ground, image)
    for _ in range(2):
        assert state(ground, image) == "READY"
        for what, call in (("used", lambda: take(ground, image)),
                           ("used", lambda: sim.call("one.vm.attach", other, f"DISK=[IMAGE_ID={image}]")),
                           ("cloned", lambda: sim.call("one.image.clone", image, "copy", -1)),
                           ("deleted", lambda: sim.call("one.image.delete", image)),
                           ("deleted", lambda: sim.call("one.image.delete", image, True)),
                           ("made persistent or not", lambda: sim.call("one.image.persistent", image, False))):
            refused(ACTION, owes(ground, vm, image, what), call)
        assert state(ground, image) == "READY" and ground.guests() == {1: [vm], 2: [other]}
        sim.reboot()
    ground.script()
    ground.wake(1)
    assert ground.guests() == {2: [other]} and not ground.owed()
    ground.vm(f"DISK=[IMAGE_ID={image}]\n", host=2)


def test_an_image_of_a_host_that_is_deleted(ground: HaGround) -> None:
    """The administrator says that it is off for good."""
    image = ground.sim.add_image("kept", persistent=True)
    vm = cut_off(ground, image)
    refused(ACTION, owes(ground, vm, image), lambda: take(ground, image))
    ground.sim.call("one.host.delete", ground.ids[0])
    take(ground, image)


def test_images_that_no_guest_may_write_to(ground: HaGround) -> None:
    """One that is not persistent; a persistent one of which the guest has a copy on its host's own storage."""
    sim = ground.sim
    plain, kept = sim.add_image("plain"), sim.add_image("kept", persistent=True)
    vm = ground.vm(f"DISK=[IMAGE_ID={plain}]\nDISK=[IMAGE_ID={kept}]\n", store=ground.own_store())
    second = cut_off(ground, plain)
    sim.call("one.vm.recover", vm, 3, True)
    sim.wait(vm, "DONE", limit=100)
    assert [debt[1] for debt in ground.owed()] == [vm, second] and ground.guests() == {1: [vm, second]}
    take(ground, plain)
    take(ground, kept)


def test_what_an_older_debt_keeps_a_newer_one_keeps_too(ground: HaGround) -> None:
    """A VM that began anew elsewhere, by force, gave its disk away and is owed by the same host once more."""
    sim, image = ground.sim, ground.sim.add_image("kept", persistent=True)
    vm = ground.vm(f"DISK=[IMAGE_ID={image}]\n")
    ground.script({"action": "vm.cleanup", "fail": "no route"})
    sim.call("one.vm.recover", vm, 4)
    sim.wait(vm, "PENDING", limit=100)
    ground.silence(1)
    sim.call("one.vm.deploy", vm, ground.ids[1], False, -1, "", True)
    sim.wait(vm, "RUNNING")
    sim.call("one.vm.detach", vm, 0)
    sim.until(lambda: state(ground, image) == "READY", what="the disk to go")
    refused(ACTION, owes(ground, vm, image), lambda: take(ground, image))

    def again() -> None:
        with sim.core.store.tx() as tx:
            owe(tx, sim.core, sim.vm(vm), ground.ids[0], 0, 0)
    sim._inside(again)
    assert ground.owed() == [(ground.ids[0], vm, 2, 0, 0)]
    refused(ACTION, owes(ground, vm, image), lambda: take(ground, image))


@pytest.mark.parametrize("off", [True, False])
def test_an_image_of_a_host_that_is_fenced(make_ha: MakeHa, monkeypatch: pytest.MonkeyPatch, off: bool) -> None:
    """Also when it is fenced for another VM, if the whole host is off then: not all drivers say that."""
    if not off:
        monkeypatch.setitem(dummy.ACTIONS, "fence", lambda ctx, args: {})
    ha = make_ha(after=60, deadlines={"cleanup": 10, "grace": 5})
    image, other = ha.sim.add_image("kept", persistent=True), ha.vm()
    vm = cut_off(ha, image)
    refused(ACTION, owes(ha, vm, image), lambda: take(ha, image))
    ha.sim.wait(other, "PENDING", limit=120)
    assert ha.owed() == [(ha.ids[0], other, 1, 0, 1), (ha.ids[0], vm, 1, 0, int(off))]
    if off:
        assert ha.guests() == {}
        take(ha, image)
        ha.script()
        ha.wake(1)
        assert ha.owed() == []
    else:
        refused(ACTION, owes(ha, vm, image), lambda: take(ha, image))
