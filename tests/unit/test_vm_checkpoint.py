"""A guest's saved state is given to one guest, once: never over disks that have moved on, and never lost before."""
from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt")

from storage_ground import Ground, Killed  # noqa: E402

from drivers.base import Permanent, Temporary  # noqa: E402
from drivers.tm.epilog import kept  # noqa: E402
from drivers.vm import kvm, work  # noqa: E402
from drivers.vm.domain import NAMESPACE  # noqa: E402

PAUSED, LOADED, RUNNING = ((libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER),
                           (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
                           (libvirt.VIR_DOMAIN_RUNNING, 1))


class Libvirt:
    """A host's libvirt with the one guest: a state is the text of its memory, which its disk holds too when it runs."""

    def __init__(self, change: Callable[[], None], disk: Path) -> None:
        self._change, self.disk = change, disk
        self.domain: Domain | None = None

    def lookupByName(self, _: str) -> Domain:
        if self.domain is None:
            error = libvirt.libvirtError("no domain")
            error.err = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU, "no domain")
            raise error
        return self.domain

    def restoreFlags(self, path: str, xml: str, _: int) -> None:
        self._change()
        memory = Path(path).read_text()
        assert memory == self.disk.read_text(), "old memory over disks that have moved on"
        self.domain = Domain(self, LOADED, int(xml.partition('generation="')[2].partition('"')[0]), memory)

    def saveImageGetXMLDesc(self, path: str, _: int) -> str:
        memory = Path(path).read_text()
        if memory == "half":
            raise Permanent(f"{path}: not a saved image")
        return f"<domain><vm xmlns='{NAMESPACE}' id='7' generation='1'/><devices/></domain>"


class Domain:
    """The guest."""

    def __init__(self, host: Libvirt, state: tuple[int, int], generation: int, memory: str) -> None:
        self._host, self._state, self._generation, self.memory = host, state, generation, memory
        self.refuses: Exception | None = None
        """What libvirt says when it is to run."""
        self.late = False
        """Whether it does that all the same, when the next thing is asked."""

    def metadata(self, *_: Any) -> str:
        return f"<vm id='7' generation='{self._generation}'/>"

    def XMLDesc(self, _: int) -> str:
        return "<domain/>"

    def state(self) -> tuple[int, int]:
        return self._state

    def jobInfo(self) -> list[int]:
        return [libvirt.VIR_DOMAIN_JOB_NONE]

    def resume(self) -> None:
        self._host._change()
        if self.refuses:
            refuses, self.refuses = self.refuses, None
            raise refuses
        self.run()

    def run(self) -> None:
        self._state = RUNNING
        self.memory += "+"
        self._host.disk.write_text(self.memory)

    def suspend(self) -> None:
        self._host._change()
        if self.late:
            self.run()
        self._state = PAUSED if self._state == RUNNING else self._state

    def save(self, path: str) -> None:
        self._host._change()
        Path(path).write_text(self.memory)
        self._host.domain = None

    def destroy(self) -> None:
        self._host._change()
        self._host.domain = None

    def undefine(self) -> None:
        """Nothing is left of a transient one."""


class Site:
    """VM 7, saved."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.ground = Ground(directory)
        self.ground.count = self.change  # type: ignore[method-assign]
        self.vm = self.ground.vm(nics=[])
        self.dir = Path(self.vm["dir"])
        self.dir.mkdir(parents=True)
        self.calls, self.kill_at, self.dead = 0, 0, False
        self.libvirt = Libvirt(self.change, self.dir / "disk.0")
        self.anew()
        patch.setattr(work, "call", lambda ctx, host, what, function, *_: function(self.libvirt))

    def anew(self) -> None:
        """It is saved."""
        self.dead, self.libvirt.domain, self.vm["generation"] = False, None, 2
        for path in self.dir.iterdir():
            path.unlink()
        self.libvirt.disk.write_text("saved")
        (self.dir / "checkpoint").write_text("saved")

    def change(self) -> None:
        """One more thing is about to change; once the driver is dead it changes nothing."""
        self.calls += 1
        self.dead = self.dead or self.calls == self.kill_at
        if self.dead:
            raise Killed

    def do(self, action: str, kill_at: int = 0, **more: Any) -> Any:
        self.calls, self.kill_at, self.dead = 0, kill_at, False
        return kvm.ACTIONS[action](self.ground.context(), {**self.ground.vm_args(self.vm, 5), **more})

    def has(self) -> Any:
        """What an operator, or the core, is told of a saved state."""
        return self.do("state", look={"checkpoint": True})["has"]["checkpoint"]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.dir.iterdir() if path.name != "disk.0")

    def assert_runs(self) -> None:
        domain = self.libvirt.domain
        assert domain and domain.state() == RUNNING and domain.memory == "saved+" and self.files() == []

    def hold(self, refuses: Exception, late: bool = False) -> None:
        """A restored guest will not run when it is told to."""
        make = self.libvirt.restoreFlags

        def restore(*args: Any) -> None:
            make(*args)
            assert self.libvirt.domain
            self.libvirt.domain.refuses, self.libvirt.domain.late = refuses, late
            self.libvirt.restoreFlags = make  # type: ignore[method-assign]
        self.libvirt.restoreFlags = restore  # type: ignore[method-assign]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


@pytest.mark.parametrize("generation", [2, 3])
def test_a_kill_before_any_change_and_it_goes_on_from_where_it_was(site: Site, generation: int) -> None:
    """The same command again, or a later one, for which a guest of the older generation that ran is saved first."""
    for at in count(1):
        site.anew()
        try:
            site.do("restore", kill_at=at)
        except Killed:
            ran = site.libvirt.disk.read_text() != "saved"
        else:
            break
        site.vm["generation"] = generation
        assert site.do("restore") == {"deploy_id": "one-7"}
        if ran and generation == 3:
            assert site.libvirt.domain and site.libvirt.domain.memory == "saved++" and site.files() == []
        else:
            site.assert_runs()
    site.assert_runs()
    assert at > 3


def test_a_kill_and_a_host_without_power_and_no_memory_is_used_twice(site: Site) -> None:
    """The guest that ran is gone as if its restore had been heard of: the answer is the same, its disks are left."""
    gone = 0
    for at in count(1):
        site.anew()
        try:
            site.do("restore", kill_at=at)
        except Killed:
            site.libvirt.domain = None
        else:
            break
        had = site.has()
        assert site.do("restore") == {"deploy_id": "one-7"}
        if had:
            site.assert_runs()
        else:
            gone += 1
            assert site.libvirt.domain is None and not site.has()
            assert kept(site.vm, dict.fromkeys(site.files(), "")) == []
    assert gone >= 2


def test_a_guest_that_is_refused_to_run_keeps_its_checkpoint(site: Site) -> None:
    site.hold(Permanent("its disk is locked"))
    with pytest.raises(Permanent, match="its disk is locked"):
        site.do("restore")
    assert site.libvirt.domain is None and site.files() == ["checkpoint"] and site.has()
    site.do("restore")
    site.assert_runs()


def test_a_guest_that_runs_later_than_anybody_waited_runs(site: Site) -> None:
    site.hold(Temporary("no answer"), late=True)
    site.do("restore")
    assert site.libvirt.domain and site.libvirt.domain.state() == RUNNING and site.files() == []


def test_the_end_of_a_guest_that_was_held_leaves_the_checkpoint(site: Site) -> None:
    """A driver ended when it was about to let it run, and the VM moves or stops instead."""
    for at in count(1):
        site.anew()
        with pytest.raises(Killed):
            site.do("restore", kill_at=at)
        if site.files() == ["checkpoint.used"]:
            break
    assert site.libvirt.domain and site.libvirt.domain.state() == LOADED and not site.has()
    site.do("destroy")
    assert site.libvirt.domain is None and site.files() == ["checkpoint"] and site.has()


def test_a_saved_state_of_which_nobody_heard_is_told_of_kept_and_used(site: Site) -> None:
    """It lacks its name; who asks gives it none, for an operation may be at work."""
    (site.dir / "checkpoint").rename(site.dir / "checkpoint.part")
    assert site.has() and site.files() == ["checkpoint.part"]
    assert kept(site.vm, {"checkpoint.part": ""}) == ["checkpoint.part"]
    assert kept(site.vm, {"checkpoint.part": "", "checkpoint": ""}) == ["checkpoint"]
    site.do("restore")
    site.assert_runs()
    assert not site.has()


def test_half_a_saved_state_and_one_of_a_guest_that_runs_are_none(site: Site) -> None:
    (site.dir / "checkpoint").rename(site.dir / "checkpoint.part")
    site.libvirt.domain = Domain(site.libvirt, RUNNING, 2, "saved")
    assert not site.has()
    site.libvirt.domain = None
    (site.dir / "checkpoint.part").write_text("half")
    assert not site.has()
    with pytest.raises(Permanent, match="no checkpoint"):
        site.do("restore")


@pytest.mark.parametrize("state", [RUNNING, LOADED])
@pytest.mark.parametrize("written", ["more", "half", ""])
def test_a_save_that_is_left_when_its_guest_is_gone_counts_if_it_is_whole(site: Site, monkeypatch: pytest.MonkeyPatch,
                                                                         written: str, state: tuple[int, int]) -> None:
    """A half one never takes the place of the checkpoint that a guest was given and has not run from."""
    def save(domain: Domain, path: str) -> None:
        if written:
            Path(path).write_text(written)
        site.libvirt.domain = None
        raise Temporary("no answer")

    monkeypatch.setattr(Domain, "save", save)
    site.libvirt.domain = Domain(site.libvirt, state, 2, "more")
    if written == "more":
        site.do("save")
        assert site.files() == ["checkpoint"] and (site.dir / "checkpoint").read_text() == "more"
        return
    with pytest.raises(Temporary, match="no answer"):
        site.do("save")
    if state == LOADED:
        assert (site.dir / "checkpoint").read_text() == "saved"
    else:
        assert not site.has()


def test_what_was_saved_before_is_not_found_when_the_next_save_lacks_its_name(site: Site) -> None:
    """The guest ran on from it: a driver that ends before the last step of the save leaves the new one alone."""
    site.do("restore")
    (site.dir / "checkpoint").write_text("saved")
    for at in count(1):
        if site.libvirt.domain is None:
            break
        with pytest.raises(Killed):
            site.do("save", kill_at=at)
    assert site.files() == ["checkpoint.part"] and site.has()
    site.do("restore")
    assert site.libvirt.domain and site.libvirt.domain.memory == "saved++"
