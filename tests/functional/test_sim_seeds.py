"""Random lives: anything may be asked, anything may fail at any time; what must hold holds, and all can be healed."""
from __future__ import annotations

import os
from random import Random

import pytest
from makers import MakeGround
from sim import Refused, Sim
from sim_ground import Ground, assert_sums
from sim_points import LONG

from onecore.kinds.vm.record import Vm
from onecore.kinds.vm.states import USER_EVENTS
from onecore.kinds.vnet.record import Lease
from onecore.lifecycle.outbox import Outbox, Owed

SEEDS = [int(s) for s in os.environ.get("SIM_SEEDS", "1 2 3 4 5 6 7 8" if LONG else "1 2").split()]
STEPS = int(os.environ.get("SIM_STEPS", "50"))
SCRIPTS: list[dict[str, object]] = [
    {}, {}, {"delay": {"default": 1.0}},
    {"rules": [{"action": "*.*", "fail": "chance", "probability": 0.2}]},
    {"rules": [{"action": "vm.*", "hang": True, "probability": 0.2}]},
    {"rules": [{"action": "tm.*", "hang": True, "probability": 0.2}]},
    {"rules": [{"action": "im.sample", "host": "node2", "hang": True}]}]


class Mischief:
    """What a seed does to a cloud, step by step."""

    weights = (8, 4, 5, 2, 3, 1, 1, 1, 1, 1)

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground, self.sim, self.dice = ground, ground.sim, Random(seed)
        self.hosts = [ground.host, self.sim.add_host("node2")]
        self.told: list[str] = []

    def step(self) -> None:
        """One thing happens, then some time passes."""
        happens = self.dice.choices([self.ask, self.make, self.deploy, self.recover, self.script, self.driver_dies,
                                     self.core_dies, self.commit_fails, self.guest_dies, self.deaf], self.weights)[0]
        self.told.append(happens.__name__)
        try:
            happens()
        except Refused as refused:
            assert refused.code in (0x0400, 0x0800, 0x1000, 0x2000, 0x4000), refused
        self.sim.advance(self.dice.choice([0.001, 0.05, 1, 5, 30, 100]))

    def some_vm(self) -> int:
        """Any that lives; 0 when none does."""
        return self.dice.choice(sorted(v.oid for v in self.sim.core.store.all(Vm)) or [0])

    def make(self) -> None:
        """A new VM."""
        if len(self.sim.core.store.all(Vm)) < 6:
            self.ground.make()

    def deploy(self) -> None:
        """Anywhere."""
        self.sim.call("one.vm.deploy", self.some_vm(), self.dice.choice(self.hosts))

    def ask(self) -> None:
        """Any action, whatever the state."""
        self.ground.act(self.some_vm(), self.dice.choice(USER_EVENTS).replace("_", "-"))

    def recover(self) -> None:
        """Any recover that leaves nothing behind on purpose."""
        self.sim.call("one.vm.recover", self.some_vm(), self.dice.choice([0, 2, 2, 3, 4]))

    def script(self) -> None:
        """Hosts and drivers behave otherwise from now on."""
        self.ground.script(**self.dice.choice(SCRIPTS))

    def driver_dies(self) -> None:
        """kill -9 of a driver process."""
        self.sim.transport.kill(self.dice.choice(["vm", "tm", "im"]))

    def core_dies(self) -> None:
        """kill -9 of the core."""
        self.sim.reboot()

    def commit_fails(self) -> None:
        """The next one."""
        self.sim.writer.fail_next = OSError("disk full")

    def guest_dies(self) -> None:
        """A guest is killed behind the core's back."""
        for name in ("node1", "node2"):
            for vm in self.sim.guests(name)[:1]:
                (self.sim.home / "dummy" / name / str(vm)).unlink()

    def deaf(self) -> None:
        """Commands that begin from now on hear no cancel, or do again."""
        deaf = self.dice.random() < 0.5
        self.sim.transport.deaf = lambda command: deaf and command.object[0] == "vm"

    # -- what must hold

    def check(self) -> None:
        """After every step."""
        store = self.sim.core.store
        assert_sums(self.sim)
        taken: dict[int, int] = {}
        for lease in store.all(Lease):
            taken[lease.vm] = taken.get(lease.vm, 0) + 1
        assert taken == {vm.oid: 1 for vm in store.all(Vm)}
        boxes = {box.op: box for box in store.all(Outbox) if box.kind == "vm"}
        assert sorted(boxes) == sorted(vm.op for vm in store.all(Vm) if vm.op), "a command each operation, no other"
        self._check_guests(store.all(Owed))

    def _check_guests(self, owed: object) -> None:
        """No VM has guests on two hosts unless one of them owes it."""
        debts = {(o.hid, o.vid) for o in self.sim.core.store.all(Owed)}
        found: dict[int, list[int]] = {}
        for hid, name in zip(self.hosts, ("node1", "node2"), strict=True):
            for vm in self.sim.guests(name):
                if (hid, vm) not in debts:
                    found.setdefault(vm, []).append(hid)
        assert {vm: hids for vm, hids in found.items() if len(hids) > 1} == {}

    def heal(self) -> None:
        """Everything works again: every VM can be ended, and nothing is left."""
        sim = self.sim
        self.ground.script()
        sim.transport.deaf = lambda command: False
        sim.writer.fail_next = None
        sim.until(lambda: sim.dispatch.ready and not sim.core.store.refuses, what="the core to store again")
        sim.advance(300)
        assert [sim.host_state(h) for h in self.hosts] == ["MONITORED"] * 2
        for vm in sorted(v.oid for v in sim.core.store.all(Vm)):
            end = "terminate" if sim.state(vm) in ("RUNNING", "POWEROFF", "PENDING", "STOPPED") else "recover-delete"
            self.ground.act(vm, end)
            sim.wait(vm, "DONE")
        sim.until(lambda: not sim.core.store.all(Owed), limit=100, what="debts to be paid")
        self.ground.assert_nothing_left()
        assert sim.guests("node2") == []


def _no_bug(sim: Sim) -> None:
    sim.log.flush()
    text = (sim.home / "log" / "oned.log").read_text()
    assert "Traceback" not in text, text[text.index("Traceback") - 300:][:3000]


@pytest.mark.parametrize("seed", SEEDS)
def test_seed(make_ground: MakeGround, seed: int) -> None:
    """SIM_SEEDS and SIM_STEPS in the environment give other ones."""
    ground = make_ground(seed, prolog=40, deploy=40, shutdown=40, destroy=20, save=40, restore=40, epilog=40, reboot=20,
                         cleanup=20, grace=10)
    mischief = Mischief(ground, seed)
    for _ in range(STEPS):
        mischief.step()
        mischief.check()
    _no_bug(ground.sim)
    mischief.heal()
    _no_bug(ground.sim)
