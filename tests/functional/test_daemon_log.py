"""What oned writes down: a line a call, one request id through core, drivers and VM, JSON, rotation; and no secrets."""
from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from pathlib import Path

import pytest
from cloud_process import Cloud, unique, until
from makers import MakeCloud

from onecore.wire.client import ClientError


def _log(cloud: Cloud, name: str = "oned") -> str:
    return (cloud.home / "log" / f"{name}.log").read_text()


def _line(cloud: Cloud, pattern: str, name: str = "oned") -> re.Match[str]:
    """The line of a log that matches, waited for."""
    found = until(3.0, f"a line {pattern!r} in {name}.log", lambda: re.search(pattern, _log(cloud, name)))
    assert found is not None
    return found


def test_one_request_id_everywhere(cloud: Cloud) -> None:
    """The id in the call's line is in both drivers' logs and in the VM's own, up to RUNNING."""
    host, vm = cloud.add_hosts(1)[0], cloud.make_vm()
    cloud.deploy(vm, host)
    rid = _line(cloud, rf" I \[(\w+-\w+)\] one\.vm\.deploy {vm} by 0 [\d.]+ ms\n")[1]
    _line(cloud, rf"{rid} vm/dummy\.deploy vm {vm} .*: ok", "driver-vm")
    _line(cloud, rf"{rid} tm/dummy\.prolog vm {vm} .*: ok", "driver-tm")
    own = cloud.client.text("onecore.vm.log", vm, 50)
    assert [line for line in own.splitlines() if f"[{rid}]" in line and "New state is RUNNING" in line]
    with pytest.raises(ClientError):
        cloud.client.call("one.vm.deploy", vm, host)
    _line(cloud, rf"one\.vm\.deploy {vm} by 0 [\d.]+ ms error 0x0800\n")


def test_rotation(cloud: Cloud) -> None:
    """After a rename and SIGHUP new lines are in new files, the core's and the drivers'."""
    logs = cloud.home / "log"
    for name in ("oned", "driver-vm"):
        (logs / f"{name}.log").rename(logs / f"{name}.old")
    os.kill(cloud.pid, signal.SIGHUP)
    until(2.0, "a new driver log", (logs / "driver-vm.log").exists)
    vm = cloud.make_vm()
    cloud.deploy(vm, cloud.add_hosts(1)[0])
    for name, line in (("oned", f"one.vm.deploy {vm} by"), ("driver-vm", f"vm/dummy.deploy vm {vm} ")):
        _line(cloud, re.escape(line), name)
        assert line not in (logs / f"{name}.old").read_text()


def test_json(make_cloud: MakeCloud) -> None:
    """Each line is an object; that of a call has its fields apart."""
    cloud = make_cloud({"log": {"json": True}})
    vm = cloud.make_vm(hold=True)
    _line(cloud, r'"one\.vm\.allocate"')
    lines = [json.loads(line) for line in _log(cloud).splitlines()]
    assert all({"time", "level"} <= line.keys() for line in lines)
    call = next(line for line in lines if line.get("method") == "one.vm.allocate")
    assert (call["uid"], call["id"], call["code"], call["client"]) == (0, vm, 0, "127.0.0.1")
    assert call["ms"] > 0 and "-" in call["rid"]


@pytest.mark.sqlite
def test_no_secret_is_written_down(cloud: Cloud) -> None:
    """Passwords, tokens and what a template calls a password: in no log, no event, no row but as a hash."""
    secrets = [f"s3cret{number}word" for number in range(6)]
    name = unique("keeper")
    oid, client = cloud.make_user(name, secrets[0])
    client.call("one.user.login", name, secrets[1], 600)
    cloud.client_as(name, secrets[1]).call("one.user.info", oid)
    client.call("one.user.passwd", oid, secrets[2])
    for method, arguments in (("one.user.passwd", (0, secrets[3])), ("one.user.allocate", (name, secrets[3], "none")),
                              ("one.user.login", ("oneadmin", secrets[3], 10)),
                              ("one.user.chauth", (oid, "none", secrets[3]))):
        with pytest.raises(ClientError) as refused:
            cloud.client_as(name, secrets[2]).call(method, *arguments)
        assert secrets[3] not in str(refused.value)
    with pytest.raises(ClientError):
        cloud.client_as(name, secrets[4]).call("one.user.info", oid)
    vm = cloud.make_vm(CONTEXT={"PASSWORD": secrets[5], "NETWORK": "YES"})
    cloud.deploy(vm, cloud.add_hosts(1)[0])
    _line(cloud, rf"one\.vm\.deploy {vm} ")
    events = json.loads(cloud.client.text("onecore.events", 0, 0))
    logs = [path for path in (cloud.home / "log").rglob("*") if path.is_file()]
    written = {str(path): path.read_text(errors="replace") for path in logs}
    written["events"] = json.dumps(events)
    written["database"] = _rows(cloud.home / "onecore.db", without="vm_text")
    assert not {(where, secret) for where, text in written.items() for secret in secrets if secret in text}
    assert cloud.credentials()[1] not in "".join(written.values())


def _rows(path: Path, without: str) -> str:
    """All tables but one, as text."""
    with sqlite3.connect(path) as db:
        tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [str(row) for table in tables if table != without for row in db.execute(f'SELECT * FROM "{table}"')]
    db.close()
    return "\n".join(rows)
