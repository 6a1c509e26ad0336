"""Scheduled actions on a simulated cloud: done once and in time, late or missed after a crash, with whose rights."""
from __future__ import annotations

import json
import time
from typing import Any

import pytest
from api_calls import ALLOCATE, AUTHORIZATION, NO_EXISTS, RPC_API
from makers import MakeGround
from sim import Sim, refused
from sim_ground import Ground, assert_sums
from sim_points import CORE, Crash, Strike
from xsd import validate

from onecore.kinds.vm import due
from onecore.kinds.vm.record import Scheduled, VmText
from onecore.lifecycle import calendar
from onecore.pool.restore import Hold
from onecore.wire import xmlbody

HOUR = 3600


def now(sim: Sim) -> int:
    """The time of the cloud."""
    return int(sim.clock.time())


def add(sim: Sim, vm: int, action: str, secret: str = "", **given: object) -> int:
    """Schedule an action of a VM."""
    text = ",".join(f'{key}="{value}"' for key, value in {"ACTION": action, **given}.items())
    return int(sim.call("one.vm.schedadd", vm, f"SCHED_ACTION=[{text}]", secret=secret))


def shown(sim: Sim, vm: int) -> list[dict[str, str]]:
    """The SCHED_ACTIONs in a VM's body, which is as the schema has it."""
    text = sim.call("one.vm.info", vm)
    validate("vm", text)
    body = xmlbody.read(text)
    found = [{node.tag: node.text or "" for node in one} for one in body.findall("TEMPLATE/SCHED_ACTION")]
    assert [e.text for e in body.findall("SCHED_ACTIONS/ID")] == [one["ID"] for one in found]
    return found


def rows(sim: Sim, vm: int) -> list[Scheduled]:
    """The records, which are those in SQL."""
    return sorted((r for r in sim.core.store.all(Scheduled) if r.vid == vm), key=lambda r: r.oid)


def times(sim: Sim, vm: int, state: str) -> int:
    """How often a VM came to a state."""
    return sim.path(vm).count(state)


def test_a_new_vm_brings_its_own(ground: Ground) -> None:
    """Several, from the template; what is relative counts from the VM's start; bodies are as the schema has them."""
    sim = ground.sim
    start = now(sim)
    vm = int(sim.call("one.vm.allocate", "CPU=1\nMEMORY=64\nA=b\n"
                      f'SCHED_ACTION=[ACTION="hold",TIME="+600"]\n'
                      f'SCHED_ACTION=[ACTION="release",TIME="{start + 1200}",WARNING="-60",ID="77",DONE="1"]\n'
                      f'SCHED_ACTION=[ACTION="snapshot-create",ARGS="a, b",TIME="{start + 9000}",REPEAT="0",'
                      'DAYS="0,6",END_TYPE="1",END_VALUE="5",MISFIRE="skip"]\n'))
    first, second, third = shown(sim, vm)
    assert [list(first)[0], list(first)[-1]] == ["ID", "WARNING"] and first["PARENT_ID"] == str(vm)
    assert (first["TIME"], first["REPEAT"], first["DONE"], first["TYPE"]) == ("+600", "-1", "-1", "VM")
    assert (second["TIME"], second["WARNING"], second["DONE"]) == (str(start + 1200), "-60", "-1")
    assert (third["ARGS"], third["DAYS"], third["END_VALUE"]) == ("a, b", "0,6", "5")
    assert b"SCHED_ACTION" not in sim.get(VmText, vm).template + sim.get(VmText, vm).user
    sim.wait(vm, "HOLD", limit=700)
    assert start + 600 <= now(sim) <= start + 602
    sim.wait(vm, "PENDING", limit=700)
    assert start + 1200 <= now(sim) <= start + 1202
    assert [one["DONE"] != "-1" for one in shown(sim, vm)] == [True, True, False]
    assert [doc["misfire"] for doc in json.loads(sim.call("onecore.vm.schedule", vm))] == ["run", "run", "skip"]


def test_a_template_brings_them_too(ground: Ground) -> None:
    """What is wrong is said when the template is made or changed, what is past when it is used."""
    sim = ground.sim
    good = 'SCHED_ACTION=[ACTION="terminate",TIME="+60"]\nSCHED_ACTION=[ACTION="hold",TIME="+30"]\n'
    made = sim.call("one.template.allocate", f"NAME=t\nCPU=1\nMEMORY=64\n{good}")
    for text, what in (('SCHED_ACTION=[ACTION="explode",TIME="+60"]', "ACTION"), ("SCHED_ACTION=5", "vector"),
                       ('SCHED_ACTION=[ACTION="hold"]', "TIME")):
        refused(ALLOCATE, what, lambda text=text: sim.call("one.template.allocate", f"NAME=u\n{text}"))
        refused(RPC_API, what, lambda text=text: sim.call("one.template.update", made, text, 1))
        refused(ALLOCATE, what, lambda text=text: sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\n{text}"))
    vm = sim.call("one.template.instantiate", made, "v")
    assert len(rows(sim, vm)) == 2
    sim.wait(vm, "DONE")
    assert sim.path(vm) == ["PENDING", "HOLD", "DONE"]
    assert list(sim.core.store.all(Scheduled)) == [] == sim.database.rows("SELECT oid FROM scheduled", {})
    assert shown(sim, vm) == []
    sim.call("one.template.update", made, f'SCHED_ACTION=[ACTION="hold",TIME="{now(sim) - HOUR}"]', 1)
    refused(ALLOCATE, "SCHED_ACTION TIME must not be past", lambda: sim.call("one.template.instantiate", made, "w"))


def test_added_changed_deleted(ground: Ground) -> None:
    """By its id; a change of its times begins anew, one of something else does not; the same twice is refused."""
    sim, vm = ground.sim, ground.make()
    first = add(sim, vm, "hold", TIME=now(sim) + HOUR)
    other = add(sim, ground.make(), "hold", TIME=now(sim) + HOUR)
    assert other == first + 1
    time_given = rows(sim, vm)[0].time
    refused(RPC_API, f"the same as {first}", lambda: add(sim, vm, "hold", TIME=time_given))
    text = f'SCHED_ACTION=[ACTION="terminate",TIME="{time_given}"]'
    assert sim.call("one.vm.schedupdate", vm, first, text) == first
    assert (rows(sim, vm)[0].action, rows(sim, vm)[0].due) == ("terminate", int(time_given))
    sim.call("one.vm.schedupdate", vm, first, 'SCHED_ACTION=[ACTION="hold",TIME="+7200"]')
    assert rows(sim, vm)[0].due == sim.vm(vm).stime + 7200
    sim.call("one.vm.schedupdate", vm, first, 'SCHED_ACTION=[REPEAT="3",DAYS="1"]')
    assert rows(sim, vm)[0].repeat == 3 and rows(sim, vm)[0].action == "hold"
    for method in ("one.vm.schedupdate", "one.vm.scheddelete"):
        rest = (text,) if method.endswith("update") else ()
        refused(NO_EXISTS, f"no scheduled action {other}", lambda m=method, r=rest: sim.call(m, vm, other, *r))
    assert sim.call("one.vm.scheddelete", vm, first) == vm
    assert shown(sim, vm) == []
    sim.advance(3 * HOUR)
    assert sim.state(vm) == "PENDING"
    assert_sums(sim)


def test_what_is_refused(ground: Ground) -> None:
    """By the attribute's name; a hundred of one VM are enough."""
    sim, vm = ground.sim, ground.make()
    for text in ("A=b", "SCHED_ACTION=5", 'SCHED_ACTION=[ACTION="hold",TIME="+1"]\n' * 2):
        refused(RPC_API, "one vector SCHED_ACTION", lambda text=text: sim.call("one.vm.schedadd", vm, text))
    refused(RPC_API, "TIME must not be past", lambda: add(sim, vm, "hold", TIME=now(sim) - 61))
    refused(RPC_API, "backup is not there yet", lambda: add(sim, vm, "backup", TIME="+5"))
    for number in range(100):
        add(sim, vm, "hold", TIME=f"+{HOUR + number}")
    refused(RPC_API, "100 times", lambda: add(sim, vm, "hold", TIME="+9999"))
    refused(RPC_API, "TIME", lambda: sim.call("one.vm.schedupdate", vm, rows(sim, vm)[0].oid, "SCHED_ACTION=[TIME=x]"))
    sim.call("one.vm.lock", vm, 2)
    user = str(sim.call("one.user.allocate", "vera", "secret", "", []))
    refused(AUTHORIZATION, "MANAGE", lambda: add(sim, vm, "hold", TIME="+5", secret="vera:secret"))
    assert user and len(rows(sim, vm)) == 100


def test_again_and_again(ground: Ground) -> None:
    """Every hour, three times; a run that the VM's state refuses says so, counts, and the next is done."""
    sim, vm = ground.sim, ground.make()
    begin = now(sim) + 60
    add(sim, vm, "hold", TIME=begin, REPEAT=3, DAYS=1, END_TYPE=1, END_VALUE=3)
    sim.wait(vm, "HOLD")
    assert shown(sim, vm)[0]["TIME"] == str(begin + HOUR) and shown(sim, vm)[0]["MESSAGE"] == ""
    sim.advance(HOUR + 120)
    found = shown(sim, vm)[0]
    assert 'Action "hold" is not available for VM' in found["MESSAGE"] and found["DONE"] == str(begin)
    assert found["TIME"] == str(begin + 2 * HOUR)
    ground.act(vm, "release")
    sim.wait(vm, "HOLD", limit=2 * HOUR)
    assert (rows(sim, vm)[0].runs, rows(sim, vm)[0].due, shown(sim, vm)[0]["MESSAGE"]) == (3, 0, "")
    ground.act(vm, "release")
    sim.advance(3 * HOUR)
    assert sim.state(vm) == "PENDING"
    assert "scheduled action 0: hold: Action" in sim.call("onecore.vm.log", vm)


ROAD = [("poweroff", "RUNNING", "POWEROFF"), ("poweroff-hard", "RUNNING", "POWEROFF"),
        ("resume", "POWEROFF", "RUNNING"),
        ("suspend", "RUNNING", "SUSPENDED"), ("stop", "RUNNING", "STOPPED"), ("undeploy", "RUNNING", "UNDEPLOYED"),
        ("undeploy-hard", "RUNNING", "UNDEPLOYED"), ("hold", "PENDING", "HOLD"), ("release", "HOLD", "PENDING"),
        ("terminate", "RUNNING", "DONE"), ("terminate-hard", "POWEROFF", "DONE"), ("reboot", "RUNNING", "RUNNING"),
        ("reboot-hard", "RUNNING", "RUNNING")]


@pytest.mark.parametrize(("action", "start", "end"), ROAD)
def test_each_action_of_the_state_table(ground: Ground, action: str, start: str, end: str) -> None:
    """As if its user had asked for it at that moment, who stands in the history."""
    sim, vm = ground.sim, ground.bring(start)
    add(sim, vm, action, TIME=now(sim) + 30)
    sim.advance(60)
    assert sim.state(vm) == end
    if end != "DONE":
        assert shown(sim, vm)[0]["MESSAGE"] == "" and shown(sim, vm)[0]["DONE"] != "-1"
    if action == "poweroff":
        assert "<REQUEST_ID><![CDATA[scheduled-0-" in sim.call("one.vm.info", vm)


def test_a_snapshot_every_night(ground: Ground) -> None:
    """Actions with arguments; what one run does, the next one finds."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    begin = now(sim) + 60
    add(sim, vm, "disk-snapshot-create", TIME=begin, REPEAT=3, DAYS=24, ARGS="0,night, all of it")
    add(sim, vm, "disk-snapshot-delete", TIME=begin + HOUR, ARGS="0,0")
    add(sim, vm, "disk-snapshot-revert", TIME=begin + 2 * HOUR, ARGS="0,7")
    add(sim, vm, "disk-snapshot-create", TIME=begin + 3 * HOUR, ARGS="3,none")
    snapshots = "SNAPSHOTS/SNAPSHOT/NAME"
    sim.advance(90)
    assert [e.text for e in xmlbody.read(sim.call("one.vm.info", vm)).findall(snapshots)] == ["night, all of it"]
    sim.advance(3 * HOUR)
    said = [one["MESSAGE"] for one in shown(sim, vm)]
    assert said[0] == "" and "snapshot 0 is the active one" in said[1] and "has no disk 3" in said[3]
    assert 'Action "disk-snapshot-revert" is not available' in said[2] and sim.state(vm) == "RUNNING"


def test_as_whom(ground: Ground) -> None:
    """With the rights that the user has when it is done; nobody acts for one who is disabled or gone."""
    sim = ground.sim
    vera = sim.call("one.user.allocate", "vera", "secret", "", [])
    vm = int(sim.call("one.vm.allocate", "CPU=1\nMEMORY=64\n", secret="vera:secret"))
    add(sim, vm, "hold", TIME="+100", secret="vera:secret")
    add(sim, vm, "release", TIME="+200", secret="vera:secret")
    add(sim, vm, "hold", TIME="+300", secret="vera:secret")
    add(sim, vm, "terminate", TIME="+400", secret="vera:secret")
    sim.wait(vm, "HOLD")
    sim.call("one.vm.chown", vm, 0, -1)
    sim.advance(110)
    assert sim.state(vm) == "HOLD" and "Not authorized to perform MANAGE VM" in shown(sim, vm)[1]["MESSAGE"]
    sim.call("one.user.enable", vera, False)
    sim.advance(100)
    assert "disabled" in shown(sim, vm)[2]["MESSAGE"]
    sim.call("one.vm.schedupdate", vm, 3, "SCHED_ACTION=[WARNING=5]")  # an administrator takes it over
    sim.wait(vm, "DONE")


def test_a_lock_holds_scheduled_actions_too(ground: Ground) -> None:
    """As it holds the calls that they stand for."""
    sim, vm = ground.sim, ground.make()
    add(sim, vm, "terminate", TIME="+50")
    sim.call("one.vm.lock", vm, 2)
    sim.advance(100)
    assert sim.state(vm) == "PENDING" and "locked" in shown(sim, vm)[0]["MESSAGE"]


# -- missed, and crashes

def away(sim: Sim, seconds: int) -> None:
    """oned is down for a while."""
    sim.crash()
    sim.wall += seconds
    sim.boot()


@pytest.mark.parametrize("misfire", ["run", "skip"])
def test_a_run_missed_while_nobody_was_there(ground: Ground, misfire: str) -> None:
    """Once, late, or not at all and said so; the next is in time either way."""
    sim, vm, other = ground.sim, ground.bring("RUNNING"), ground.make()
    begin = now(sim) + 600
    add(sim, vm, "reboot", TIME=begin, REPEAT=3, DAYS=1, MISFIRE=misfire)
    once = add(sim, other, "hold", TIME=begin + 60, MISFIRE=misfire)
    away(sim, 4 * HOUR)
    sim.advance(90)
    reboots = [c for c in sim.transport.sent if c.action == "reboot"]
    first, second = *shown(sim, vm), *shown(sim, other)
    if misfire == "run":
        assert len(reboots) == 1 and sim.state(other) == "HOLD" and first["MESSAGE"] == ""
        assert "s late" in sim.call("onecore.vm.log", vm)
    else:
        assert reboots == [] and sim.state(other) == "PENDING"
        assert "missed its time, " + time.strftime("%F %T UTC", time.gmtime(begin)) in first["MESSAGE"]
        assert "missed its time" in second["MESSAGE"] and second["DONE"] == "-1"
    assert first["TIME"] == str(begin + 4 * HOUR) and rows(sim, vm)[0].runs == 1
    assert sim.get(Scheduled, once).due == 0
    before = len(sim.transport.sent)
    sim.advance(HOUR)
    assert [c.action for c in sim.transport.sent[before:]].count("reboot") == 1


def test_a_run_that_is_a_moment_late_is_not_missed(ground: Ground) -> None:
    """A start takes its time."""
    sim, vm = ground.sim, ground.make()
    add(sim, vm, "hold", TIME=now(sim) + 10, MISFIRE="skip")
    away(sim, 40)
    sim.wait(vm, "HOLD")


def test_a_crash_after_each_commit(make_ground: MakeGround) -> None:
    """Whatever SQL got, each run is done once: the VM goes back and forth as often as it was told to."""
    after = 0
    while True:
        after += 1
        ground = make_ground(after)
        sim = ground.sim
        vm = ground.make()
        begin = now(sim) + 60
        for number, action in enumerate(("hold", "release", "hold", "release", "hold")):
            add(sim, vm, action, TIME=begin + 100 * number)
        sim.strike(Strike("commit.after", after, CORE))
        epoch = sim.core.epoch
        for _ in range(2):
            try:
                sim.advance(begin + 600 - now(sim))
                break
            except Crash:
                sim.reboot()
        sim.advance(1)
        assert sim.path(vm) == ["PENDING", "HOLD", "PENDING", "HOLD", "PENDING", "HOLD"]
        assert [(r.runs, r.due, r.message) for r in rows(sim, vm)] == [(1, 0, "")] * 5
        assert_sums(sim)
        if sim.core.epoch == epoch:
            break
        sim.close()
    assert after > 5, "there was a crash after every commit"


def test_the_action_and_its_mark_are_one(ground: Ground) -> None:
    """What is not durable never happened: neither of the two, and then both, once."""
    sim, vm = ground.sim, ground.make()
    add(sim, vm, "hold", TIME="+60")
    sim.writer.holding = True
    sim.advance(70)
    assert sim.vm(vm).state == 2 and rows(sim, vm)[0].due == 0
    sim.reboot()
    assert sim.path(vm) == ["PENDING"] or sim.path(vm) == ["PENDING", "HOLD"]
    sim.wait(vm, "HOLD")
    sim.advance(10)
    assert sim.path(vm) == ["PENDING", "HOLD"] and rows(sim, vm)[0].runs == 1


def test_while_nothing_can_be_stored(ground: Ground) -> None:
    """It stays due, and is done when commits go through again."""
    sim, vm = ground.sim, ground.make()
    add(sim, vm, "hold", TIME="+60")
    sim.advance(50)
    sim.core.store.refuses = "the disk is full"
    sim.advance(60)
    assert sim.state(vm) == "PENDING"
    sim.core.store.refuses = ""
    sim.wait(vm, "HOLD", limit=2 * calendar.REST)


def test_while_the_cloud_is_held(ground: Ground) -> None:
    """After a restore nothing is done before it was accepted: what is due may have been done before."""
    sim, vm = ground.sim, ground.make()
    add(sim, vm, "hold", TIME="+60")
    add(sim, vm, "release", TIME="+100", MISFIRE="skip")
    with sim.core.store.tx() as tx:
        hold = tx.put(Hold(0, now(sim), now(sim)))
    sim.advance(300)
    assert sim.state(vm) == "PENDING"
    with sim.core.store.tx() as tx:
        tx.delete(hold)
    sim.wait(vm, "HOLD", limit=2 * calendar.REST)
    sim.advance(10)
    assert sim.state(vm) == "HOLD" and "missed" in shown(sim, vm)[1]["MESSAGE"]


def test_a_bug_in_an_action_ends_that_run_only(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and the next is done."""
    sim, vm = ground.sim, ground.make()
    add(sim, vm, "hold", TIME=now(sim) + 60, REPEAT=3, DAYS=1)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")
    act = due._act
    monkeypatch.setattr(due, "_act", broken)
    sim.advance(70)
    assert "internal error, see scheduled-" in shown(sim, vm)[0]["MESSAGE"] and sim.state(vm) == "PENDING"
    monkeypatch.setattr(due, "_act", act)
    sim.wait(vm, "HOLD", limit=HOUR)
