"""Domain documents of VMs that are wrong or hostile: refused with a reason, or harmless text."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from drivers.base import Permanent
from drivers.vm.domain import Facts, domain_xml
from drivers.vm.domain.saved import renewed


def vm(**more: Any) -> dict[str, Any]:
    return {"id": 7, "name": "seven", "generation": 2, "uuid": "", "dir": "/ds/0/7", "cpu": 1, "vcpu": 1,
            "memory_mb": 64, "attrs": {}, "disks": [], "nics": [], "context_disk": None, **more}


def disk(**more: str) -> dict[str, str]:
    return {"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "1", "FORMAT": "raw", "TARGET": "vda", **more}


def root(**more: Any) -> etree._Element:
    return etree.fromstring(domain_xml(vm(**more), Facts()))


@pytest.mark.parametrize(("wrong", "said"), [
    ({"disks": [disk(TARGET="zz0")]}, "'zz' is no device prefix"),
    ({"disks": [disk(TOTAL_IOPS_SEC="many")]}, "TOTAL_IOPS_SEC must be a whole number"),
    ({"disks": [disk(TOTAL_IOPS_SEC="-1")]}, "TOTAL_IOPS_SEC must be a whole number"),
    ({"nics": [{"NIC_ID": "0"}]}, "NIC 0 has no BRIDGE"),
    ({"attrs": {"GRAPHICS": {"TYPE": "RDP"}}}, "GRAPHICS TYPE 'RDP'"),
    ({"attrs": {"OS": {"MACHINE": "pc\x01"}}}, "os/type/@machine"),
    ({"attrs": {"RAW": {"TYPE": "kvm", "DATA": "<a>"}}}, "RAW/DATA is not XML"),
    ({"attrs": {"RAW": {"TYPE": "kvm", "DATA": "</domain><domain>"}}}, "RAW/DATA is not XML"),
    ({"attrs": {"RAW": {"TYPE": "kvm", "DATA": "<!DOCTYPE x [<!ENTITY e 'e'>]><a/>"}}}, "RAW/DATA is not XML"),
    ({"attrs": {"RAW": {"TYPE": "kvm", "DATA": "<name>one-8</name>"}}}, "RAW may not change <name>"),
    ({"attrs": {"RAW": {"TYPE": "kvm", "DATA": "<metadata/>"}}}, "RAW may not change <metadata>"),
])
def test_what_cannot_be_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(Permanent) as refused:
        domain_xml(vm(**wrong), Facts())
    assert said in str(refused.value)


def test_the_serial_port_is_told_by_the_attributes_alone() -> None:
    """The core puts what the user template has of it there, with the port that nobody else has."""
    user = {"SERIAL": {"PORT": "4012"}}
    for attrs, kind in (({}, "pty"), ({"SERIAL": {"TYPE": "pty"}}, "pty"), (user, "tcp")):
        assert root(attrs=attrs, user=user).find("devices/serial").get("type") == kind  # type: ignore[union-attr]


def test_no_attribute_of_a_disk_can_choose_its_file_or_format() -> None:
    found = root(disks=[disk(DRIVER="qcow2", SOURCE="/etc/shadow", PATH="/etc/shadow", CLONE="NO")])
    assert found.find("devices/disk/source").get("file") == "/ds/0/7/disk.0"  # type: ignore[union-attr]
    assert found.find("devices/disk/driver").get("type") == "raw"  # type: ignore[union-attr]


def test_a_clone_is_qcow2_whatever_its_image_is() -> None:
    found = root(disks=[disk(CLONE="YES", FORMAT="raw")])
    assert found.find("devices/disk/driver").get("type") == "qcow2"  # type: ignore[union-attr]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")))
def test_text_stays_text(text: str) -> None:
    found = root(attrs={"OS": {"KERNEL_CMD": text, "KERNEL": "/k"}, "GRAPHICS": {"TYPE": "VNC", "PASSWD": text}})
    assert (found.findtext("os/cmdline") or "") == text.strip()
    assert (found.find("devices/graphics").get("passwd") or "") == text.strip()  # type: ignore[union-attr]
    assert [child.tag for child in found].count("os") == 1


@pytest.mark.parametrize("tm_mad", ["shared", "ssh"])
def test_a_copied_clone_keeps_its_images_format(tm_mad: str) -> None:
    for kept in ("raw", "qcow2"):
        found = root(disks=[disk(CLONE="YES", FORMAT=kept)], tm_mad=tm_mad)
        assert found.find("devices/disk/driver").get("type") == kept  # type: ignore[union-attr]


def test_a_checkpoint_gets_the_nvram_and_the_bridges_of_now() -> None:
    nics = [{"NIC_ID": str(i), "BRIDGE": f"br{i}", "MAC": f"02:00:0a:00:00:0{i}"} for i in range(2)]
    saved = domain_xml(vm(nics=nics, attrs={"OS": {"FIRMWARE": "UEFI"}}), Facts())
    nics[1]["BRIDGE"] = "other"
    found = etree.fromstring(renewed(saved, vm(nics=nics, dir="/other/0/7")))
    assert found.findtext("os/nvram") == "/other/0/7/one-7_VARS.fd"
    assert [nic.get("bridge") for nic in found.findall("devices/interface/source")] == ["br0", "other"]


def test_a_checkpoint_gets_the_present_generation_and_directory() -> None:
    saved = domain_xml(vm(disks=[disk()], name="/ds/0/7/disk.0"), Facts())
    found = etree.fromstring(renewed(saved, vm(generation=9, dir="/other/0/7")))
    assert found.find("metadata/{urn:onecore:domain:1}vm").get("generation") == "9"  # type: ignore[union-attr]
    assert found.find("devices/disk/source").get("file") == "/other/0/7/disk.0"  # type: ignore[union-attr]
    assert found.find("devices/serial/log").get("file") == "/other/0/7/console.log"  # type: ignore[union-attr]
    assert found.findtext("title") == "/ds/0/7/disk.0"


def test_a_checkpoint_gets_the_ports_of_now() -> None:
    old = {"GRAPHICS": {"TYPE": "VNC", "PORT": "5907"}, "SERIAL": {"PORT": "20007"}}
    new = {"GRAPHICS": {"TYPE": "VNC", "PORT": "5908"}, "SERIAL": {"PORT": "20008"}}
    found = etree.fromstring(renewed(domain_xml(vm(attrs=old), Facts()), vm(attrs=new)))
    assert found.find("devices/graphics").get("port") == "5908"  # type: ignore[union-attr]
    assert [node.get("service") for node in found.findall("devices/serial/source")] == ["20008"]
    same = etree.fromstring(renewed(domain_xml(vm(attrs=old), Facts()), vm()))
    assert same.find("devices/graphics").get("port") == "5907"  # type: ignore[union-attr]


def test_a_checkpoint_gets_the_names_that_its_disks_have() -> None:
    """Whatever QEMU called them: one that was a snapshot once, one in a datastore that the console's log never saw."""
    saved = domain_xml(vm(disks=[disk()]), Facts()).replace("/disk.0\"", "/disk.0.snap/3\"")
    found = etree.fromstring(renewed(saved, vm(dir="/other/0/7")))
    assert [node.get("file") for node in found.findall("devices/disk/source")] == ["/other/0/7/disk.0"]
