"""A running domain's document, read: tests/golden/live/guest.xml is one as libvirt 9 shows it."""
from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("libvirt")

from drivers.base import Permanent
from drivers.vm.agent import outcome
from drivers.vm.domain import Facts, disk_xml, interface_xml, scsi_xml
from drivers.vm.domain.live import Live, altered, emptied
from drivers.vm.resize import dimms_to_remove, refuse_impossible
from drivers.vm.snapshots import holders, refuse_another_shape
from onecore.wire.messages import Doc

TEXT = (Path(__file__).parent.parent / "golden" / "live" / "guest.xml").read_text()
DIR = "/var/lib/onecore/datastores/0/12"
VM: Doc = {"id": 12, "dir": DIR, "vcpu": 2, "cpu": 1.0, "memory_mb": 512, "attrs": {}, "disks": [], "nics": [],
           "context_disk": {"DISK_ID": "1", "TARGET": "hda", "DEV_PREFIX": "hd"}}
NIC = {"NIC_ID": "0", "MAC": "02:00:C0:A8:7B:AE", "BRIDGE": "onebr0"}


@pytest.fixture
def live() -> Live:
    return Live(TEXT)


def test_what_the_guest_has(live: Live) -> None:
    assert (live.hypervisor, live.processors, live.memory_kib) == ("qemu", (2, 4), (524288, 524288))
    assert (live.slots_kib, live.shares, live.agent()) == (1048576, 1024, "disconnected")
    assert [size for size, _ in live.dimms_kib()] == [131072, 262144]
    assert not live.has_scsi() and not live.has_variables()


def test_a_disk_by_its_files_name(live: Live) -> None:
    disk = live.disk(0)
    assert disk and (disk.target, disk.format, disk.path, disk.node) == ("vda", "qcow2", f"{DIR}/disk.0",
                                                                         "libvirt-2-format")
    assert disk.chain == [f"{DIR}/disk.0", f"{DIR}/disk.0.snap/1", f"{DIR}/disk.0.snap/disk.0.snap/0",
                          "/var/lib/onecore/datastores/1/ab12"]
    assert [index for _, index in disk.layers] == ["2", "3", "4", "5"]
    assert (disk.job, disk.is_ready, disk.copy_path) == ("copy", True, f"{DIR}/disk.0.saveas.tmp")
    assert live.disk(7) is None and live.at("vdx") is None


def test_a_drive(live: Live) -> None:
    drive = live.at("hda")
    assert drive and drive.is_removable and drive.is_readonly and drive.number == "1" and not drive.job


def test_a_nic_by_its_mac(live: Live) -> None:
    assert "net0" in (live.interface(NIC) or "") and live.interface({"MAC": "02:00:00:00:00:01"}) is None


def test_what_changes_in_a_nic_is_taken_from_the_new_one(live: Live) -> None:
    wanted = interface_xml(VM, Facts(), {**NIC, "BRIDGE": "other", "LINK_STATE": "DOWN", "INBOUND_AVG_BW": "9",
                                         "MODEL": "e1000", "FILTER": "clean-traffic"})
    made = altered(live.interface(NIC) or "", wanted)
    for part in ('bridge="other"', 'state="down"', 'average="9"', 'filter="clean-traffic"', 'name="net0"', "virtio"):
        assert part in made
    back = altered(made, interface_xml(VM, Facts(), NIC))
    assert "bandwidth" not in back and "link" not in back and "filterref" not in back


def test_devices_for_a_guest_that_runs_have_no_place_in_the_order_of_boot() -> None:
    disk = {"DISK_ID": "2", "TYPE": "fs", "FORMAT": "raw", "TARGET": "sda", "DEV_PREFIX": "sd"}
    made = disk_xml({**VM, "disks": [disk]}, Facts(), disk)
    assert made.startswith("<disk") and f"{DIR}/disk.2" in made and "boot" not in made
    assert 'model="virtio-scsi"' in (scsi_xml(VM, Facts(), disk) or "")
    assert scsi_xml(VM, Facts(), {**disk, "TARGET": "vda", "DEV_PREFIX": "vd"}) is None


def test_an_empty_drive() -> None:
    drive = disk_xml(VM, Facts(), VM["context_disk"])
    assert 'device="cdrom"' in drive and f"{DIR}/disk.1" in drive
    assert "source" not in emptied(drive) and 'dev="hda"' in emptied(drive)


def test_a_screens_password(live: Live) -> None:
    assert live.screen("old") is None
    assert 'passwd="new"' in (live.screen("new") or "") and 'port="5912"' in (live.screen("new") or "")


@pytest.mark.parametrize(("more", "said"), [
    ({"vcpu": 5}, "VCPU_MAX"), ({"vcpu": 1}, "emulated"), ({"memory_mb": 2048}, "MEMORY_MAX")])
def test_what_cannot_be_is_refused_before_anything_is_done(live: Live, more: Doc, said: str) -> None:
    with pytest.raises(Permanent, match=said):
        refuse_impossible({**VM, **more}, live)


def test_what_can_be_is_not_refused(live: Live) -> None:
    refuse_impossible({**VM, "vcpu": 4, "memory_mb": 1024}, live)
    refuse_impossible({**VM, "vcpu": 1}, Live(TEXT.replace("type='qemu' id", "type='kvm' id")))


@pytest.mark.parametrize(("kib", "found"), [(0, []), (262144, ["b"]), (393216, ["b", "a"]), (131072, None), (1, None)])
def test_memory_goes_as_it_came(kib: int, found: list[str] | None) -> None:
    assert dimms_to_remove([(131072, "a"), (262144, "b")], kib) == found


def test_a_saved_state_fits_what_it_was_made_of(live: Live) -> None:
    shape = live.shape()
    assert shape["processors"] == "0,1" and shape["net0"].startswith("interface bus=0x00")
    refuse_another_shape(VM, shape, live.shape())
    with pytest.raises(Permanent, match="net0.*none now.*processors .0,1 then, 0 now"):
        refuse_another_shape(VM, shape, {name: value for name, value in {**shape, "processors": "0"}.items()
                                         if name != "net0"})


def test_only_qcow2_holds_system_snapshots(live: Live) -> None:
    assert holders(VM, live) == ["libvirt-2-format"]
    with pytest.raises(Permanent, match="in qcow2, and vda is not"):
        holders(VM, Live(TEXT.replace("type='qcow2'/>\n      <source", "type='raw'/>\n      <source")))


def test_how_a_command_ended() -> None:
    assert outcome(7, {"exited": True, "exitcode": 3, "out-data": "aGkK"}) == {
        "pid": 7, "return_code": 3, "stdout": "hi\n", "stderr": ""}
    assert outcome(7, {"exited": True, "signal": 9, "err-data": "/w=="})["return_code"] == 137
