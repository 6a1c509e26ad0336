"""What only `onehost` has: show with what is left on a host, reconcile, check, sync, forceupdate, flush."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cli.host.orphans
from onecore.wire.client import ClientError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]
GOLDEN = Path(__file__).parents[1] / "golden/cli"
ORPHANS: dict[str, Any] = {
    "host": 3,
    "asked": True,
    "error": "",
    "time": 1789999993,
    "wild": [{"name": "win", "id": -1, "generation": 0, "state": "running", "why": "not of this cloud"}],
    "zombies": [
        {"name": "one-12", "id": 12, "generation": 2, "state": "running", "why": "VM 12 is DONE", "keep": ""},
        {
            "name": "one-13",
            "id": 13,
            "generation": 1,
            "state": "running",
            "why": "VM 13 is UNKNOWN on host 4",
            "keep": "the VM is UNKNOWN",
        },
    ],
    "files": [
        {"ds": 100, "vm": 9, "path": "/ds/100/9", "size_mb": 2048, "why": "VM 9 is DONE", "keep": ""},
    ],
    "taps": [{"name": "one-9-0", "vm": 9, "why": "VM 9 is DONE", "keep": ""}],
}


def _plan(result: str, error: str = "") -> str:
    names = {"wild": "wild", "zombies": "zombie", "files": "file", "taps": "tap"}
    return json.dumps(
        {
            "items": [
                {
                    "kind": names[key],
                    **one,
                    "result": "kept" if one.get("keep") or key == "wild" else result,
                    "error": error,
                }
                for key in names
                for one in ORPHANS[key]
            ]
        }
    )


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def host(cloud: Cloud) -> Cloud:
    """A cloud with host 3."""
    cloud.answers["one.host.info"] = (GOLDEN / "host-body.xml").read_text()
    cloud.answers["onecore.host.orphans"] = json.dumps(ORPHANS)
    return cloud


def test_show_is_the_golden_one(one: Runner, host: Cloud) -> None:
    outcome = one("host", "show", "3")
    assert outcome.out == (GOLDEN / "host-show.txt").read_text()
    assert host.made("onecore.host.orphans") == [(3, 8)], "it does not wait for long"


def test_show_of_a_host_that_does_not_answer(one: Runner, host: Cloud) -> None:
    told = {**ORPHANS, "asked": False, "error": "no answer within 8 s", "files": [], "taps": []}
    host.answers["onecore.host.orphans"] = json.dumps(told)
    out = one("host", "show", "3").out
    assert "one-12" in out and "win " in out
    assert out.endswith("What else is on the host is not known: as of 09/21 14:13:13; no answer within 8 s\n")


@pytest.mark.parametrize("code", [0x0200, 0x1000])
def test_show_without_the_right_to_ask(one: Runner, host: Cloud, code: int) -> None:
    host.answers["onecore.host.orphans"] = ClientError("refused", code)
    outcome = one("host", "show", "3")
    assert (outcome.code, outcome.err) == (0, "") and "ZOMBIES" not in outcome.out


def test_an_offline_host_is_not_asked(one: Runner, host: Cloud) -> None:
    host.answers["one.host.info"] = "<HOST><ID>3</ID><STATE>8</STATE></HOST>"
    assert one("host", "show", "3").code == 0
    assert not host.made("onecore.host.orphans")
    host.answers["one.host.info"] = (GOLDEN / "host-body.xml").read_text()
    assert one("host", "show", "3", "-x").code == 0
    assert not host.made("onecore.host.orphans"), "nor for other forms"


def test_the_error_of_a_host(one: Runner, host: Cloud) -> None:
    text = "there is no im driver 'kvn'; known: dummy, kvm"
    host.answers["one.host.info"] = (
        f"<HOST><ID>3</ID><STATE>3</STATE><TEMPLATE><ERROR>{text}</ERROR></TEMPLATE></HOST>"
    )
    out = one("host", "show", "3").out
    assert f"ERROR               : {text}\n" in out and "LAST HEARD          : -\n" in out


def test_zombies_are_a_column(one: Runner, host: Cloud) -> None:
    host.answers["one.hostpool.info"] = f"<HOST_POOL>{(GOLDEN / 'host-body.xml').read_text()}</HOST_POOL>"
    assert one("host", "list", "-l", "ID,ZVM", "--csv").out == "ID,ZVM\n3,2\n"


# -- reconcile


def test_a_dry_run_is_one(one: Runner, host: Cloud) -> None:
    host.answers["onecore.host.reconcile"] = _plan("would be removed")
    outcome = one("host", "reconcile", "3", "--dry-run")
    assert outcome.code == 0 and host.made("onecore.host.reconcile") == [(3, True)]
    assert outcome.out == (GOLDEN / "host-reconcile.txt").read_text()


def test_reconcile_tells_first_and_then_does(one: Runner, host: Cloud) -> None:
    host.answers["onecore.host.reconcile"] = lambda _, dry: _plan("would be removed" if dry else "removed")
    outcome = one("host", "reconcile", "3")
    assert outcome.code == 0 and host.made("onecore.host.reconcile") == [(3, True), (3, False)]
    assert outcome.out.index("would be removed") < outcome.out.index(" removed  ")


@pytest.mark.parametrize(("answer", "calls"), [("y\n", 2), ("n\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(
    one: Runner, host: Cloud, monkeypatch: pytest.MonkeyPatch, answer: str, calls: int
) -> None:
    import io

    entered = io.StringIO(answer)
    entered.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", entered)
    monkeypatch.setattr(cli.host.orphans, "on_terminal", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: entered.readline().rstrip("\n") or _end())
    host.answers["onecore.host.reconcile"] = lambda _, dry: _plan("would be removed" if dry else "removed")
    one("host", "reconcile", "3")
    assert len(host.made("onecore.host.reconcile")) == calls
    host.calls.clear()
    assert one("host", "reconcile", "3", "--yes").code == 0
    assert len(host.made("onecore.host.reconcile")) == 2, "told to, it does not ask"


def _end() -> str:
    raise EOFError


def test_nothing_to_reconcile(one: Runner, host: Cloud) -> None:
    host.answers["onecore.host.reconcile"] = '{"items": []}'
    assert one("host", "reconcile", "3").out == "Nothing is there that should not be.\n"
    assert host.made("onecore.host.reconcile") == [(3, True)]


def test_a_removal_that_fails(one: Runner, host: Cloud) -> None:
    host.answers["onecore.host.reconcile"] = lambda _, dry: _plan("would be removed") if dry else _plan("failed", "no!")
    outcome = one("host", "reconcile", "3")
    assert outcome.code == 255 and "failed: no!" in outcome.out


# -- check

CHECKS = [
    {"name": "ssh", "ok": True, "found": "answers in 3 ms, user root", "fix": ""},
    {"name": "clock", "ok": False, "found": "5.2 s ahead", "fix": "start an NTP service"},
    {"name": "versions", "ok": True, "found": "libvirt 9, elsewhere 10", "fix": "bring them to one version"},
]


def _checks(*which: int) -> str:
    return json.dumps({"checks": [CHECKS[i] for i in which]})


def test_check(one: Runner, host: Cloud) -> None:
    host.answers["onecore.host.check"] = _checks(0, 1, 2)
    outcome = one("host", "check", "3")
    assert outcome.code == 255
    assert outcome.out == (GOLDEN / "host-check.txt").read_text()
    host.answers["onecore.host.check"] = _checks(0, 2)
    assert one("host", "check", "3").code == 0
    assert json.loads(one("host", "check", "3", "-j").out) == [CHECKS[0], CHECKS[2]]


def test_create_tells_causes_and_not_what_follows_from_them(one: Runner, host: Cloud) -> None:
    skipped = [{"name": "qemu", "ok": False, "found": "not asked", "fix": ""},
               {"name": "monitoring", "ok": False, "found": "ERROR; gone", "fix": "mend what the other checks name"}]
    host.answers.update({"one.host.allocate": 3, "onecore.host.check": json.dumps({"checks": [CHECKS[1], *skipped]})})
    assert len(one("host", "create", "node3", "-i", "kvm", "-v", "kvm").err.splitlines()) == 2
    host.answers["onecore.host.check"] = json.dumps({"checks": skipped[1:]})
    assert "monitoring: ERROR; gone" in one("host", "create", "node3", "-i", "kvm", "-v", "kvm").err


def test_create_checks(one: Runner, host: Cloud) -> None:
    host.answers.update({"one.host.allocate": 3, "onecore.host.check": _checks(0, 1, 2)})
    outcome = one("host", "create", "node3", "-i", "kvm", "-v", "kvm")
    assert (outcome.code, outcome.out) == (0, "ID: 3\n")
    assert outcome.err.splitlines()[1:] == ["clock: 5.2 s ahead; fix: start an NTP service"]
    host.answers["onecore.host.check"] = _checks(0)
    assert one("host", "create", "node3", "-i", "kvm", "-v", "kvm").err == ""
    host.answers["onecore.host.check"] = ClientError("gone", 0)
    outcome = one("host", "create", "node3", "-i", "kvm", "-v", "kvm")
    assert outcome.code == 0 and outcome.err == "host 3 is registered, but was not checked: gone\n"


# -- several hosts


def _pool(cloud: Cloud) -> None:
    hosts = ((1, 2, 0), (2, 8, 0), (3, 3, 100))
    cloud.answers["one.hostpool.info"] = "<HOST_POOL>" + "".join(
        f"<HOST><ID>{oid}</ID><NAME>n{oid}</NAME><STATE>{state}</STATE><CLUSTER_ID>{cid}</CLUSTER_ID></HOST>"
        for oid, state, cid in hosts
    )
    cloud.answers["one.hostpool.info"] += "</HOST_POOL>"


@pytest.mark.parametrize(
    ("line", "hosts"), [("", [1, 3]), ("2,n3", [2, 3]), ("-c 100", [3]), ("-c 7", []), ("--force 1", [1])]
)
def test_sync(one: Runner, cloud: Cloud, line: str, hosts: list[int]) -> None:
    _pool(cloud)
    cloud.answers["onecore.host.sync"] = 3
    outcome = one("host", "sync", *line.split())
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert cloud.made("onecore.host.sync") == [(oid,) for oid in hosts]


def test_hosts_or_a_cluster(one: Runner, cloud: Cloud) -> None:
    assert one("host", "sync", "1", "-c", "0").code == 255
    assert cloud.calls == []


def test_forceupdate_keeps_the_status(one: Runner, cloud: Cloud) -> None:
    cloud.answers["one.host.status"] = 3
    for state, code in ((2, 0), (4, 0), (8, 255)):
        cloud.answers["one.host.info"] = f"<HOST><ID>3</ID><STATE>{state}</STATE></HOST>"
        assert one("host", "forceupdate", "3").code == code
    assert cloud.made("one.host.status") == [(3, 0), (3, 1)]


def test_forceupdate_of_all(one: Runner, cloud: Cloud) -> None:
    _pool(cloud)
    cloud.answers.update({"one.host.status": 3, "one.host.info": "<HOST><ID>3</ID><STATE>2</STATE></HOST>"})
    assert one("host", "forceupdate").code == 0
    assert cloud.made("one.host.status") == [(1, 0), (3, 0)]


# -- flush

LEFT = [
    {"vm": 7, "name": "web", "state": "MIGRATE", "why": "on its way to host 4 (node4), 42 %"},
    {"vm": 9, "name": "db", "state": "SUSPENDED", "why": "it is suspended; resume it, or move it with onevm migrate"},
]


def _drain(moved: int, left: list[dict[str, Any]], since: int = 1789999993) -> str:
    return json.dumps({"host": 3, "since": since, "moved": moved, "left": left})


@pytest.fixture
def draining(cloud: Cloud) -> Cloud:
    """Host 3, whose two VMs leave one after the other, a look each."""
    looks = iter([_drain(0, LEFT), _drain(1, LEFT[1:]), _drain(0, [], 0)])
    cloud.answers.update({"onecore.host.flush": 3, "onecore.host.drain": lambda oid: next(looks)})
    cloud.answers["one.host.info"] = "<HOST><ID>3</ID><NAME>node3</NAME><STATE>4</STATE><VMS/></HOST>"
    return cloud


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.host.flush.INTERVAL", 0.0)


def test_flush_asks_and_does_not_wait(one: Runner, draining: Cloud) -> None:
    outcome = one("host", "flush", "3")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert draining.made("onecore.host.flush") == [(3, True)] and not draining.made("onecore.host.drain")


@pytest.mark.usefixtures("_at_once")
def test_a_host_to_flush_is_looked_up_once(one: Runner, draining: Cloud) -> None:
    draining.answers["one.hostpool.info"] = "<HOST_POOL><HOST><ID>3</ID><NAME>node3</NAME></HOST></HOST_POOL>"
    assert one("host", "flush", "node3", "--wait").code == 0
    assert draining.made("onecore.host.flush") == [(3, True)]
    assert len(draining.made("one.hostpool.info")) == 1


def test_flush_cancel(one: Runner, draining: Cloud) -> None:
    assert one("host", "flush", "3", "--cancel").code == 0
    assert draining.made("onecore.host.flush") == [(3, False)]
    assert one("host", "flush", "3", "--cancel", "--wait").code == 255


@pytest.mark.usefixtures("_at_once")
def test_flush_waits_until_no_vm_is_left(one: Runner, draining: Cloud) -> None:
    outcome = one("host", "flush", "3", "--wait", "-v")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "HOST 3: flushing",
        "node3: 0 VMs moved, 2 left",
        "node3: 1 VMs moved, 1 left",
        "HOST 3: no VM is left on it",
    ]


@pytest.mark.usefixtures("_at_once")
def test_flush_says_nothing_unasked(one: Runner, draining: Cloud) -> None:
    outcome = one("host", "flush", "3", "--wait")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.usefixtures("_at_once")
def test_flush_that_is_called_off(one: Runner, draining: Cloud) -> None:
    draining.answers["one.host.info"] = (
        "<HOST><ID>3</ID><NAME>node3</NAME><STATE>2</STATE><VMS><ID>9</ID></VMS></HOST>"
    )
    outcome = one("host", "flush", "3", "--wait")
    assert outcome.code == 255 and outcome.err == "HOST 3: the flush was called off, 1 VMs are on it\n"


def test_flush_that_takes_too_long(one: Runner, draining: Cloud) -> None:
    draining.answers["onecore.host.drain"] = _drain(4, LEFT)
    outcome = one("host", "flush", "3", "--timeout", "0")
    assert outcome.code == 255
    assert "the time is over, the flush goes on: since 09/21 14:13:13, 4 moved, 2 left" in outcome.err
    assert "   9 db              suspended       it is suspended; resume it" in outcome.err


def test_flush_of_a_host_that_cannot(one: Runner, draining: Cloud) -> None:
    draining.answers["onecore.host.flush"] = ClientError("host 3 is in state ERROR", 0x800)
    outcome = one("host", "flush", "3", "--wait")
    assert outcome.code == 255 and outcome.err == "host 3 is in state ERROR\n"
    assert not draining.made("onecore.host.drain") and not draining.made("one.host.status")


@pytest.mark.usefixtures("_at_once")
def test_flush_left_by_ctrl_c_goes_on(one: Runner, draining: Cloud) -> None:
    def stop(_: int) -> str:
        raise KeyboardInterrupt

    looks = iter([lambda _: _drain(0, LEFT), stop])
    draining.answers["onecore.host.drain"] = lambda oid: next(looks)(oid)
    outcome = one("host", "flush", "3", "--wait")
    assert outcome.code == 130 and "the flush goes on; onehost flush 3 --cancel ends it" in outcome.err


@pytest.mark.usefixtures("_at_once")
def test_flush_on_a_terminal_shows_a_bar(one: Runner, draining: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.host.progress.on_terminal", lambda: True)
    shown: list[str] = []
    from cli.host.progress import Bars

    show = Bars.show

    def noted(self: Bars, *given: Any) -> None:
        show(self, *given)
        task = self._bars.tasks[0]
        shown.append(f"{task.description} {task.completed}/{task.total} {task.fields['told']}")

    monkeypatch.setattr(Bars, "show", noted)
    assert one("host", "flush", "3", "--wait").code == 0
    assert shown == [
        "node3 0/2 0 of 2 VMs; web: on its way to host 4 (node4), 42 %",
        "node3 1/2 1 of 2 VMs; db: it is suspended; resume it, or move it with onevm migrate",
    ]


def test_flush_of_a_server_that_knows_no_drain_marks_every_vm(one: Runner, cloud: Cloud) -> None:
    cloud.answers.update({"one.host.status": 3, "one.vm.action": 1})
    cloud.answers["one.host.info"] = "<HOST><ID>3</ID><VMS><ID>1</ID><ID>5</ID></VMS></HOST>"
    assert one("host", "flush", "3").code == 0
    assert cloud.made("one.host.status") == [(3, 1)]
    assert cloud.made("one.vm.action") == [("resched", 1), ("resched", 5)]


def test_show_of_a_host_that_is_flushed(one: Runner, host: Cloud) -> None:
    body = (GOLDEN / "host-body.xml").read_text()
    host.answers["one.host.info"] = body.replace("<TEMPLATE>", "<TEMPLATE><DRAINING>1789999993</DRAINING>")
    host.answers["onecore.host.drain"] = _drain(4, LEFT)
    out = one("host", "show", "3").out
    assert "DRAINING            : since 09/21 14:13:13, 4 moved, 2 left\n" in out and "STILL ON IT\n" in out
    assert "   7 web             migrate         on its way to host 4 (node4), 42 %\n" in out
    assert "DRAINING=" not in out
    host.answers["onecore.host.drain"] = ClientError("refused", 0x200)
    assert "DRAINING            : since 09/21 14:13:13\n" in one("host", "show", "3").out
