"""`list`: tables, columns, filters and the other forms, against a fake server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from lxml import etree

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
GOLDEN = Path(__file__).parents[1] / "golden/cli"


@pytest.fixture(autouse=True)
def three(cloud: Cloud) -> None:
    """A running VM, a pending one, and one that is off and to be placed anew."""
    cloud.vms(cloud.vm(0, "web"), cloud.vm(1, "database-with-a-long-name", 1, 0), cloud.vm(12, "old", 8, 0, resched=1))


def test_table_is_the_golden_one(one: Runner) -> None:
    assert one("vm", "list").out == (GOLDEN / "vm-list.txt").read_text()


def test_pool_is_asked_with_everything_but_done(one: Runner, cloud: Cloud) -> None:
    one("vm", "list")
    assert cloud.made("one.vmpool.info") == [(-2, -1, -1, -1)]


@pytest.mark.parametrize(
    ("word", "flag"),
    [("a", -2), ("all", -2), ("m", -3), ("mine", -3), ("g", -1), ("group", -1), ("G", -4), ("7", 7), ("ann", 5)],
)
def test_filter_flags(one: Runner, cloud: Cloud, word: str, flag: int) -> None:
    cloud.answers["one.userpool.info"] = "<USER_POOL><USER><ID>5</ID><NAME>ann</NAME></USER></USER_POOL>"
    assert one("vm", "list", word).code == 0
    assert cloud.made("one.vmpool.info")[0][0] == flag


def test_chosen_columns(one: Runner) -> None:
    assert one("vm", "list", "-l", "ID,ip", "--no-header").out.split() == [
        "0",
        "10.0.0.0",
        "1",
        "10.0.0.1",
        "12",
        "10.0.0.12",
    ]
    assert one("vm", "list", "-c", "user").out.split()[:3] == ["ID", "NAME", "IP"]


def test_numeric_and_kilobytes(one: Runner) -> None:
    assert (
        one("vm", "list", "-n", "-k", "-l", "USER,GROUP,MEM", "--csv", "--no-header").out.splitlines()[0]
        == "0,0,131072"
    )


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("STAT=runn", ["web"]),
        ("STAT!=runn", ["database-with-a-long-name", "old"]),
        ("ID>=1", ["database-with-a-long-name", "old"]),
        ("ID<2,STAT=pend", ["database-with-a-long-name"]),
        ("NAME~^.*base", ["database-with-a-long-name"]),
        ("MEM>1G", ["old"]),
        ("mem<=128M", ["web"]),
        ("HOST=-", ["database-with-a-long-name"]),
    ],
)
def test_filters(one: Runner, condition: str, names: list[str]) -> None:
    assert one("vm", "list", "-f", condition, "-o", "name").out.splitlines() == names


def test_conditions_may_be_joined_with_or(one: Runner) -> None:
    assert one("vm", "list", "-f", "ID=0,ID=12", "--operator", "OR", "-o", "name").out.splitlines() == ["web", "old"]


def test_filters_hold_for_documents_too(one: Runner) -> None:
    assert [e.text for e in etree.fromstring(one("vm", "list", "-x", "-f", "ID=1").out).findall("VM/ID")] == ["1"]


def test_csv_quotes_and_other_delimiters(one: Runner, cloud: Cloud) -> None:
    cloud.vms(cloud.vm(3, "a,b"))
    assert one("vm", "list", "--csv", "-l", "ID,NAME").out == 'ID,NAME\n3,"a,b"\n'
    assert one("vm", "list", "--csv", "--csv-del", ";", "-l", "ID,NAME").out == "ID;NAME\n3;a,b\n"


def test_json_and_yaml_hold_the_same(one: Runner) -> None:
    whole = json.loads(one("vm", "list", "-j").out)
    assert [v["NAME"] for v in whole["VM_POOL"]["VM"]] == ["web", "database-with-a-long-name", "old"]
    assert yaml.safe_load(one("vm", "list", "-y").out) == whole
    assert json.loads(one("vm", "list", "-o", "json").out) == whole


def test_an_empty_pool_is_a_header(one: Runner, cloud: Cloud) -> None:
    cloud.vms()
    assert len(one("vm", "list").out.splitlines()) == 1
    assert one("vm", "list", "-o", "name").out == ""
    assert json.loads(one("vm", "list", "-j").out) == {"VM_POOL": {}}


def test_extended_bodies(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vmpool.infoextended"] = f"<VM_POOL>{cloud.vm(4, 'full')}</VM_POOL>"
    assert "full" in one("vm", "list", "-x", "--extended").out
    cloud.answers["one.hostpool.info"] = "<HOST_POOL><HOST><ID>3</ID></HOST></HOST_POOL>"
    cloud.answers["one.host.info"] = "<HOST><ID>3</ID><NAME>whole</NAME></HOST>"
    assert "whole" in one("host", "list", "-x", "--extended").out
    assert cloud.made("one.host.info") == [(3,)]


def test_describe_needs_no_server(one: Runner, cloud: Cloud) -> None:
    assert one("vm", "list", "--describe").out.startswith("ID              : Id of the virtual machine\n")
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-l", "ID,WHAT"), "no column WHAT"),
        (("-f", "WHAT=1"), "no column WHAT"),
        (("-f", "STAT"), "is not a filter"),
        (("-f", "NAME~["), "regular expression"),
        (("-s", "NAME=x"), "not a width"),
        (("-s", "NAME=-3"), "not a width"),
        (("-c", "nope"), "no set of columns"),
        (("--csv", "--csv-del", "ab"), "one character"),
        (("-o", "pdf"), "pdf"),
        (("nobody",), "USER named nobody not found."),
    ],
)
def test_mistakes_are_told_in_one_line(one: Runner, cloud: Cloud, arguments: tuple[str, ...], told: str) -> None:
    cloud.answers["one.userpool.info"] = "<USER_POOL/>"
    outcome = one("vm", "list", *arguments)
    assert outcome.code == 255
    assert told in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert outcome.out == ""


def test_quotas_beside_users_are_not_users(one: Runner, cloud: Cloud) -> None:
    usage = "<QUOTAS><ID>2</ID><VM_QUOTA><VM><VMS>9</VMS><VMS_USED>3</VMS_USED></VM></VM_QUOTA></QUOTAS>"
    cloud.answers["one.userpool.info"] = (
        f"<USER_POOL><USER><ID>2</ID><NAME>ann</NAME></USER>{usage}<DEFAULT_USER_QUOTAS/></USER_POOL>"
    )
    assert one("user", "list", "--csv", "-l", "ID,NAME,VMS", "--no-header").out == "2,ann,3 / 9\n"
    assert one("user", "list", "-o", "name").out == "ann\n"


def test_kilobytes_of_quotas(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.userpool.info"] = (
        "<USER_POOL><USER><ID>2</ID><VM_QUOTA><VM><MEMORY>2048</MEMORY><MEMORY_USED>512</MEMORY_USED></VM></VM_QUOTA>"
        "</USER></USER_POOL>"
    )
    assert one("user", "list", "--csv", "-l", "MEMORY", "--no-header").out == "512M / 2G\n"
    assert one("user", "list", "--csv", "-l", "MEMORY", "--no-header", "-k").out == "524288 / 2097152\n"


def test_top_lists_until_it_is_interrupted(one: Runner, monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    outcome = one("vm", "top", "-d", "2")
    assert (outcome.code, naps, len(cloud.calls)) == (130, [2.0, 2.0, 2.0], 3)
