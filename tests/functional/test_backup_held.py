"""A restored cloud, simulated: what it does not do until it is accepted, what it finds, and how it goes on."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from restore_ground import SECOND, compared, deploy, findings, look, rewind, save
from sim import Refused, Sim
from sim_ground import ENDS, Ground, assert_sums

from drivers.registry import BUILT_IN
from onecore.kinds import restore
from onecore.kinds.host.record import Host
from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.states import VM
from onecore.lifecycle.outbox import Outbox, Owed
from onecore.pool.restore import Gap
from onecore.wire.states import VmState

REFUSED = r"restored from a backup of .*reconcile"


@pytest.fixture
def second(ground: Ground) -> int:
    """Another host."""
    return ground.sim.add_host(SECOND)


def refused(ground: Ground, vm: int, *actions: str) -> None:
    """Each of ACTIONS is refused, and the guests stay."""
    guests = [ground.sim.guests("node1"), ground.sim.guests(SECOND)]
    for action in actions:
        with pytest.raises(Refused, match=REFUSED):
            ground.act(vm, action)
    ground.sim.advance(30)
    assert [ground.sim.guests("node1"), ground.sim.guests(SECOND)] == guests


def ended(sim: Sim) -> list[str]:
    """The commands that were sent since the start, those of HELD."""
    return [f"{command.driver}.{command.action}" for command in sim.transport.sent
            if any(name.endswith(f".{command.action}") for name in restore.HELD)]


# -- the table

def test_every_command_is_held_or_not_on_purpose() -> None:
    """A new action of a driver, or a new command of the state table, needs a decision."""
    import importlib
    families = {"vm": "vm", "net": "", "tm": "tm", "ds": "tm", "im": "im", "fence": "im", "hook": "im"}
    actions = set()
    for name, path in BUILT_IN.items():
        family = families[name.split("/")[0]]
        try:
            found = importlib.import_module(path)
        except ImportError:  # libvirt is not installed
            continue
        actions |= {f"{family}.{action}" for action in found.ACTIONS if family}
    actions |= {row.send for row in VM.rows if row.send}
    tables = (restore.HELD, restore.STARTS, restore.FREE)
    assert actions - {command for table in tables for command in table} == set()
    assert sum(len(table) for table in tables) == len({command for table in tables for command in table})


# -- users

def test_a_held_cloud_ends_nothing(ground: Ground, second: int) -> None:
    """What ends a guest or removes a file is refused, in whatever state a VM is; the rest goes on."""
    sim = ground.sim
    running, off, away, pending = (ground.bring(s) for s in ("RUNNING", "POWEROFF", "STOPPED", "PENDING"))
    rewind(sim, save(sim))
    refused(ground, running, "terminate", "terminate-hard", "poweroff", "poweroff-hard", "undeploy", "suspend", "stop",
            "recover-delete", "recover-recreate", "recover-deletedb")
    refused(ground, off, "terminate", "undeploy", "recover-delete")
    refused(ground, away, "terminate", "recover-delete")
    refused(ground, pending, "terminate", "recover-deletedb")
    with pytest.raises(Refused, match=REFUSED):
        sim.call("one.image.delete", sim.add_image("other"))
    ground.act(running, "reboot")
    ground.act(pending, "hold")
    sim.call("one.vm.rename", off, "another")
    assert [sim.state(vm) for vm in (running, off, away)] == ["RUNNING", "POWEROFF", "STOPPED"]
    assert "restored from a backup" in json.loads(sim.call("onecore.status"))["held"]
    assert "<HELD>" in sim.call("one.host.info", second)
    assert look(sim, True)["held"] is False
    assert not json.loads(sim.call("onecore.status"))["held"] and "<HELD>" not in sim.call("one.host.info", second)
    for vm in (running, off, away, pending):
        ground.act(vm, "terminate")
        sim.wait(vm, "DONE")


def test_only_administrators_look_and_accept(ground: Ground) -> None:
    """Others see neither."""
    sim = ground.sim
    sim.call("one.user.allocate", "plain", "secret", "", [1])
    rewind(sim, save(sim))
    for arguments in ((), (True,)):
        with pytest.raises(Refused, match="ADMIN"):
            sim.call("onecore.reconcile", *arguments, secret="plain:secret")
    assert look(sim)["held"]


def test_it_is_held_over_restarts(ground: Ground) -> None:
    """Until it is accepted; then never again."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    rewind(sim, save(sim))
    sim.reboot()
    refused(ground, vm, "terminate-hard")
    compared(sim)
    look(sim, True)
    sim.reboot()
    ground.act(vm, "terminate-hard")
    sim.wait(vm, "DONE")
    assert look(sim, True)["held"] is False, "accepting again is nothing"
    ground.assert_nothing_left()


# -- what was under way

@pytest.mark.parametrize(("state", "action", "command", "stays", "end"), [
    ("RUNNING", "terminate", "vm.shutdown", "SHUTDOWN", "DONE"),
    ("RUNNING", "suspend", "vm.save", "SAVE_SUSPEND", "SUSPENDED"),
    ("POWEROFF", "terminate", "tm.epilog", "EPILOG", "DONE"),
    ("SUSPENDED", "stop", "tm.epilog_stop", "EPILOG_STOP", "STOPPED"),
    ("RUNNING", "recover-delete", "vm.cleanup", "CLEANUP_DELETE", "DONE"),
])
def test_commands_that_end_something_wait_in_the_outbox(ground: Ground, state: str, action: str, command: str,
                                                        stays: str, end: str) -> None:
    """For as long as it takes: no deadline fires for what was not sent; accepted, they go on."""
    sim, vm = ground.sim, ground.bring(state)
    ground.script(delay={command: 5.0})
    ground.act(vm, action)
    sim.wait(vm, stays)
    path = save(sim)
    ground.script()
    sim.wait(vm, end)
    rewind(sim, path)
    sim.advance(2000)
    assert sim.state(vm) == stays and not ended(sim) and look(sim)["waiting"] == 1
    _, progress = sim.core.dispatcher.under_way()[0]
    assert progress is not None and progress.step.startswith("held: ")
    sim.reboot()
    sim.advance(60)
    assert sim.state(vm) == stays and not ended(sim)
    look(sim, True)
    sim.wait(vm, end)


def test_steps_behind_an_answer_wait_too(ground: Ground) -> None:
    """A start that was under way goes on when hosts were compared; it is not off any longer than that."""
    sim, vm = ground.sim, ground.make()
    ground.script(delay={"tm.prolog": 5.0}, rules=[{"action": "im.sample", "hang": True}])
    ground.act(vm, "deploy")
    sim.wait(vm, "PROLOG")
    path = save(sim)
    rewind(sim, path, ready=False)
    sim.advance(20)
    assert sim.state(vm) == "PROLOG" and [c.action for c in sim.transport.sent if c.object == ("vm", vm)] == []
    ground.script()
    sim.wait(vm, "RUNNING", limit=60)
    assert look(sim)["held"]


def test_operations_get_new_ids(ground: Ground) -> None:
    """Datastore files are named after operations: one that is sent again must not hit its first file."""
    sim = ground.sim
    ground.script(delay={"ds.mkfs": 5.0})
    image = int(sim.call("one.image.allocate", 'NAME="new"\nTYPE="DATABLOCK"\nSIZE="10"\n', 1))
    before = next(iter(sim.core.store.all(Outbox))).op
    path = save(sim)
    ground.script()
    rewind(sim, path)
    assert next(c for c in sim.transport.sent if c.object == ("image", image)).op > before + 999 * 10**9
    sim.until(lambda: not sim.core.store.all(Outbox), limit=10)


def test_debts_are_not_paid(ground: Ground) -> None:
    """Nor is what owes ON before that, but it is compared."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    with sim.core.store.tx() as tx:
        tx.put(Owed(ground.host, vm, 99, 0, 1, 1))
    path = save(sim)
    rewind(sim, path)
    sim.advance(120)
    assert sim.core.store.all(Owed) and not ended(sim) and sim.guests("node1") == [vm]
    look(sim, True)
    sim.until(lambda: not sim.core.store.all(Owed), limit=60)


# -- what hosts run

def test_vms_made_since_are_wild_and_left_alone(ground: Ground, second: int) -> None:
    """They show; their ids are not given again; accepting does nothing to them."""
    sim, old = ground.sim, ground.bring("RUNNING")
    path = save(sim)
    new = [ground.make() for _ in range(3)]
    for vm, host in zip(new, (ground.host, second, second), strict=True):
        deploy(ground, vm, host)
    rewind(sim, path)
    assert findings(sim, "wild") == [(ground.host, new[0]), (second, new[1]), (second, new[2])]
    assert not findings(sim, "missing") and not findings(sim, "moved") and not findings(sim, "changed")
    for step in ((), (True,)):
        look(sim, *step)
        sim.advance(60)
        assert sim.guests("node1") == [old, new[0]] and sim.guests(SECOND) == new[1:]
    made = ground.make()
    assert made > old + 1000
    orphans = json.loads(sim.call("onecore.host.orphans", second))
    assert [each["name"] for each in orphans["wild"]] == [f"one-{vm}" for vm in new[1:]] and not orphans["zombies"]


def test_an_id_beyond_the_gap_is_not_given_again(ground: Ground) -> None:
    """A host that has it says so; the counter goes on behind it, also after a restart."""
    sim = ground.sim
    path = save(sim)
    rewind(sim, path)
    (sim.home / "dummy/node1").mkdir(parents=True, exist_ok=True)
    (sim.home / "dummy/node1/5000").write_text("1 running\n")
    sim.advance(30)
    assert findings(sim, "wild") == [(ground.host, 5000)] and ground.make() == 5001
    sim.reboot()
    assert ground.make() == 5002
    assert any(first <= 5000 <= last for first, last in sim.core.kinds["vm.gaps"])
    assert {gap.kind for gap in sim.core.store.all(Gap)} >= {"vm", "host", "image", "vnet"}


def test_ids_that_the_old_database_gave_are_not_given_again(ground: Ground) -> None:
    """However many: the database that is replaced knows."""
    sim = ground.sim
    path = save(sim)
    with sim.core.store.tx() as tx:
        from onecore.pool.store import Counter
        tx.put(Counter("vm", 7000))
    sim.advance(1)
    before = sim.core.epoch
    rewind(sim, path)
    assert ground.make() == 7001 and sim.core.epoch > before + 1000


def test_a_guest_that_is_gone_is_missing_until_accepted(ground: Ground) -> None:
    """Its record stays as it was, so that it can be seen; then it is POWEROFF."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    path = save(sim)
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    rewind(sim, path)
    sim.advance(60)
    assert findings(sim, "missing") == [(ground.host, vm)] and sim.state(vm) == "RUNNING"
    look(sim, True)
    sim.wait(vm, "POWEROFF", limit=30)


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED"])
def test_a_guest_that_was_started_again_on_its_host(ground: Ground, state: str) -> None:
    """Its generation is taken over, so that its news are believed and it can be ended again."""
    sim, vm = ground.sim, ground.bring(state)
    path = save(sim)
    if state == "RUNNING":
        ground.act(vm, "poweroff")
        sim.wait(vm, "POWEROFF")
    ground.act(vm, "deploy" if state == "PENDING" else "resume")
    if state in ("STOPPED", "UNDEPLOYED"):
        ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    generation = sim.vm(vm).generation
    rewind(sim, path)
    here = state in ("RUNNING", "POWEROFF", "SUSPENDED")
    assert findings(sim, "changed" if here else "moved") == [(ground.host, vm)]
    sim.advance(60)
    assert sim.state(vm) == state and sim.vm(vm).generation < generation
    assert look(sim, True, False, not here)["adopted"] == [vm]
    assert sim.state(vm) == "RUNNING" and sim.vm(vm).generation == generation
    sim.advance(60)
    assert sim.state(vm) == "RUNNING" and sim.guests("node1") == [vm]
    assert_sums(sim)
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


@pytest.mark.parametrize(("state", "action", "command"), [
    ("PENDING", "deploy", "tm.prolog"), ("PENDING", "deploy", "vm.deploy"), ("RUNNING", "poweroff", "vm.shutdown"),
    ("RUNNING", "suspend", "vm.save"), ("RUNNING", "stop", "tm.epilog_stop"),
    ("RUNNING", "recover-recreate", "vm.cleanup"), ("RUNNING", "recover-recreate", "tm.delete")])
def test_an_operation_that_a_newer_guest_makes_void(ground: Ground, state: str, action: str, command: str) -> None:
    """The guest was started again since: what was under way to it then must not end it now."""
    sim, vm = ground.sim, ground.bring(state)
    ground.script(delay={command: 5.0})
    ground.act(vm, action)
    sim.until(lambda: sim.core.dispatcher.under_way() and sim.core.dispatcher.under_way()[0][0].command == command)
    path = save(sim)
    ground.script()
    sim.wait(vm, {"deploy": "RUNNING", "recover-recreate": "PENDING"}.get(action) or ENDS[action])
    while sim.state(vm) != "RUNNING" or sim.vm(vm).generation < 2:
        step = {"RUNNING": "poweroff", "PENDING": "deploy"}.get(sim.state(vm), "resume")
        ground.act(vm, step)
        sim.wait(vm, "RUNNING", "POWEROFF", "PENDING")
    generation = sim.vm(vm).generation
    rewind(sim, path)
    sim.advance(60)
    assert sim.guests("node1") == [vm]
    assert look(sim, True)["adopted"] == [vm]
    sim.advance(60)
    assert sim.state(vm) == "RUNNING" and sim.vm(vm).generation == generation and sim.guests("node1") == [vm]
    assert not sim.core.store.all(Outbox)
    assert_sums(sim)
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    ground.assert_nothing_left()


def test_a_guest_on_another_host(ground: Ground, second: int) -> None:
    """Not accepted by the way: it could be started twice.  Taken over, it is where it runs."""
    sim, vm = ground.sim, ground.bring("UNDEPLOYED")
    path = save(sim)
    deploy(ground, vm, second)
    rewind(sim, path)
    assert findings(sim, "moved") == [(second, vm)]
    with pytest.raises(Refused, match=rf"host {second} runs VM {vm}"):
        sim.call("one.vm.deploy", vm, ground.host)
    with pytest.raises(Refused, match=rf"VMs {vm} \(host {second}, {SECOND}\) run on another host"):
        look(sim, True)
    assert look(sim)["held"]
    assert look(sim, True, False, True)["adopted"] == [vm]
    sim.advance(60)
    record = sim.get(Vm, vm)
    assert (record.hid, record.state, sim.state(vm)) == (second, VmState.ACTIVE, "RUNNING")
    assert sim.guests(SECOND) == [vm] and not sim.guests("node1")
    assert_sums(sim)
    ground.act(vm, "terminate")
    sim.wait(vm, "DONE")
    assert not sim.guests(SECOND)


def test_a_guest_that_was_on_its_way_when_the_backup_was_taken(ground: Ground, second: int) -> None:
    """Taken over where it arrived, it goes nowhere any more: it counts there alone, and may be powered off."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    ground.script(delay={"vm.migrate": 5.0})
    sim.call("one.vm.migrate", vm, second, True)
    sim.advance(1)
    path = save(sim)
    sim.wait(vm, "RUNNING")
    rewind(sim, path)
    assert sim.state(vm) == "MIGRATE" and findings(sim, "moved") == [(second, vm)]
    assert look(sim, True, False, True)["adopted"] == [vm]
    sim.advance(60)
    record = sim.get(Vm, vm)
    assert (sim.state(vm), record.hid, record.to_hid, record.to_ds, record.op) == ("RUNNING", second, -1, -1, 0)
    assert sim.guests(SECOND) == [vm] and not sim.guests("node1")
    assert_sums(sim)


def test_left_as_recorded_with_force(ground: Ground, second: int) -> None:
    """The administrator's word; nothing is ended by it."""
    sim, vm = ground.sim, ground.bring("UNDEPLOYED")
    path = save(sim)
    deploy(ground, vm, second)
    rewind(sim, path)
    assert look(sim, True, True)["adopted"] == []
    sim.advance(60)
    assert sim.state(vm) == "UNDEPLOYED" and sim.guests(SECOND) == [vm]
    with pytest.raises(Refused, match=rf"VM {vm} could run twice: a guest one-{vm} runs on host {second}"):
        sim.call("one.vm.deploy", vm, ground.host)
    (sim.home / "dummy" / SECOND / str(vm)).unlink()
    sim.advance(60)
    deploy(ground, vm, ground.host)


def test_a_host_that_is_silent_must_be_waited_for(ground: Ground, second: int) -> None:
    """Or disabled, or overruled; until then nothing is started either."""
    sim, vm = ground.sim, ground.make()
    path = save(sim)
    ground.script(rules=[{"action": "im.sample", "host": SECOND, "hang": True}])
    rewind(sim, path, ready=False)
    sim.advance(30)
    assert look(sim)["unseen"] == [second]
    with pytest.raises(Refused, match="until all hosts were compared"):
        ground.act(vm, "deploy")
    with pytest.raises(Refused, match=rf"hosts {second} \({SECOND}\) were not compared yet"):
        look(sim, True)
    sim.call("one.host.status", second, 1)
    ground.act(vm, "deploy")
    sim.wait(vm, "RUNNING")
    sim.call("one.host.status", second, 0)
    assert look(sim)["unseen"] == [second]
    assert look(sim, True, True)["held"] is False


def test_a_silent_host_that_returns_has_its_vms_running(ground: Ground) -> None:
    """UNKNOWN and back, held or not."""
    sim, vm = ground.sim, ground.bring("RUNNING")
    rewind(sim, save(sim))
    ground.script(rules=[{"action": "im.sample", "hang": True}])
    sim.wait(vm, "UNKNOWN", limit=60)
    assert sim.get(Host, ground.host).error
    ground.script()
    sim.wait(vm, "RUNNING", limit=60)
    assert look(sim)["held"]


def test_who_follows_events_reads_everything_anew(ground: Ground) -> None:
    """Numbers of before the restore mean nothing: the log goes on far behind them."""
    sim = ground.sim
    path = save(sim)
    for number in range(20):
        sim.call("one.user.allocate", f"u{number}", "secret", "", [1])
    cursor = json.loads(sim.call("onecore.events", -1))["last"]
    rewind(sim, path)
    answer = json.loads(sim.call("onecore.events", cursor))
    assert answer["reset"] and answer["last"] > cursor + 900_000
    sim.reboot()
    assert json.loads(sim.call("onecore.events", cursor))["reset"]
    assert not json.loads(sim.call("onecore.events", answer["last"]))["reset"]


def test_restored_twice(ground: Ground, tmp_path: Path) -> None:
    """A backup of a restored cloud, held or not, restores as any other; what was left out stays left out."""
    sim = ground.sim
    rewind(sim, save(sim))
    first = ground.make()
    rewind(sim, save(sim))
    assert look(sim)["held"] and ground.make() > first + 1000
    assert len(list(sim.core.kinds["vm.gaps"])) == 2
