"""The pure parts of live migration: documents, stages, flags, what is copied, and the fences of both hosts."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

libvirt = pytest.importorskip("libvirt")

from drivers.base import Permanent  # noqa: E402
from drivers.fence import fenced_on_both  # noqa: E402
from drivers.local import LocalExecutor  # noqa: E402
from drivers.vm.domain.live import Live  # noqa: E402
from drivers.vm.domain.moved import moved_xml  # noqa: E402
from drivers.vm.handover import Teller, flags_of, stage  # noqa: E402
from drivers.vm.move_files import file_problems, plan, refuse_unmovable  # noqa: E402
from drivers.vm.settings import parse  # noqa: E402
from onecore.wire.messages import Doc  # noqa: E402

TEXT = (Path(__file__).parent.parent / "golden" / "live" / "guest.xml").read_text()
DIR = "/var/lib/onecore/datastores/0/12"
DISK = {"DISK_ID": "0", "TYPE": "FILE", "IMAGE_ID": "1", "SOURCE": "/images/a", "FORMAT": "qcow2", "CLONE": "YES",
        "TARGET": "vda"}
VM: Doc = {"id": 12, "dir": DIR, "tm_mad": "ssh", "attrs": {}, "disks": [DISK],
           "snapshots": {"0": {"base": 1, "list": [{"id": 0, "parent": -1}, {"id": 1, "parent": 0}]}}}
FOUND = {"disk.0": "", "disk.0.snap/0": "", "disk.0.snap/1": "", "disk.1": "", "console.log": "", "snapshot.4": ""}


def test_the_document_names_what_is_there_and_nothing_of_here() -> None:
    made = moved_xml(TEXT, DIR, {**VM, "dir": "/elsewhere/7/12"})
    assert 'file="/elsewhere/7/12/disk.0"' in made and 'file="/elsewhere/7/12/disk.1"' in made
    assert 'file="/elsewhere/7/12/console.log"' in made and 'generation="1"' in made
    for gone in (DIR, "backingStore", "mirror", "disk.0.snap", "index="):
        assert gone not in made.replace("index='0'", "").replace('index="0"', "")


def test_a_disk_gets_its_name_whatever_qemu_calls_it() -> None:
    text = TEXT.replace(f"<source file='{DIR}/disk.0' index", f"<source file='{DIR}/disk.0.snap/7' index")
    assert f'file="{DIR}/disk.0"' in moved_xml(text, DIR, VM)


@pytest.mark.parametrize(("stats", "found"), [
    ({}, ("copying memory", 0, 0)),
    ({"disk_total": 9, "disk_remaining": 5, "disk_processed": 4}, ("copying disks", 4, 9)),
    ({"disk_total": 9, "disk_remaining": 0, "memory_total": 7, "memory_processed": 3, "memory_remaining": 4},
     ("copying memory", 3, 7)),
    ({"memory_total": 7, "memory_processed": 9, "memory_remaining": 1}, ("copying memory", 9, 9)),
    ({"memory_total": 7, "memory_processed": 9, "memory_remaining": 0}, ("switching over", 9, 9))])
def test_stages(stats: Doc, found: tuple[str, int, int]) -> None:
    assert stage(stats) == found


def test_each_stage_is_told_by_itself_and_only_as_it_goes_on() -> None:
    """Much of a disk, then little of memory: that is further, too; a memory that stands still is not."""
    disk = {"disk_total": 900, "disk_remaining": 5, "disk_processed": 895, "memory_total": 7}
    memory = {**disk, "disk_remaining": 0, "memory_processed": 3, "memory_remaining": 4}
    told: list[tuple[str, int, int]] = []
    switch = {**memory, "memory_processed": 7, "memory_remaining": 0}
    seen = [disk, disk, memory, memory, {**memory, "memory_processed": 5}]
    guest = SimpleNamespace(domain=SimpleNamespace(jobStats=lambda: seen.pop(0)))
    ctx = SimpleNamespace(progress=lambda step, done=0, total=0: told.append((step, done, total)), now=lambda: 0.0)
    tell = Teller(ctx, guest)  # type: ignore[arg-type]
    tell.say("copying disks")
    while seen:
        tell(None)
    assert told == [("copying disks", 0, 0), ("copying disks", 895, 900), ("copying memory", 3, 7),
                    ("copying memory", 5, 7)]
    tell.over()
    assert told[4:] == [("switching over", 0, 0)]
    seen = [switch, switch, switch]
    while seen:
        tell(None)
    assert told[5:] == [("switching over", 7, 7)]  # told again and again it would never be late


def test_flags() -> None:
    features = {"MIGRATE_AUTO_CONVERGE": "YES", "MIGRATE_COMPRESSED": "yes"}
    plain, more = flags_of(VM, copies=False), flags_of({**VM, "attrs": {"FEATURES": features}}, copies=True)
    assert plain & libvirt.VIR_MIGRATE_PEER2PEER and plain & libvirt.VIR_MIGRATE_LIVE
    assert not plain & libvirt.VIR_MIGRATE_NON_SHARED_INC and more & libvirt.VIR_MIGRATE_NON_SHARED_INC
    assert more & libvirt.VIR_MIGRATE_AUTO_CONVERGE and more & libvirt.VIR_MIGRATE_COMPRESSED


def test_what_the_guest_writes_is_copied_by_qemu_and_the_rest_as_it_is() -> None:
    doing = plan(VM, Live(TEXT), FOUND)
    assert doing.made == {"vda": DISK}
    assert doing.names == ["disk.0.snap/0", "disk.0.snap/1", "disk.1", "snapshot.4"]
    assert file_problems(VM, doing, Live(TEXT), one_host=True) == []


def test_a_link_to_an_image_is_copied_as_a_link_and_stays_open_on_its_host() -> None:
    doing = plan({**VM, "snapshots": {}}, Live(TEXT), {**FOUND, "disk.0": "/images/a"})
    assert doing.made == {} and "disk.0" in doing.names
    assert file_problems(VM, doing, Live(TEXT), one_host=False) == []
    with pytest.raises(Permanent, match="vda is its image itself"):
        refuse_unmovable(VM, doing, Live(TEXT), one_host=True)


def test_the_uri_has_a_place_for_the_host() -> None:
    assert parse({"kvm": {"migrate_uri": "qemu+tls://{host}/system"}}).migrate_uri == "qemu+tls://{host}/system"
    with pytest.raises(Permanent, match="migrate_uri must have {host}"):
        parse({"kvm": {"migrate_uri": "qemu+tls://node/system"}})


class Fences:
    """A context of which only the executors are needed, each of another host."""

    def __init__(self) -> None:
        self.here, self.there = LocalExecutor(), LocalExecutor()

    def host(self, host: Doc) -> LocalExecutor:
        return self.here if host["name"] == "here" else self.there

    def sleep(self, seconds: float) -> None:
        raise AssertionError("it waits for itself")


@pytest.mark.parametrize("to", ["datastores/0/12", "datastores/7/12", "other/0/12"])
def test_both_fences_are_held_also_where_they_are_one(tmp_path: Path, to: str) -> None:
    fences = Fences()
    args = {"host": {"name": "here"}, "to": {"name": "there"}, "vm": {"id": 12, "dir": f"{tmp_path}/datastores/0/12"},
            "_": {"epoch": 1, "generation": 1, "op": 7}}
    with fenced_on_both(fences, args, fences.there, f"{tmp_path}/{to}"):  # type: ignore[arg-type]
        fences.here.run(["true"])
        fences.there.run(["true"])
        older = {**args, "_": {"epoch": 1, "generation": 1, "op": 6}}
        with pytest.raises(Permanent, match="superseded"), fenced_on_both(
                fences, older, fences.there, f"{tmp_path}/{to}"):  # type: ignore[arg-type]
            pass
