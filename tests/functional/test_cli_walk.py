"""onegroup, oneuser, oneacl, onehook, onesecgroup, onezone and oneaudit against a cloud of dummy hosts."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cloud_process import Cloud, unique, until

from cli.main import program
from cli.program import run

One = Callable[..., str]


@pytest.fixture
def one(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> One:
    """one("group", "list") as oneadmin gives what was printed; AssertionError with the message when it fails."""
    for name in ("ONE_XMLRPC", "ONE_AUTH", "HOME"):
        monkeypatch.setenv(name, cloud.environment[name])
    monkeypatch.setattr("cli.source.piped", lambda: False)

    def go(kind: str, *arguments: str, code: int = 0) -> str:
        ended = run(program(kind), list(arguments))
        told = capsys.readouterr()
        assert ended == code, told.err
        return told.out + told.err
    return go


def made(told: str) -> int:
    """The id in `ID: 7`."""
    assert told.startswith("ID: ")
    return int(told.split()[1])


def test_a_tenant_from_the_cradle_to_the_grave(cloud: Cloud, one: One, tmp_path: Path) -> None:
    """A group with an administrator and rules; what it may and may not; all of it in the audit; and its end."""
    staff, boss, ann = unique("staff"), unique("boss"), unique("ann")
    assert "would be: one.group.allocate, id" in one("group", "create", staff, "--dry-run")
    assert staff not in one("group", "list")
    gid = made(one("group", "create", staff, "--admin_user", boss, "--admin_password", "secret"))
    uid = made(one("user", "create", ann, "secret"))
    one("user", "addgroup", ann, staff)
    assert f"{gid}" in one("user", "show", ann).split("SECONDARY GROUPS")[1].splitlines()[0]
    assert f"@{gid} VM+IMAGE" in one("acl", "list", "-l", "ID,RULE", "--csv")
    one("group", "addadmin", staff, ann)
    first = one("user", "list", "-f", f"NAME={boss}", "-l", "ID", "--csv", "--no-header").strip()
    assert f"\nADMINS\n{first}, {uid}\n" in one("group", "show", staff)
    one("group", "deladmin", staff, ann)

    limits = tmp_path / "limits"
    limits.write_text('VM=[VMS="1"]\n')
    one("user", "quota", ann, str(limits))
    assert "0 / 1" in one("user", "show", ann)
    client = cloud.client_as(ann, "secret")
    vm = client.number("one.vm.allocate", "CPU=1\nMEMORY=64\n", True)
    assert "1 / 1" in one("user", "list", "-f", f"NAME={ann}")
    one("user", "disable", ann)
    assert "No" in one("user", "list", "-f", f"NAME={ann}", "-l", "ENAB")
    one("user", "enable", ann)
    one("vm", "terminate", str(vm), "--hard")
    until(20, "the VM to end", lambda: cloud.vm_state(vm) == "DONE")

    login = ("--user", ann, "--password", "secret")
    assert "Not authorized" in one("user", "delete", first, *login, code=255)
    refused = json.loads(one("audit", "list", "--by", ann, "--refused", "-j"))["AUDIT"]["ROW"]
    refused = refused if isinstance(refused, dict) else refused[0]
    assert (refused["METHOD"], refused["OUTCOME"], refused["NAME"]) == ("one.user.delete", "refused", ann)
    assert "Not authorized" in refused["RULE"]
    rows = one("audit", "list", "--kind", "vm", "--id", str(vm), "--by", ann, "-l", "METHOD,WHAT,RULE", "--csv")
    assert "one.vm.allocate,create" in rows
    seq = one("audit", "list", "--limit", "1", "-l", "ID", "--csv", "--no-header").strip()
    assert f"AUDIT ROW {seq}\n" in one("audit", "show", seq)

    assert "still has users" in one("group", "delete", staff, code=255)
    one("user", "delgroup", ann, staff)
    one("user", "delete", f"{ann},{boss}")
    one("group", "delete", staff)
    assert f"@{gid} " not in one("acl", "list", "-l", "RULE", "--csv")


def test_rules(one: One) -> None:
    """Made, shown as they were written, refused twice, tried, removed."""
    name = unique("rules")
    uid = made(one("user", "create", name, "secret"))
    text = f"#{uid} VM+NET/%0 USE+MANAGE #0"
    assert "would be: one.acl.addrule, id" in one("acl", "create", text, "--dry-run")
    oid = made(one("acl", "create", text))
    assert f"RULE                : {text}\n" in one("acl", "show", str(oid))
    assert "already exists" in one("acl", "create", *text.split(), code=255)
    assert "Error getting" in one("acl", "create", "#999999 VM/* USE", code=255)
    one("acl", "delete", str(oid))
    assert f"there is no ACL rule {oid}" in one("acl", "show", str(oid), code=255)
    one("user", "delete", name)


def test_hooks(one: One, tmp_path: Path) -> None:
    """One that fails: in the log with what it printed, run again, locked, renamed, deleted."""
    script, name = tmp_path / "hook", unique("hook")
    script.write_text("#!/bin/sh\necho told $1\necho wrong >&2\nexit 3\n")
    script.chmod(0o755)
    file = tmp_path / "hook.txt"
    file.write_text(f'NAME="{name}"\nTYPE=api\nCALL=one.zone.rename\nCOMMAND="{script}"\nARGUMENTS="here"\n')
    one("hook", "create", str(file))
    zone = one("zone", "list", "-l", "NAME", "--csv", "--no-header").strip()
    one("zone", "rename", "0", unique("zone"))
    until(30, "the hook to run", lambda: "ERROR" in one("hook", "log", "--hook-id", name, "--error"))
    shown = one("hook", "show", name, "-e", "0")
    assert "RC                  : 3\n" in shown and "STANDARD OUTPUT\ntold here\n" in shown and "wrong" in shown
    assert one("hook", "log", "--hook-id", name, "--success") == ""
    one("hook", "retry", name, "0")
    until(30, "the hook to run again", lambda: one("hook", "log", "--hook-id", name).count("ERROR") == 2)
    one("hook", "lock", name)
    assert "LOCK                : Use\n" in one("hook", "show", name)
    one("hook", "unlock", name)
    one("hook", "rename", name, f"{name}-more")
    one("hook", "delete", f"{name}-more")
    one("zone", "rename", "0", zone)


def test_security_groups(one: One, tmp_path: Path) -> None:
    """From a file; copied, changed, committed, removed."""
    name, file = unique("sg"), tmp_path / "sg.txt"
    file.write_text(f'NAME="{name}"\nRULE=[PROTOCOL="TCP",RULE_TYPE="inbound",RANGE="22,80"]\n')
    oid = made(one("secgroup", "create", str(file)))
    assert "would be: one.secgroup.clone" in one("secgroup", "clone", name, f"{name}-copy", "--dry-run")
    copy = made(one("secgroup", "clone", name, f"{name}-copy"))
    assert "22,80" in one("secgroup", "show", f"{name}-copy")
    file.write_text('RULE=[PROTOCOL="UDP",RULE_TYPE="inbound"]\n')
    one("secgroup", "update", name, str(file))
    one("secgroup", "commit", name)
    assert "UDP" in one("secgroup", "show", name)
    one("secgroup", "delete", f"{oid},{copy}")


def test_the_zone(cloud: Cloud, one: One, tmp_path: Path) -> None:
    """Disabled it is for administrators alone; no second one is made; where it is can be kept."""
    _, user = cloud.make_user()
    file = tmp_path / "zone.txt"
    file.write_text("NAME=more\nENDPOINT=http://127.0.0.1:1/RPC2\n")
    assert "nothing is federated" in one("zone", "create", str(file), code=255)
    one("zone", "disable", "0")
    try:
        assert "DISABLED" in one("zone", "list")
        with pytest.raises(Exception, match="the zone is disabled"):
            user.call("one.vm.allocate", "CPU=1\nMEMORY=64\n", True)
    finally:
        one("zone", "enable", "0")
    assert "one_endpoint: http" in one("zone", "set", "0")
    (cloud.user_home / ".one/one_endpoint").unlink()
