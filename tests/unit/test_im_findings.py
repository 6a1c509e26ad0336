"""What the facts about a host mean for `onehost check`: verdicts, words and fixes."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.hand import probe_check
from drivers.im.findings import NAMES, findings, not_asked, unreachable

HOST = {"id": 3, "name": "node1"}
FACTS: dict[str, Any] = {
    "user": {"uid": 0, "name": "root"}, "python": "3.11.2", "local": False, "reached": 0.004, "skew": 0.01,
    "libvirt": {"version": "9.0.0", "qemu": "7.2.22", "ms": 12}, "qemu": {"path": "/usr/bin/qemu", "version": "7.2.22"},
    "kvm": {"device": True, "usable": True}, "kind": "kvm", "tools": ["virsh", "qemu-img", "ip", "xorriso"],
    "storage": [{"id": 0, "there": "/ds/0", "error": "", "sees": True, "free_mb": 900}],
    "bridges": [{"name": "br0", "there": True, "bridge": True, "uplinks": ["eth0"]}]}
STORE = {"id": 0, "base_path": "/ds/0", "shared": True, "token": ".t"}


def of(name: str, datastore: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """The check NAME with some facts changed."""
    found = findings(HOST, {**FACTS, **facts}, [{**STORE, **(datastore or {})}])
    return next(each for each in found if each["name"] == name)


def test_a_good_host_has_no_fix() -> None:
    found = findings(HOST, FACTS, [STORE])
    assert [each["name"] for each in found] == [*NAMES, "storage 0", "bridge br0"]
    assert all(each["ok"] and each["found"] and not each["fix"] for each in found)


@pytest.mark.parametrize(("name", "facts", "found", "fix"), [
    ("root", {"user": {"uid": 7, "name": "oneadmin"}}, "oneadmin", "SSH_USER=root"),
    ("libvirt", {"libvirt": {"error": "libvirt does not answer (8 s)"}}, "does not answer", "systemctl"),
    ("versions", {"libvirt": {"error": "away"}}, "libvirt unknown", "check"),
    ("qemu", {"qemu": {"path": "", "version": ""}}, "no emulator", "qemu-system"),
    ("qemu", {"kind": "kvm.hypervisor must be auto"}, "must be", "oned.conf"),
    ("tools", {"tools": ["virsh", "ip"]}, "no qemu-img, no genisoimage or xorriso", "qemu-utils genisoimage"),
    ("clock", {"skew": -4.5}, "4.5 s behind", "chrony"),
    ("clock", {"skew": 3600.0}, "3600.0 s ahead of", "chrony"),
    ("storage 0", {"storage": [{"id": 0, "there": "/ds/0", "error": "Read-only file system", "sees": True}]},
     "Read-only", "writable"),
    ("storage 0", {"storage": [{"id": 0, "there": "/ds/0", "error": "", "sees": False, "free_mb": 1}]},
     "other files", "mount the same"),
    ("bridge br0", {"bridges": [{"name": "br0", "there": True, "bridge": False, "uplinks": []}]},
     "no bridge", "BRIDGE"),
])
def test_what_is_wrong_says_what_to_do(name: str, facts: dict[str, Any], found: str, fix: str) -> None:
    check = of(name, **facts)
    assert not check["ok"] and found in check["found"] and fix in check["fix"]


def test_a_local_datastore_must_not_be_the_front_ends() -> None:
    check = of("storage 0", {"shared": False})
    assert not check["ok"] and "SHARED=YES" in check["fix"]
    apart = [{"id": 0, "there": "/ds", "error": "", "sees": False, "free_mb": 5}]
    assert "will be made in /ds, 5 MB free, apart" in of("storage 0", {"shared": False}, storage=apart)["found"]


def test_nothing_is_said_of_sharing_where_there_is_nothing_to_see() -> None:
    apart = [{"id": 0, "there": "/ds", "error": "", "sees": False, "free_mb": 5}]
    assert of("storage 0", {"token": ""}, storage=apart)["ok"] and of("storage 0", local=True, storage=apart)["ok"]


@pytest.mark.parametrize(("kind", "kvm", "said"), [
    ("kvm", {"device": True, "usable": True}, "KVM"), ("qemu", {"device": False, "usable": False}, "no /dev/kvm"),
    ("qemu", {"device": True, "usable": False}, "cannot be opened"),
    ("qemu", {"device": True, "usable": True}, "proved"),
])
def test_emulation_works_and_is_said(kind: str, kvm: dict[str, bool], said: str) -> None:
    check = of("qemu", kind=kind, kvm=kvm)
    assert check["ok"] and said in check["found"]


def test_a_host_that_cannot_be_reached_is_one_finding() -> None:
    ssh, python = unreachable(HOST, "oneadmin", "node1: SSH: Connection refused")
    assert not ssh["ok"] and "refused" in ssh["found"] and "firewall" in ssh["fix"]
    assert python["found"] == "not asked" and not_asked(["libvirt"])[0]["ok"] is False


@pytest.mark.parametrize(("said", "fix"), [
    ("node1: its SSH key is not known; add it", "the message says"),
    ("node1: ITS SSH KEY HAS CHANGED, it may be another machine", "the message says"),
    ("node1: its SSH server takes none of our keys for root", "the message says"),
    ("node1: SSH: Name or service not known", "resolves"),
    ("node1: no answer from its SSH server within 5 s", "firewall"),
    ("node1: SSH: something else", "oneadmin@node1"),
])
def test_each_way_of_not_being_reached_has_its_fix(said: str, fix: str) -> None:
    assert fix in unreachable(HOST, "oneadmin", said)[0]["fix"]


def test_a_libvirt_that_hangs_is_restarted_and_not_installed() -> None:
    check = of("libvirt", libvirt={"error": "libvirt does not answer (8 s)"})
    assert not check["ok"] and "restart" in check["fix"] and "install" not in check["fix"]


@pytest.mark.parametrize("said", ["node1: no Python 3 on this host",
                                  "node1: Python 3.9 or newer is needed, this is 3.6.8"])
def test_a_host_without_python_answers_and_lacks_python(said: str) -> None:
    ssh, python = unreachable(HOST, "root", said)
    assert ssh["ok"] and not python["ok"] and python["found"] == said and "install" in python["fix"]


def test_bridges_are_looked_at(tmp_path: Path) -> None:
    for path in ("br0/bridge", "br0/brif/eth0", "br0/brif/one-1-0", "eth0", "one-1-0"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "one-1-0/tun_flags").touch()
    assert probe_check.bridge("br0", str(tmp_path)) == {"name": "br0", "there": True, "bridge": True,
                                                        "uplinks": ["eth0"]}
    assert probe_check.bridge("eth0", str(tmp_path))["bridge"] is False
    assert probe_check.bridge("br9", str(tmp_path))["there"] is False
