"""`onecore doctor`: what this machine still needs, each with the command that fixes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.errors import FAILED
from cli.local.home import Home
from cli.local.machine import Machine

OLDEST_PYTHON = (3, 11)
LEAST_MB, GOOD_MB = 1024, 10240
"""Free space in MB: required, and enough for a few images."""
PACKAGES = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.  `fix` is empty when it is well; `required`: nothing runs without."""

    what: str
    detail: str
    fix: str = ""
    required: bool = True

    def line(self) -> str:
        """How it is told."""
        if not self.fix:
            return f"ok       {self.what}: {self.detail}"
        return f"{'MISSING' if self.required else 'advice'}  {self.what}: {self.detail}\n         fix: {self.fix}"


Check = Callable[[Machine, Home], Finding | None]


def doctor(home: Home, dummy: bool, machine: Machine | None = None) -> int:
    """Tell every finding; 255 when something that is required is missing."""
    found = list(findings(home, dummy, machine or Machine()))
    for finding in found:
        print(finding.line())
    missing = [f for f in found if f.fix and f.required]
    print(f"{len(missing)} required things are missing" if missing else "this machine is ready")
    return FAILED if missing else 0


def findings(home: Home, dummy: bool, machine: Machine) -> Iterator[Finding]:
    """What there is to say; with DUMMY only about what the dummy drivers need."""
    for check in (*ALWAYS, *(() if dummy else REAL)):
        finding = check(machine, home)
        if finding is not None:
            yield finding


def python(machine: Machine, home: Home) -> Finding:
    """The interpreter."""
    found = ".".join(map(str, machine.python))
    return Finding(
        "python", found, "" if machine.python >= OLDEST_PYTHON else "apt-get install -y python3.11 python3.11-venv"
    )


def port(machine: Machine, home: Home) -> Finding:
    """Nobody else has the port."""
    endpoint = home.endpoint()
    if any(daemon.pid() for daemon in home.daemons()[1:]):
        return Finding("port", f"oned listens at {endpoint}")
    number = machine.port(endpoint)
    return Finding(
        "port",
        f"{endpoint} is {'in use by another program' if machine.listens(endpoint) else 'free'}",
        f"onecore up --port {number + 1}" if machine.listens(endpoint) else "",
    )


def disk(machine: Machine, home: Home) -> Finding:
    """Room for databases and images."""
    free = machine.free_mb(home.path)
    fix = "" if free >= GOOD_MB else "make room there, or onecore up --home DIR on a larger file system"
    return Finding("disk space", f"{free} MB free for {home.path}", fix, required=free < LEAST_MB)


def writable(machine: Machine, home: Home) -> Finding:
    """The home can be made or written."""
    well = machine.writable(home.path)
    return Finding(
        "home",
        f"{home.path} is {'' if well else 'not '}writable",
        "" if well else "onecore up --home DIR with a directory of your own, or run it as root",
    )


def clock(machine: Machine, home: Home) -> Finding:
    """The clock is not before the time this very file was written."""
    well = machine.now() >= Path(__file__).stat().st_mtime - 86400
    return Finding(
        "clock",
        "plausible" if well else "before this software was installed",
        "" if well else "apt-get install -y chrony, or date -s 'YYYY-MM-DD hh:mm'",
    )


def libvirt_python(machine: Machine, home: Home) -> Finding:
    """The binding that drivers use."""
    headers = "apt-get install -y libvirt-dev pkg-config gcc python3-dev"
    fix = f"{headers} && {machine.executable} -m pip install 'libvirt-python>=9,<13'"
    well = machine.importable("libvirt")
    return Finding("libvirt-python", "installed" if well else "not installed", "" if well else fix)


def libvirtd(machine: Machine, home: Home) -> Finding:
    """A libvirt that takes connections."""
    if machine.connects("/run/libvirt/libvirt-sock") or machine.connects("/run/libvirt/virtqemud-sock"):
        return Finding("libvirtd", "answers")
    if not machine.which("libvirtd") and not machine.which("virtqemud"):
        return Finding("libvirtd", "not installed", "apt-get install -y libvirt-daemon-system libvirt-clients")
    if machine.exists("/run/systemd/system"):
        return Finding("libvirtd", "does not run", "systemctl enable --now libvirtd")
    script = Path(__file__).resolve().parents[2] / "scripts/libvirtd.sh"
    return Finding(
        "libvirtd", "does not run", f"{script} start" if machine.exists(str(script)) else "libvirtd --daemon"
    )


def accounts(machine: Machine, home: Home) -> Finding | None:
    """The user that libvirt runs guests as on Debian and Ubuntu."""
    if not machine.which("libvirtd") or not machine.exists("/etc/debian_version"):
        return None
    well = machine.account("libvirt-qemu")
    fix = "groupadd -rf kvm; useradd -r -U -G kvm -s /usr/sbin/nologin libvirt-qemu"
    return Finding("user libvirt-qemu", "there" if well else "not there, libvirt starts no guests", "" if well else fix)


def groups(machine: Machine, home: Home) -> Finding | None:
    """Membership, for whoever is not root."""
    if machine.root:
        return None
    lacking = [name for name in ("libvirt", "kvm") if name not in machine.groups()]
    return Finding(
        "groups",
        f"{machine.user} is {'not ' if lacking else ''}in {', '.join(lacking) or 'libvirt, kvm'}",
        f"sudo usermod -aG {','.join(lacking)} {machine.user}, then log in again" if lacking else "",
    )


def qemu(machine: Machine, home: Home) -> Finding:
    """The emulator of this architecture."""
    name = f"qemu-system-{machine.architecture}"
    found = machine.which(name)
    return Finding(
        "qemu",
        found or f"no {name}",
        "" if found else f"apt-get install -y {PACKAGES.get(machine.architecture, 'qemu-system')}",
    )


def program(what: str, names: tuple[str, ...], package: str, required: bool = True) -> Check:
    """A check for one of the programs NAMES, from PACKAGE."""

    def check(machine: Machine, home: Home) -> Finding:
        found = next(filter(None, map(machine.which, names)), None)
        return Finding(what, found or "not installed", "" if found else f"apt-get install -y {package}", required)

    return check


def kvm(machine: Machine, home: Home) -> Finding:
    """Hardware virtualization; guests run without, slowly.  That it works is proven by the driver, not here."""
    if machine.readable("/dev/kvm"):
        return Finding("/dev/kvm", "opens; whether guests run on it is tried when the host is registered")
    fix = f"usermod -aG kvm {machine.user}" if machine.exists("/dev/kvm") else "modprobe kvm_intel || modprobe kvm_amd"
    return Finding("/dev/kvm", "not usable: guests are emulated, slowly", fix, required=False)


ALWAYS: tuple[Check, ...] = (python, writable, disk, port, clock)
REAL: tuple[Check, ...] = (
    libvirt_python,
    libvirtd,
    accounts,
    groups,
    qemu,
    program("qemu-img", ("qemu-img",), "qemu-utils"),
    program("genisoimage", ("genisoimage", "xorrisofs", "mkisofs"), "genisoimage"),
    program("ip", ("ip",), "iproute2"),
    program("ssh-keygen", ("ssh-keygen",), "openssh-client", required=False),
    kvm,
)
