"""Plans of clusters: asked for, made by the match-maker, carried out by oned over crashes, or forgotten."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_calls import AUTHORIZATION, refused
from cloud_process import Cloud, until
from makers import MakeCloud, MakeGround
from sim import Refused, Sim
from sim_ground import Ground, assert_sums
from xsd import validate

from cli.main import program
from cli.program import run
from onecore.kinds import optimize
from onecore.wire.acl import RESOURCES
from onecore.wire.states import PlanState

pytestmark = pytest.mark.surface


class Two:
    """A cloud of two hosts, and VMs that run on the first."""

    def __init__(self, ground: Ground, vms: int) -> None:
        self.ground, self.sim = ground, ground.sim
        self.other = ground.sim.add_host("node2")
        self.vms = [ground.bring("RUNNING") for _ in range(vms)]

    def plan(self, *vms: int) -> int:
        """Have a plan made that moves VMS to the other host; its number."""
        self.sim.call("one.cluster.optimize", 0)
        number = int(self.told()["number"])
        self.sim.call("onecore.cluster.planned", 0, number,
                      json.dumps([{"vm": vm, "host": self.other} for vm in vms]))
        return number

    def told(self) -> dict[str, Any]:
        """The one plan there is."""
        (plan,) = json.loads(self.sim.call("onecore.cluster.plans"))
        return plan  # type: ignore[no-any-return]

    def state(self) -> PlanState:
        """The plan's state."""
        return PlanState(self.told()["state"])

    def errors(self) -> list[str]:
        """Why its actions failed."""
        return [action["error"] for action in self.told()["actions"] if action["error"]]

    def body(self) -> str:
        """The cluster's body."""
        return str(self.sim.call("one.cluster.info", 0))

    def finish(self) -> None:
        """Until it is over."""
        self.sim.until(lambda: all(plan.state > PlanState.APPLYING for plan in _plans(self.sim)))


def _plans(sim: Sim) -> list[Any]:
    from onecore.kinds.plan import Plan
    return list(sim.core.store.all(Plan))


@pytest.fixture
def two(make_ground: MakeGround) -> Iterator[Callable[[int], Two]]:
    """Makes one; deadlines are short."""
    yield lambda vms: Two(make_ground(0, migrate=60, prolog=60, save=60, deploy=60, grace=5), vms)


def refusal(sim: Sim, method: str, *arguments: object) -> str:
    """What a call is refused with."""
    with pytest.raises(Refused) as error:
        sim.call(method, *arguments)
    return str(error.value)


def test_the_life_of_a_plan(two: Callable[[int], Two]) -> None:
    """Asked for, ready, carried out, done; what it is not ready for is refused; forgotten at the end."""
    cloud = two(1)
    sim, (vm,) = cloud.sim, cloud.vms
    for verb in ("planexecute", "plandelete"):
        assert "has no plan" in refusal(sim, f"one.cluster.{verb}", 0)
    sim.call("one.cluster.optimize", 0)
    assert "PLAN_MESSAGE" in cloud.body() and "<PLAN>" not in cloud.body() and cloud.state() is PlanState.NONE
    validate("cluster", cloud.body())
    assert "state NONE" in refusal(sim, "one.cluster.planexecute", 0)
    number = cloud.plan(vm)
    assert "PLAN_MESSAGE" not in cloud.body() and cloud.state() is PlanState.READY
    validate("cluster", cloud.body())
    assert "nobody waits" in refusal(sim, "onecore.cluster.planned", 0, number, "[]")
    sim.call("one.cluster.planexecute", 0)
    assert "plandelete stops it" in refusal(sim, "one.cluster.optimize", 0)
    cloud.finish()
    assert cloud.state() is PlanState.DONE and sim.vm(vm).hid == cloud.other and sim.state(vm) == "RUNNING"
    assert "<STATE>2</STATE><OPERATION>migrate</OPERATION>" in cloud.body()
    assert_sums(sim)
    sim.call("one.cluster.plandelete", 0)
    assert json.loads(sim.call("onecore.cluster.plans")) == [] and "PLAN" not in cloud.body()


def test_nothing_to_do(two: Callable[[int], Two]) -> None:
    """The body says so, and an update of it does not keep that."""
    cloud = two(1)
    cloud.plan()
    assert cloud.state() is PlanState.DONE and "no VM would be better" in cloud.body()
    validate("cluster", cloud.body())
    cloud.sim.call("one.cluster.update", 0, 'PLAN_MESSAGE="mine"\nNOTE=1', 0)
    cloud.sim.call("one.cluster.plandelete", 0)
    assert "PLAN_MESSAGE" not in cloud.body() and "NOTE" in cloud.body()


@pytest.mark.parametrize(("most_of_all", "expected"), [(30, 2), (1, 1)])
def test_two_at_a_host_at_once(two: Callable[[int], Two], monkeypatch: pytest.MonkeyPatch, most_of_all: int,
                               expected: int) -> None:
    """All arrive, no more than two being on their way, nor more than a plan may have."""
    monkeypatch.setattr(optimize, "AT_ONCE", most_of_all)
    cloud = two(5)
    cloud.plan(*cloud.vms)
    cloud.ground.script(delay={"vm.migrate": 3.0})
    cloud.sim.call("one.cluster.planexecute", 0)
    most = 0
    while cloud.state() is PlanState.APPLYING:
        cloud.sim.advance(0.5)
        most = max(most, sum(cloud.sim.vm(vm).to_hid >= 0 for vm in cloud.vms))
    assert most == expected and cloud.state() is PlanState.DONE
    assert {cloud.sim.vm(vm).hid for vm in cloud.vms} == {cloud.other}


def test_what_cannot_be_done_is_told(two: Callable[[int], Two]) -> None:
    """A VM that is gone, one that moved, one whose migration fails; the others arrive."""
    cloud = two(4)
    sim, (gone, moved, failing, good) = cloud.sim, cloud.vms
    cloud.plan(*cloud.vms)
    sim.call("one.vm.recover", gone, 3, True)
    sim.wait(gone, "DONE")
    sim.call("one.vm.action", "suspend", moved)
    sim.wait(moved, "SUSPENDED")
    cloud.ground.script(rules=[{"action": "vm.migrate", "vm": failing, "fail": "no memory left"}])
    sim.call("one.cluster.planexecute", 0)
    cloud.finish()
    assert cloud.state() is PlanState.ERROR
    assert (sim.vm(good).hid, sim.vm(failing).hid) == (cloud.other, cloud.ground.host)
    told = cloud.errors()
    assert any(f"[{gone}]" in text for text in told) and any("no memory left" in text for text in told), told
    assert "no memory left" in cloud.body() and f"VM {failing}" in cloud.body()
    assert (sim.vm(moved).hid, sim.state(moved)) == (cloud.other, "SUSPENDED")


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.5, 4.0])
def test_a_crash_in_the_middle(two: Callable[[int], Two], seconds: float) -> None:
    """The plan goes on, each VM is on one host, and all arrive."""
    cloud = two(3)
    cloud.plan(*cloud.vms)
    cloud.ground.script(delay={"vm.migrate": 2.0, "vm.premigrate": 1.0})
    cloud.sim.call("one.cluster.planexecute", 0)
    cloud.sim.advance(seconds)
    cloud.sim.reboot()
    cloud.finish()
    assert {cloud.sim.vm(vm).hid for vm in cloud.vms} == {cloud.other}, cloud.errors()
    assert cloud.state() is PlanState.DONE
    assert_sums(cloud.sim)


def test_a_commit_fails_as_moves_begin(two: Callable[[int], Two]) -> None:
    """That they begin was not stored, and they go on: none begins twice, and none counts as failed."""
    cloud = two(2)
    cloud.plan(*cloud.vms)
    cloud.ground.script(delay={"vm.premigrate": 5.0, "vm.migrate": 3.0})
    cloud.sim.call("one.cluster.planexecute", 0)
    cloud.sim.until(lambda: _plans(cloud.sim)[0].moves[0].state == PlanState.APPLYING)
    cloud.sim.writer.fail_next = OSError("disk full")
    cloud.sim.advance(0.5)
    assert _plans(cloud.sim)[0].moves[0].state == PlanState.READY, "loaded again"
    cloud.finish()
    assert (cloud.state(), cloud.errors()) == (PlanState.DONE, [])
    assert {cloud.sim.vm(vm).hid for vm in cloud.vms} == {cloud.other}
    assert sum(command.action == "premigrate" for command in cloud.sim.transport.sent) == 4, "two drivers, each VM once"


def test_forgotten_in_the_middle(two: Callable[[int], Two]) -> None:
    """What is under way goes on; nothing else begins."""
    cloud = two(4)
    cloud.plan(*cloud.vms)
    cloud.ground.script(delay={"vm.migrate": 3.0})
    cloud.sim.call("one.cluster.planexecute", 0)
    cloud.sim.until(lambda: sum(cloud.sim.vm(vm).to_hid >= 0 for vm in cloud.vms) == 2)
    cloud.sim.call("one.cluster.plandelete", 0)
    cloud.sim.advance(60)
    assert sorted(cloud.sim.vm(vm).hid == cloud.other for vm in cloud.vms) == [False, False, True, True]


def test_forgotten_while_hosts_are_asked(two: Callable[[int], Two]) -> None:
    """The move that was about to begin does not."""
    cloud = two(1)
    cloud.plan(*cloud.vms)
    cloud.ground.script(delay={"vm.premigrate": 5.0})
    cloud.sim.call("one.cluster.planexecute", 0)
    cloud.sim.until(lambda: _plans(cloud.sim)[0].moves[0].state == PlanState.APPLYING)
    cloud.sim.call("one.cluster.plandelete", 0)
    cloud.sim.advance(60)
    assert cloud.sim.vm(cloud.vms[0]).hid == cloud.ground.host


@pytest.mark.parametrize("moves", ["", "{}", "[1]", '[{"vm":1}]', '[{"vm":"1","host":2}]', '[{"vm":true,"host":1}]',
                                   "[" * 9999])
def test_moves_that_are_none(two: Callable[[int], Two], moves: str) -> None:
    """The argument is named."""
    cloud = two(0)
    cloud.sim.call("one.cluster.optimize", 0)
    number = cloud.told()["number"]
    assert "moves must be a JSON list" in refusal(cloud.sim, "onecore.cluster.planned", 0, number, moves)


def test_a_vm_that_moved_meanwhile(two: Callable[[int], Two]) -> None:
    """Is left where it went."""
    cloud = two(1)
    sim, (vm,) = cloud.sim, cloud.vms
    third = sim.add_host("node3")
    cloud.plan(vm)
    sim.call("one.vm.migrate", vm, third, True, True)
    sim.until(lambda: sim.vm(vm).hid == third and sim.state(vm) == "RUNNING")
    sim.call("one.cluster.planexecute", 0)
    cloud.finish()
    assert cloud.errors() == [f"VM {vm} is on host {third} now, no more on {cloud.ground.host}"]
    assert sim.vm(vm).hid == third


def test_who_had_it_carried_out_is_disabled(two: Callable[[int], Two]) -> None:
    """Nothing moves any more in his name."""
    cloud = two(1)
    sim, (vm,) = cloud.sim, cloud.vms
    ann = int(sim.call("one.user.allocate", "ann", "secret", "core", [0]))
    cloud.plan(vm)
    sim.call("one.cluster.planexecute", 0, secret="ann:secret")
    sim.call("one.user.enable", ann, False)
    cloud.finish()
    assert cloud.errors() == [f"User [{ann}] : who had the plan carried out is disabled."]
    assert sim.vm(vm).hid == cloud.ground.host


def test_a_plan_is_of_its_cluster_alone(two: Callable[[int], Two]) -> None:
    """Hosts of others are refused, VMs of others left out; it goes with its cluster; who may the cluster alone says no
    word about it."""
    cloud = two(1)
    sim, (vm,) = cloud.sim, cloud.vms
    apart = int(sim.call("one.cluster.allocate", "apart"))
    away = sim.add_host("node3")
    sim.call("one.cluster.addhost", apart, away)
    sim.call("one.cluster.optimize", 0)
    number, moves = cloud.told()["number"], json.dumps([{"vm": vm, "host": away}])
    assert f"host {away} must be in cluster 0" in refusal(sim, "onecore.cluster.planned", 0, number, moves)
    sim.call("one.cluster.plandelete", 0)
    sim.call("one.cluster.delhost", apart, away)
    sim.call("one.cluster.addhost", apart, cloud.other)
    sim.call("one.cluster.optimize", apart)
    ann = int(sim.call("one.user.allocate", "ann", "secret", "core", [1]))
    sim.call("one.acl.addrule", f"{0x100000000 | ann:x}", f"{RESOURCES['CLUSTER'] | 0x100000000 | apart:x}", "7")
    number, moves = cloud.told()["number"], json.dumps([{"vm": vm, "host": cloud.other}])
    with pytest.raises(Refused, match="Only administrators"):
        sim.call("onecore.cluster.planned", apart, number, moves, secret="ann:secret")
    sim.call("onecore.cluster.planned", apart, number, moves)
    assert cloud.told()["actions"] == []
    sim.call("one.cluster.delhost", apart, cloud.other)
    sim.call("one.cluster.delete", apart)
    assert json.loads(sim.call("onecore.cluster.plans")) == []


def test_with_the_match_maker(make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch,
                              capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line: VMs on one host are planned to be on two, and then they are."""
    cloud = make_cloud()
    hosts, client = cloud.add_hosts(2), cloud.client
    vms = [cloud.make_vm() for _ in range(3)]
    for vm in vms:
        cloud.deploy(vm, hosts[0])
    for name in ("ONE_XMLRPC", "ONE_AUTH", "HOME"):
        monkeypatch.setenv(name, cloud.environment[name])

    def one(*arguments: str) -> str:
        assert run(program("cluster"), list(arguments)) == 0
        return capsys.readouterr().out

    cloud.start_scheduler()
    one("optimize", "default")
    shown = until(20, "a plan", lambda: (told := one("show", "0")).partition("\nPLAN\n")[2] and told)
    assert "STATE               : ready" in shown and f"     {hosts[1]} ready" in shown
    _, user = cloud.make_user()
    refused(user, AUTHORIZATION, "one.cluster.planexecute", 0)
    assert user.text("onecore.cluster.plans") == "[]"
    one("planexecute", "0")
    until(20, "the end of it", lambda: "STATE               : done" in one("show", "0"))
    assert [cloud.body("vm", vm).findall("HISTORY_RECORDS/HISTORY")[-1].findtext("HID") for vm in vms].count(
        str(hosts[1])) == 1
    one("plandelete", "0")
    client.call("one.cluster.optimize", 0)
    until(20, "no plan", lambda: "no VM would be better" in client.text("one.cluster.info", 0))


def test_what_else_clusters_hold(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Datastores and networks come and go by onecluster too."""
    for name in ("ONE_XMLRPC", "ONE_AUTH", "HOME"):
        monkeypatch.setenv(name, cloud.environment[name])
    made, net = cloud.client.number("one.cluster.allocate", "apart"), cloud.make_network()
    for part, oid in (("vnet", net), ("datastore", 1)):
        assert run(program("cluster"), [f"add{part}", "apart", str(oid)]) == 0
        found = cloud.body("cluster", made).findtext(f"{part.upper()}S/ID")
        assert run(program("cluster"), [f"del{part}", "apart", str(oid)]) == 0
        assert (found, cloud.body("cluster", made).findtext(f"{part.upper()}S/ID")) == (str(oid), None)
    cloud.client.call("one.cluster.delete", made)
