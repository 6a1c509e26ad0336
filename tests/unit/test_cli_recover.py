"""`onevm recover`, asked or asking, `onevm migrate`, and `onevm save`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.vm import recover, recover_asking
from onecore.wire.client import ClientError
from onecore.wire.states import RECOVER
from onecore.wire.template import parse

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
FAILED, WELL = (3, 38), (3, 3)


@pytest.mark.parametrize("name", RECOVER)
def test_recover(one: Runner, cloud: Cloud, name: str) -> None:
    cloud.answers["one.vm.recover"] = 7
    assert one("vm", "recover", "7", f"--{name}").code == 0
    outcome = one("vm", "recover", "7", f"--{name}", "--force")
    assert (outcome.code, outcome.err) == (0, f"{recover.FORCE}\n")
    assert cloud.made("one.vm.recover") == [(7, RECOVER[name]), (7, RECOVER[name], True)]


@pytest.mark.parametrize("options", [(), ("--retry", "--delete"), ("--success", "--interactive"), ("--force",)])
def test_recover_takes_exactly_one(one: Runner, cloud: Cloud, options: tuple[str, ...]) -> None:
    outcome = one("vm", "recover", "7", *options)
    assert (outcome.code, cloud.calls) == (255, [])
    assert "recover takes one of --failure" in outcome.err


@pytest.fixture
def answers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user chooses, in turn.  VM 7 has failed, until it is recovered."""
    chosen: list[str] = []
    state = {"pair": FAILED}

    def done(oid: int, how: int, *force: bool) -> int:
        state["pair"] = WELL
        return oid

    cloud.answers["one.vm.info"] = lambda oid: cloud.vm(oid, "web", *state["pair"], user="<ERROR>no room</ERROR>")
    cloud.answers["one.vm.recover"] = done
    cloud.answers["onecore.vm.log"] = "line 1\nline 2\n"
    cloud.answers["onecore.op.list"] = "[]"
    monkeypatch.setattr(recover_asking.click, "prompt", lambda *_, **__: chosen.pop(0))
    return chosen


def test_asking(one: Runner, cloud: Cloud, answers: list[str]) -> None:
    answers += ["l", "r"]
    outcome = one("vm", "recover", "7", "--interactive", "--retry")
    assert (outcome.code, outcome.err, answers) == (0, "", [])
    told = "VM 7 web: PROLOG_MIGRATE_FAILURE\n  error: no room\n  | line 1\n  | line 2\n"
    assert outcome.out == f"{told}{told}VM 7 web: RUNNING\n"
    assert cloud.made("onecore.vm.log") == [(7, 12), (7, 48)]
    assert cloud.made("one.vm.recover") == [(7, RECOVER["retry"])]


def test_no_more_of_the_log_than_there_may_be(one: Runner, cloud: Cloud, answers: list[str]) -> None:
    answers += ["l"] * 6 + ["q"]
    assert one("vm", "recover", "7", "--interactive").code == 0
    assert [lines for _, lines in cloud.made("onecore.vm.log")] == [12, 48, 192, 768, 3072, 10_000, 10_000]
    assert one("vm", "log", "7", "-n", "10001").code == 255


def test_asking_follows_what_it_began(one: Runner, cloud: Cloud, answers: list[str]) -> None:
    op = {
        "id": 5,
        "kind": "vm",
        "oid": 7,
        "name": "web",
        "what": "migrate",
        "step": "moving",
        "state": "running",
        "since": 0,
    }
    cloud.answers["onecore.op.list"] = lambda flag: json.dumps([op] if cloud.made("one.vm.recover") else [])
    cloud.answers["onecore.op.info"] = json.dumps(op)
    cloud.answers["onecore.op.wait"] = json.dumps(op | {"state": "ended", "ok": True})
    answers += ["s"]
    outcome = one("vm", "recover", "7", "--interactive")
    assert outcome.out.splitlines()[-2:] == ["migrate of vm 7 web: moving", "VM 7 web: RUNNING"]


def test_asking_goes_on_after_a_refusal(one: Runner, cloud: Cloud, answers: list[str]) -> None:
    cloud.answers["one.vm.recover"] = ClientError("node1 shows the guest running", 0x800)
    answers += ["s", "f", "q"]
    outcome = one("vm", "recover", "7", "--interactive", "--force")
    assert outcome.code == 0
    assert outcome.err.splitlines().count("node1 shows the guest running") == 2
    assert cloud.made("one.vm.recover") == [(7, RECOVER["success"], True), (7, RECOVER["failure"], True)]


@pytest.fixture
def places(cloud: Cloud) -> None:
    """A host and a datastore have names; migrations are taken."""
    cloud.answers["one.hostpool.info"] = "<HOST_POOL><HOST><ID>3</ID><NAME>node3</NAME></HOST></HOST_POOL>"
    cloud.answers["one.datastorepool.info"] = (
        "<DATASTORE_POOL><DATASTORE><ID>100</ID><NAME>fast</NAME></DATASTORE></DATASTORE_POOL>"
    )
    cloud.answers["one.vm.migrate"] = 7


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ("7 node3", [(7, 3, False, False, -1, 0)]),
        ("7,9 3 fast -e", [(7, 3, False, True, 100, 0), (9, 3, False, True, 100, 0)]),
        ("7 3 --live", [(7, 3, True, False, -1, 0)]),
        ("7 3 --poff", [(7, 3, False, False, -1, 1)]),
        ("7 3 100 --poff-hard --enforce", [(7, 3, False, True, 100, 2)]),
    ],
)
@pytest.mark.usefixtures("places")
def test_migrate(one: Runner, cloud: Cloud, arguments: str, calls: list[tuple[Any, ...]]) -> None:
    assert one("vm", "migrate", *arguments.split()).code == 0
    assert cloud.made("one.vm.migrate") == calls


@pytest.mark.usefixtures("places")
def test_migrate_one_way_at_a_time(one: Runner, cloud: Cloud) -> None:
    outcome = one("vm", "migrate", "7", "3", "--live", "--poff")
    assert (outcome.code, outcome.err) == (255, "give one of --live, --poff and --poff-hard\n")
    assert cloud.made("one.vm.migrate") == []


DISKS = (
    "<TEMPLATE_ID>2</TEMPLATE_ID><VCPU>2</VCPU>"
    "<DISK><DISK_ID>0</DISK_ID><IMAGE_ID>4</IMAGE_ID><TYPE>FILE</TYPE><TARGET>vda</TARGET><CACHE>none</CACHE></DISK>"
    "<DISK><DISK_ID>1</DISK_ID><IMAGE_ID>5</IMAGE_ID><TYPE>CDROM</TYPE><TARGET>hda</TARGET></DISK>"
    "<DISK><DISK_ID>3</DISK_ID><TYPE>swap</TYPE><SIZE>512</SIZE><FORMAT>raw</FORMAT></DISK>"
    "<DISK><DISK_ID>4</DISK_ID><IMAGE_ID>6</IMAGE_ID><TYPE>FILE</TYPE><TARGET>vdc</TARGET></DISK>"
)


@pytest.fixture
def off(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[int, list[int]]:
    """VM 7 is off and can be saved: images 30 and 31 go through the states that are returned."""
    images = {30: [4, 1], 31: [1]}
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", 8, 0, extra=DISKS)
    cloud.answers["one.template.clone"] = 9
    cloud.answers["one.vm.disksaveas"] = lambda *_: 29 + len(cloud.made("one.vm.disksaveas"))
    cloud.answers["one.image.info"] = lambda oid: (
        f"<IMAGE><STATE>{images[oid].pop(0) if len(images[oid]) > 1 else images[oid][0]}</STATE></IMAGE>"
    )
    for name in ("one.template.update", "one.template.delete", "one.image.persistent", "one.image.delete"):
        cloud.answers[name] = 9
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return images


def test_save(one: Runner, cloud: Cloud, off: dict[int, list[int]]) -> None:
    outcome = one("vm", "save", "7", "golden")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Template ID: 9\n", "")
    assert cloud.made("one.template.clone") == [(2, "golden", False)]
    assert cloud.made("one.vm.disksaveas") == [(7, 0, "golden-disk-0", "", -1), (7, 4, "golden-disk-4", "", -1)]
    ((template, text, append),) = cloud.made("one.template.update")
    assert (template, append) == (9, 1)
    tree = parse(text)
    assert tree.vectors("DISK") == [
        {"IMAGE_ID": "30", "TARGET": "vda", "CACHE": "none"},
        {"IMAGE_ID": "5", "TARGET": "hda"},
        {"TYPE": "swap", "FORMAT": "raw", "SIZE": "512"},
        {"IMAGE_ID": "31", "TARGET": "vdc"},
    ]
    assert (tree.get("CPU"), tree.get("VCPU"), tree.get("MEMORY")) == ("0.5", "2", "1024")
    assert cloud.made("one.image.persistent") == []


def test_save_persistent(one: Runner, cloud: Cloud, off: dict[int, list[int]]) -> None:
    assert one("vm", "save", "7", "golden", "--persistent").code == 0
    assert cloud.made("one.image.persistent") == [(30, True), (31, True)]


def test_what_cannot_be_saved_leaves_nothing(one: Runner, cloud: Cloud, off: dict[int, list[int]]) -> None:
    off[31] = [4, 5]
    cloud.answers["one.image.delete"] = lambda oid, force: ClientError("busy", 0x800) if oid == 31 else oid
    outcome = one("vm", "save", "7", "golden")
    assert outcome.code == 255
    assert outcome.err == "image 31 is left over: busy\nimage 31 could not be made; onevm log tells why\n"
    assert cloud.made("one.template.delete") == [(9, False)]
    assert cloud.made("one.image.delete") == [(30, True), (31, True)]


@pytest.mark.parametrize(
    ("body", "told"),
    [((7, "web", 3, 3, "", DISKS), "is RUNNING, not POWEROFF"), ((7, "web", 8, 0), "not made from a template")],
)
def test_what_is_not_saved(
    one: Runner, cloud: Cloud, off: dict[int, list[int]], body: tuple[Any, ...], told: str
) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(*body)
    assert told in one("vm", "save", "7", "golden").err
    assert cloud.made("one.template.clone") == []
