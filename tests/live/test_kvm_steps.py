"""Each action on a guest, cut off at its steps, and then asked for again, or undone as the core does it.

A step is a look that the command takes at its token (cut.py), a cut a cancel or a kill of the driver process.
ONECORE_LONG=1 takes every step with both, and both ways on; otherwise every 19th with one of them.
"""
from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import kvm_ground as ground
import pytest
from cut import Cut
from kvm_bench import Bench
from kvm_cut import cut_off
from kvm_disk import file_reads, guest_writes

from drivers.token import Token
from onecore.wire.messages import Doc

libvirt = pytest.importorskip("libvirt")
disk_snapshots = pytest.importorskip("drivers.vm.disk_snapshots")

pytestmark = pytest.mark.live
NUMBERS = range(8151, 8152)
ONE = NUMBERS[0]
_FIRST, _STRIDE = (1, 1) if os.environ.get("ONECORE_LONG") else (2, 19)
RUNNING = {"state": "running", "generation": 1}
Args = dict[str, Any]


def virsh(*argv: str) -> str:
    return subprocess.run(["virsh", "-q", "-c", "qemu:///system", *argv], capture_output=True, text=True,
                          check=True).stdout


def nameless(process: int) -> list[str]:
    """The files of disks that a process has open, and that nobody else can find any more."""
    found = []
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if "/disk." in (name := os.readlink(path)) and path.stat().st_nlink == 0:
                found.append(name)
    return found


@dataclass
class Scene:
    """One VM on a bench."""

    bench: Bench
    vm: Args
    more: Args

    def ok(self, action: str, **more: Any) -> Doc:
        return self.bench.ok(action, self.vm, **{**self.more, **more})

    def state(self, **look: Any) -> Doc:
        return self.ok("state", **({"look": look} if look else {}))

    def seen(self, **look: Any) -> Any:
        return self.state(**look)["has"]

    def has(self, what: str) -> Any:
        return ground.parts(virsh("dumpxml", f"one-{ONE}"))[what]

    def nothing(self) -> None:
        devices = [path.name for path in Path("/sys/class/net").iterdir()]
        assert ground.domains(NUMBERS) == []
        assert [name for name in devices if name == ground.BRIDGE or name.startswith(f"one-{ONE}-")] == []

    def uses_its_files(self, directory: str = "") -> None:
        """It writes to the file that has the disk's name, and every file of a disk that it has open has a name."""
        directory = directory or self.vm["dir"]
        listed = [line.split()[-1] for line in virsh("domblklist", f"one-{ONE}").splitlines() if line.strip()]
        assert any(os.path.samefile(path, f"{directory}/disk.0") for path in listed if os.path.exists(path)), listed
        assert nameless(ground.pid_of(ONE)) == []

    def with_vm(self, **more: Any) -> Scene:
        return Scene(self.bench, {**self.vm, **more}, self.more)


Check = Callable[[Scene], None]


@dataclass(frozen=True)
class Case:
    """An action, what it needs, and what must be true when it succeeded after all, or was undone."""

    action: str
    ready: Callable[[Scene], Scene]
    done: Check
    undo: str = ""
    undone: Check | None = None
    between: Callable[[Scene, bool], None] | None = None
    """What must be true right after the cut, which was a kill or not."""
    more: tuple[tuple[str, Any], ...] = ()


def off(scene: Scene) -> Scene:
    return scene


def running(scene: Scene) -> Scene:
    scene.ok("deploy")
    return scene


def saved(scene: Scene) -> Scene:
    running(scene).ok("save")
    return scene


def a_disk_more(scene: Scene) -> Scene:
    running(scene)
    disk = ground.add_disk(scene.vm, 2)
    return scene.with_vm(disks=[*scene.vm["disks"], disk])


def a_disk_plugged(scene: Scene) -> Scene:
    made = a_disk_more(scene)
    made.ok("attach_disk", disk_id=2)
    return made


def a_nic_more(scene: Scene) -> Scene:
    running(scene)
    nic = {**scene.vm["nics"][0], "NIC_ID": "1", "MAC": "02:00:c0:a8:7b:81"}
    made = scene.with_vm(nics=[*scene.vm["nics"], nic])
    return Scene(made.bench, made.vm, {"nic": nic})


def a_nic_plugged(scene: Scene) -> Scene:
    made = a_nic_more(scene)
    made.ok("attach_nic", nic_id=1)
    return Scene(made.bench, scene.vm, made.more)


def larger(scene: Scene) -> Scene:
    return running(scene).with_vm(vcpu=2)


def snapped(scene: Scene) -> Scene:
    running(scene)
    named = {"id": 0, "name": "zero"}
    made = scene.ok("snapshot_create", snapshot=named)
    return Scene(scene.bench, scene.vm, {"snapshot": {**named, **made}})


def with_snapshots(scene: Scene, *numbers: int) -> Scene:
    """Its disk has these snapshots, each made from the one before, and stands on the last."""
    listed = [{"id": each, "parent": parent, "name": "", "size_mb": 1}
              for parent, each in pairwise((-1, *numbers))]
    return scene.with_vm(snapshots={"0": {"base": numbers[-1], "list": listed}})


def to_snap(scene: Scene) -> Scene:
    """Snapshot 0 holds 1; the disk, of which another is to be made, 2."""
    running(scene)
    guest_writes(ONE, 1)
    with_snapshots(scene, 0).ok("disk_snapshot_create", disk_id=0, snap_id=0)
    guest_writes(ONE, 2)
    return with_snapshots(scene, 0, 1)


def disk_snapped(scene: Scene) -> Scene:
    """Snapshot 1, which is to go, holds 2; the disk 3."""
    to_snap(scene).ok("disk_snapshot_create", disk_id=0, snap_id=1)
    guest_writes(ONE, 3)
    return with_snapshots(scene, 0)


def deep_snapped(scene: Scene) -> Scene:
    """Snapshots 0, 1 and 2 hold 1, 2 and 3, the disk 4; that in the middle is to go."""
    disk_snapped(scene)
    with_snapshots(scene, 0, 1, 2).ok("disk_snapshot_create", disk_id=0, snap_id=2)
    guest_writes(ONE, 4)
    return with_snapshots(scene, 0, 2)


def copied(scene: Scene) -> Scene:
    running(scene).ok("copy_disk", disk_id=0)
    return scene


def to_another_datastore(scene: Scene) -> Scene:
    """A live move within the host: copies of the disks, and the switch to them."""
    running(scene)
    here = Path(scene.vm["dir"])
    there = here.parent.with_name("5")
    there.mkdir()
    return Scene(scene.bench, scene.vm, {"to": scene.bench.host, "datastore": ground.store(here.parent),
                                         "to_datastore": ground.store(there), "to_dir": str(there / here.name)})


def is_there(scene: Scene) -> None:
    assert scene.state() == RUNNING
    scene.uses_its_files(scene.more["to_dir"])
    assert scene.has("dir") == scene.more["to_dir"] and not Path(scene.vm["dir"]).exists()


def runs(scene: Scene) -> None:
    assert scene.state() == RUNNING
    scene.uses_its_files()


def is_saved(scene: Scene) -> None:
    assert scene.seen(checkpoint=True) == {"checkpoint": True}
    scene.nothing()


def runs_on(scene: Scene) -> None:
    assert scene.state() == RUNNING
    assert scene.has("disks") == ["0"] and scene.has("nics") == ["0"] and scene.has("vcpu") == 1


def is_somewhere(scene: Scene, _: bool) -> None:
    """It runs, or can go on: never has neither a guest nor a saved state."""
    found = scene.state(checkpoint=True)
    assert found["state"] in ("running", "suspended") or found["has"]["checkpoint"], found


def runs_unless_killed(scene: Scene, killed: bool) -> None:
    """A killed driver may leave it standing still until the action is asked for again; a cancelled one does not."""
    found = scene.state()
    assert found == RUNNING or killed and found == {**RUNNING, "state": "suspended"}, found


def has(what: str, wanted: Any) -> Check:
    def check(scene: Scene) -> None:
        runs(scene)
        assert scene.has(what) == wanted
    return check


def snapshot(there: bool) -> Check:
    def check(scene: Scene) -> None:
        runs(scene)
        assert scene.seen(snapshot={"id": 0, "name": ""})["snapshot"] is there
    return check


def restarts(scene: Scene) -> None:
    """The guest runs, and what it wrote from its start on, and writes now, is on the disk after its end."""
    runs(scene)
    guest_writes(ONE, 9)
    scene.ok("destroy")
    assert file_reads(f"{scene.vm['dir']}/disk.0") == 9
    again = scene.with_vm(generation=2)
    again.ok("deploy")
    assert again.state() == {"state": "running", "generation": 2}


def holds(disk: int, snapshots: dict[int, int]) -> Check:
    """The disk and its snapshots, by number, hold these, and it goes on."""
    def kept(scene: Scene) -> dict[int, int]:
        return {each: file_reads(f"{scene.vm['dir']}/disk.0.snap/{each}") for each in snapshots}

    def check(scene: Scene) -> None:
        now = with_snapshots(scene, *snapshots)
        runs(now)
        assert (file_reads(f"{now.vm['dir']}/disk.0"), kept(now)) == (disk, snapshots)
        restarts(now)
        assert kept(now) == snapshots
    return check


CASES = [
    Case("deploy", off, runs, "cleanup", Scene.nothing),
    Case("shutdown", running, Scene.nothing),
    Case("destroy", running, Scene.nothing),
    Case("cleanup", running, Scene.nothing),
    Case("save", running, is_saved, "restore", runs, is_somewhere),
    Case("restore", saved, runs, "destroy", Scene.nothing, is_somewhere),
    Case("reset", running, runs),
    Case("attach_disk", a_disk_more, has("disks", ["0", "2"]), "detach_disk", runs_on, more=(("disk_id", 2),)),
    Case("detach_disk", a_disk_plugged, has("disks", ["0"]), "attach_disk", has("disks", ["0", "2"]),
         more=(("disk_id", 2),)),
    Case("attach_nic", a_nic_more, has("nics", ["0", "1"]), "detach_nic", runs_on, more=(("nic_id", 1),)),
    Case("detach_nic", a_nic_plugged, has("nics", ["0"]), more=(("nic_id", 1),)),
    Case("update_nic", running, runs_on, more=(("nic_id", 0),)),
    Case("updateconf", running, runs_on),
    Case("resize", larger, has("vcpu", 2)),
    Case("resize_disk", running, lambda it: has_mb(it, 3), more=(("disk_id", 0), ("size_mb", 3))),
    Case("snapshot_create", running, snapshot(True), "snapshot_delete", snapshot(False), runs_unless_killed,
         more=(("snapshot", {"id": 0, "name": "zero"}),)),
    Case("snapshot_revert", snapped, snapshot(True)),
    Case("snapshot_delete", snapped, snapshot(False)),
    Case("disk_snapshot_create", to_snap, holds(2, {0: 1, 1: 2}), "disk_snapshot_delete", holds(2, {0: 1}),
         runs_unless_killed, more=(("disk_id", 0), ("snap_id", 1))),
    Case("disk_snapshot_delete", disk_snapped, holds(3, {0: 1}), between=runs_unless_killed,
         more=(("disk_id", 0), ("snap_id", 1))),
    Case("disk_snapshot_delete", deep_snapped, holds(4, {0: 1, 2: 3}), between=runs_unless_killed,
         more=(("disk_id", 0), ("snap_id", 1))),
    Case("copy_disk", running, restarts, "drop_copy", restarts, runs_unless_killed, more=(("disk_id", 0),)),
    Case("migrate", to_another_datastore, is_there, between=runs_unless_killed),
    Case("drop_copy", copied, restarts, between=runs_unless_killed, more=(("disk_id", 0),)),
]


def has_mb(scene: Scene, size: int) -> None:
    runs(scene)
    assert scene.seen(disk_id=0) == {"disk_mb": size}


@pytest.mark.parametrize(("where", "name"), [(disk_snapshots, "_to_the_name"), (libvirt.virDomain, "blockCopy"),
                                             (disk_snapshots, "until_ready"), (disk_snapshots, "pivot")])
@pytest.mark.parametrize("undo", [False, True])
def test_the_making_of_a_disk_snapshot_is_left_half_way(scene: Callable[[], Scene], where: Any, name: str, undo: bool,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest stands still on the overlay in between, and the disk's name is another file's, or about to be."""
    began, token, args = to_snap(scene()), Cut(math.inf, kill=True), Args(disk_id=0, snap_id=1)
    with monkeypatch.context() as patch:
        patch.setattr(where, name, lambda *_: token.die())
        assert cut_off(began.bench, token, "disk_snapshot_create", began.vm, **args) is None
    assert began.state()["state"] == "suspended"
    began.ok("disk_snapshot_delete" if undo else "disk_snapshot_create", **args)
    assert "1.tmp" not in os.listdir(f"{began.vm['dir']}/disk.0.snap")
    holds(2, {0: 1} if undo else {0: 1, 1: 2})(began)


@pytest.mark.parametrize(("module", "name", "action", "ready", "more"), [
    ("disk_snapshots", "_to_the_step", "disk_snapshot_create", to_snap, {"disk_id": 0, "snap_id": 1}),
    ("disk_merge", "pivot", "disk_snapshot_delete", disk_snapped, {"disk_id": 0, "snap_id": 1}),
    ("move_store", "pivot", "migrate", to_another_datastore, {})])
def test_a_cancel_while_the_guest_stands_still_comes_too_late(scene: Callable[[], Scene], module: str, name: str,
                                                              action: str, ready: Callable[[Scene], Scene], more: Args,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """What is begun then is done, and the guest runs."""
    began, token = ready(scene()), Token()
    real = getattr(import_module(f"drivers.vm.{module}"), name)

    def cancelled(*given: Any) -> None:
        real(*given)
        token.cancel()
    with monkeypatch.context() as patch:
        patch.setattr(f"drivers.vm.{module}.{name}", cancelled)
        began.bench.do(action, began.vm, token=token, **began.more, **more)
    assert token.cancelled and began.state() == RUNNING
    began.ok(action, **more)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[[], Scene]]:
    """Makes the VM anew, off, whatever became of it before."""
    with ground.alone(NUMBERS):
        bench = Bench(tmp_path, ground.host(), hypervisor="qemu")

        def make() -> Scene:
            vm = ground.vm(tmp_path, ONE)
            bench.ok("cleanup", {**vm, "generation": 9})
            shutil.rmtree(tmp_path / "datastores")
            vm = ground.with_qcow2(ground.vm(tmp_path, ONE))
            return Scene(bench, {**vm, "attrs": {**vm["attrs"], "VCPU_MAX": "2"}}, {})
        yield make
        bench.close()


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.action}-{case.ready.__name__}") for case in CASES])
def test_an_action_is_cut_off_at_its_steps(scene: Callable[[], Scene], case: Case) -> None:
    ends = [(kill, undo) for undo in (False, bool(case.undo)) for kill in (False, True)]
    taken = 0
    for turn, at in enumerate(count(1 + CASES.index(case) % _FIRST, _STRIDE)):
        now = ends if _STRIDE == 1 else [ends[turn % len(ends)]]
        cut = [_is_cut(case.ready(scene()), case, Cut(at, kill=kill), undo) for kill, undo in now]
        if not any(cut):
            break
        taken += 1
    assert taken


def _is_cut(scene: Scene, case: Case, token: Cut, undo: bool) -> bool:
    """Whether the action came to the step at which it is cut off; all that must be true then is."""
    args = {**scene.more, **dict(case.more)}
    result = cut_off(scene.bench, token, case.action, scene.vm, **args)
    done = case.done
    try:
        if not token.was_cut:
            assert result and result.ok
        else:
            if case.between:
                case.between(scene, result is None)
            scene.ok(case.undo if undo else case.action, **args)
            done = case.undone if undo and case.undone else case.done
        done(scene)
    except AssertionError as error:
        end = f"{case.undo if undo else 'asked for again'} after {'a kill' if result is None else result}"
        raise AssertionError(f"{case.action} cut off at look {token.looks}, {end}") from error
    return token.was_cut
