"""Random lives of VMs whose disks come, go, grow, are kept and saved, while anything fails; what must hold holds."""
from __future__ import annotations

import pytest
from makers import MakeGround
from sim_ground import Ground
from test_sim_seeds import SEEDS, STEPS, Mischief, _no_bug

from onecore.kinds.image.record import Image
from onecore.kinds.kind import tree_of
from onecore.kinds.usage import usage
from onecore.kinds.vm import snapshots
from onecore.kinds.vm.disk_record import MARKS, total_mb
from onecore.kinds.vm.record import Vm, VmText
from onecore.wire.states import ImageState

RESTING = {"RUNNING", "POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED"}
USED = {ImageState.USED, ImageState.USED_PERS, ImageState.LOCKED_USED, ImageState.LOCKED_USED_PERS}


class DiskMischief(Mischief):
    """Most steps are about a disk."""

    weights = (60, 3, 6, 3, 4, 1, 1, 1, 1, 1)

    def __init__(self, ground: Ground, seed: int) -> None:
        super().__init__(ground, seed)
        self.kept = [self.sim.add_image(f"kept{n}", persistent=True) for n in range(2)]
        for _ in range(2):
            ground.bring("RUNNING")

    def ask(self) -> None:
        """An action of a VM, or of one of its disks."""
        vms = [vm.oid for vm in self.sim.core.store.all(Vm) if self.sim.state(vm.oid) in RESTING]
        dice, vm = self.dice, self.dice.choice(sorted(vms) or [0])
        if dice.random() < 0.15:
            self.ground.act(vm, dice.choice(["poweroff-hard", "resume", "resume", "suspend", "stop", "undeploy"]))
            return
        disk, snapshot = dice.choice([*self._disks(vm), 7]), dice.randrange(4)
        method, arguments = dice.choice([
            ("attach", ("DISK=[TYPE=fs,SIZE=5]",)), ("attach", (f"DISK=[IMAGE_ID={dice.choice(self.kept)}]",)),
            ("attach", (f"DISK=[IMAGE_ID={self.ground.image}]",)), ("detach", (disk,)),
            ("disksnapshotcreate", (disk, "s")), ("disksnapshotcreate", (disk, "s")),
            ("disksnapshotdelete", (disk, snapshot)), ("disksnapshotrevert", (disk, snapshot)),
            ("diskresize", (disk, str(dice.randrange(5, 90)))),
            ("disksaveas", (disk, f"copy{dice.randrange(9999)}", "", dice.choice([-1, -1, snapshot])))])
        self.told.append(method)
        self.sim.call(f"one.vm.{method}", vm, *arguments)

    def _disks(self, vm: int) -> list[int]:
        text = self.sim.core.store.get(VmText, vm)
        return [int(disk["DISK_ID"]) for disk in tree_of(text.template).vectors("DISK")] if text else []

    def check(self) -> None:
        """After every step."""
        super().check()
        store = self.sim.core.store
        saving = set[int]()
        for vm in store.all(Vm):
            text = store.get(VmText, vm.oid)
            assert text is not None
            tree = tree_of(text.template)
            marked = [disk for disk in tree.vectors("DISK") if set(MARKS) & disk.keys()]
            assert vm.op or not marked, (vm.oid, marked, self.sim.path(vm.oid))
            assert vm.op or vm.disk_mb == total_mb(tree)
            saving |= {int(disk["HOTPLUG_SAVE_AS"]) for disk in marked if "HOTPLUG_SAVE_AS" in disk}
            trees = snapshots.parse(text.snapshots)
            for disk in tree.vectors("DISK"):
                of = trees.get(int(disk["DISK_ID"]))
                assert int(disk.get("DISK_SNAPSHOT_TOTAL_SIZE", 0)) == (of.total_mb if of else 0)
        for image in store.all(Image):
            users = usage(self.sim.core).by_image.of(image.oid)
            assert bool(users) == (ImageState(image.state) in USED), (image.oid, image.state, users)
            assert not image.persistent or len(users) < 2
            if tree_of(image.template).get("SAVED_VM_ID"):
                assert (image.oid in saving) == (image.state == ImageState.LOCKED), (image.oid, image.state)

    def heal(self) -> None:
        """As ever; no image is left that cannot be deleted."""
        super().heal()
        for image in sorted(one.oid for one in self.sim.core.store.all(Image)):
            self.sim.call("one.image.delete", image)
        self.sim.until(lambda: not self.sim.core.store.all(Image), what="images to go")


@pytest.mark.parametrize("seed", SEEDS)
def test_seed(make_ground: MakeGround, seed: int) -> None:
    """SIM_SEEDS and SIM_STEPS in the environment give other ones."""
    ground = make_ground(seed, prolog=40, deploy=40, shutdown=40, destroy=20, save=40, restore=40, epilog=40, reboot=20,
                         cleanup=20, hotplug=30, snapshot=30, image=30, grace=10)
    mischief = DiskMischief(ground, seed)
    for _ in range(STEPS):
        mischief.step()
        mischief.check()
    _no_bug(ground.sim)
    mischief.heal()
    _no_bug(ground.sim)
