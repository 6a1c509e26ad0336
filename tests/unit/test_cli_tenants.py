"""oneacl, onegroup, oneuser, onehook, onezone and oneaudit, as far as they are not plain calls."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.errors import CliError
from cli.kinds import acl as cli_acl
from cli.spans import moment
from onecore.wire import acl
from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
RULES = (
    "<ACL_POOL><ACL><ID>0</ID><USER>200000001</USER><RESOURCE>1000000000</RESOURCE><RIGHTS>8</RIGHTS><ZONE>400000000"
    "</ZONE><STRING>@1 VM+IMAGE/* CREATE *</STRING></ACL><ACL><ID>7</ID><STRING>#5 NET/#9 USE+MANAGE #0</STRING></ACL>"
    "</ACL_POOL>"
)


# -- ACL


def test_rules_are_listed_as_opennebula_lists_them(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.acl.info"] = RULES
    head, first, second = one("acl", "list").out.splitlines()
    assert head.split() == ["ID", "USER", "RES_VHNIUTGDCOZSvRMAPtB", "RID", "OPE_UMAC", "ZONE"]
    assert first.split() == ["0", "@1", "V--I---------------", "*", "---c", "*"]
    assert second.split() == ["7", "#5", "--N----------------", "#9", "um--", "#0"]
    assert one("acl", "list", "-l", "rule", "--csv", "--no-header").out.splitlines()[1] == "#5 NET/#9 USE+MANAGE #0"
    assert one("acl", "list", "-l", "ope_umac").code == 0
    assert "RULE                : #5 NET/#9 USE+MANAGE #0\n" in one("acl", "show", "7").out
    assert one("acl", "show", "8").err == "there is no ACL rule 8\n"


def test_every_kind_of_object_but_two_has_a_letter() -> None:
    assert set(acl.RESOURCES) - set(cli_acl.LETTERS.values()) == {"ACL", "HOOK"}
    assert list(cli_acl.RIGHTS.values()) == list(acl.RIGHTS)


@pytest.mark.parametrize("text", ["@1 VM+IMAGE/* CREATE *", "#5 NET/#9 USE+MANAGE #0", "* ZONE/%100 ADMIN *"])
def test_rules_are_read_as_they_are_written(text: str) -> None:
    assert acl.text(acl.written(text)) == text
    assert acl.written(text.lower()) == acl.written(text)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("#5 VM/*", "a rule is USER RESOURCE/ID RIGHTS [ZONE], as in \"#5 VM+NET/@100 USE *\", not '#5 VM/*'"),
        ("5 VM/* USE", "user must be #id, @group, %cluster or *, not '5'"),
        ("%5 VM/* USE", "user must be one of #id, @group, *, and no other bits"),
        ("#5 VM USE", "resource must be KIND+KIND/ID, as in VM+NET/#7, not 'VM'"),
        ("#5 VMS/* USE", "resource must be of VM, HOST"),
        ("#5 VM/7 USE", "resource must be #id"),
        ("#5 VM/*7 USE", "resource must be #id"),
        ("#5 VM/* READ", "rights must be of USE, MANAGE, ADMIN, CREATE with + between, not 'READ'"),
        ("#5 VM/* USE @1", "zone must be one of #id, *"),
        ("#99999999999 VM/* USE", "user has an id that is too large"),
        ("100000005 1400000000 ff", "rights must be a sum of 1"),
    ],
)
def test_a_bad_rule_says_what_is_wrong(one: Runner, cloud: Cloud, rule: str, told: str) -> None:
    outcome = one("acl", "create", rule)
    assert (outcome.code, cloud.calls) == (255, [])
    assert told in outcome.err


# -- groups


def test_a_group_is_made_with_rules_and_an_administrator(one: Runner, cloud: Cloud) -> None:
    cloud.answers |= {
        "one.group.allocate": 100,
        "one.acl.addrule": 9,
        "one.user.allocate": 5,
        "one.group.addadmin": 100,
    }
    outcome = one("group", "create", "staff", "--admin_user", "boss", "--admin_password", "secret")
    assert (outcome.code, outcome.out, outcome.err) == (0, "ID: 100\n", "")
    rule = acl.parse(*cloud.made("one.acl.addrule")[0])
    assert acl.text(rule) == "@100 VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VROUTER+VMGROUP+BACKUPJOB/* CREATE *"
    assert cloud.made("one.user.allocate") == [("boss", "secret", "core", [100])]
    assert cloud.made("one.group.addadmin") == [(100, 5)]
    assert one("group", "create", "--name", "other", "--resources", "").code == 0
    assert len(cloud.made("one.acl.addrule")) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give the NAME of the group, once"),
        (("a", "--name", "b"), "give the NAME of the group, once"),
        (("a", "--admin_password", "x"), "need --admin_user"),
        (("a", "--resources", "VMS"), "resource must be of VM"),
    ],
)
def test_a_group_is_not_half_made_for_a_slip(one: Runner, cloud: Cloud, arguments: tuple[str, ...], told: str) -> None:
    outcome = one("group", "create", *arguments)
    assert (outcome.code, cloud.calls) == (255, [])
    assert told in outcome.err


def test_what_is_missing_of_a_group_is_told(one: Runner, cloud: Cloud) -> None:
    cloud.answers |= {"one.group.allocate": 100, "one.acl.addrule": 9, "one.user.allocate": ClientError("taken", 0x800)}
    outcome = one("group", "create", "staff", "--admin_user", "ann", "--admin_password", "x")
    assert (outcome.code, outcome.out, outcome.err) == (
        255,
        "ID: 100\n",
        "group 100 is made, but not all of it: taken\n",
    )


def test_administrators_of_several_groups(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.group.addadmin"] = lambda gid, uid: (
        ClientError("no member", 0x800) if (gid, uid) == (101, 3) else gid
    )
    outcome = one("group", "addadmin", "101,102", "3..4")
    assert (outcome.code, outcome.err) == (255, "no member\n")
    assert cloud.made("one.group.addadmin") == [(101, 3), (101, 4), (102, 3), (102, 4)]


def test_names_of_administrators_are_looked_up_once(one: Runner, cloud: Cloud) -> None:
    cloud.answers |= {
        "one.group.addadmin": lambda gid, uid: gid,
        "one.userpool.info": "<USER_POOL><USER><ID>5</ID><NAME>ann</NAME></USER></USER_POOL>",
    }
    assert one("group", "addadmin", "101,102", "ann").code == 0
    assert cloud.made("one.group.addadmin") == [(101, 5), (102, 5)]
    assert len(cloud.made("one.userpool.info")) == 1


# -- users

ANN = (
    "<USER><ID>5</ID><NAME>ann</NAME><LOGIN_TOKEN><TOKEN>*</TOKEN><EXPIRATION_TIME>-1</EXPIRATION_TIME><EGID>7</EGID>"
    "</LOGIN_TOKEN><TEMPLATE><A>b</A><UMASK>137</UMASK></TEMPLATE></USER>"
)


def test_tokens(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cloud.answers |= {"one.user.info": ANN, "one.user.login": "t0ken"}
    monkeypatch.setenv("ONE_AUTH", str(tmp_path / "auth"))
    assert one("user", "token-create", "5", "--time", "60").out == "Authentication Token is:\nann:t0ken\n"
    assert one("user", "token-create", "--group", "7").code == 0
    assert one("user", "token-delete", "5", "t0ken").code == one("user", "token-delete", "ann:t0ken").code == 0
    assert one("user", "token-delete-all", "5").code == 0
    assert cloud.made("one.user.login") == [
        ("ann", "", 60, -1),
        ("ann", "", 36000, 7),
        ("ann", "t0ken", 0),
        ("ann", "t0ken", 0),
        ("ann", "", 0),
    ]
    assert one("user", "token-list").out.splitlines()[1].split() == ["*", "7", "never"]
    assert (
        one("user", "token-create", "5", "--time", "0").code == one("user", "token-delete", "a", "b", "c").code == 255
    )
    assert one("user", "token-set", "--token", "new").out == f"{tmp_path}/auth: token of ann\n"
    assert ((tmp_path / "auth").read_text(), (tmp_path / "auth").stat().st_mode & 0o777) == ("ann:new\n", 0o600)


def test_umask_goes_away(one: Runner, cloud: Cloud) -> None:
    cloud.answers |= {"one.user.info": ANN, "one.user.update": 5}
    assert one("user", "umask", "5").code == 0
    assert cloud.made("one.user.update") == [(5, 'A="b"\n', 0)]
    assert "three digits" in one("user", "umask", "5", "78").err
    assert len(cloud.calls) == 2


def test_encode(one: Runner, cloud: Cloud) -> None:
    assert (one("user", "encode", "ann lee", "a:b").out, one("user", "encode", "ann").out) == (
        "ann%20lee:a%3Ab\n",
        "ann\n",
    )


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private RSA key."""
    path = tmp_path_factory.mktemp("key") / "id_rsa"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", str(path), "2048"], check=True, capture_output=True)
    return path


def test_ssh_keys(one: Runner, cloud: Cloud, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client makes is what the server reads."""
    from onecore.auth.tokens import read_ssh_proof

    cloud.answers |= {"one.user.allocate": 5, "one.user.chauth": 5}
    stored = one("user", "key", "-k", str(key)).out.strip()
    assert base64.b64decode(stored, validate=True)
    one("user", "create", "ann", "--ssh", "--key", str(key))
    one("user", "chauth", "5", "--ssh", "-k", str(key))
    assert cloud.made("one.user.allocate") == [("ann", stored, "ssh", [])]
    assert cloud.made("one.user.chauth") == [(5, "ssh", stored)]
    monkeypatch.setenv("ONE_AUTH", str(tmp_path / "auth"))
    assert one("user", "login", "ann", "--ssh", "-k", str(key), "--time", "60").code == 0
    name, _, token = (tmp_path / "auth").read_text().strip().partition(":")
    proof = read_ssh_proof(stored, token)
    assert proof is not None and (name, proof.user, proof.expires) == ("ann", "ann", 1_790_000_060)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("key", "-k", "/nowhere"), "/nowhere: there is no such key; --key names another\n"),
        (("key", "-k", "/etc/passwd"), "openssl cannot use /etc/passwd, which must be an RSA key in PEM"),
        (("chauth", "5"), "give the DRIVER that checks the password, or --ssh"),
        (("create", "ann", "secret", "-r", "file"), "give a PASSWORD, --key or --read-file, not several"),
        (("login", "ann", "--key", "x"), "--key is for --ssh"),
        (("login", "--ssh"), "--ssh needs the NAME of the user"),
    ],
)
def test_what_keys_need(
    one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.setenv("ONE_AUTH", str(tmp_path / "auth"))
    outcome = one("user", *arguments)
    assert (outcome.code, cloud.calls) == (255, [])
    assert told in outcome.err


# -- hooks and zones


def execution(number: int, code: int) -> str:
    """A row of the hook log."""
    return (
        f"<HOOK_EXECUTION_RECORD><HOOK_ID>3</HOOK_ID><EXECUTION_ID>{number}</EXECUTION_ID><TIMESTAMP>1790000000</TIMESTAMP>"
        f"<ARGUMENTS>7 RUNNING</ARGUMENTS><EXECUTION_RESULT><COMMAND>/bin/tell</COMMAND><STDOUT>fine</STDOUT>"
        f"<STDERR>a\nb</STDERR><CODE>{code}</CODE></EXECUTION_RESULT></HOOK_EXECUTION_RECORD>"
    )


def test_hook_log(one: Runner, cloud: Cloud) -> None:
    runs = execution(16, 0) + execution(17, 2)
    cloud.answers["one.hooklog.info"] = f"<HOOKLOG>{runs}</HOOKLOG>"
    cloud.answers["one.hook.info"] = f"<HOOK><ID>3</ID><NAME>h</NAME><HOOKLOG>{runs}</HOOKLOG></HOOK>"
    lines = [line.split() for line in one("hook", "log").out.splitlines()]
    assert lines[0] == ["HOOK", "ID", "TIMESTAMP", "RC", "EXECUTION"]
    assert [(line[1], line[-2], line[-1]) for line in lines[1:]] == [("16", "0", "SUCCESS"), ("17", "2", "ERROR")]
    one("hook", "log", "--error", "--hook-id", "3", "--since", "1h", "--until", "1790000000")
    one("hook", "log", "--success", "-x")
    assert cloud.made("one.hooklog.info")[1:] == [(1_789_996_400, 1_790_000_000, 3, -1), (-1, -1, -1, 1)]
    assert one("hook", "log", "-o", "csv").out.splitlines()[2].endswith(",2,ERROR")
    assert one("hook", "log", "-s", "-e").code == 255
    assert "EXECUTION LOG" in one("hook", "show", "3").out
    shown = one("hook", "show", "3", "-e", "17").out
    assert "COMMAND             : /bin/tell 7 RUNNING\n" in shown
    assert shown.endswith("STANDARD OUTPUT\nfine\n\nSTANDARD ERROR\na\nb\n")
    assert one("hook", "show", "3", "-e", "18").err == "hook 3 has no execution 18 in its log\n"


def test_zone_set(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cloud.answers["one.zone.info"] = (
        "<ZONE><ID>0</ID><TEMPLATE><ENDPOINT>http://a:2633/RPC2</ENDPOINT></TEMPLATE></ZONE>"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    assert one("zone", "set", "0").code == 0
    assert (tmp_path / ".one/one_endpoint").read_text() == "http://a:2633/RPC2\n"
    cloud.answers["one.zone.info"] = "<ZONE><ID>0</ID><TEMPLATE/></ZONE>"
    assert one("zone", "set", "0").err == "zone 0 has no ENDPOINT\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1790000000", 1_790_000_000),
        ("1d", 1_789_913_600),
        ("2026-09-21", 1_789_948_800),
        ("2026-09-21 13:46:40", 1_789_998_400),
        ("09/21/2026", 1_789_948_800),
    ],
)
def test_moments(cloud: Cloud, text: str, seconds: int) -> None:
    import time

    time.tzset()
    assert moment(text, "--since") == seconds


def test_what_is_no_moment() -> None:
    with pytest.raises(CliError, match="--since 'soon' is no moment, as in 2h or 7d ago"):
        moment("soon", "--since")


# -- audit


def row(seq: int, **given: Any) -> dict[str, Any]:
    """A row as the server gives it."""
    return {
        "seq": seq,
        "time": 1_790_000_000,
        "user": 2,
        "name": "vera",
        "method": "one.vm.deploy",
        "kind": "vm",
        "id": 12,
        "what": "state",
        "old": "PENDING",
        "new": "PROLOG",
        "keys": [],
        "outcome": "allowed",
        "code": 0,
        "rule": "acl 3",
        "client": "10.0.0.7",
        "rid": "5-1f",
        **given,
    }


def test_audit(one: Runner, cloud: Cloud) -> None:
    refused = row(8, what="refused", old="", new="", outcome="refused", rule="Not authorized", code=512)
    cloud.answers["onecore.audit"] = lambda query, before, limit: json.dumps([] if before else [row(9), refused])
    lines = one("audit", "list").out.splitlines()
    assert lines[0].split() == ["TIME", "USER", "METHOD", "OBJECT", "WHAT", "RULE", "CLIENT"]
    assert lines[1].split()[2:] == [
        "vera",
        "one.vm.deploy",
        "vm",
        "12",
        "state",
        "PENDING",
        ">",
        "PROLOG",
        "acl",
        "3",
        "10.0.0.7",
    ]
    assert one("audit", "list", "-l", "ID,OUTCOME", "--csv", "--no-header").out == "9,allowed\n8,refused\n"
    assert one("audit", "list", "-l", "USER", "-n", "--csv", "--no-header").out == "2\n2\n"
    assert json.loads(one("audit", "list", "-j").out)["AUDIT"]["ROW"][1]["RULE"] == "Not authorized"


def test_audit_asks_for_what_is_wanted(one: Runner, cloud: Cloud) -> None:
    cloud.answers |= {
        "onecore.audit": "[]",
        "one.userpool.info": "<USER_POOL><USER><ID>5</ID><NAME>ann</NAME></USER></USER_POOL>",
    }
    one(
        "audit",
        "list",
        "--by",
        "ann",
        "--method",
        "one.vm.*",
        "--kind",
        "vm",
        "--id",
        "12",
        "--refused",
        "--since",
        "1h",
        "--until",
        "1790000000",
        "--client",
        "10.0.0.7",
        "--request",
        "5-1f",
        "--what",
        "refused",
        "--limit",
        "7",
        "--before",
        "99",
    )
    ((query, before, limit),) = cloud.made("onecore.audit")
    assert dict(part.split("=") for part in query.split("&")) == {
        "user": "5",
        "method": "one.vm.*",
        "kind": "vm",
        "id": "12",
        "outcome": "refused",
        "since": "1789996400",
        "until": "1790000000",
        "client": "10.0.0.7",
        "rid": "5-1f",
        "what": "refused",
    }
    assert (before, limit) == (99, 7)
    assert one("audit", "list", "--allowed", "--refused").code == 255
    assert one("audit", "list", "--kind", "a&b").err == "--kind 'a&b': a value without & was expected\n"
    assert one("audit", "list", "--request", "a&b").err == "--request 'a&b': a value without & was expected\n"


def test_audit_goes_through_pages(one: Runner, cloud: Cloud) -> None:
    def page(query: str, before: int, limit: int) -> str:
        first = min(before or 3001, 3001) - 1
        return json.dumps([row(seq) for seq in range(first, max(first - limit, 0), -1)])

    cloud.answers["onecore.audit"] = page
    out = one("audit", "list", "--limit", "2500", "-l", "ID", "--csv", "--no-header").out.split()
    assert out == [str(seq) for seq in range(3000, 500, -1)]
    assert cloud.made("onecore.audit") == [("", 0, 1000), ("", 2001, 1000), ("", 1001, 500)]
    assert "REQUEST             : 5-1f\n" in one("audit", "show", "77").out
    assert one("audit", "show", "5000").code == 255


# -- quotas and reservations

LIMITS = (
    "<DATASTORE_QUOTA><DATASTORE><ID>1</ID><IMAGES>5</IMAGES><IMAGES_USED>2</IMAGES_USED><SIZE>-1</SIZE><SIZE_USED>2048"
    "</SIZE_USED></DATASTORE></DATASTORE_QUOTA><NETWORK_QUOTA/><VM_QUOTA><VM><CPU>4</CPU><CPU_USED>0.5</CPU_USED>"
    "<MEMORY>8192</MEMORY><MEMORY_USED>128</MEMORY_USED><VMS>-2</VMS><VMS_USED>1</VMS_USED></VM></VM_QUOTA><IMAGE_QUOTA/>"
)


@pytest.mark.parametrize("name", ["user", "group"])
def test_quotas(one: Runner, cloud: Cloud, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From files for one and several; in the editor with what holds, without what is used."""
    tag, limits, seen = name.upper(), tmp_path / "limits", tmp_path / "seen"
    limits.write_text('VM=[VMS="3"]\n')
    cloud.answers |= {
        f"one.{name}.info": f"<{tag}><ID>5</ID><NAME>x</NAME>{LIMITS}</{tag}>",
        f"one.{name}.quota": lambda oid, text: oid,
        f"one.{name}quota.info": f"<DEFAULT_{tag}_QUOTAS>{LIMITS}</DEFAULT_{tag}_QUOTAS>",
        f"one.{name}quota.update": "<X/>",
    }
    assert one(name, "quota", "5", str(limits)).code == one(name, "batchquota", "5..7", str(limits)).code == 0
    assert cloud.made(f"one.{name}.quota") == [(oid, 'VM=[VMS="3"]\n') for oid in (5, 5, 6, 7)]
    assert one(name, "defaultquota", str(limits)).code == 0
    assert cloud.made(f"one.{name}quota.update") == [('VM=[VMS="3"]\n',)]
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ncp "$1" {seen}\necho \'IMAGE=[ID="1",RVMS="2"]\' >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    assert one(name, "quota", "5").code == 0
    shown = vectors(seen.read_text())
    assert shown == {
        "DATASTORE": {"ID": "1", "IMAGES": "5", "SIZE": "-1"},
        "VM": {"CPU": "4", "MEMORY": "8192", "VMS": "-2"},
    }
    assert cloud.made(f"one.{name}.quota")[-1][1].endswith('IMAGE=[ID="1",RVMS="2"]\n')
    out = one(name, "show", "5").out
    assert "VMS USAGE & QUOTAS\nCLUSTERS               VMS            MEMORY" in out
    assert "* 1 / - 128M / 8G 0.5 / 4 0K / -" in " ".join(out.split())
    assert "DATASTORES USAGE & QUOTAS\n" in out and "NETWORKS" not in out


def vectors(text: str) -> dict[str, Any]:
    """The vectors of a template."""
    from onecore.wire.template import parse

    return dict(parse(text))


def test_reservations(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.vn.reserve"] = 9
    assert (
        one("vnet", "reserve", "3", "--name", "mine", "--size", "10", "--ar_id", "0", "--ip", "10.0.0.5").out
        == "ID: 9\n"
    )
    assert one("vnet", "reserve", "3", "--size", "2", "--network", "9").out == ""
    assert cloud.made("one.vn.reserve") == [
        (3, 'NAME="mine"\nSIZE="10"\nAR_ID="0"\nIP="10.0.0.5"\n'),
        (3, 'SIZE="2"\nNETWORK_ID="9"\n'),
    ]
    assert one("vnet", "recover", "3").err == "give one of --failure, --success, --delete, --retry\n"
