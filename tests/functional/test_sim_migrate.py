"""Migrations of a simulated cloud: every kind, every failure, a crash at any commit, and the VM on exactly one host."""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from makers import MakeGround
from sim import Refused, refused
from sim_ground import Ground, assert_sums
from sim_points import CORE, Crash, Strike

from onecore.kinds.usage import usage
from onecore.kinds.vm.record import History, Vm
from onecore.lifecycle.outbox import Outbox, Owed
from onecore.wire.messages import Command

SAVE, POFF, HARD = range(3)
MOVES: dict[str, tuple[str, bool, int, str]] = {
    "live": ("RUNNING", True, SAVE, "RUNNING"), "save": ("RUNNING", False, SAVE, "RUNNING"),
    "poweroff": ("RUNNING", False, POFF, "RUNNING"), "hard": ("RUNNING", False, HARD, "RUNNING"),
    "off": ("POWEROFF", False, SAVE, "POWEROFF"), "suspended": ("SUSPENDED", False, SAVE, "SUSPENDED")}
"""Name -> state before, live, migration_type, state after."""


@dataclass
class Two:
    """A ground with a second host."""

    ground: Ground
    other: int

    def migrate(self, vm: int, live: bool = True, kind: int = SAVE, to: int = -1) -> None:
        """Ask for it."""
        self.ground.sim.call("one.vm.migrate", vm, self.other if to < 0 else to, live, False, -1, kind)

    def place(self, vm: int) -> list[str]:
        """The hosts that have a guest of the VM."""
        return [name for name in ("node1", "node2") if vm in self.ground.sim.guests(name)]

    def check(self, vm: int, host: str) -> None:
        """The VM is on that host alone, its capacity too, and nothing is under way or owed."""
        sim = self.ground.sim
        record = sim.vm(vm)
        hid, away = (self.ground.host, self.other) if host == "node1" else (self.other, self.ground.host)
        assert (record.hid, record.to_hid, record.to_ds, record.op) == (hid, -1, -1, 0)
        assert self.place(vm) == ([host] if sim.state(vm) == "RUNNING" else [])
        assert usage(sim.core).sums.of(away) == (0, 0, 0, 0)
        assert not list(sim.core.store.all(Outbox)) and not list(sim.core.store.all(Owed))
        assert_sums(sim)

    def end(self, vm: int) -> None:
        """Terminate it; nothing is left on either host."""
        self.ground.act(vm, "terminate-hard")
        self.ground.sim.wait(vm, "DONE")
        self.ground.assert_nothing_left()
        assert self.ground.sim.guests("node2") == []


@pytest.fixture
def two(make_ground: MakeGround) -> Iterator[Two]:
    """Two hosts, short deadlines."""
    ground = make_ground(0, migrate=30, prolog=30, save=30, deploy=30, restore=30, grace=5, cleanup=30)
    yield Two(ground, ground.sim.add_host("node2"))


@pytest.mark.parametrize("name", MOVES)
def test_a_move(two: Two, name: str) -> None:
    """There, one stay more in the history with the action that ended the last one; and back again."""
    before, live, kind, after = MOVES[name]
    vm = two.ground.bring(before)
    stays = len(list(two.ground.sim.core.store.all(History)))
    two.migrate(vm, live, kind)
    two.ground.sim.until(lambda: not two.ground.sim.vm(vm).op)
    assert two.ground.sim.state(vm) == after
    two.check(vm, "node2")
    history = sorted((h for h in two.ground.sim.core.store.all(History)), key=lambda h: h.seq)
    assert len(history) == stays + 1 and history[-1].hid == two.other and history[-2].etime
    if before == "RUNNING":
        assert history[-2].action == {"live": 2, "save": 1, "poweroff": 48, "hard": 49}[name] and not history[-1].etime
    two.migrate(vm, live, kind, two.ground.host)
    two.ground.sim.until(lambda: not two.ground.sim.vm(vm).op)
    two.check(vm, "node1")
    if after != "RUNNING":
        two.ground.act(vm, "resume")
        two.ground.sim.wait(vm, "RUNNING")
    two.end(vm)


def test_capacity_is_taken_on_both_until_it_is_there(two: Two) -> None:
    """And shown as an operation with its step."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    two.ground.script(delay={"vm.migrate": 5.0})
    two.migrate(vm)
    sim.advance(1)
    assert sim.state(vm) == "MIGRATE"
    for host in (two.ground.host, two.other):
        assert usage(sim.core).sums.of(host)[0] == sim.vm(vm).cpu > 0
    (row,) = json.loads(sim.call("onecore.op.list"))
    assert (row["vm"], row["what"], row["command"], row["state"]) == (vm, "live_migrate", "vm.migrate", "running")
    waiting = sim.begin("onecore.op.wait", row["id"], 60)
    sim.wait(vm, "RUNNING")
    sim.until(lambda: waiting.answered)
    ended = json.loads(waiting.value())
    assert ended["state"] == "ended" and ended["ok"] and any("MIGRATE" in line for line in ended["log"])
    two.check(vm, "node2")


@pytest.mark.parametrize("state", ["RUNNING", "POWEROFF"])
def test_a_move_for_its_mark_is_none_without_the_mark(two: Two, state: str) -> None:
    """Nor when the mark was taken away while the hosts were asked, by the VM's or the host's way."""
    sim, vm = two.ground.sim, two.ground.bring(state)
    move = ("one.vm.migrate", vm, two.other, state == "RUNNING", True, -1, SAVE, True)
    refused(0x0800, "not marked to be moved", lambda: sim.call(*move))
    assert not [command for command in sim.transport.sent if command.action == "premigrate"], "no host was asked"
    two.ground.script(delay={"vm.premigrate": 5.0})
    for mark, unmark in ((("one.vm.action", "resched", vm), ("one.vm.action", "unresched", vm)),
                         (("onecore.host.flush", two.ground.host), ("onecore.host.flush", two.ground.host, False))):
        sim.call(*mark)
        asked = sim.begin(*move)
        sim.call(*unmark)
        refused(0x0800, "not marked to be moved", partial(sim.wait_for, asked))
        assert sim.state(vm) == state and sim.vm(vm).hid == two.ground.host
    sim.call("one.vm.action", "resched", vm)
    sim.call(*move)
    sim.wait(vm, state)
    assert sim.vm(vm).hid == two.other


def test_who_waits_no_more_is_not_placed(two: Two) -> None:
    """A hold is not undone by what the match-maker had decided before; by hand a VM on hold is deployed."""
    sim, vm = two.ground.sim, two.ground.bring("PENDING")
    sim.call("one.vm.action", "hold", vm)
    refused(0x0800, "in state HOLD and waits for no host",
            lambda: sim.call("one.vm.deploy", vm, two.other, True, -1, "", False, True))
    sim.call("one.vm.action", "release", vm)
    sim.call("one.vm.deploy", vm, two.other, True, -1, "", False, True)
    sim.wait(vm, "RUNNING")


def test_what_was_asked_of_a_guest_that_was_off_is_not_true_of_one_that_runs(two: Two) -> None:
    """It may move with another CPU there, and would not be restored: the call is refused, and may be made again."""
    sim, vm = two.ground.sim, two.ground.bring("POWEROFF")
    sim.call("one.host.update", two.other, "DUMMY_CPU_MODEL=other", 1)
    two.ground.script(delay={"vm.premigrate": 5.0})
    asked = sim.begin("one.vm.migrate", vm, two.other, False, False, -1, SAVE)
    two.ground.act(vm, "resume")
    sim.wait(vm, "RUNNING", limit=4)
    sim.until(lambda: asked.answered)
    refused(0x0800, "changed while hosts were asked, it is in state RUNNING now", asked.value)
    refused(0x0800, "has CPU other", lambda: two.migrate(vm, False))
    assert sim.state(vm) == "RUNNING"
    two.check(vm, "node1")


def test_a_live_move_that_fails_changes_nothing(two: Two) -> None:
    """The guest runs where it was, the error is told."""
    vm = two.ground.bring("RUNNING")
    two.ground.script(rules=[{"action": "vm.migrate", "fail": "no route"}])
    two.migrate(vm)
    two.ground.sim.wait(vm, "RUNNING")
    assert "no route" in two.ground.sim.vm(vm).error
    two.check(vm, "node1")


def test_a_live_move_that_hangs_or_is_cancelled(two: Two) -> None:
    """Its deadline, or an operator, ends it."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    two.ground.hang("vm.migrate")
    two.migrate(vm)
    sim.wait(vm, "RUNNING", limit=100)
    assert "no end after 30 s" in sim.vm(vm).error
    two.check(vm, "node1")
    two.migrate(vm)
    sim.advance(1)
    assert sim.call("onecore.op.cancel", sim.vm(vm).op) == sim.vm(vm).op
    sim.wait(vm, "RUNNING", limit=5)
    assert "cancelled on request" in sim.vm(vm).error
    two.check(vm, "node1")


def test_a_wish_to_cancel_outlives_the_core(two: Two) -> None:
    """Acknowledged, then kill -9: the next core cancels."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    two.ground.hang("vm.migrate")
    two.migrate(vm)
    sim.advance(1)
    sim.transport.deaf = lambda command: True
    sim.call("onecore.op.cancel", sim.vm(vm).op)
    sim.reboot()
    sim.transport.deaf = lambda command: False
    sim.wait(vm, "RUNNING", limit=20)
    assert "cancelled on request" in sim.vm(vm).error
    two.check(vm, "node1")


@pytest.mark.parametrize("name", ["save", "poweroff", "off", "suspended"])
def test_files_that_do_not_get_there(two: Two, name: str) -> None:
    """A failure state; another try goes on, a recover --failure takes them back."""
    sim = two.ground.sim
    before, live, kind, after = MOVES[name]
    for way, host in (("recover-retry", "node2"), ("recover-failure", "node1")):
        vm = two.ground.bring(before)
        two.ground.script(rules=[{"action": "tm.move", "fail": "no space"}])
        two.migrate(vm, live, kind)
        sim.until(lambda vm=vm: sim.state(vm).endswith("FAILURE"), limit=100)  # type: ignore[misc]
        assert "no space" in sim.vm(vm).error
        two.ground.script()
        two.ground.act(vm, way)
        sim.wait(vm, after)
        two.check(vm, host)
        two.end(vm)


def test_a_boot_that_fails_on_the_other_host(two: Two) -> None:
    """The VM is there; another try starts it."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    two.ground.script(rules=[{"action": "vm.restore", "fail": "no memory"}])
    two.migrate(vm, False)
    sim.wait(vm, "BOOT_MIGRATE_FAILURE")
    two.ground.script()
    two.ground.act(vm, "recover-retry")
    sim.wait(vm, "RUNNING")
    two.check(vm, "node2")


def test_unknown_vms_move_when_their_host_confirms(two: Two) -> None:
    """Its end is confirmed first; without that it stays."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    two.ground.script(rules=[{"action": "im.sample", "host": "node1", "hang": True},
                             {"action": "vm.cleanup", "fail": "no route"}])
    sim.wait(vm, "UNKNOWN", limit=100)
    two.migrate(vm)
    sim.wait(vm, "UNKNOWN", limit=100)
    assert "no route" in sim.vm(vm).error and sim.vm(vm).to_hid == -1
    two.ground.script(rules=[{"action": "im.sample", "host": "node1", "hang": True}])
    two.migrate(vm)
    sim.wait(vm, "RUNNING")
    two.check(vm, "node2")


def _lose(two: Two, vm: int) -> None:
    """A migration of which nobody can tell how it ended."""
    sim = two.ground.sim
    two.ground.hang("vm.migrate")
    sim.transport.deaf = lambda command: command.action == "migrate"
    two.migrate(vm)
    sim.wait(vm, "UNKNOWN", limit=100)
    assert sim.vm(vm).to_hid == two.other


@pytest.mark.parametrize("moved", [True, False])
def test_a_move_that_nobody_can_tell_of(two: Two, moved: bool) -> None:
    """UNKNOWN, and nothing may start or end it but recover; what the hosts show decides."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    _lose(two, vm)
    for action in ("resume", "terminate", "poweroff-hard"):
        with pytest.raises(Refused, match="may have moved"):
            two.ground.act(vm, action)
    with pytest.raises(Refused, match="may have moved"):
        two.migrate(vm)
    if moved:
        (sim.home / "dummy" / "node2").mkdir(exist_ok=True)
        (sim.home / "dummy" / "node1" / str(vm)).rename(sim.home / "dummy" / "node2" / str(vm))
    two.ground.script()
    sim.transport.deaf = lambda command: False
    sim.wait(vm, "RUNNING", limit=60)
    assert ("did not happen" in sim.vm(vm).error) != moved
    sim.until(lambda: not list(sim.core.store.all(Owed)), limit=60, what="what is left to be cleaned up")
    two.check(vm, "node2" if moved else "node1")


def test_a_cancel_between_two_tries_of_a_move_that_nobody_can_tell_of(two: Two) -> None:
    """The guest has moved, and its hosts do not say so: that it is to be cancelled does not bring it back."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    two.ground.script(rules=[{"action": "vm.migrate.where", "fail": "no route"}])
    two.migrate(vm)
    sim.until(lambda: two.place(vm) == ["node2"])
    sim.advance(0.5)
    assert sim.state(vm) == "MIGRATE"
    (row,) = json.loads(sim.call("onecore.op.list"))
    assert row["state"] == "waiting" and "no route" in row["step"]
    sim.call("onecore.op.cancel", sim.vm(vm).op)
    sim.wait(vm, "RUNNING", limit=60)
    assert sim.path(vm)[-3:] == ["MIGRATE", "UNKNOWN", "RUNNING"]
    sim.until(lambda: not list(sim.core.store.all(Owed)), limit=60, what="what is left to be cleaned up")
    two.ground.script()
    two.check(vm, "node2")


@pytest.mark.parametrize("state", ["running", "suspended"])
def test_a_move_between_datastores_that_nobody_can_tell_of_is_asked_for_again(two: Two, state: str) -> None:
    """Its host has the guest in either case; one that was in the middle of the switch stands still until then."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    store = int(sim.call("one.datastore.allocate", "NAME=two\nTYPE=SYSTEM_DS\nTM_MAD=dummy\n", -1))
    two.ground.hang("vm.migrate")
    sim.transport.deaf = lambda command: command.action == "migrate"
    sim.call("one.vm.migrate", vm, two.ground.host, True, False, store, SAVE)
    sim.wait(vm, "UNKNOWN", limit=100)
    guest = sim.home / "dummy" / "node1" / str(vm)
    guest.write_text(guest.read_text().replace("running", state))
    sim.transport.deaf = lambda command: False
    sim.wait(vm, "MIGRATE", limit=60)
    guest.write_text(guest.read_text().replace(state, "running"))
    two.ground.script()
    sim.wait(vm, "RUNNING", limit=100)
    assert (sim.vm(vm).ds_id, sim.vm(vm).to_hid) == (store, -1)


def test_the_end_of_a_vm_that_may_have_moved(two: Two) -> None:
    """recover --delete ends it on both hosts."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    _lose(two, vm)
    (sim.home / "dummy" / "node2").mkdir(exist_ok=True)
    (sim.home / "dummy" / "node1" / str(vm)).rename(sim.home / "dummy" / "node2" / str(vm))
    two.ground.script()
    sim.transport.deaf = lambda command: False
    two.ground.act(vm, "recover-delete")
    sim.wait(vm, "DONE", limit=100)
    sim.until(lambda: not list(sim.core.store.all(Owed)), limit=100)
    two.ground.assert_nothing_left()
    assert sim.guests("node2") == []


@pytest.mark.parametrize("force", [False, True])
def test_that_it_never_moved_is_believed_of_who_can_be_asked(two: Two, force: bool) -> None:
    """recover --failure looks for its disks where it was; an operator's word alone removes no files anywhere."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    _lose(two, vm)
    two.ground.script(rules=[{"action": "vm.migrate", "hang": True}, {"action": "tm.state", "fail": "no route"}])
    with pytest.raises(Refused, match="cannot be asked.*no route"):
        sim.call("one.vm.recover", vm, 0)
    if not force:
        two.ground.hang("vm.migrate")
    sim.call("one.vm.recover", vm, 0, force)
    assert sim.state(vm) == "POWEROFF"
    assert [(owed.hid, owed.files) for owed in sim.core.store.all(Owed) if owed.hid == two.other] == [
        (two.other, 0 if force else 1)]


def test_what_keeps_a_vm_from_moving_is_said_before(two: Two) -> None:
    """By either driver; nothing happens."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    sim.call("one.host.update", two.other, "DUMMY_DISK_MB=1", 1)
    with pytest.raises(Refused, match="already"):
        two.migrate(vm, to=two.ground.host)
    two.ground.script(rules=[{"action": "vm.premigrate", "fail": "cannot be asked"}])
    with pytest.raises(Refused, match="cannot be asked"):
        two.migrate(vm)
    assert sim.state(vm) == "RUNNING" and not sim.vm(vm).op
    two.check(vm, "node1")


@pytest.mark.parametrize("name", MOVES)
def test_a_guest_that_keeps_its_state_keeps_its_cpu(two: Two, name: str) -> None:
    """Before anything moves it is told that the other host has another; a guest that starts anew takes that."""
    before, live, kind, after = MOVES[name]
    sim, vm = two.ground.sim, two.ground.bring(before)
    sim.call("one.host.update", two.other, "DUMMY_CPU_MODEL=Older", 1)
    if name in ("live", "save", "suspended"):
        with pytest.raises(Refused, match="node2 has CPU Older, the guest has none"):
            two.migrate(vm, live, kind)
        assert sim.state(vm) == before and not sim.vm(vm).op
        two.check(vm, "node1")
    else:
        two.migrate(vm, live, kind)
        sim.until(lambda: not sim.vm(vm).op)
        assert sim.state(vm) == after
        two.check(vm, "node2")


def test_success_that_is_not_true_is_refused(two: Two) -> None:
    """recover --success of a migration that did not happen; the operator may insist."""
    sim, vm = two.ground.sim, two.ground.bring("RUNNING")
    two.ground.hang("vm.migrate")
    two.migrate(vm)
    sim.advance(1)
    with pytest.raises(Refused, match="its guest is suspended, not running"):
        sim.call("one.vm.recover", vm, 1)
    two.ground.script(rules=[{"action": "vm.migrate", "hang": True}, {"action": "vm.state", "fail": "no route"}])
    with pytest.raises(Refused, match="cannot be asked.*no route"):
        sim.call("one.vm.recover", vm, 1)
    sim.call("one.vm.recover", vm, 0)
    assert sim.state(vm) == "UNKNOWN"
    two.ground.script()
    sim.wait(vm, "RUNNING", limit=60)
    sim.until(lambda: not list(sim.core.store.all(Owed)), limit=60, what="what is left to be cleaned up")
    two.check(vm, "node1")


@pytest.mark.parametrize("name", MOVES)
def test_a_crash_at_every_commit(make_ground: MakeGround, name: str) -> None:
    """Wherever the core dies the VM gets to its destination."""
    before, live, kind, after = MOVES[name]
    for crash in range(1, 20):
        ground = make_ground(crash)
        two = Two(ground, ground.sim.add_host("node2"))
        vm = ground.bring(before)
        ground.script(delay={"default": 0.3})
        ground.sim.strike(Strike("commit.after", crash, CORE))
        epoch = ground.sim.core.epoch
        _until_there(two, vm, live, kind)
        two.check(vm, "node2")
        assert ground.sim.state(vm) == after
        over = ground.sim.core.epoch == epoch
        ground.sim.close()
        if over:
            assert crash > 2
            return
    raise AssertionError("there was no end of commits")


def _until_there(two: Two, vm: int, live: bool, kind: int) -> None:
    """Ask, and again when the core died before it answered."""
    ground, record = two.ground, Vm

    def there() -> Any:
        found = ground.sim.core.store.get(record, vm)
        return found is not None and found.hid == two.other and not found.op

    for _ in range(3):
        try:
            if not there() and not ground.sim.vm(vm).op:
                two.migrate(vm, live, kind)
            ground.sim.until(there)
            ground.sim.until(lambda: ground.sim.core.store.given == ground.sim.core.store.durable)
            return
        except Crash:
            ground.sim.reboot()
            ground.sim.ready()
            ground.sim.until(lambda: ground.sim.host_state(ground.host) == "MONITORED"
                             and ground.sim.host_state(two.other) == "MONITORED")


def test_every_step_is_sent_under_one_operation(two: Two) -> None:
    """Save, move, restore: one id, to the right hosts."""
    vm = two.ground.bring("RUNNING")
    sent: list[Command] = two.ground.sim.transport.sent
    sent.clear()
    two.migrate(vm, False)
    two.ground.sim.wait(vm, "RUNNING")
    steps = [(c.action, c.lane) for c in sent if c.object == ("vm", vm) and c.op > 0]
    assert steps == [("save", "node1"), ("move", "node1"), ("restore", "node2")]
    assert len({c.op for c in sent if c.object == ("vm", vm) and c.op > 0}) == 1


@pytest.mark.parametrize("name", ["live", "off"])
def test_where_a_vm_goes_is_not_deleted_meanwhile(two: Two, name: str) -> None:
    """Neither the host nor the datastore: it is there, or may be, and the record would stay where it was."""
    before, live, kind, after = MOVES[name]
    sim, vm = two.ground.sim, two.ground.bring(before)
    store = int(sim.call("one.datastore.allocate", "NAME=more\nTYPE=SYSTEM_DS\nTM_MAD=dummy\n", -1))
    two.ground.script(delay={"vm.migrate": 5.0, "tm.move": 5.0})
    sim.call("one.vm.migrate", vm, two.ground.host if live else two.other, live, False, store, kind)
    refused(0x1000, f"VMs {vm} are on it", lambda: sim.call("one.datastore.delete", store))
    sim.until(lambda: not sim.vm(vm).op)
    assert (sim.state(vm), sim.vm(vm).ds_id) == (after, store)
    two.migrate(vm, live, kind) if live else sim.call("one.vm.migrate", vm, two.ground.host, False, False, -1, kind)
    goes = sim.vm(vm).to_hid
    refused(0x1000, f"running VMs: {vm}", lambda: sim.call("one.host.delete", goes))
    sim.until(lambda: not sim.vm(vm).op)
    assert (sim.state(vm), sim.vm(vm).hid) == (after, goes)
