"""The verbs of `onevm`, each by the call it makes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.kinds.vm import ACTIONS as NAMES
from cli.vm.actions import ACTIONS

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
GOLDEN = Path(__file__).parents[1] / "golden/cli"
HARD = ("terminate", "poweroff", "undeploy", "reboot")


def test_the_names_are_those_of_the_table() -> None:
    assert list(ACTIONS) == list(NAMES)
    assert tuple(name for name, known in ACTIONS.items() if known.hard) == HARD


@pytest.mark.parametrize("name", NAMES)
def test_actions(one: Runner, cloud: Cloud, name: str) -> None:
    cloud.answers["one.vm.action"] = 7
    outcome = one("vm", name, "7")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert cloud.made("one.vm.action") == [(name, 7)]
    assert one("vm", name, "7", "--hard").code == (0 if name in HARD else 255)
    if name in HARD:
        assert cloud.made("one.vm.action")[1:] == [(f"{name}-hard", 7)]


def test_deploy_takes_names(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.hostpool.info"] = "<HOST_POOL><HOST><ID>3</ID><NAME>node3</NAME></HOST></HOST_POOL>"
    cloud.answers["one.datastorepool.info"] = (
        "<DATASTORE_POOL><DATASTORE><ID>100</ID><NAME>fast</NAME></DATASTORE></DATASTORE_POOL>"
    )
    cloud.answers["one.vm.deploy"] = 7
    assert one("vm", "deploy", "7", "node3").code == 0
    assert one("vm", "deploy", "7,8", "3", "fast", "--enforce").code == 0
    assert cloud.made("one.vm.deploy") == [(7, 3, False, -1, ""), (7, 3, True, 100, ""), (8, 3, True, 100, "")]


def test_show_is_the_golden_one(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    cloud.answers["one.vm.info"] = (GOLDEN / "vm-body.xml").read_text()
    assert one("vm", "show", "7").out == (GOLDEN / "vm-show.txt").read_text()


def test_show_tells_why_it_waits_only_while_it_waits(one: Runner, cloud: Cloud) -> None:
    why = "<SCHED_MESSAGE>no room</SCHED_MESSAGE>"
    cloud.answers["one.vm.info"] = cloud.vm(1, "a", 1, 0, user=why)
    assert "WAITS BECAUSE       : no room\n" in one("vm", "show", "1").out
    cloud.answers["one.vm.info"] = cloud.vm(1, "a", 3, 3, user=why)
    assert "WAITS BECAUSE" not in one("vm", "show", "1").out


def test_show_in_other_forms(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vm.info"] = cloud.vm(1, "web")
    assert one("vm", "show", "1", "-o", "name").out == "web\n"
    assert one("vm", "show", "1", "-x").out.startswith("<VM>\n  <ID>1</ID>")
    assert '"NAME": "web"' in one("vm", "show", "1", "-j").out
    assert "NAME: web" in one("vm", "show", "1", "-y").out
    assert (
        one("vm", "show", "1", "-o", "csv")
        .out.splitlines()[1]
        .startswith("1,oneadmin,oneadmin,web,runn,0.5,256M,node1,")
    )


def test_log_and_monitoring(one: Runner, cloud: Cloud) -> None:
    cloud.answers["onecore.vm.log"] = "line 1\nline 2\n"
    assert one("vm", "log", "7", "-n", "2").out == "line 1\nline 2\n"
    assert cloud.made("onecore.vm.log") == [(7, 2)]
    sample = (
        "<MONITORING><CPU>3</CPU><MEMORY>2048</MEMORY><NETRX>1048576</NETRX><TIMESTAMP>1000</TIMESTAMP></MONITORING>"
    )
    cloud.answers["one.vm.monitoring"] = f"<MONITORING_DATA>{sample}</MONITORING_DATA>"
    assert one("vm", "monitoring", "7", "--csv").out == "TIME,CPU,MEM,NETRX,NETTX,DISKRD,DISKWR\n1000,3,2M,1M,-,-,-\n"


@pytest.mark.parametrize(
    ("octet", "bits"),
    [
        ("640", (1, 1, 0, 1, 0, 0, 0, 0, 0)),
        ("777", (1,) * 9),
        ("000", (0,) * 9),
        ("421", (1, 0, 0, 0, 1, 0, 0, 0, 1)),
        ("u=rw,g=r", (1, 1, 0, 1, 0, 0, 0, 0, 0)),
        ("u=rwx,g=-,o=x", (1, 1, 1, 0, 0, 0, 0, 0, 1)),
    ],
)
def test_chmod(one: Runner, cloud: Cloud, octet: str, bits: tuple[int, ...]) -> None:
    cloud.answers["one.vm.chmod"] = 7
    assert one("vm", "chmod", "7", octet).code == 0
    assert cloud.made("one.vm.chmod") == [(7, *bits)]


@pytest.mark.parametrize("octet", ["64", "6400", "648", "u+r", "６４０", "u=rwz", "a=r", "u=rw,", "="])
def test_chmod_refuses(one: Runner, cloud: Cloud, octet: str) -> None:
    assert one("vm", "chmod", "7", octet).code == 255
    assert cloud.calls == []


def test_owner_group_lock_and_name(one: Runner, cloud: Cloud) -> None:
    cloud.answers.update(dict.fromkeys(("one.vm.chown", "one.vm.lock", "one.vm.unlock", "one.vm.rename"), 7))
    cloud.answers["one.userpool.info"] = "<USER_POOL><USER><ID>5</ID><NAME>ann</NAME></USER></USER_POOL>"
    assert (
        one("vm", "chown", "7", "ann").code
        == one("vm", "chown", "7", "5", "1").code
        == one("vm", "chgrp", "7", "1").code
        == 0
    )
    assert cloud.made("one.vm.chown") == [(7, 5, -1), (7, 5, 1), (7, -1, 1)]
    for options in ((), ("--manage",), ("--all",)):
        one("vm", "lock", "7", *options)
    assert cloud.made("one.vm.lock") == [(7, 1, False), (7, 2, False), (7, 4, False)]
    assert one("vm", "unlock", "7").code == one("vm", "rename", "7", "new name").code == 0
    assert cloud.made("one.vm.rename") == [(7, "new name")]
