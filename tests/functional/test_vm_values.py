"""What users write in a VM's values that looks like something else: it stays a value, and hurts nobody."""
from __future__ import annotations

from typing import NoReturn

import pytest
from sim import Refused
from sim_ground import Ground

from onecore.kinds.secgroup import members
from onecore.kinds.vm.record import Vm

pytestmark = pytest.mark.surface
BASE = "CPU=1\nMEMORY=64\n"
HUGE = "9" * 5000
"""More digits than Python turns into a number."""


def _corrupt(bug: BaseException) -> NoReturn:
    raise AssertionError(f"oned would end: {bug}")


@pytest.mark.parametrize("where", ["CONTEXT", "NIC_DEFAULT", "NIC"])
def test_security_groups_that_are_none(ground: Ground, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """A number of any length is refused, or kept as a text; oned goes on."""
    sim = ground.sim
    monkeypatch.setattr(sim.core.store, "on_corrupt", _corrupt)
    text = f'{BASE}{where}=[SECURITY_GROUPS="{HUGE}"'
    if where == "NIC":
        with pytest.raises(Refused, match="SECURITY_GROUPS"):
            sim.call("one.vm.allocate", f"{text},NETWORK_ID={ground.network}]")
        return
    vm = sim.call("one.vm.allocate", f"{text}]")
    assert sim.get(Vm, vm).oid == vm


def test_security_groups_of_nics_alone(ground: Ground) -> None:
    """A VM is a member by its NICs; what it writes elsewhere pins nobody's group."""
    sim = ground.sim
    group, other = (sim.call("one.secgroup.allocate", f"NAME={name}\nRULE=[PROTOCOL=ALL,RULE_TYPE=INBOUND]")
                    for name in ("mine", "other"))
    vm = sim.call("one.vm.allocate", f"{BASE}CONTEXT=[SECURITY_GROUPS={other}]\n"
                  f'NIC=[NETWORK_ID={ground.network},SECURITY_GROUPS="0,{group}",MODEL="<SECURITY_GROUPS>{other}"]')
    assert members(sim.core, group) == {vm} and members(sim.core, other) == set()
    sim.call("one.secgroup.delete", other)
