"""Persistent images have one writer: no VM takes one that is being copied."""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sim import refused

from onecore.kinds.image.record import Image
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
