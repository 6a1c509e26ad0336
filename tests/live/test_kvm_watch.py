"""What happens to guests by itself is known soon, also when libvirt was away meanwhile."""
from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kvm_ground as ground
import pytest
from kvm_bench import Bench, until
from kvm_relay import Relay

pytestmark = pytest.mark.live
NUMBERS = range(8101, 8104)
ONE = NUMBERS[0]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ground.alone(NUMBERS):
        made = Bench(tmp_path, ground.host(), hypervisor="qemu")
        yield made
        made.close()


def virsh(*words: str) -> None:
    subprocess.run(["virsh", "-q", "-c", "qemu:///system", *words], check=True, capture_output=True)


@pytest.mark.parametrize(("number", "state"), [(signal.SIGKILL, "crashed"), (signal.SIGTERM, "poweroff")])
def test_a_killed_qemu_is_known_within_two_seconds(bench: Bench, tmp_path: Path, number: int, state: str) -> None:
    bench.watch()
    bench.ok("deploy", ground.vm(tmp_path, ONE))
    os.kill(ground.pid_of(ONE), number)
    until(lambda: (1, state) in bench.states(ONE), 2.0)


def test_pause_resume_and_the_guests_own_end_are_news(bench: Bench, tmp_path: Path) -> None:
    bench.watch()
    bench.ok("deploy", ground.vm(tmp_path, ONE))
    virsh("suspend", f"one-{ONE}")
    virsh("resume", f"one-{ONE}")
    until(lambda: bench.states(ONE)[:3] == [(1, "running"), (1, "suspended"), (1, "running")], 2.0)
    assert bench.ok("shutdown", ground.vm(tmp_path, ONE)) == {}
    until(lambda: bench.states(ONE)[-1] == (1, "poweroff"), 2.0)


def test_a_guest_comes_back_from_its_checkpoint_running(bench: Bench, tmp_path: Path) -> None:
    """It is held while it gets its state, which nobody is told."""
    vm = ground.vm(tmp_path, ONE)
    bench.watch()
    bench.ok("deploy", vm)
    bench.ok("save", vm)
    bench.ok("restore", {**vm, "generation": 2})
    until(lambda: bench.states(ONE)[-2:] == [(2, "running"), (2, "running")], 2.0)
    virsh("suspend", f"one-{ONE}")
    until(lambda: bench.states(ONE)[-1] == (2, "suspended"), 2.0)
    assert [told for told in bench.states(ONE) if told[0] == 2] == [(2, "running"), (2, "running"), (2, "suspended")]


def test_domains_of_others_are_no_news(bench: Bench, tmp_path: Path) -> None:
    bench.watch()
    foreign = tmp_path / "foreign.xml"
    foreign.write_text(f"<domain type='qemu'><name>one-{ONE}</name><memory unit='MiB'>16</memory>"
                       "<os><type>hvm</type></os></domain>")
    virsh("create", str(foreign))
    assert "did not make" in bench.do("destroy", ground.vm(tmp_path, ONE)).error
    assert ground.domains(NUMBERS) == [f"one-{ONE}"]
    virsh("destroy", f"one-{ONE}")
    assert bench.states(ONE) == []


def test_after_libvirt_was_away_all_is_told_anew(bench: Bench, tmp_path: Path) -> None:
    relay = Relay(tmp_path / "sock")
    relay.open()
    watching = Bench(tmp_path, ground.host(), hypervisor="qemu", uri=relay.uri)
    watching.watch()
    for number in NUMBERS[:2]:
        bench.ok("deploy", ground.vm(tmp_path, number))
    until(lambda: watching.states(ONE) and watching.states(NUMBERS[1]), 3.0)
    relay.close()
    ground.kill(ONE)
    until(lambda: ground.domains(NUMBERS) == [f"one-{NUMBERS[1]}"], 5.0)
    bench.ok("deploy", ground.vm(tmp_path, NUMBERS[2]))
    relay.open()
    until(lambda: watching.states(NUMBERS[2]) and all(len(watching.states(each)) >= 2 for each in NUMBERS[:2]), 5.0)
    assert watching.states(ONE) == [(1, "running"), (1, "gone")]
    assert watching.states(NUMBERS[1]) == [(1, "running"), (1, "running")]
    assert watching.states(NUMBERS[2]) == [(1, "running")]
    ground.kill(NUMBERS[1])
    until(lambda: watching.states(NUMBERS[1])[-1] == (1, "crashed"), 2.0)
    watching.close()
    relay.close()


def test_a_command_finds_its_way_after_libvirt_was_away(tmp_path: Path) -> None:
    with ground.alone(NUMBERS):
        relay = Relay(tmp_path / "sock")
        relay.open()
        bench = Bench(tmp_path, ground.host(), hypervisor="qemu", uri=relay.uri)
        assert bench.ok("state", ground.vm(tmp_path, ONE))["state"] == "gone"
        relay.close()
        assert bench.do("state", ground.vm(tmp_path, ONE)).temporary
        relay.open()
        assert bench.ok("state", ground.vm(tmp_path, ONE))["state"] == "gone"
        bench.close()
        relay.close()
