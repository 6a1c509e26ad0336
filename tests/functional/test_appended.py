"""Templates that grow by appends: a bound on what comes together, and records beyond it that are read all the same."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_calls import ALLOCATE, RPC_API
from sim import Sim, refused

from onecore.kinds.kind import LARGEST_KEPT, inner_xml, tree_of
from onecore.kinds.vm.record import Vm, VmText
from onecore.pool.store import Actor
from onecore.wire.template import MAX_ATTRIBUTES, Tree

HALF = MAX_ATTRIBUTES // 2 + 1
VM = "CPU=0.1\nMEMORY=64\n"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Sim]:
    """A cloud that counts an attribute of VMs."""
    sim = Sim(tmp_path / "home", config={"tenants": {"quota_vm_attributes": "LICENSE"}}).boot().ready()
    sim.add_host()
    yield sim
    sim.close()


def some(name: str) -> str:
    """More than half of the attributes that a template may have."""
    return "\n".join(f"{name}_{number}=1" for number in range(HALF))


def test_appends_have_the_bound_of_one_call(sim: Sim) -> None:
    vm, template = sim.call("one.vm.allocate", VM, True), sim.call("one.template.allocate", f"NAME=t\n{VM}")
    for method, oid in (("one.vm.update", vm), ("one.template.update", template)):
        sim.call(method, oid, some("A"), 1)
        refused(RPC_API, "attributes, more than", lambda m=method, o=oid: sim.call(m, o, some("B"), 1))  # type: ignore[misc]
        sim.call(method, oid, some("A") + "\nMORE=2", 1)
        sim.call(method, oid, some("B"), 0)
    refused(ALLOCATE, "attributes, more than", lambda: sim.call("one.template.instantiate", template, "", True,
                                                                some("C")))


def test_appends_have_the_size_of_one_call(sim: Sim) -> None:
    vm, most = sim.call("one.vm.allocate", VM, True), sim.core.config.server.max_request_mb << 20
    for name in ("A", "B"):
        sim.call("one.vm.update", vm, f"{name}=[KEY={'é' * (most // 4 - 20)}]", 1)
    refused(RPC_API, "bytes, more than", lambda: sim.call("one.vm.update", vm, "C=" + "x" * 100, 1))


def test_a_record_beyond_the_bound_is_read(sim: Sim) -> None:
    """As older ones may be: its VM runs and ends, the manager starts with it, and it can be made smaller."""
    vm = sim.call("one.vm.allocate", VM + "LICENSE=1\n", True)
    many = inner_xml(Tree([("LICENSE", "1"), *((f"A_{number}", "1") for number in range(2 * HALF))]))
    with sim.core.store.tx(Actor()) as tx:
        tx.put(VmText(vm, sim.get(VmText, vm).template, many, 0))
    sim.advance(1)
    sim.reboot()
    sim.ready()
    assert sim.get(VmText, vm).user == many
    sim.call("one.vm.deploy", vm, 0)
    sim.wait(vm, "RUNNING")
    sim.call("one.vm.action", "terminate-hard", vm)
    sim.until(lambda: sim.core.store.get(Vm, vm) is None)
    other = sim.call("one.vm.allocate", VM, True)
    with sim.core.store.tx(Actor()) as tx:
        tx.put(VmText(other, sim.get(VmText, other).template, many, 0))
    sim.call("one.vm.update", other, "B=1", 0)
    assert sim.get(VmText, other).user == inner_xml(Tree([("B", "1")]))


def test_only_small_trees_are_kept() -> None:
    """Each version of a large template would stay in memory otherwise, until thousands of others came."""
    for size, kept in ((LARGEST_KEPT // 2, 1), (LARGEST_KEPT, 0)):
        fragment = inner_xml(Tree([("ONLY_HERE", "x" * size)]))
        before = sys.getrefcount(fragment)
        assert len(tree_of(fragment).get("ONLY_HERE")) == size
        assert sys.getrefcount(fragment) == before + kept
