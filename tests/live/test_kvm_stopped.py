"""Starts that are cancelled or fail on their way: nothing is left, or the guest runs; no checkpoint is lost."""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kvm_ground as ground
import pytest
from kvm_bench import Bench, until

from drivers.base import Permanent
from drivers.net import bridge
from drivers.token import Token

libvirt = pytest.importorskip("libvirt")
pytestmark = pytest.mark.live
NUMBERS = range(8141, 8142)
ONE = NUMBERS[0]
NAME = f"one-{ONE}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ground.alone(NUMBERS):
        made = Bench(tmp_path, ground.host(), hypervisor="qemu")
        yield made
        made.close()


@pytest.fixture
def vm(bench: Bench, tmp_path: Path) -> Any:
    return ground.vm(tmp_path, ONE)


@pytest.fixture
def saved(bench: Bench, vm: Any) -> Any:
    """The VM, its state in its checkpoint."""
    bench.ok("deploy", vm)
    bench.ok("save", vm)
    return {**vm, "generation": 2}


def assert_nothing_left() -> None:
    assert ground.domains(NUMBERS) == []
    assert not Path(f"/sys/class/net/{ground.BRIDGE}").exists() and not Path(f"/sys/class/net/{NAME}-0").exists()


def checkpoint(vm: Any) -> Path:
    return Path(vm["dir"]) / "checkpoint"


def boots(vm: Any) -> int:
    """How often the guest began."""
    return (Path(vm["dir"]) / "console.log").read_text().count("U")


def booted(bench: Bench, vm: Any) -> None:
    bench.ok("deploy", vm)
    until(lambda: boots(vm) == 1, 10)


def at_return(patch: pytest.MonkeyPatch, owner: Any, method: str, then: Callable[[], object]) -> None:
    """Have libvirt's METHOD do its work, and THEN happen before its caller hears of it."""
    real = getattr(owner, method)

    def call(self: Any, *args: Any) -> Any:
        result = real(self, *args)
        then()
        return result
    patch.setattr(owner, method, call)


def plugged(patch: pytest.MonkeyPatch, do: Callable[[Any], object]) -> None:
    """Have the networks' last step DO something."""
    patch.setitem(bridge.ACTIONS, "post", lambda ctx, args: do(ctx) or {})


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4])
def test_a_deploy_that_is_cancelled_at_some_time(bench: Bench, vm: Any, seconds: float) -> None:
    token = Token()
    timer = threading.Timer(seconds, token.cancel)
    timer.start()
    result = bench.do("deploy", vm, token=token)
    timer.cancel()
    assert result.cancelled or result.ok
    if result.ok:
        assert ground.domains(NUMBERS) == [NAME]
    else:
        assert_nothing_left()


def test_a_deploy_that_is_cancelled_when_its_guest_has_started(bench: Bench, vm: Any,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token()
    at_return(monkeypatch, libvirt.virConnect, "createXML", token.cancel)
    assert bench.do("deploy", vm, token=token).ok
    assert bench.ok("state", vm) == {"state": "running", "generation": 1}


def test_a_deploy_that_is_cancelled_before_its_networks_are_done(bench: Bench, vm: Any,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token()
    plugged(monkeypatch, lambda ctx: (token.cancel(), ctx.check()))
    assert bench.do("deploy", vm, token=token).cancelled
    assert_nothing_left()


@pytest.mark.parametrize("failure", [Permanent("no filter"), ZeroDivisionError("a bug")])
def test_a_deploy_whose_networks_fail(bench: Bench, vm: Any, monkeypatch: pytest.MonkeyPatch,
                                      failure: Exception) -> None:
    def fail(_: Any) -> None:
        raise failure
    plugged(monkeypatch, fail)
    result = bench.do("deploy", vm)
    assert not result.ok and str(failure) in result.error
    assert_nothing_left()


def test_a_save_that_is_cancelled_when_it_is_done(bench: Bench, vm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too late: the guest is gone, and its state is there; so it was saved."""
    bench.ok("deploy", vm)
    token = Token()
    with monkeypatch.context() as patch:
        at_return(patch, libvirt.virDomain, "save", lambda: (token.cancel(), time.sleep(1.0)))
        assert bench.do("save", vm, token=token).ok
    assert_nothing_left()
    bench.ok("restore", {**vm, "generation": 2})
    bench.ok("destroy", {**vm, "generation": 2})


def test_a_save_that_is_cancelled_before_it_is_done(bench: Bench, vm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest runs on."""
    bench.ok("deploy", vm)
    token = Token()
    with monkeypatch.context() as patch:
        patch.setattr(libvirt.virDomain, "save", lambda domain, path: (token.cancel(), time.sleep(1.0)))
        assert bench.do("save", vm, token=token).cancelled
    assert len(ground.domains(NUMBERS)) == 1 and not checkpoint(vm).exists()
    bench.ok("destroy", vm)


def test_a_restore_that_is_cancelled_before_its_guest_runs(bench: Bench, saved: Any,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    whole, token = checkpoint(saved).read_bytes(), Token()
    with monkeypatch.context() as patch:
        plugged(patch, lambda ctx: (token.cancel(), ctx.check()))
        assert bench.do("restore", saved, token=token).cancelled
    assert_nothing_left()
    assert checkpoint(saved).read_bytes() == whole
    bench.ok("restore", saved)
    assert bench.ok("state", saved) == {"state": "running", "generation": 2} and not checkpoint(saved).exists()


@pytest.mark.parametrize(("owner", "method"), [("virConnect", "restoreFlags"), ("virDomain", "resume")])
def test_a_restore_that_is_cancelled_when_its_guest_is_there(bench: Bench, saved: Any, monkeypatch: pytest.MonkeyPatch,
                                                             owner: str, method: str) -> None:
    token = Token()
    at_return(monkeypatch, getattr(libvirt, owner), method, token.cancel)
    assert bench.do("restore", saved, token=token).ok
    assert bench.ok("state", saved) == {"state": "running", "generation": 2} and not checkpoint(saved).exists()


def test_a_restored_guest_that_cannot_run_is_taken_back(bench: Bench, saved: Any,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checkpoint(saved).read_bytes()

    def refuse(_: Any) -> None:
        raise libvirt.libvirtError("its disk is locked")
    with monkeypatch.context() as patch:
        patch.setattr(libvirt.virDomain, "resume", refuse)
        assert "its disk is locked" in bench.do("restore", saved).error
    assert_nothing_left()
    assert checkpoint(saved).read_bytes() == whole
    bench.ok("restore", saved)


def held(bench: Bench, saved: Any, patch: pytest.MonkeyPatch) -> None:
    """A driver ended when it was about to let the restored guest run."""
    def end(_: Any) -> None:
        raise SystemExit
    with patch.context() as within:
        within.setattr(libvirt.virDomain, "resume", end)
        assert not bench.do("restore", saved).ok
    assert bench.ok("state", saved) == {"state": "suspended", "generation": 2}
    assert not checkpoint(saved).exists() and Path(f"{checkpoint(saved)}.used").exists()


def test_a_restore_goes_on_where_its_driver_ended(bench: Bench, saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held(bench, saved, monkeypatch)
    assert bench.ok("restore", saved) == {"deploy_id": NAME}
    assert bench.ok("state", saved) == {"state": "running", "generation": 2} and not checkpoint(saved).exists()


@pytest.mark.parametrize("destroyed", [True, False])
def test_a_guest_that_was_held_is_ended_and_its_checkpoint_is_whole(bench: Bench, saved: Any, destroyed: bool,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checkpoint(saved).read_bytes()
    held(bench, saved, monkeypatch)
    if destroyed:
        bench.ok("destroy", saved)
        assert_nothing_left()
        assert checkpoint(saved).read_bytes() == whole
        assert bench.ok("state", saved, look={"checkpoint": True})["has"] == {"checkpoint": True}
    bench.ok("restore", {**saved, "generation": 3})
    assert bench.ok("state", saved) == {"state": "running", "generation": 3} and boots(saved) <= 1
    assert not [path for path in Path(saved["dir"]).iterdir() if path.name.startswith("checkpoint")]


def test_a_guest_that_somebody_paused_goes_on_where_it_was(bench: Bench, vm: Any) -> None:
    booted(bench, vm)
    subprocess.run(["virsh", "-q", "-c", "qemu:///system", "suspend", NAME], check=True)
    bench.ok("restore", {**vm, "generation": 2})
    assert bench.ok("state", vm) == {"state": "running", "generation": 2} and not checkpoint(vm).exists()
    assert boots(vm) == 1


def test_a_guest_that_runs_from_its_checkpoint_unheard_of_goes_on(bench: Bench, vm: Any) -> None:
    booted(bench, vm)
    bench.ok("save", vm)
    old = checkpoint(vm).read_bytes()
    bench.ok("restore", {**vm, "generation": 2})
    checkpoint(vm).write_bytes(old)
    bench.ok("reset", {**vm, "generation": 2})
    until(lambda: boots(vm) == 2, 10)
    bench.ok("restore", {**vm, "generation": 3})
    assert bench.ok("state", vm) == {"state": "running", "generation": 3} and not checkpoint(vm).exists()
    assert boots(vm) == 2


def test_a_guest_from_before_the_checkpoint_is_ended(bench: Bench, vm: Any, tmp_path: Path) -> None:
    vm["generation"] = 2
    booted(bench, vm)
    bench.ok("save", vm)
    newest = checkpoint(vm).read_bytes()
    for lock in (tmp_path / "datastores" / ".locks").iterdir():
        lock.unlink()
    booted(bench, {**vm, "generation": 1})
    checkpoint(vm).write_bytes(newest)
    bench.ok("restore", {**vm, "generation": 3})
    assert f"ending a domain of VM {ONE} left from generation 1" in bench.log("warning")


def _has_pid() -> bool:
    """Whether libvirt has written down the process of the guest, which it does a moment after its name is known."""
    try:
        return ground.pid_of(ONE) > 0
    except (OSError, ValueError):
        return False


def test_a_restore_under_way_already_is_waited_for(bench: Bench, saved: Any) -> None:
    """Another driver process that ended meanwhile asked for it: libvirt goes on."""
    subprocess.run(["ip", "link", "add", "name", ground.BRIDGE, "type", "bridge"], check=True)
    other = subprocess.Popen(["virsh", "-q", "-c", "qemu:///system", "restore", "--paused", str(checkpoint(saved))])
    until(lambda: ground.domains(NUMBERS) and _has_pid(), 10)
    qemu = ground.pid_of(ONE)
    os.kill(qemu, signal.SIGSTOP)
    result: list[Any] = []
    mine = threading.Thread(target=lambda: result.append(bench.do("restore", saved)))
    try:
        mine.start()
        time.sleep(1.0)
        early = list(result)
    finally:
        os.kill(qemu, signal.SIGCONT)
    mine.join(120)
    other.wait(120)
    assert not early and result[0].ok, result
    assert bench.ok("state", saved) == {"state": "running", "generation": 2} and not checkpoint(saved).exists()
