"""A guest with two disks moves to another datastore of its host: files are real, the guest is not; a kill anywhere."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt")

from domain_fake import StandingDomain  # noqa: E402
from storage_bed import Bed, copy_tree  # noqa: E402
from storage_ground import Killed, needs_qemu_img  # noqa: E402

from drivers.base import Permanent  # noqa: E402
from drivers.tm.trip import trip  # noqa: E402
from drivers.vm import move_files, move_store, work  # noqa: E402

pytestmark = needs_qemu_img


class Domain(StandingDomain):
    """What libvirt has of the guest: the file of each disk, the file that a job copies it to, whether it runs."""

    def __init__(self, change: Callable[[str], None], files: dict[str, Path]) -> None:
        self._change, self.runs = change, True
        self.disks: dict[str, tuple[Path, Path | None]] = {target: (path, None) for target, path in files.items()}

    def XMLDesc(self, _: int) -> str:
        disks = "".join(
            f"<disk type='file' device='disk'><driver type='qcow2'/><source file='{path}'/><target dev='{target}'/>"
            + (f"<mirror job='copy' ready='yes'><source file='{copy}'/></mirror>" if copy else "") + "</disk>"
            for target, (path, copy) in self.disks.items())
        return f"<domain type='kvm'><devices>{disks}</devices></domain>"

    def blockInfo(self, _: str) -> list[int]:
        return [1 << 20]

    def suspend(self) -> None:
        self._change("suspend")
        self.runs = False

    def resume(self) -> None:
        self._change("resume")
        self.runs = True

    def blockCopy(self, target: str, xml: str, *_: Any) -> None:
        self._change(f"copy {target}")
        path, copy = self.disks[target]
        if copy:
            raise Permanent(f"disk {target} is in a block job already")
        made = Path(xml.partition("file=\"")[2].partition("\"")[0])
        shutil.copyfile(path, made)
        self.disks[target] = path, made

    def blockJobAbort(self, target: str, flags: int) -> None:
        self._change(f"pivot {target}" if flags else f"end {target}")
        path, copy = self.disks[target]
        assert copy
        self.disks[target] = (copy if flags else path), None


class Site:
    """VM 7 under tm/qcow2 in datastore 0, on its way to datastore 5."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.bed = Bed(directory, "qcow2")
        self.bed.vm["disks"] = [{**self.bed.disk(number, "raw"), "TARGET": f"vd{'ab'[number]}"} for number in (0, 1)]
        self.bed.ground.host = "localhost"
        self.bed.ground.count = self.change  # type: ignore[method-assign]
        self.calls, self.kill_at, self.dead = 0, 0, False
        self.refused = ""
        """What libvirt does not do."""
        self.bed.do("prolog")
        for number in (0, 1):
            self.bed.write(number, number + 1)
        self.here, self.there = self.bed.dir, self.bed.ground.home / "datastores/5/7"
        self.saved = directory / "saved"
        copy_tree(self.here, self.saved)
        self.anew()
        connection = SimpleNamespace(lookupByName=lambda _: self.domain)
        patch.setattr(work, "call", lambda ctx, host, what, function, *_: function(connection))
        patch.setattr(move_files, "images", lambda *_: {})
        patch.setattr(move_store, "host_facts", lambda *_: None)

    def anew(self) -> None:
        """The guest runs, as it did before it was to move."""
        self.dead, self.bed.vm["dir"] = False, str(self.here)
        copy_tree(self.saved, self.here)
        shutil.rmtree(self.there, ignore_errors=True)
        self.domain = Domain(self.change, {f"vd{'ab'[number]}": self.bed.path(number) for number in (0, 1)})

    def change(self, what: str = "") -> None:
        """One more thing is about to change; once the driver is dead it changes nothing."""
        self.calls += 1
        self.dead = self.dead or self.calls == self.kill_at
        if self.dead:
            raise Killed
        if what and what == self.refused:
            raise Permanent(f"{what}: refused")

    def move(self, kill_at: int = 0) -> Any:
        self.calls, self.kill_at, self.dead = 0, kill_at, False
        ctx, base = self.bed.ground.context(), self.bed.ground.home / "datastores"
        args = {**self.bed.ground.vm_args(self.bed.vm, 5), "to": {"id": 0, "name": "localhost"},
                "to_dir": str(self.there), "datastore": {"id": 0, "tm_mad": "qcow2", "base_path": f"{base}/0"},
                "to_datastore": {"id": 5, "tm_mad": "qcow2", "base_path": f"{base}/5"}}
        return move_store.move(ctx, args, trip(ctx, args))

    @property
    def files(self) -> list[Path]:
        return [path for path, _ in self.domain.disks.values()]

    def assert_moved(self) -> None:
        assert sorted(path.name for path in self.there.iterdir()) == ["disk.0", "disk.1"] and not self.here.exists()
        assert self.files == [self.there / "disk.0", self.there / "disk.1"] and self.domain.runs
        self.bed.vm["dir"] = str(self.there)
        assert (self.bed.reads(0), self.bed.reads(1)) == (1, 2)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_it_moves_and_twice_ends_like_once(site: Site) -> None:
    for _ in range(2):
        assert site.move() == {"where": "to", "left": []}
    site.assert_moved()


def test_a_kill_before_any_change_and_the_move_goes_on(site: Site) -> None:
    """A file that the guest uses is there at every moment, and while it uses one of each it stands still."""
    for at in count(1):
        site.anew()
        try:
            site.move(kill_at=at)
        except Killed:
            assert all(path.exists() for path in site.files)
            assert len({path.parent for path in site.files}) == 1 or not site.domain.runs
        else:
            break
        assert site.move() == {"where": "to", "left": []}, at
        site.assert_moved()
    assert at > 15


@pytest.mark.parametrize("what", ["pivot vdb", "copy vdb"])
def test_what_is_refused_between_two_disks_is_asked_for_again(site: Site, what: str) -> None:
    """The copy of the second disk may have failed meanwhile: it is made again."""
    site.refused = "pivot vdb"
    with pytest.raises(Permanent) as caught:
        site.move()
    assert caught.value.data["where"] == "unknown" and not site.domain.runs
    if what == "copy vdb":
        site.domain.disks["vdb"] = (site.here / "disk.1", None)
        site.refused = what
        with pytest.raises(Permanent) as caught:
            site.move()
        assert caught.value.data["where"] == "unknown" and not site.domain.runs
    assert all(path.exists() for path in site.files)
    site.refused = ""
    assert site.move() == {"where": "to", "left": []}
    site.assert_moved()


def test_marks_that_cannot_be_made_are_asked_for_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise Permanent("Input/output error")
    with monkeypatch.context() as patch:
        patch.setattr(move_files, "settle", refuse)
        with pytest.raises(Permanent) as caught:
            site.move()
    assert caught.value.data["where"] == "unknown" and not site.domain.runs and site.here.exists()
    assert site.move() == {"where": "to", "left": []}
    site.assert_moved()


def test_what_fails_before_the_switch_leaves_nothing_there(site: Site) -> None:
    site.refused = "pivot vda"
    with pytest.raises(Permanent) as caught:
        site.move()
    assert caught.value.data["where"] == "from" and site.domain.runs and not site.there.exists()
    assert site.files == [site.here / "disk.0", site.here / "disk.1"]
