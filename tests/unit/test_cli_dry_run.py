"""`--dry-run`: what would change something is tried by the server, and nothing is said to be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import onecore.app  # noqa: F401  so that all methods are declared
from cli.session import reads
from onecore.api import TABLE
from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


def test_which_methods_only_read() -> None:
    """What the client takes for a read is one."""
    assert {name for name in TABLE if reads(name)} == {name for name, found in TABLE.items() if found.reads}


def test_a_dry_run_tries_changes_and_reads_as_ever(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.grouppool.info"] = "<GROUP_POOL><GROUP><ID>100</ID><NAME>staff</NAME></GROUP></GROUP_POOL>"
    cloud.answers["onecore.dryrun"] = lambda method, *arguments: 117 if method.endswith("allocate") else arguments[0]
    outcome = one("group", "delete", "staff", "--dry-run", "-v")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "would be: one.group.delete of 100\n")
    outcome = one("user", "create", "ann", "secret", "--dry-run")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "would be: one.user.allocate, id 117\n")
    outcome = one("group", "create", "more", "--dry-run")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "would be: one.group.allocate, id 117\n")
    assert cloud.made("onecore.dryrun")[0] == ("one.group.delete", 100)
    assert {call[0] for call in cloud.calls} == {"one.grouppool.info", "onecore.dryrun"}


def test_a_dry_run_tells_what_would_be_refused(one: Runner, cloud: Cloud) -> None:
    cloud.answers["onecore.dryrun"] = ClientError("[one.group.delete] it still has users", 0x800)
    outcome = one("group", "delete", "100", "--dry-run")
    assert (outcome.code, outcome.err) == (255, "[one.group.delete] it still has users\n")


def test_what_cannot_be_tried(one: Runner, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing to --wait for" in one("vm", "exec", "7", "x", "--wait", "--dry-run").err
    cloud.answers["one.vm.info"] = cloud.vm(7, "web", 8, 0, extra="<TEMPLATE_ID>3</TEMPLATE_ID>")
    assert "which --dry-run cannot try" in one("vm", "save", "7", "copy", "--dry-run").err
    cloud.answers["onecore.dryrun"] = "t0ken"
    monkeypatch.setenv("ONE_AUTH", str(tmp_path / "auth"))
    outcome = one("user", "login", "--user", "ann", "--password", "x", "--dry-run")
    assert outcome.out == "" and f"would be: {tmp_path / 'auth'}: token of ann" in outcome.err
    assert not (tmp_path / "auth").exists()


def test_a_dry_run_writes_no_file_and_does_not_say_so(
    one: Runner, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ONE_XMLRPC", "http://here:2633/RPC2")
    cloud.answers["one.zone.info"] = "<ZONE><TEMPLATE><ENDPOINT>http://a:2633/RPC2</ENDPOINT></TEMPLATE></ZONE>"
    outcome = one("user", "token-set", "--token", "ann:new", "--dry-run")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"would be: {tmp_path}/.one/one_auth: token of ann\n"
    outcome = one("zone", "set", "0", "--dry-run")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"would be: {tmp_path}/.one/one_endpoint: http://a:2633/RPC2\n"
    assert not (tmp_path / ".one").exists()
