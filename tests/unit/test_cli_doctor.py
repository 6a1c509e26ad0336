"""`onecore doctor`: what it finds on machines that are made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from cli.local import doctor
from cli.local.home import Home
from cli.local.machine import Machine


@dataclass
class Bench:
    """A machine of which everything is known beforehand."""

    python: tuple[int, ...] = (3, 11, 7)
    executable: str = "/venv/bin/python"
    architecture: str = "x86_64"
    root: bool = True
    user: str = "ann"
    programs: set[str] = field(
        default_factory=lambda: {"libvirtd", "qemu-system-x86_64", "qemu-img", "genisoimage", "ip", "ssh-keygen"}
    )
    paths: set[str] = field(default_factory=lambda: {"/etc/debian_version", "/dev/kvm"})
    sockets: set[str] = field(default_factory=lambda: {"/run/libvirt/libvirt-sock"})
    modules: set[str] = field(default_factory=lambda: {"libvirt"})
    member: set[str] = field(default_factory=lambda: {"libvirt", "kvm"})
    accounts: set[str] = field(default_factory=lambda: {"libvirt-qemu"})
    free: int = 50_000
    may_write: bool = True
    busy: bool = False
    time: float = 4e9

    def which(self, name: str) -> str | None:
        return f"/usr/bin/{name}" if name in self.programs else None

    def importable(self, module: str) -> bool:
        return module in self.modules

    def exists(self, path: str) -> bool:
        return path in self.paths

    readable = exists

    def writable(self, path: Path) -> bool:
        return self.may_write

    def free_mb(self, path: Path) -> int:
        return self.free

    def connects(self, path: str) -> bool:
        return path in self.sockets

    def port(self, endpoint: str) -> int:
        return 2633

    def listens(self, endpoint: str) -> bool:
        return self.busy

    def account(self, name: str) -> bool:
        return name in self.accounts

    def groups(self) -> set[str]:
        return self.member

    def now(self) -> float:
        return self.time


def found(tmp_path: Path, dummy: bool = False, **changes: Any) -> dict[str, doctor.Finding]:
    """What is not well, by name."""
    bench = cast(Machine, Bench(**changes))
    return {f.what: f for f in doctor.findings(Home(tmp_path), dummy, bench) if f.fix}


def test_a_machine_that_has_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(tmp_path) == {}
    assert doctor.doctor(Home(tmp_path), False, cast(Machine, Bench())) == 0
    assert capsys.readouterr().out.endswith("this machine is ready\n")


@pytest.mark.parametrize(
    ("changes", "what", "fix"),
    [
        ({"python": (3, 9, 2)}, "python", "apt-get install -y python3.11"),
        ({"modules": set()}, "libvirt-python", "/venv/bin/python -m pip install"),
        ({"sockets": set(), "programs": set()}, "libvirtd", "apt-get install -y libvirt-daemon-system"),
        ({"sockets": set(), "paths": {"/run/systemd/system"}}, "libvirtd", "systemctl enable --now libvirtd"),
        ({"sockets": set()}, "libvirtd", "libvirtd --daemon"),
        ({"accounts": set()}, "user libvirt-qemu", "useradd"),
        ({"root": False, "member": {"libvirt"}}, "groups", "usermod -aG kvm ann"),
        ({"programs": {"qemu-img"}}, "qemu", "apt-get install -y qemu-system-x86"),
        ({"architecture": "aarch64"}, "qemu", "apt-get install -y qemu-system-arm"),
        ({"programs": set()}, "qemu-img", "apt-get install -y qemu-utils"),
        ({"programs": set()}, "genisoimage", "apt-get install -y genisoimage"),
        ({"programs": set()}, "ip", "apt-get install -y iproute2"),
        ({"may_write": False}, "home", "--home DIR"),
        ({"free": 100}, "disk space", "--home DIR"),
        ({"busy": True}, "port", "onecore up --port 2634"),
        ({"time": 0.0}, "clock", "chrony"),
    ],
)
def test_what_is_missing_comes_with_its_fix(tmp_path: Path, changes: dict[str, Any], what: str, fix: str) -> None:
    finding = found(tmp_path, **changes)[what]
    assert fix in finding.fix
    assert finding.required
    assert finding.line().startswith(f"MISSING  {what}: ")
    assert doctor.doctor(Home(tmp_path), False, cast(Machine, Bench(**changes))) == 255


def test_advice_is_no_failure(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"paths": set(), "free": 2000}
    advice = found(tmp_path, **changes)
    assert set(advice) == {"/dev/kvm", "disk space"}
    assert doctor.doctor(Home(tmp_path), False, cast(Machine, Bench(**changes))) == 0


def test_dummies_need_no_hypervisor(tmp_path: Path) -> None:
    assert found(tmp_path, dummy=True, programs=set(), sockets=set(), modules=set(), paths=set()) == {}


def test_other_makers_of_isos_will_do(tmp_path: Path) -> None:
    programs = {"libvirtd", "qemu-system-x86_64", "qemu-img", "xorrisofs", "ip", "ssh-keygen"}
    assert found(tmp_path, programs=programs) == {}


def test_the_real_machine_answers(tmp_path: Path) -> None:
    assert {f.what for f in doctor.findings(Home(tmp_path), False, Machine())} >= {"python", "qemu", "clock", "port"}


def test_a_machine_without_ssh_keygen_is_advised(tmp_path: Path) -> None:
    finding = found(tmp_path, programs={"libvirtd"})["ssh-keygen"]
    assert "openssh-client" in finding.fix and not finding.required
