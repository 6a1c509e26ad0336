"""What vm/kvm's premigrate finds between two hosts that are made up: each check, for each way of moving.

Hosts answer commands and libvirt's calls as they would; what a test breaks, exactly one check must tell.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt")

from drivers.base import Cancelled, Permanent  # noqa: E402
from drivers.vm import connection  # noqa: E402
from drivers.vm.hypervisor import record  # noqa: E402
from drivers.vm.premigrate import ALWAYS, KEPT, LIVE, premigrate  # noqa: E402
from onecore.wire.messages import Doc  # noqa: E402

DIR = "/var/lib/onecore/datastores/0/12"
TEXT = (Path(__file__).parent.parent / "golden" / "live" / "guest.xml").read_text().replace(
    "type='qemu'", "type='kvm'", 1)
STORE = {"id": 0, "tm_mad": "ssh", "base_path": "/var/lib/onecore/datastores/0"}
VM: Doc = {"id": 12, "generation": 1, "dir": DIR, "tm_mad": "ssh", "attrs": {"OS": {"KERNEL": "/boot/k"}},
           "disks": [{"DISK_ID": "0", "TYPE": "FILE", "FORMAT": "qcow2", "SOURCE": "/images/a", "IMAGE_ID": "1"}],
           "nics": [{"NIC_ID": "0", "MAC": "02:00:c0:a8:7b:ae", "BRIDGE": "br0", "PHYDEV": "eth0"}]}
HOST_CPU = ("<domainCapabilities><cpu><mode name='host-model' supported='yes'><model>{}</model></mode></cpu>"
            "</domainCapabilities>")


def refusal(code: int, text: str) -> Exception:
    """libvirt's error of that code."""
    error = libvirt.libvirtError(text)
    error.err = (code, libvirt.VIR_FROM_QEMU, text, 2, "", "", "", 0, 0)
    return error  # type: ignore[no-any-return]


class Host:
    """A host by its executor and its libvirt; what it has are attributes, for tests to change."""

    def __init__(self, number: int) -> None:
        self.document = {"id": number, "name": f"node{number}"}
        self.paths = {"/boot/k", "/sys/class/net/br0", "/sys/class/net/br0/bridge", "/sys/class/net/eth0", DIR}
        self.machines = ["pc-i440fx-7.2"]
        self.cpu = "Newer"
        self.models = ["qemu64", "Older", "Newer"]
        self.listens: list[int] = [22]
        self.guest = self.saved = ""
        self.named, self.reached = True, True
        self.asked: list[str] = []

    is_local = True

    def exists(self, path: str) -> bool:
        return path in self.paths

    def read(self, path: str) -> bytes:
        return path.encode()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> str:
        match argv[0]:
            case "uname":
                return "x86_64\n"
            case "ss":
                return "".join(f"LISTEN 0 128 0.0.0.0:{port} 0.0.0.0:*\n" for port in self.listens)
            case "virsh":
                if not self.reached:
                    raise Permanent("no route to host")
                return argv[3]
            case "find":
                return "disk.0\t1:1\t\ndisk.1\t1:2\t\n"
            case "sh":
                return "10.0.0.1\n" if "getent" in argv[2] and self.named else ""
        raise AssertionError(f"nobody said what {argv} does")

    def getLibVersion(self) -> int:
        return 9000000

    def getHostname(self) -> str:
        return "there.example"

    def lookupByName(self, name: str) -> Any:
        if not self.guest:
            raise refusal(libvirt.VIR_ERR_NO_DOMAIN, "no domain")
        return SimpleNamespace(metadata=lambda kind, space: "<vm id='12' generation='1'/>",
                               state=lambda: (libvirt.VIR_DOMAIN_RUNNING, 1), XMLDesc=lambda _: self.guest)

    def saveImageGetXMLDesc(self, path: str, flags: int) -> str:
        self.asked.append(path)
        return self.saved

    def getDomainCapabilities(self, emulator: str, arch: str, machine: str, kind: str) -> str:
        assert (emulator, arch, kind) == ("/usr/bin/qemu-system-x86_64", "x86_64", "kvm")
        if machine not in self.machines:
            raise refusal(libvirt.VIR_ERR_INVALID_ARG, f"the machine '{machine}' is not supported by emulator")
        return HOST_CPU.format(self.cpu)

    def compareHypervisorCPU(self, emulator: str, arch: str, machine: str, kind: str, cpu: str, flags: int) -> int:
        has = any(f">{model}</model>" in cpu for model in self.models)
        return int(libvirt.VIR_CPU_COMPARE_SUPERSET if has else libvirt.VIR_CPU_COMPARE_INCOMPATIBLE)


class Move:
    """Two hosts, and what is asked of the first; nothing is in the way until a test puts it there."""

    def __init__(self, patch: pytest.MonkeyPatch, home: Path) -> None:
        self.here, self.there = Host(1), Host(2)
        self.home, self.settings = home, dict[str, Any]()
        self.vm, self.to_dir = VM, DIR
        self.nodes: list[Doc] = []
        self.proved(self.here, "kvm")
        self.proved(self.there, "kvm")
        links = SimpleNamespace(commands=lambda ctx, host: Link(self.host(host)))
        patch.setattr(connection, "links", lambda ctx: links)
        patch.setattr("libvirt_qemu.qemuMonitorCommand", lambda *_: json.dumps({"return": self.nodes}))

    def proved(self, host: Host, hypervisor: str) -> None:
        """What guests of HOST run on."""
        record(self.home, host.document, host, hypervisor)  # type: ignore[arg-type]

    def host(self, host: Doc) -> Host:
        """As a context gives it."""
        return self.here if host["id"] == 1 else self.there

    def now(self) -> float:
        """As a context gives it."""
        return 0.0

    def check(self) -> None:
        """As a context gives it."""

    def problems(self, way: str, text: str = TEXT, **more: Any) -> list[str]:
        """What premigrate says of a guest with that document that moves in that WAY."""
        self.here.guest, self.here.saved = ("", text) if way == "suspended" else (text, "")
        self.here.paths |= {f"{DIR}/checkpoint"} if way == "suspended" else set()
        args = {"host": self.here.document, "to": self.there.document, "vm": self.vm, "datastore": STORE,
                "to_datastore": STORE, "to_dir": self.to_dir, **WAYS[way], **more}
        return list(premigrate(self, args)["problems"])  # type: ignore[arg-type]


class Link:
    """A host's link to libvirt, on which calls end at once."""

    def __init__(self, host: Host) -> None:
        self.host, self.why = host, ""

    def line(self, check: Any) -> Link:
        return self

    def leave(self) -> None:
        pass

    def ask(self, function: Callable[[Any], Any]) -> Any:
        return SimpleNamespace(wait=lambda _: True, result=lambda: function(self.host))


WAYS: dict[str, Doc] = {
    "live": {"live": True, "keeps_state": True}, "saved": {"live": False, "keeps_state": True},
    "suspended": {"live": False, "keeps_state": True}, "off": {"live": False, "keeps_state": False}}
"""A guest that moves as it runs, that is to be saved first, that is in its checkpoint, that starts anew."""
STATE = ("live", "saved", "suspended")


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Move:
    return Move(monkeypatch, tmp_path)


def put(name: str, value: Any) -> Callable[[Move], None]:
    """The other host has it so."""
    return lambda move: setattr(move.there, name, value)


def system_snapshot(move: Move) -> None:
    move.nodes = [{"node-name": "libvirt-2-format", "image": {"snapshots": [{"name": "snap-4"}]}}]


def unknown_name(move: Move) -> None:
    move.here.named = False


def unreachable(move: Move) -> None:
    move.here.reached = False


BREAKS: dict[str, tuple[Callable[[Move], None], tuple[str, ...], str]] = {
    "_hypervisor": (lambda move: move.proved(move.there, "qemu"), STATE,
                    "it runs on kvm, and node2 runs guests on qemu"),
    "_networks": (lambda move: move.there.paths.remove("/sys/class/net/br0/bridge"), tuple(WAYS),
                  "NIC 0: br0 on node2 is no bridge"),
    "_boot_files": (lambda move: move.there.paths.remove("/boot/k"), tuple(WAYS), "node2 has no /boot/k (OS KERNEL)"),
    "_machine": (put("machines", ["pc-q35-5.2"]), STATE,
                 "node2 has no machine pc-i440fx-7.2: asking for machine types: the machine 'pc-i440fx-7.2' is not "
                 "supported by emulator"),
    "_cpu": (put("models", ["Older"]), STATE,
             "node2 has another CPU than the guest's, without some of its features"),
    "_devices": (lambda move: None, STATE, "its hostdev is a part of node1 and cannot move"),
    "_ports": (put("listens", [22, 5912]), STATE, "port 5912, of its screen or console, is in use on node2"),
    "_files": (system_snapshot, ("live",),
               "it has system snapshots (snap-4) that would stay behind: delete these first"),
    "_reach": (unreachable, ("live",), "node1 does not reach libvirt on node2 by qemu+ssh://node2/system "
                                       "(kvm.migrate_uri): no route to host")}
"""Check -> how what it looks at is broken, in which ways of moving that matters, what is told."""


def test_every_check_is_tried() -> None:
    assert {check.__name__ for check in (*ALWAYS, *KEPT, *LIVE)} == set(BREAKS)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_speaks_against_a_host_like_the_first(move: Move, way: str) -> None:
    assert move.problems(way) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("check", BREAKS)
def test_what_is_in_the_way_is_told_where_it_matters(move: Move, check: str, way: str) -> None:
    breaks, ways, told = BREAKS[check]
    breaks(move)
    text = TEXT.replace("<memballoon", "<hostdev mode='subsystem'/><memballoon", 1) if check == "_devices" else TEXT
    assert move.problems(way, text) == ([told] if way in ways else [])


def test_all_that_is_in_the_way_is_told_at_once(move: Move) -> None:
    for check in ("_networks", "_machine", "_cpu", "_ports"):
        BREAKS[check][0](move)
    assert len(move.problems("suspended")) == 4


@pytest.mark.parametrize("way", STATE)
def test_an_emulated_guest_has_its_cpu_everywhere_but_not_on_kvm(move: Move, way: str) -> None:
    move.there.models = []
    text = TEXT.replace("type='kvm'", "type='qemu'", 1)
    for host in (move.here, move.there):
        host.getDomainCapabilities = lambda *_: ""  # type: ignore[method-assign]
    assert move.problems(way, text) == ["it runs on qemu, and node2 runs guests on kvm"]
    move.proved(move.there, "qemu")
    assert move.problems(way, text) == []


@pytest.mark.parametrize("way", STATE)
@pytest.mark.parametrize("mode", ["host-passthrough", "maximum"])
def test_a_guest_with_its_hosts_cpu_needs_all_of_that(move: Move, mode: str, way: str) -> None:
    text = TEXT.replace("mode='custom'", f"mode='{mode}'").replace("<model fallback='forbid'>qemu64</model>", "")
    assert move.problems(way, text) == []
    move.there.models = ["Older"]
    assert move.problems(way, text) == ["node2 has another CPU than the guest's, without some of its features"]
    move.here.cpu = "Older"
    assert move.problems(way, text) == []
    move.here.getDomainCapabilities = lambda *_: "<domainCapabilities/>"  # type: ignore[method-assign]
    assert move.problems(way, text) == ["node1 does not tell its CPU, which is the guest's too"]


def test_a_checkpoint_is_read_as_it_will_be_restored_and_not_touched(move: Move) -> None:
    move.vm = {**VM, "attrs": {"GRAPHICS": {"PORT": "5999"}}}
    move.there.listens = [5912]
    assert move.problems("suspended") == [] and move.here.asked == [f"{DIR}/checkpoint"]
    move.there.listens = [5999]
    assert move.problems("suspended") == ["port 5999, of its screen or console, is in use on node2"]
    move.here.paths = {*move.here.paths, f"{DIR}/checkpoint.part"} - {f"{DIR}/checkpoint"}
    move.here.asked.clear()
    premigrate(move, {"host": move.here.document, "to": move.there.document, "vm": VM,  # type: ignore[arg-type]
                      "keeps_state": True})
    assert move.here.asked == [f"{DIR}/checkpoint.part"]


def test_a_state_that_is_not_there_is_told(move: Move) -> None:
    for way, told in (("live", "VM 12 does not run on node1"),
                      ("saved", f"VM 12 does not run and has no checkpoint in {DIR}/checkpoint")):
        assert move.problems(way, "") == [told]
    assert move.problems("off", "") == []


def test_a_checkpoint_that_cannot_be_read_is_told(move: Move) -> None:
    def torn(path: str, flags: int) -> str:
        raise refusal(libvirt.VIR_ERR_OPERATION_FAILED, "not a saved image")
    move.here.saveImageGetXMLDesc = torn  # type: ignore[method-assign]
    assert move.problems("suspended") == ["reading the checkpoint of VM 12: not a saved image"]


def test_an_unknown_name_of_the_other_host_is_told(move: Move) -> None:
    unknown_name(move)
    assert ["there.example" in each for each in move.problems("live")] == [True]
    assert move.problems("saved") == []


def test_on_its_own_host_a_guest_meets_nothing_new(move: Move) -> None:
    for check in ("_hypervisor", "_machine", "_cpu", "_ports"):
        BREAKS[check][0](move)
    for way in ("saved", "suspended", "off"):
        assert move.problems(way, to=move.here.document, to_dir="/var/lib/onecore/datastores/7/12") == []


def test_a_cancel_is_no_problem_but_ends_it(move: Move) -> None:
    def cancel() -> int:
        raise Cancelled("cancelled")
    move.there.getLibVersion = cancel  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        move.problems("saved")
