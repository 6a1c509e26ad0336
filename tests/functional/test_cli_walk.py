"""onegroup, oneuser, oneacl, onehook, onesecgroup, onevmgroup, onevdc, onezone, oneaudit; a cloud of dummy hosts."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from cloud_process import Cloud, unique, until
from makers import One

from onecore.wire.client import ClientError


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

    def refusal() -> str:
        """What is told of one; nothing while other tests fill the second with refusals."""
        assert "Not authorized" in one("user", "delete", first, *login, code=255)
        told = one("audit", "list", "--by", ann, "--refused", "-j")
        return told if "one.user.delete" in told else ""
    refused = json.loads(until(20, "a refusal that is kept", refusal))["AUDIT"]["ROW"]
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


def test_vm_groups(cloud: Cloud, one: One, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file; roles come, change and go, by id or name; VMs join and leave; rights, locks, the end."""
    name, file = unique("shop"), tmp_path / "group.txt"
    file.write_text(f'NAME="{name}"\nROLE=[NAME="web",POLICY="ANTI_AFFINED"]\nROLE=[NAME="db"]\nNOTE="mine"\n')
    oid = made(one("vmgroup", "create", str(file)))
    file.write_text('NAME = "cache"\nHOST_AFFINED = "1,2"\n')
    one("vmgroup", "role-add", name, str(file))
    file.write_text('ROLE = [ NAME = "store", POLICY = "AFFINED" ]\n')
    one("vmgroup", "role-update", name, "cache", str(file))
    assert "it has: 0 web, 1 db, 2 store" in one("vmgroup", "role-delete", name, "cache", code=255)
    one("vmgroup", "role-delete", name, "db")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\ncat "$1" >&2; sed -i "s/ANTI_AFFINED/AFFINED/" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    one("vmgroup", "role-update", name, "0")
    vm = cloud.make_vm(unique("vm"), hold=True)
    one("vm", "vmgroup-add", str(vm), name, "store")
    assert f"VM GROUP            : {oid}, role store\n" in one("vm", "show", str(vm))
    shown = one("vmgroup", "show", name)
    assert "web          AFFINED" in shown and "store        AFFINED" in shown and f" {vm}\n" in shown
    assert one("vmgroup", "list", "-f", f"NAME={name}", "-l", "VMS,ROLES", "--csv", "--no-header") == '1,"web, store"\n'
    assert f"has VMs {vm}" in one("vmgroup", "delete", name, code=255)
    one("vm", "vmgroup-del", str(vm))
    one("vmgroup", "lock", name, "--manage")
    assert "LOCK                : Manage\n" in one("vmgroup", "show", name)
    one("vmgroup", "unlock", name)
    one("vmgroup", "chmod", name, "640")
    file.write_text('NOTE="yours"\n')
    one("vmgroup", "update", name, str(file))
    assert 'NOTE = "yours"' in one("vmgroup", "show", name).replace("NOTE=", "NOTE = ")
    one("vmgroup", "rename", name, f"{name}-2")
    one("vmgroup", "delete", f"{name}-2")
    cloud.client.call("one.vm.action", "terminate", vm)


def test_images_change_their_type(cloud: Cloud, one: One) -> None:
    """chtype; of snapshots an image without any has none to tell of."""
    image = cloud.make_image(unique("disk"))
    one("image", "chtype", str(image), "datablock")
    assert "DATABLOCK" in one("image", "show", str(image)).upper()
    for verb in ("delete", "revert", "flatten"):
        assert "snapshot" in one("image", f"snapshot-{verb}", str(image), "0", code=255)
    one("image", "delete", str(image))


def test_virtual_data_centres(cloud: Cloud, one: One, tmp_path: Path) -> None:
    """Groups and resources are given and taken, ALL of a kind too."""
    name, team = unique("lab"), unique("team")
    gid, host = made(one("group", "create", team)), cloud.add_hosts(1, wait=False)[0]
    made(one("vdc", "create", name))
    one("vdc", "addgroup", name, team)
    one("vdc", "addhost", name, "0", str(host))
    one("vdc", "addcluster", name, "0", "default")
    one("vdc", "adddatastore", name, "0", "all")
    shown = one("vdc", "show", name)
    assert f"\nGROUPS\n{gid}\n" in shown and f"    0 {host:>9}\n" in shown and "    0       ALL\n" in shown
    columns = "GROUPS,CLUSTERS,HOSTS,DATASTORES,VNETS"
    assert one("vdc", "list", "-f", f"NAME={name}", "-l", columns, "--csv", "--no-header") == "1,1,1,ALL,0\n"
    one("vdc", "delcluster", name, "0", "0")
    one("vdc", "deldatastore", name, "0", "ALL")
    assert "is not assigned" in one("vdc", "delvnet", name, "0", "ALL", code=255)
    file = tmp_path / "vdc.txt"
    file.write_text("NOTE=mine\n")
    one("vdc", "update", name, str(file))
    one("vdc", "rename", name, f"{name}-2")
    one("vdc", "delgroup", f"{name}-2", team)
    one("vdc", "delete", f"{name}-2")
    assert "part of the cloud" in one("vdc", "delete", "0", code=255)
    cloud.client.call("one.host.delete", host)


def test_the_zone(cloud: Cloud, one: One, tmp_path: Path) -> None:
    """Disabled it is for administrators alone; no second one is made; where it is can be kept."""
    _, user = cloud.make_user()
    file = tmp_path / "zone.txt"
    file.write_text("NAME=more\nENDPOINT=http://127.0.0.1:1/RPC2\n")
    assert "nothing is federated" in one("zone", "create", str(file), code=255)
    one("zone", "disable", "0")
    try:
        assert "DISABLED" in one("zone", "list")
        with pytest.raises(ClientError, match="the zone is disabled"):
            user.call("one.vm.allocate", "CPU=1\nMEMORY=64\n", True)
    finally:
        one("zone", "enable", "0")
    assert "one_endpoint: http" in one("zone", "set", "0")
    (cloud.user_home / ".one/one_endpoint").unlink()
