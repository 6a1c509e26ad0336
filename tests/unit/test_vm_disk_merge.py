"""The end of the snapshot that a running guest's disk stands on: files are real, the guest is not."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt")

from domain_fake import StandingDomain  # noqa: E402
from storage_bed import Bed, io  # noqa: E402
from storage_ground import Killed, needs_qemu_img, qemu_img  # noqa: E402

from drivers.base import Permanent, Temporary  # noqa: E402
from drivers.vm import chain, disk_merge, work  # noqa: E402

pytestmark = needs_qemu_img


class Domain(StandingDomain):
    """Disk 0 of a guest: the files that it consists of, whether it is written into the one below."""

    def __init__(self, files: list[Path]) -> None:
        self.files, self.merges, self.runs = files, False, True
        self.refuses: type[BaseException] | None = None
        """What becomes of a wish to go on with the one below."""

    def XMLDesc(self, _: int) -> str:
        below = ""
        for path in reversed(self.files[1:]):
            below = f"<backingStore index='1'><format type='qcow2'/><source file='{path}'/>{below}</backingStore>"
        job = "<mirror job='active-commit' ready='yes'/>" if self.merges else ""
        return ("<domain><devices><disk type='file' device='disk'><driver type='qcow2'/>"
                f"<source file='{self.files[0]}' index='2'/>{below}{job}<target dev='vda'/></disk></devices></domain>")

    def suspend(self) -> None:
        self.runs = False

    def resume(self) -> None:
        """It writes at once."""
        self.runs = True
        io(self.files[0], "qcow2", "write -P 3 0 64k")

    def blockCommit(self, *_: Any) -> None:
        assert not self.merges
        qemu_img("commit", "-q", "-d", "-f", "qcow2", self.files[0])
        self.merges = True

    def blockJobAbort(self, _: str, flags: int) -> None:
        assert self.merges and flags
        if self.refuses:
            raise self.refuses("no pivot")
        self.files, self.merges = self.files[1:], False


class Site:
    """Disk 0 held 1 in snapshot 0 and holds 2 now; its guest runs."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.bed = Bed(directory, "qcow2")
        self.bed.ground.host = "localhost"
        self.bed.do("prolog")
        self.bed.write(0, 1)
        self.bed.snap(0, 0, 0, (0, -1))
        self.bed.write(0, 2)
        self.bed.told(0, -1)
        self.kept = self.bed.dir / "disk.0.snap/0"
        self.domain = Domain([self.bed.path(0), self.kept])
        patch.setattr(work, "call", lambda ctx, host, what, function, *_: function(
            SimpleNamespace(lookupByName=lambda name: self.domain)))

    def delete(self) -> Any:
        args = {**self.bed.ground.vm_args(self.bed.vm), "disk_id": 0, "snap_id": 0}
        return disk_merge.delete(self.bed.ground.context(), args)

    def assert_gone(self) -> None:
        """What the guest wrote last is under the disk's name."""
        assert self.domain.runs and self.bed.path(0).samefile(self.domain.files[0]) and self.bed.reads(0) == 3


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_the_snapshot_goes_and_twice_ends_like_once(site: Site) -> None:
    for _ in range(2):
        assert site.delete() == {}
    site.assert_gone()


@pytest.mark.parametrize("error", [Temporary, Permanent, Killed])
def test_a_guest_whose_file_lacks_its_name_stands_still_until_it_has_it(site: Site, error: type[BaseException],
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """What it wrote would be hidden from its next start by the file that it writes to no more."""
    def refuse(*_: Any) -> None:
        raise error("no answer")
    with monkeypatch.context() as patch:
        patch.setattr(chain, "rename", refuse)
        with pytest.raises(error):
            site.delete()
    assert site.domain.files[0] == site.kept and not site.domain.runs and site.bed.reads(0) == 2
    assert site.delete() == {}
    site.assert_gone()


def test_a_guest_that_writes_to_its_file_runs_on(site: Site) -> None:
    site.domain.refuses = Permanent
    with pytest.raises(Permanent, match="no pivot"):
        site.delete()
    assert site.domain.runs and site.domain.files[0] == site.bed.path(0) and site.bed.reads(0) == 3
    site.domain.refuses = None
    site.domain.merges = False
    assert site.delete() == {}
    site.assert_gone()
