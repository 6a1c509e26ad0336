"""Disks of simulated VMs as the record, the guest and the directory on the host have them; and that these agree."""
from __future__ import annotations

from collections.abc import Callable

from sim import Crash, Refused, Sim
from sim_ground import Ground, assert_sums

from drivers.dummy.folder import Folder
from drivers.dummy.guest import Guest
from drivers.dummy.shelf import SHARED, Shelf
from onecore.kinds.image.record import Image
from onecore.kinds.kind import tree_of
from onecore.kinds.usage import usage
from onecore.kinds.vm.record import VmText
from onecore.lifecycle.outbox import Outbox
from onecore.wire.states import ImageState


def template(sim: Sim, vm: int) -> list[dict[str, str]]:
    """The DISKs of a VM's record."""
    return tree_of(sim.get(VmText, vm).template).vectors("DISK")


def disk(sim: Sim, vm: int, number: int) -> dict[str, str]:
    """One of them."""
    return next(d for d in template(sim, vm) if d["DISK_ID"] == str(number))


def ids(sim: Sim, vm: int) -> list[int]:
    """Their ids."""
    return [int(d["DISK_ID"]) for d in template(sim, vm)]


def guest(sim: Sim, vm: int) -> dict[str, int]:
    """MB of the disks that the guest has, by id; empty when there is none."""
    path = sim.home / "dummy" / "node1" / str(vm)
    found = Guest.parse(path.read_text().rstrip("\0 ")) if path.exists() else None
    return dict(found.equipment().get("disks", {})) if found else {}


def folder(sim: Sim, vm: int) -> Folder:
    """What is in the VM's directory."""
    found = Shelf(sim.home / "dummy", "look").get((SHARED, 0, vm))
    assert found is not None, f"VM {vm} has no directory"
    return found


def image_state(sim: Sim, oid: int) -> str:
    """An image's state by name."""
    return ImageState(sim.get(Image, oid).state).name


def idle(sim: Sim) -> None:
    """Let time pass until nothing is under way, in SQL neither."""
    def still() -> bool:
        store = sim.core.store
        return not store.all(Outbox) and store.given == store.durable
    sim.until(still, what="the end of what is under way")


def assert_agreed(sim: Sim, vm: int) -> None:
    """Nothing is half done: what the record says is what the guest has, what lies on the host, what is counted."""
    idle(sim)
    sim.advance(1)
    numbers = [str(number) for number in ids(sim, vm)]
    marks = {"ATTACH", "DETACH", "HOTPLUG_SAVE_AS"}
    assert not [d for d in template(sim, vm) if marks & d.keys()]
    assert sorted(folder(sim, vm).disks) == numbers
    if sim.state(vm) == "RUNNING":
        assert sorted(guest(sim, vm)) == numbers
    record = sim.vm(vm)
    named = {int(d["IMAGE_ID"]) for d in template(sim, vm) if "IMAGE_ID" in d}
    for image in sim.core.store.all(Image):
        assert (vm in usage(sim.core).by_image.of(image.oid)) == (image.oid in named)
        used = bool(usage(sim.core).by_image.of(image.oid))
        assert used == (ImageState(image.state).name in ("USED", "USED_PERS")), (image.oid, image.state)
    assert record.disk_mb == sum(int(d["SIZE"]) for d in template(sim, vm) if d["SAVE"] != "YES") + sum(
        int(d.get("DISK_SNAPSHOT_TOTAL_SIZE", 0)) for d in template(sim, vm))
    assert_sums(sim)


def survive(ground: Ground, call: Callable[[], object], done: Callable[[], bool]) -> None:
    """A user who wants CALL's end: asks again after a crash, or a refusal that a crash caused, unless DONE."""
    sim = ground.sim
    while True:
        try:
            call()
            idle(sim)
            return
        except Crash:
            sim.reboot()
            sim.ready()
            sim.until(lambda: sim.host_state(ground.host) == "MONITORED")
            idle(sim)
        except Refused:
            assert done(), "a call was refused that nobody made before"
            return
        if done():
            return
