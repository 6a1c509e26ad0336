"""Disks, NICs, snapshots, capacity: each command by the call it makes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onecore.wire.client import ClientError
from onecore.wire.template import parse

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
PARTS = (
    "<DISK><DISK_ID>0</DISK_ID><TARGET>vda</TARGET></DISK><DISK><DISK_ID>4</DISK_ID><TARGET>vdb</TARGET></DISK>"
    "<NIC><NIC_ID>0</NIC_ID><NAME>NIC0</NAME><INBOUND_AVG_BW>10</INBOUND_AVG_BW></NIC>"
    "<NIC_ALIAS><NIC_ID>2</NIC_ID><NAME>NIC0_ALIAS2</NAME><PARENT>NIC0</PARENT></NIC_ALIAS>"
    "<SNAPSHOT><SNAPSHOT_ID>1</SNAPSHOT_ID><NAME>before</NAME></SNAPSHOT>"
    "<SNAPSHOT><SNAPSHOT_ID>2</SNAPSHOT_ID><NAME>twice</NAME></SNAPSHOT>"
    "<SNAPSHOT><SNAPSHOT_ID>3</SNAPSHOT_ID><NAME>twice</NAME></SNAPSHOT>"
    '<OS><BOOT>disk0</BOOT></OS><CONTEXT><A>1 "2"</A></CONTEXT>'
)
TREES = "".join(
    f"<SNAPSHOTS><DISK_ID>{disk}</DISK_ID><SNAPSHOT><ID>{disk + 5}</ID><NAME>old</NAME></SNAPSHOT></SNAPSHOTS>"
    for disk in (0, 4)
)

CALLED = (
    "attach detach diskresize disksaveas attachnic detachnic updatenic snapshotcreate snapshotrevert snapshotdelete "
    "disksnapshotcreate disksnapshotrevert disksnapshotdelete disksnapshotrename resize updateconf attachsg detachsg"
)


@pytest.fixture(autouse=True)
def web(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """VM 7 has disks, NICs and snapshots; nothing is piped in; what is called succeeds."""
    monkeypatch.setattr("cli.source.piped", lambda: False)
    body = cloud.vm(7, "web", user="<SERIAL><TYPE>tcp</TYPE></SERIAL><A>1</A>", extra=PARTS).replace(
        "</VM>", f"{TREES}</VM>"
    )
    cloud.answers["one.vm.info"] = body
    cloud.vms(body)
    cloud.answers["one.imagepool.info"] = "<IMAGE_POOL><IMAGE><ID>3</ID><NAME>data</NAME></IMAGE></IMAGE_POOL>"
    cloud.answers["one.vnpool.info"] = "<VNET_POOL><VNET><ID>5</ID><NAME>private</NAME></VNET></VNET_POOL>"
    group = "<SECURITY_GROUP><ID>100</ID><NAME>web-servers</NAME></SECURITY_GROUP>"
    cloud.answers["one.secgrouppool.info"] = f"<SECURITY_GROUP_POOL>{group}</SECURITY_GROUP_POOL>"
    for name in CALLED.split():
        cloud.answers[f"one.vm.{name}"] = 7


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """TEXT on standard input."""
    monkeypatch.setattr("cli.source.piped", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.mark.parametrize(
    ("arguments", "method", "call"),
    [
        ("disk-detach web 4", "detach", (7, 4)),
        ("disk-detach web vdb", "detach", (7, 4)),
        ("disk-resize web 0 20g", "diskresize", (7, 0, "20480")),
        ("disk-resize web vda 512", "diskresize", (7, 0, "512")),
        ("nic-detach web 2", "detachnic", (7, 2)),
        ("nic-detach web NIC0_ALIAS2", "detachnic", (7, 2)),
        ("sg-attach web NIC0 100", "attachsg", (7, 0, 100)),
        ("sg-detach web 0 web-servers", "detachsg", (7, 0, 100)),
        ("snapshot-create web", "snapshotcreate", (7, "")),
        ("snapshot-create web before", "snapshotcreate", (7, "before")),
        ("snapshot-revert web 1", "snapshotrevert", (7, 1)),
        ("snapshot-revert web before", "snapshotrevert", (7, 1)),
        ("snapshot-delete 7 2", "snapshotdelete", (7, 2)),
        ("disk-snapshot-create web 0 new", "disksnapshotcreate", (7, 0, "new")),
        ("disk-snapshot-revert web vda old", "disksnapshotrevert", (7, 0, 5)),
        ("disk-snapshot-delete web vdb old", "disksnapshotdelete", (7, 4, 9)),
        ("disk-snapshot-rename web 4 old older", "disksnapshotrename", (7, 4, 9, "older")),
        ("resize web --cpu 2 --memory 8g", "resize", (7, 'CPU="2"\nMEMORY="8192"\n', False)),
        ("resize web --vcpu 4 -e", "resize", (7, 'VCPU="4"\n', True)),
    ],
)
def test_calls(one: Runner, cloud: Cloud, arguments: str, method: str, call: tuple[object, ...]) -> None:
    outcome = one("vm", *arguments.split())
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert cloud.made(f"one.vm.{method}") == [call]


def test_several_vms_get_a_snapshot(one: Runner, cloud: Cloud) -> None:
    assert one("vm", "snapshot-create", "7..9", "x").code == 0
    assert cloud.made("one.vm.snapshotcreate") == [(7, "x"), (8, "x"), (9, "x")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("disk-detach web vdz", "VM 7 has no disk vdz; it has: 0 vda, 4 vdb"),
        ("nic-detach web NIC9", "VM 7 has no NIC NIC9; it has: 0 NIC0, 2 NIC0_ALIAS2"),
        ("snapshot-revert web twice", "VM 7 has more than one snapshot twice; it has: 1 before, 2 twice, 3 twice"),
        ("disk-snapshot-revert web 0 new", "disk 0 of VM 7 has no snapshot new; it has: 5 old"),
        ("disk-snapshot-revert web 1 new", "disk 1 of VM 7 has no snapshot new; it has: none"),
        ("disk-resize web 0 huge", "SIZE 'huge' is not a size in MB"),
        ("disk-attach web", "give --image IMAGE, --volatile TYPE"),
        ("disk-attach web --size 8g", "give --image IMAGE, --volatile TYPE"),
        ("disk-attach web --image data --volatile fs --size 1g", "not both"),
        ("disk-attach web --volatile fs", "--volatile needs --size"),
        ("disk-attach web --image nothere", "IMAGE named nothere not found."),
        ("nic-attach web --ip 10.0.0.3", "give --network NETWORK"),
        ("resize web", "give --cpu, --vcpu or --memory"),
        ("resize web --cpu 1 --file x", "not both"),
        ("resize web --memory lots", "--memory 'lots' is not a size in MB"),
        ("resize web --cpu half", "--cpu 'half' is not a number of cores"),
        ("disk-attach web --volatile fs --size lots", "--size 'lots' is not a size in MB"),
    ],
)
def test_refusals_call_nothing(one: Runner, cloud: Cloud, arguments: str, told: str) -> None:
    outcome = one("vm", *arguments.split())
    assert (outcome.code, outcome.out) == (255, "")
    assert told in outcome.err
    assert {call[0] for call in cloud.calls} <= {"one.vm.info", "one.vmpool.info", "one.imagepool.info"}


@pytest.mark.parametrize(
    ("options", "disk"),
    [
        ("--image data", {"IMAGE_ID": "3"}),
        (
            "-i 3 -t vdc --cache none --discard unmap",
            {"IMAGE_ID": "3", "TARGET": "vdc", "CACHE": "none", "DISCARD": "unmap"},
        ),
        ("-i data --prefix sd --size 2g", {"IMAGE_ID": "3", "DEV_PREFIX": "sd", "SIZE": "2048"}),
        ("--volatile swap --size 512", {"TYPE": "swap", "SIZE": "512"}),
        (
            "--volatile fs --size 1g --format qcow2 -t vdd",
            {"TYPE": "fs", "SIZE": "1024", "FORMAT": "qcow2", "TARGET": "vdd"},
        ),
    ],
)
def test_disk_attach(one: Runner, cloud: Cloud, options: str, disk: dict[str, str]) -> None:
    outcome = one("vm", "disk-attach", "7", *options.split(), "-v")
    assert (outcome.code, outcome.out) == (0, "VM 7: attaching disk\n")
    ((oid, text),) = cloud.made("one.vm.attach")
    assert (oid, list(parse(text))) == (7, [("DISK", disk)])


@pytest.mark.parametrize(
    ("options", "what", "nic"),
    [
        ("--network private", "NIC", {"NETWORK_ID": "5"}),
        ("-n 5 -i 10.0.0.3 --nic_name mgmt", "NIC", {"NETWORK_ID": "5", "IP": "10.0.0.3", "NAME": "mgmt"}),
        ("-n 5 -a NIC0 --nic-name more", "NIC_ALIAS", {"NETWORK_ID": "5", "PARENT": "NIC0", "NAME": "more"}),
    ],
)
def test_nic_attach(one: Runner, cloud: Cloud, options: str, what: str, nic: dict[str, str]) -> None:
    assert one("vm", "nic-attach", "7", *options.split()).code == 0
    ((oid, text),) = cloud.made("one.vm.attachnic")
    assert (oid, list(parse(text))) == (7, [(what, nic)])


@pytest.mark.parametrize(
    ("verb", "method", "text", "what"),
    [
        ("disk-attach", "attach", 'DISK=[IMAGE="a, b", CACHE=none]\n', "DISK"),
        ("disk-attach", "attach", "IMAGE=a\nCACHE=none\n", "DISK"),
        ("nic-attach", "attachnic", "NIC=[NETWORK=a]\n", "NIC"),
        ("nic-attach", "attachnic", "NETWORK=a\n", "NIC"),
        ("nic-attach", "attachnic", "NIC_ALIAS=[NETWORK=a, PARENT=NIC0]\n", "NIC_ALIAS"),
        ("nic-attach", "attachnic", "<T><NIC><NETWORK>a</NETWORK></NIC></T>", "NIC"),
    ],
)
def test_templates(
    one: Runner,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    verb: str,
    method: str,
    text: str,
    what: str,
) -> None:
    (tmp_path / "t").write_text(text)
    assert one("vm", verb, "7", "-f", str(tmp_path / "t")).code == 0
    pipe(monkeypatch, text)
    assert one("vm", verb, "7").code == 0
    sent = cloud.made(f"one.vm.{method}")
    assert sent[0] == sent[1]
    assert [name for name, _ in parse(sent[0][1])] == [what]


@pytest.mark.parametrize("text", ["DISK=[A=1]\nDISK=[A=2]\n", "", "DISK=[ A", "DISK=[]\n"])
def test_a_template_holds_one(one: Runner, cloud: Cloud, tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    assert one("vm", "disk-attach", "7", "--file", str(tmp_path / "t")).code == 255
    assert cloud.calls == []


def test_disk_saveas(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vm.disksaveas"] = 12
    assert one("vm", "disk-saveas", "7", "0", "golden").out == "Image ID: 12\n"
    assert one("vm", "disk-saveas", "web", "vdb", "g", "-t", "DATABLOCK", "-s", "old").out == "Image ID: 12\n"
    assert cloud.made("one.vm.disksaveas") == [(7, 0, "golden", "", -1), (7, 4, "g", "DATABLOCK", 9)]


def test_what_the_server_refuses_is_told(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vm.detach"] = ClientError("[one.vm.detach] Wrong state SUSPENDED", 0x800)
    outcome = one("vm", "disk-detach", "7", "0")
    assert (outcome.code, outcome.err) == (255, "[one.vm.detach] Wrong state SUSPENDED\n")


def test_lists(one: Runner, cloud: Cloud) -> None:
    lines = one("vm", "snapshot-list", "7").out.splitlines()
    assert (lines[0], [line.split()[0] for line in lines[2:]]) == ("SNAPSHOTS", ["1", "2", "3"])
    lines = one("vm", "disk-snapshot-list", "7", "vdb").out.splitlines()
    assert (lines[0], [line.split()[:2] for line in lines[2:]]) == ("VM DISK SNAPSHOTS", [["9", "4"]])
    cloud.answers["one.vm.info"] = cloud.vm(7, "web")
    assert (
        one("vm", "snapshot-list", "7").out
        == one("vm", "disk-snapshot-list", "7", "0").out
        == "No snapshots available\n"
    )


def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """An $EDITOR that keeps what it was shown and runs SCRIPT on the file $1."""
    (tmp_path / "ed").write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/seen\n{script}\n')
    (tmp_path / "ed").chmod(0o755)
    monkeypatch.setenv("EDITOR", str(tmp_path / "ed"))


def test_nic_update(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, 'sed -i s/10/20/ "$1"')
    assert one("vm", "nic-update", "7", "NIC0", "-v").out == "VM 7: NIC 0 updated\n"
    assert 'INBOUND_AVG_BW="10"\n' in (tmp_path / "seen").read_text()
    (tmp_path / "t").write_text("INBOUND_AVG_BW=30\n")
    assert one("vm", "nic-update", "7", "2", str(tmp_path / "t"), "--append").code == 0
    assert one("vm", "nic-update", "7", "2", "-f", str(tmp_path / "t")).code == 0
    sent = cloud.made("one.vm.updatenic")
    assert [(oid, nic, append) for oid, nic, _, append in sent] == [(7, 0, 0), (7, 2, 1), (7, 2, 0)]
    assert [parse(text).vectors("NIC")[0]["INBOUND_AVG_BW"] for _, _, text, _ in sent] == ["20", "30", "30"]


@pytest.mark.parametrize("words", [("nic-update", "7", "0"), ("updateconf", "7")])
def test_two_files_are_one_too_many(one: Runner, cloud: Cloud, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "t").write_text("INBOUND_AVG_BW=30\n")
    outcome = one("vm", *words, str(tmp_path / "t"), "--file", str(tmp_path / "t"))
    assert (outcome.code, outcome.err) == (255, "give FILE or --file, not both\n")
    assert cloud.calls == []


def test_updateconf(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, tmp_path, 'sed -i s/disk0/nic0/ "$1"')
    assert one("vm", "updateconf", "web", "-v").out == "VM 7: configuration updated\n"
    assert (
        tmp_path / "seen"
    ).read_text() == 'OS=[\n  BOOT="disk0" ]\nSERIAL=[\n  TYPE="tcp" ]\nCONTEXT=[\n  A="1 \\"2\\"" ]\n'
    pipe(monkeypatch, "CONTEXT=[A=2]\n")
    assert one("vm", "updateconf", "web", "-a").code == 0
    assert cloud.made("one.vm.updateconf") == [
        (7, 'OS=[\n  BOOT="nic0" ]\nSERIAL=[\n  TYPE="tcp" ]\nCONTEXT=[\n  A="1 \\"2\\"" ]\n', 0),
        (7, "CONTEXT=[A=2]\n", 1),
    ]


def test_resize_from_standard_input(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, "CPU=2\n")
    assert one("vm", "resize", "7", "--enforce").code == 0
    assert cloud.made("one.vm.resize") == [(7, "CPU=2\n", True)]
