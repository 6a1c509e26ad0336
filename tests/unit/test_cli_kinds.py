"""Every program, command and column, walked: whatever is declared works."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import click
import pytest

from cli.kind import View
from cli.kinds import NAMES, kind
from onecore.wire import xmlbody

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
COMMANDS = [(name, verb) for name in NAMES for verb in sorted(kind(name).commands)]
_BITS = "chgrp chown chmod list show update top"
CONTRACT = {
    "vm": f"{_BITS} create hold release terminate undeploy poweroff reboot deploy stop suspend resume recover "
    "resched unresched rename lock unlock log wait monitoring migrate disk-attach disk-detach disk-resize disk-saveas "
    "nic-attach nic-detach nic-update sg-attach sg-detach "
    "snapshot-create snapshot-revert snapshot-delete snapshot-list "
    "disk-snapshot-create disk-snapshot-revert disk-snapshot-delete disk-snapshot-rename disk-snapshot-list "
    "resize updateconf save exec exec-retry exec-cancel create-chart sched-delete sched-update delete-chart "
    "update-chart ssh console vnc port-forward vmgroup-add vmgroup-del",
    "host": "create delete enable disable offline update list show top flush rename forceupdate monitoring sync check "
    "reconcile",
    "vnet": f"{_BITS} create delete addar rmar free hold release updatear reserve recover rename lock unlock",
    "image": f"{_BITS} create clone delete persistent nonpersistent enable disable rename lock unlock chtype "
    "snapshot-delete snapshot-revert snapshot-flatten",
    "template": f"{_BITS} create clone delete instantiate rename lock unlock",
    "datastore": f"{_BITS} create delete rename enable disable",
    "user": "create update login delete passwd chgrp chauth list show top addgroup delgroup enable disable umask "
    "encode key token-create token-delete token-delete-all token-list token-set "
    "quota batchquota defaultquota",
    "group": "create delete update quota batchquota defaultquota addadmin deladmin list show top",
    "cluster": "create delete rename update list show addhost delhost top adddatastore deldatastore addvnet delvnet "
    "optimize planexecute plandelete",
    "secgroup": f"{_BITS} create clone commit delete rename",
    "vmgroup": f"{_BITS} create delete rename lock unlock role-add role-delete role-update",
    "vdc": "create delete rename update list show top addgroup delgroup "
    + " ".join(f"{verb}{part}" for verb in ("add", "del") for part in ("cluster", "host", "datastore", "vnet")),
    "acl": "create delete list show top",
    "hook": "create delete list show top update rename lock unlock retry log",
    "zone": "create delete list show top rename update enable disable set",
    "audit": "list show",
    "task": "list show top cancel follow wait",
}
OF_ONE = [name for name in NAMES if kind(name).reader is None]
"""Kinds that a method of `one.` tells of."""
BODY = (
    "<{tag}><ID>3</ID><UID>0</UID><GID>1</GID><UNAME>oneadmin</UNAME><GNAME>users</GNAME>"
    "<NAME>thing</NAME><STATE>1</STATE><TYPE>1</TYPE><LCM_STATE>0</LCM_STATE><STIME>0</STIME><ETIME>0</ETIME><TEMPLATE><A>b</A><V><K>1</K></V></TEMPLATE>"
    "<USER_TEMPLATE/><CLUSTERS><ID>0</ID><ID>4</ID></CLUSTERS><HISTORY_RECORDS/></{tag}>"
)


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_those_of_the_contract(name: str) -> None:
    assert set(kind(name).commands) == set(CONTRACT[name].split())


@pytest.mark.parametrize(("name", "verb"), COMMANDS)
def test_every_command_explains_itself(one: Runner, cloud: Cloud, name: str, verb: str) -> None:
    outcome = one(name, verb, "--help")
    assert (outcome.code, outcome.err, cloud.calls) == (0, "", [])
    assert outcome.out.startswith(f"Usage: {kind(name).program} {verb} ")
    assert re.search(r"\n\n  \S.{10}", outcome.out), "a sentence about it"
    usage = outcome.out.partition("\n\n")[0].replace("[", "").replace("]", "").split()
    assert not {"OID", "IDS"} & set(usage), "whose id that is"
    if name in ("vm", "task"):
        shown = re.findall(rf"^    {kind(name).program} (\S+)", outcome.out.partition("Examples:\n")[2], re.M)
        assert shown and shown[0] == verb


@pytest.mark.parametrize(("name", "verb"), COMMANDS)
def test_no_two_parameters_are_one(name: str, verb: str) -> None:
    made = kind(name).commands[verb](kind(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.make_parser(click.Context(made))
    names = [parameter.name for parameter in made.params]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "verb"), COMMANDS)
def test_nothing_needed_is_missing_silently(one: Runner, cloud: Cloud, name: str, verb: str) -> None:
    made = kind(name).commands[verb](kind(name))
    if any(isinstance(p, click.Argument) and p.required for p in made.params):
        outcome = one(name, verb)
        assert (outcome.code, outcome.out, cloud.calls) == (255, "", [])
        assert "Missing argument" in outcome.err


@pytest.mark.parametrize("name", NAMES)
def test_columns(name: str) -> None:
    known = kind(name)
    names = [column.name for column in known.columns]
    assert len(set(names)) == len(names)
    for wanted in (known.default, *known.views.values()):
        assert set(wanted) <= set(names)
    bare, whole = xmlbody.read(f"<{known.tag}/>"), xmlbody.read(BODY.format(tag=known.tag))
    for column in known.columns:
        assert column.help
        assert isinstance(column.cell(bare, View()), str)
        assert column.cell(whole, View(True, True, 1e9)) != ""


@pytest.mark.parametrize("name", OF_ONE)
def test_show_stands_any_body(one: Runner, cloud: Cloud, name: str) -> None:
    known = kind(name)
    for body in (BODY.format(tag=known.tag), f"<{known.tag}><ID>3</ID></{known.tag}>"):
        cloud.answers[f"one.{known.method}.info"] = body
        outcome = one(name, "show", "3")
        assert (outcome.code, outcome.err) == (0, "")
        assert " 3 INFORMATION\nID                  : 3\n" in outcome.out


@pytest.mark.parametrize("name", OF_ONE)
def test_list_asks_the_kinds_pool(one: Runner, cloud: Cloud, name: str) -> None:
    known = kind(name)
    cloud.answers[f"one.{known.pool}.info"] = f"<POOL>{BODY.format(tag=known.tag)}</POOL>"
    outcome = one(name, "list")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split() == list(known.default)
    assert "thing" in outcome.out.splitlines()[1]
    assert cloud.made(f"one.{known.pool}.info") == [((-2, -1, -1, *known.tail) if known.filtered else ())]


CALLS = [
    ("secgroup", "clone 3 more", "one.secgroup.clone", (3, "more")),
    ("secgroup", "delete 3", "one.secgroup.delete", (3,)),
    ("host", "create node1 -i kvm -v kvm --no-check", "one.host.allocate", ("node1", "kvm", "kvm", -1)),
    ("host", "create node1 --im kvm --vm kvm -c 100 --no-check", "one.host.allocate", ("node1", "kvm", "kvm", 100)),
    ("host", "enable 3", "one.host.status", (3, 0)),
    ("host", "disable 3", "one.host.status", (3, 1)),
    ("host", "offline 3", "one.host.status", (3, 2)),
    ("host", "delete 3", "one.host.delete", (3,)),
    (
        "vnet",
        "addar 3 --size 10 --ip 10.0.0.1",
        "one.vn.add_ar",
        (3, 'AR=[\n  TYPE="IP4",\n  SIZE="10",\n  IP="10.0.0.1" ]\n'),
    ),
    ("vnet", "addar 3 --size 10", "one.vn.add_ar", (3, 'AR=[\n  TYPE="ETHER",\n  SIZE="10" ]\n')),
    ("vnet", "rmar 3 1", "one.vn.rm_ar", (3, 1, False)),
    ("vnet", "rmar 3 1 --force", "one.vn.rm_ar", (3, 1, True)),
    ("vnet", "free 3 1", "one.vn.free_ar", (3, 1)),
    ("vnet", "hold 3 10.0.0.5", "one.vn.hold", (3, 'LEASES=[\n  IP="10.0.0.5" ]\n')),
    (
        "vnet",
        "release 3 02:00:00:00:00:01 2",
        "one.vn.release",
        (3, 'LEASES=[\n  MAC="02:00:00:00:00:01",\n  AR_ID="2" ]\n'),
    ),
    (
        "image",
        "create --name a --size 1g --persistent -d 1",
        "one.image.allocate",
        ('NAME="a"\nSIZE="1024"\nPERSISTENT="YES"\n', 1, False),
    ),
    (
        "image",
        "create --name a --path http://x/y --prefix vd -d 1",
        "one.image.allocate",
        ('NAME="a"\nPATH="http://x/y"\nDEV_PREFIX="vd"\n', 1, False),
    ),
    ("image", "delete 3 --force", "one.image.delete", (3, True)),
    ("image", "clone 3 copy", "one.image.clone", (3, "copy", -1)),
    ("image", "clone 3 copy -d 100", "one.image.clone", (3, "copy", 100)),
    ("image", "disable 3", "one.image.enable", (3, False)),
    ("image", "persistent 3", "one.image.persistent", (3, True)),
    ("image", "nonpersistent 3", "one.image.persistent", (3, False)),
    ("template", "create --name t --cpu 1", "one.template.allocate", ('NAME="t"\nCPU="1"\n',)),
    ("template", "delete 3 -r", "one.template.delete", (3, True)),
    ("template", "clone 3 copy", "one.template.clone", (3, "copy", False)),
    ("user", "create ann secret", "one.user.allocate", ("ann", "secret", "core", [])),
    (
        "user",
        "create ann secret --group 1,100 --driver public",
        "one.user.allocate",
        ("ann", "secret", "public", [1, 100]),
    ),
    ("user", "passwd 3 new", "one.user.passwd", (3, "new")),
    ("user", "chauth 3 core", "one.user.chauth", (3, "core", "")),
    ("user", "chgrp 3 1", "one.user.chgrp", (3, 1)),
    ("vnet", "recover 3 --retry", "one.vn.recover", (3, 3)),
    ("user", "addgroup 3 100", "one.user.addgroup", (3, 100)),
    ("user", "delgroup 3 100", "one.user.delgroup", (3, 100)),
    ("user", "enable 3", "one.user.enable", (3, True)),
    ("user", "disable 3", "one.user.enable", (3, False)),
    ("user", "umask 3 137", "one.user.update", (3, 'UMASK="137"\n', 1)),
    ("user", "chauth 3 ssh key", "one.user.chauth", (3, "ssh", "key")),
    ("group", "delete 100", "one.group.delete", (100,)),
    ("group", "addadmin 100 3", "one.group.addadmin", (100, 3)),
    ("group", "deladmin 100 3", "one.group.deladmin", (100, 3)),
    ("acl", "create @100 VM+NET/%5 USE+CREATE", "one.acl.addrule", ("200000064", "5800000005", "9", "400000000")),
    ("acl", "create #3 HOST/* MANAGE #0", "one.acl.addrule", ("100000003", "2400000000", "2", "100000000")),
    ("acl", "create 100000003 5400000000 3", "one.acl.addrule", ("100000003", "5400000000", "3", "400000000")),
    ("acl", "delete 7", "one.acl.delrule", (7,)),
    ("hook", "delete 3", "one.hook.delete", (3,)),
    ("hook", "rename 3 new", "one.hook.rename", (3, "new")),
    ("hook", "lock 3", "one.hook.lock", (3, 1, False)),
    ("hook", "retry 3 17", "one.hook.retry", (3, 17)),
    ("zone", "enable 0", "one.zone.enable", (0, True)),
    ("zone", "disable 0", "one.zone.enable", (0, False)),
    ("zone", "rename 0 home", "one.zone.rename", (0, "home")),
    ("datastore", "disable 3", "one.datastore.enable", (3, False)),
    ("datastore", "rename 3 fast", "one.datastore.rename", (3, "fast")),
    ("cluster", "rename 3 west", "one.cluster.rename", (3, "west")),
    ("secgroup", "commit 3", "one.secgroup.commit", (3, False)),
    ("cluster", "create east", "one.cluster.allocate", ("east",)),
    ("cluster", "addhost 3 4", "one.cluster.addhost", (3, 4)),
    ("cluster", "delhost 3 4", "one.cluster.delhost", (3, 4)),
]


@pytest.mark.parametrize(("name", "line", "method", "arguments"), CALLS)
def test_calls(one: Runner, cloud: Cloud, name: str, line: str, method: str, arguments: tuple[object, ...]) -> None:
    cloud.answers[method] = 3
    outcome = one(name, *line.split())
    assert (outcome.code, outcome.err) == (0, "")
    assert cloud.calls == [(method, *arguments)]
    assert outcome.out == ("ID: 3\n" if line.split()[0] in ("create", "clone") else "")


def test_templates_come_from_files_too(one: Runner, cloud: Cloud, tmp_path: object) -> None:
    file = f"{tmp_path}/t"
    with open(file, "w") as out:
        out.write('NAME="x"\n')
    for name, method in (("vnet", "one.vn.allocate"), ("datastore", "one.datastore.allocate")):
        cloud.answers[method] = 5
        assert one(name, "create", file).out == "ID: 5\n"
        assert cloud.made(method) == [('NAME="x"\n', -1)]
    assert one("image", "create", file, "--name", "y", "-d", "1").code == 255
