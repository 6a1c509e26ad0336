"""Completion: what shells source, and names and ids from the server."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.completion import objects
from cli.kinds import NAMES, kind
from cli.main import program
from cli.onecore import SHELLS, main
from cli.program import run

if TYPE_CHECKING:
    from cli_fake import Cloud

pytest_plugins = ["cli_fake"]


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_know_every_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for name in ("onecore", *(kind(n).program for n in NAMES)):
        assert f"_{name.upper()}_COMPLETE={shell}_complete" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 255
    assert "'tcsh' is not one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("incomplete", "comma", "found"),
    [
        ("w", False, ["web", "work"]),
        ("", False, ["web", "work", "db"]),
        ("1", False, ["12"]),
        ("3,d", True, ["3,db"]),
        ("3,d", False, []),
        ("x", True, []),
    ],
)
def test_names_and_ids(cloud: Cloud, incomplete: str, comma: bool, found: list[str]) -> None:
    cloud.vms(cloud.vm(3, "web"), cloud.vm(4, "work"), cloud.vm(12, "db"))
    assert [item.value for item in objects(kind("vm"), {}, incomplete, comma)] == found


def test_silence_when_there_is_no_server(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert objects(kind("vm"), {}, "", False) == []
    assert capsys.readouterr() == ("", "")


PARTS = (
    "<DISK><DISK_ID>0</DISK_ID><TARGET>vda</TARGET></DISK><DISK><DISK_ID>4</DISK_ID><TARGET>vdb</TARGET></DISK>"
    "<NIC><NIC_ID>0</NIC_ID><NAME>NIC0</NAME></NIC><SNAPSHOT><SNAPSHOT_ID>1</SNAPSHOT_ID><NAME>old</NAME></SNAPSHOT>"
)
TREES = "<SNAPSHOTS><DISK_ID>4</DISK_ID><SNAPSHOT><ID>7</ID><NAME>first</NAME></SNAPSHOT></SNAPSHOTS>"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("onevm disk-detach web v", ["vda", "vdb"]),
        ("onevm disk-detach 3 ''", ["vda", "vdb", "0", "4"]),
        ("onevm nic-detach web N", ["NIC0"]),
        ("onevm snapshot-revert web ''", ["old", "1"]),
        ("onevm disk-snapshot-revert web vdb ''", ["first", "7"]),
        ("onevm disk-snapshot-delete web 4 f", ["first"]),
        ("onevm disk-snapshot-delete web 0 ''", []),
        ("onevm disk-detach nobody v", []),
    ],
)
def test_parts_of_the_vm_before(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, found: list[str]
) -> None:
    cloud.vms(cloud.vm(3, "web"))
    cloud.answers["one.vm.info"] = cloud.vm(3, "web", extra=PARTS).replace("</VM>", f"{TREES}</VM>")
    monkeypatch.setenv("_ONEVM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert run(program("vm"), []) == 0
    assert capsys.readouterr().out.split() == [f"plain,{word}" for word in found]


def test_a_shell_that_asks(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.vms(cloud.vm(3, "web"))
    monkeypatch.setenv("_ONEVM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "onevm show w")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run(program("vm"), []) == 0
    assert capsys.readouterr().out == "plain,web\n"
    monkeypatch.setenv("COMP_WORDS", "onevm ter")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run(program("vm"), []) == 0
    assert capsys.readouterr().out == "plain,terminate\n"
