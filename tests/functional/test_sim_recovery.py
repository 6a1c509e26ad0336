"""Things that go wrong at an awkward moment: unknown outcomes, debts of healthy hosts, deaf drivers, old clocks."""
from __future__ import annotations

import json
from dataclasses import replace
from threading import Event
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from makers import MakeGround
from sim import Refused, Sim, refused
from sim_ground import Ground, assert_sums
from sim_points import Strike

from onecore import app
from onecore.__main__ import Daemon
from onecore.config import Retention
from onecore.errors import NotReady
from onecore.kinds.host.record import Host
from onecore.kinds.image.record import Image
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.dispatcher import DEAF_SECONDS, MAX_ABANDONED
from onecore.lifecycle.outbox import Owed
from onecore.pool.database import DatabaseError
from onecore.pool.writer import Late
from onecore.wire.messages import Cancel, Command, Message, Sample
from onecore.wire.states import ImageState


def _listed(sim: Sim, *arguments: int) -> list[int]:
    """Ids in one.vmpool.info."""
    pool = ElementTree.fromstring(sim.call("one.vmpool.info", *arguments))
    return [int(vm.findtext("ID", "")) for vm in pool]


def test_the_number_in_sql_decides(ground: Ground) -> None:
    """The connection broke in a commit that SQL has after all: its calls are answered as done, later ones are not.

    Who was answered from what was never stored, and changed nothing itself, asks again.
    """
    sim, writer = ground.sim, ground.sim.writer
    writer.holding = True
    stored = sim.begin("one.vm.allocate", "CPU=1\nMEMORY=64\nNAME=stored\n", False)
    assert writer.held
    writer._sql.run(writer._connection, writer.held)
    lost = sim.begin("one.vm.allocate", "CPU=1\nMEMORY=64\nNAME=lost\n", False)
    looks = [sim.begin("one.vm.info", 999), sim.begin("one.vmpool.info", -2, -1, -1, -1)]
    writer.broken, writer.held, writer.holding = True, [], False
    sim._inside(lambda: sim._failed(sim.core.store.durable + 1, OSError("connection reset")))
    sim.until(lambda: all(each.answered for each in (stored, lost, *looks)))
    assert sim.vm(int(stored.value())).name == "stored"
    refused(0x2000, "could not be stored", lost.value)
    for look in looks:
        with pytest.raises(NotReady):
            look.value()
    assert {vm.name for vm in sim.core.store.all(Vm)} == {"stored"}


def test_a_commit_that_comes_after_all(ground: Ground) -> None:
    """It was under way in the server when its connection broke, and memory was loaded without it: again, with it."""
    sim, writer = ground.sim, ground.sim.writer
    writer.holding = True
    answer = sim.begin("one.vm.allocate", "CPU=1\nMEMORY=64\nNAME=late\n", False)
    late, resumed = writer.held or [], list[int]()

    def resume(last: int) -> None:
        resumed.append(last)
        if len(resumed) == 1:
            writer._sql.run(writer._connection, late)
            raise Late("it came")
        writer.resume(last)

    def again() -> None:
        sim.core.store.refuses = "the change could not be stored: connection reset"
        app.reload(sim.core, OSError("connection reset"))
        app.resume(sim.core, resume)
    writer.broken, writer.held, writer.holding = True, [], False
    sim._inside(again)
    sim.until(lambda: answer.answered)
    refused(0x2000, "could not be stored", answer.value)
    assert resumed == [late[0].seq - 1, late[-1].seq]
    assert {vm.name for vm in sim.core.store.all(Vm)} == {"late"}, "memory is what SQL has"
    ground.make()
    assert_sums(sim)


@pytest.fixture
def daemon(ground: Ground) -> Daemon:
    """oned as a process, around the simulated core."""
    sim = ground.sim
    assert sim.loop is not None
    made = Daemon(sim.config, sim.home, sim.database, sim.log, [])
    made.loop, made.core, made.dispatch = sim.loop, sim.core, sim.dispatch
    made.writer = sim.writer  # type: ignore[assignment]
    made.server = SimpleNamespace(should_exit=False)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize("part", ["database", "changelog"])
def test_memory_that_was_loaded_in_part_is_not_served(ground: Ground, daemon: Daemon, part: str,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes away again while what came late is loaded: 503 until all of it is there."""
    sim, vm, resumed, failed = ground.sim, ground.make(), list[int](), list[int]()
    away, holder = Event(), getattr(sim.core, part)
    load = holder.load

    def loaded(what: Any) -> Any:
        if away.is_set() and (part == "changelog" or what is Vm):
            failed.append(1)
            raise DatabaseError("connection reset")
        return load(what)

    def resume(last: int) -> None:
        resumed.append(last)
        if len(resumed) == 1:
            away.set()
            raise Late("it came")
        type(sim.writer).resume(sim.writer, last)
    monkeypatch.setattr(holder, "load", loaded)
    monkeypatch.setattr(sim.writer, "resume", resume)
    sim._inside(lambda: daemon._recover(sim.core.store.durable + 1, OSError("connection reset")))
    sim.until(lambda: len(failed) > 1)
    with pytest.raises(NotReady):
        sim.call("one.vm.info", vm)
    away.clear()
    sim.until(lambda: sim.dispatch.ready)
    assert sim.vm(vm) and sim.call("one.vm.info", vm) and not daemon.exit_code
    ground.make()
    assert_sums(sim)


def test_memory_that_cannot_be_loaded_is_the_end(ground: Ground, daemon: Daemon, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """A bug there is told, and the process ends, to be started again; else it would answer 503 for ever."""
    def bug(cls: object) -> None:
        raise ValueError("no number")
    monkeypatch.setattr(ground.sim.core.database, "load", bug)
    ground.sim._inside(lambda: daemon._recover(ground.sim.core.store.durable + 1, OSError("disk full")))
    ground.sim.until(lambda: daemon.server.should_exit)
    assert daemon.exit_code == 3 and not ground.sim.dispatch.ready
    assert "cannot be loaded, giving up: no number" in capsys.readouterr().err


def test_two_cores_on_one_database(ground: Ground) -> None:
    """One whose epoch is not the last gives up instead of loading what another one wrote."""
    core = ground.sim.core
    core.database.set_meta("epoch", core.epoch + 1)
    with pytest.raises(app.TakenOver):
        app.reload(core, OSError("commit failed"))


def test_reads_while_nothing_can_be_stored(ground: Ground) -> None:
    """Changes are refused and leave nothing; samples and results do no harm; the operation goes on afterwards."""
    sim, vm = ground.sim, ground.make()
    ground.script(delay={"tm.prolog": 1.0})
    ground.act(vm, "deploy")
    sim.advance(0.5)
    sim.core.store.refuses = "nothing can be stored at the moment: disk full"
    with pytest.raises(Refused, match="disk full"):
        ground.make()
    with pytest.raises(Refused, match=r"Error getting virtual machine \[999\]"):
        sim.call("one.vm.info", 999)
    sim.advance(120)
    assert sim.state(vm) == "PROLOG" and _listed(sim, -2, -1, -1, -1) == [vm]

    def again() -> None:
        app.reload(sim.core, OSError("disk full"))
        app.resume(sim.core, sim.writer.resume)
    sim._inside(again)
    sim.wait(vm, "RUNNING")


def test_a_vm_is_listed_on_its_whole_way_to_done(ground: Ground) -> None:
    """Whether its end is in memory only, in SQL, or in both: a pool of any state shows it once."""
    sim, vm = ground.sim, ground.make()
    sim.writer.holding = True
    end = sim.begin("one.vm.action", "terminate", vm)
    pools = [sim.begin("one.vmpool.info", -2, -1, -1, state) for state in (-2, 6)]
    sets = [sim.begin("one.vmpool.infoset", str(vm), False)]
    sim.writer._sql.run(sim.writer._connection, sim.writer.held or [])  # SQL has it, nobody was told
    pools.append(sim.begin("one.vmpool.info", -2, -1, -1, -2))
    sim.writer.let_go()
    sim.until(lambda: end.answered)
    assert sim.core.store.get(Vm, vm) is None
    pools.append(sim.begin("one.vmpool.info", -2, -1, -1, -2))
    sim.until(lambda: all(p.answered for p in (*pools, *sets)))
    for pending in (*pools, *sets):
        assert [int(e.findtext("ID", "")) for e in ElementTree.fromstring(pending.value())] == [vm]
    assert _listed(sim, -2, -1, -1, -1) == []


def test_a_healthy_host_pays_its_debts(ground: Ground) -> None:
    """A clean-up that failed once is done with the next sample."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(rules=[{"action": "vm.cleanup", "fail": "busy", "times": 1}])
    ground.act(vm, "recover-delete")
    sim.wait(vm, "DONE")
    assert [o.vid for o in sim.core.store.all(Owed)] == [vm] and sim.guests("node1") == [vm]
    sim.until(lambda: not sim.core.store.all(Owed), limit=60, what="the debt to be paid")
    assert sim.host_state(ground.host) == "MONITORED"
    ground.assert_nothing_left()


def test_a_debt_never_costs_the_new_guest(ground: Ground) -> None:
    """A VM that runs again on the host that owes an older guest and its files: the debt is void."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(rules=[{"action": "vm.cleanup", "fail": "busy"}, {"action": "tm.delete", "fail": "busy"}])
    ground.act(vm, "recover-recreate")
    sim.wait(vm, "PENDING")
    assert [(o.vid, o.files) for o in sim.core.store.all(Owed)] == [(vm, 1)]
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    ground.script()
    before = len(sim.transport.sent)
    sim.until(lambda: not sim.core.store.all(Owed), limit=60, what="the debt to be struck off")
    sim.advance(60)
    assert sim.state(vm) == "RUNNING" and sim.guests("node1") == [vm]
    assert not {"cleanup", "delete"} & {c.action for c in sim.transport.sent[before:]}


def test_a_host_that_is_removed_owes_nothing(ground: Ground) -> None:
    """The administrator says that it is gone for good; its VM may run elsewhere."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    other = sim.add_host("node2")
    ground.script(rules=[{"action": "vm.cleanup", "fail": "away"}, {"action": "tm.delete", "fail": "away"},
                         {"action": "im.sample", "host": "node1", "hang": True}])
    ground.act(vm, "recover-recreate")
    sim.wait(vm, "PENDING")
    with pytest.raises(Refused, match="owes its clean-up"):
        sim.call("one.vm.deploy", vm, other)
    sim.call("one.host.delete", ground.host)
    assert not sim.core.store.all(Owed)
    sim.advance(1.1)
    log = (sim.home / "log" / "oned.log").read_text()
    assert f"although it owes the end of VM {vm} of generation 1 with its files" in log
    sim.call("one.vm.deploy", vm, other)
    sim.wait(vm, "RUNNING")


def test_a_question_that_hangs(ground: Ground) -> None:
    """A stat that never ends is answered with an error, and hurts no other work of its driver."""
    sim, vm = ground.sim, ground.make()
    ground.script(delay={"tm.prolog": 300}, rules=[{"action": "ds.stat", "hang": True}])
    ground.act(vm, "deploy")
    sim.transport.deaf = lambda command: command.action == "stat"
    driver = sim.transport.families["tm"]
    pending = sim.begin("one.image.allocate", "NAME=slow\nPATH=/var/tmp/slow\n", 1)
    sim.advance(70)
    with pytest.raises(Refused, match="no answer within 60 s"):
        pending.value()
    sim.advance(200)
    assert sim.transport.families["tm"] is driver
    sim.wait(vm, "RUNNING")


def test_a_question_that_hangs_costs_no_place_for_ever(ground: Ground) -> None:
    """When it hears no cancel either, and nothing else is at work: another driver process."""
    sim = ground.sim
    sim.transport.deaf = lambda command: command.action == "stat"
    ground.script(delay={"ds.stat": 1})
    driver = sim.transport.families["tm"]
    with pytest.raises(Refused, match="no answer within 60 s"):
        sim.call("one.image.allocate", "NAME=slow\nPATH=/var/tmp/slow\n", 1)
    assert sim.transport.families["tm"] is driver
    sim.until(lambda: sim.transport.families.get("tm") not in (driver, None), limit=40, what="another tm driver")


def test_a_hanging_command_hurts_no_other(make_ground: MakeGround) -> None:
    """It is abandoned; its driver process is replaced when it has nothing else to do, not before."""
    ground = make_ground(deploy=50, grace=10)
    sim, stuck, fine = ground.sim, ground.make(), ground.make()
    sim.transport.deaf = lambda command: command.action == "deploy" and command.object[1] == stuck
    ground.script(rules=[{"action": "vm.deploy", "vm": fine, "delay": 45},
                         {"action": "vm.deploy", "vm": stuck, "hang": True}])
    driver = sim.transport.families["vm"]
    ground.act(stuck, "deploy")
    sim.advance(40)
    ground.act(fine, "deploy")
    sim.wait(stuck, "BOOT_FAILURE")
    assert sim.state(fine) == "BOOT" and sim.transport.families["vm"] is driver
    sim.wait(fine, "RUNNING", limit=60)
    sim.until(lambda: sim.transport.families.get("vm") not in (driver, None), limit=60, what="another driver")
    assert MAX_ABANDONED > 1


def test_a_deaf_driver_is_replaced(ground: Ground) -> None:
    """A process that takes its messages and says nothing, not even with no command in it."""
    sim = ground.sim
    driver = sim.transport.families["im"]
    take = driver.take
    driver.take = lambda message: None if isinstance(message, Cancel | Command) else take(message)  # type: ignore[method-assign]
    sim.until(lambda: sim.transport.families.get("im") not in (driver, None), limit=DEAF_SECONDS + 30,
              what="another im driver")
    sim.advance(60)
    assert sim.host_state(ground.host) == "MONITORED"


def test_a_copy_that_is_given_up(ground: Ground) -> None:
    """Deleted by force while it is made: its origin is READY again, and what the driver says later is nothing."""
    sim = ground.sim
    ground.script(delay={"ds.clone": 30})
    copy = int(sim.call("one.image.clone", ground.image, "copy"))
    sim.advance(1)
    assert sim.get(Image, ground.image).state == ImageState.CLONE
    sim.call("one.image.delete", copy, True)
    assert sim.get(Image, ground.image).state == ImageState.READY
    sim.advance(60)
    assert sim.core.store.get(Image, copy) is None
    ground.assert_nothing_left()


def test_images_go_on_after_a_crash(ground: Ground) -> None:
    """One that is made, one that is copied, and the VM that waits for both."""
    sim = ground.sim
    ground.script(delay={"ds.mkfs": 20, "ds.clone": 30})
    made = int(sim.call("one.image.allocate", "NAME=made\nSIZE=5\nTYPE=DATABLOCK\n", 1))
    copy = int(sim.call("one.image.clone", ground.image, "copy"))
    disks = "".join(f"DISK=[IMAGE_ID={image}]\n" for image in (made, copy))
    vm = int(sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\n{disks}", False))
    failed = int(sim.call("one.image.allocate", "NAME=failed\nSIZE=5\nTYPE=DATABLOCK\n", 1))
    other = int(sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\nDISK=[IMAGE_ID={failed}]\n", False))
    for _ in range(2):
        sim.advance(5)
        sim.reboot()
    ground.script(delay={"ds.clone": 1}, rules=[{"action": "ds.mkfs", "fail": "no room", "times": 1}])
    sim.transport.kill("tm")
    sim.wait(other, "CLONING_FAILURE", "PENDING")
    sim.wait(vm, "CLONING_FAILURE", "PENDING")
    assert sorted([sim.state(vm), sim.state(other)]) == ["CLONING_FAILURE", "PENDING"], "one mkfs failed"
    for one in (vm, other):
        ground.act(one, "terminate")
        sim.wait(one, "DONE")
    sim.until(lambda: sim.get(Image, ground.image).state == ImageState.READY, what="the copy to be made")


@pytest.mark.parametrize(("passed", "back", "state"), [(3, 0, "RUNNING"), (60, 0, "POWEROFF"), (60, 86400, "POWEROFF")])
def test_a_roster_without_the_guest(ground: Ground, passed: int, back: int, state: str) -> None:
    """It counts once it is newer than the VM's last change, also when the wall clock was set back meanwhile."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.advance(passed)
    sim.clock._start -= back
    host, roster = sim.get(Host, ground.host), Sample(ground.host, sim.core.now())
    sim._inside(lambda: sim.core.kinds["vm.roster"](host, roster))
    assert sim.state(vm) == state


def test_the_past_is_purged(ground: Ground) -> None:
    """DONE VMs with their logs, the change log, the series; what lives stays, and readers of the log are told."""
    sim, alive, gone = ground.sim, ground.bring("RUNNING"), ground.bring("RUNNING")
    last = sim.core.changelog.last
    ground.act(gone, "terminate")
    sim.wait(gone, "DONE")
    sim.advance(2)
    assert (sim.home / "log" / "vm" / f"{gone}.log").exists()
    assert _listed(sim, -2, -1, -1, 6) == [gone]
    sim.core.config = replace(sim.core.config, retention=Retention(done_days=0, log_days=0, series_hours=0))
    sim.advance(400)
    assert _listed(sim, -2, -1, -1, -2) == [alive]
    assert not (sim.home / "log" / "vm" / f"{gone}.log").exists()
    for table in ("vm_pool", "vm_text", "history"):
        assert len(sim.database.rows(f"SELECT * FROM {table}")) == 1, table
    assert json.loads(sim.call("onecore.events", last, 0))["reset"]
    with pytest.raises(Refused, match="Error getting virtual machine"):
        sim.call("one.vm.info", gone)
    assert len(sim.core.series.read("host", [ground.host], 0)[ground.host]) < 40  # of the last minutes
    sim.reboot()
    assert _listed(sim, -2, -1, -1, -2) == [alive]


def test_what_follows_a_commit_may_fail(ground: Ground) -> None:
    """A bug in it is logged; the answers behind it go out."""
    sim = ground.sim
    sim.core.dispatcher.compose["vm"] = lambda box: 1 / 0  # type: ignore[assignment, return-value]
    vm = ground.make()
    ground.act(vm, "deploy")
    assert sim.wait(vm, "PROLOG_FAILURE")
    assert "what it needs is not there" in sim.vm(vm).error


def test_messages_of_a_driver_behind_a_bad_one(ground: Ground) -> None:
    """One that cannot be taken is logged; the next are taken."""
    sim = ground.sim
    heard: list[Message] = []

    def take(message: Message) -> None:
        heard.append(message)
        raise KeyError("total_cpu")
    sim.core.dispatcher.on_sample = take
    vm = ground.bring("RUNNING")
    sim.advance(30)
    assert heard and sim.state(vm) == "RUNNING"
    assert "could not be taken" in (sim.home / "log" / "oned.log").read_text()


@pytest.mark.parametrize("call", ["", "update", "attachnic"])
def test_a_save_of_which_nobody_heard(ground: Ground, call: str) -> None:
    """Its checkpoint is found, though the VM's error was taken away or another operation failed since."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    sim.advance(30)
    sim.points.arm([Strike.parse("step.after:vm.save#1=deaf~1")])
    ground.act(vm, "suspend")
    sim.wait(vm, "RUNNING", limit=2000)
    if call == "update":
        sim.call("one.vm.update", vm, 'A="1"', 0)
    elif call:
        sim.call("one.vm.attachnic", vm, f"NIC=[NETWORK_ID={ground.network}]")
    sim.wait(vm, "SUSPENDED", limit=600)
