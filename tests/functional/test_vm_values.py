"""What users write in a VM's values that looks like something else: it stays a value, and hurts nobody."""
from __future__ import annotations

from typing import NoReturn

import pytest
from matched import plan_of
from sim import Refused
from sim_ground import Ground

from onecore.auth.acl import ALL, GROUP, RESOURCES, RIGHTS
from onecore.kinds.secgroup import members
from onecore.kinds.vm.ports import ports
from onecore.kinds.vm.record import Vm
from onecore.wire import xmlbody

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


@pytest.fixture
def tenant(ground: Ground) -> str:
    """The session of a user whose VMs may not be put anywhere."""
    group = ground.sim.call("one.group.allocate", "tenant")
    ground.sim.call("one.user.allocate", "eve", "secret", "core", [group])
    ground.sim.call("one.vdc.delgroup", 0, group)
    ground.sim.call("one.acl.addrule", f"{GROUP | group:x}", f"{RESOURCES['VM'] | ALL:x}", f"{RIGHTS['CREATE']:x}")
    return "eve:secret"


@pytest.mark.parametrize("keys", [
    'X="<AUTOMATIC_REQUIREMENTS><![CDATA[",AUTOMATIC_REQUIREMENTS="y"', 'AUTOMATIC_REQUIREMENTS="ID = 7"'])
def test_requirements_that_are_values(ground: Ground, tenant: str, keys: str) -> None:
    """The body is well formed, its owner's places stand in the core's requirements; others' VMs are placed."""
    sim = ground.sim
    good = sim.call("one.vm.allocate", BASE)
    vm = sim.call("one.vm.allocate", f"{BASE}CONTEXT=[{keys}]", secret=tenant)
    template = xmlbody.read(sim.call("one.vm.info", vm)).find("TEMPLATE")
    assert template is not None
    assert template.findtext("CONTEXT/AUTOMATIC_REQUIREMENTS") in ("y", "ID = 7")
    assert "ID < 0" in template.findtext("AUTOMATIC_REQUIREMENTS", "")
    assert "ID = 7" not in template.findtext("AUTOMATIC_REQUIREMENTS", "")
    assert [placed.vm for placed in plan_of(sim).placements] == [good]


@pytest.mark.parametrize(("context", "more", "has"), [
    ("<GRAPHICS><PORT><![CDATA[5999", "", ()),
    ("<GRAPHICS><PORT><![CDATA[5999", "GRAPHICS=[TYPE=VNC,PORT=5901]", (5901,)),
    ("<GRAPHICS>" * 100_000, "GRAPHICS=[TYPE=VNC,PORT=5901]", (5901,)),
    ("a", 'SERIAL=[TYPE=tcp,PORT=20001]\nNOTE="<SERIAL><PORT><![CDATA[5998"', (20001,)),
    ("a", f'A="{"<SERIAL>" * 100_000}"', ())], ids=["text", "text before", "long", "note", "long note"])
def test_ports_that_are_values(ground: Ground, context: str, more: str, has: tuple[int, ...]) -> None:
    """A VM has the ports of its own vectors; a long text is not read again at each word that might begin one."""
    vm = ground.sim.call("one.vm.allocate", f'{BASE}CONTEXT=[A="{context}"]\n{more}')
    assert ports(ground.sim.core).of(vm) == has


@pytest.mark.parametrize(("given", "kept"), [
    ("$A[" * 100_000, "1[" * 100_000), ("$$]$A[$NAME,$VMID", "$]1[n,0"), ("$TEMPLATE[A]$TEMPLATE[A", "1[A"),
    ("$TEMPLATE[NAME $A]", "")], ids=["long", "dollars", "cut off", "in brackets"])
def test_variables_without_an_end(ground: Ground, given: str, kept: str) -> None:
    """What no ] ends is not sought to the end of the text at each place; a $ in brackets is no variable."""
    vm = ground.sim.call("one.vm.allocate", f'{BASE}NAME=n\nA=1\nCONTEXT=[X="{given}"]')
    template = xmlbody.read(ground.sim.call("one.vm.info", vm))
    assert template.findtext("TEMPLATE/CONTEXT/X") == kept


def test_files_without_an_end(ground: Ground) -> None:
    """The first that is none is said; the others are not looked at."""
    with pytest.raises(Refused, match=r"\$FILE\["):
        ground.sim.call("one.vm.allocate", f'{BASE}CONTEXT=[FILES_DS="{"$FILE[ " * 50_000}"]')


@pytest.mark.parametrize("where", ["CONTEXT", "CONTEXT=[B=1]\nRAW"])
def test_variables_that_stand_for_much(ground: Ground, where: str) -> None:
    """They are refused before they are made, and may stand for what a guest can need."""
    text = f'{BASE}BIG="{"x" * 2000}"\n{where}=[A="%s"]'
    with pytest.raises(Refused, match="variables stand for more than 1048576"):
        ground.sim.call("one.vm.allocate", text % ("$BIG" * 525))
    assert ground.sim.call("one.vm.allocate", text % ("$BIG" * 20)) >= 0


def test_variables_that_stand_for_much_later(ground: Ground) -> None:
    """A change of the configuration is bounded as well."""
    vm = ground.sim.call("one.vm.allocate", f'{BASE}CONTEXT=[BIG="{"x" * 2000}"]', True)
    with pytest.raises(Refused, match="variables stand for more than 1048576"):
        ground.sim.call("one.vm.updateconf", vm, f'CONTEXT=[A="{"$CONTEXT[BIG]" * 525}"]', 1)


@pytest.mark.parametrize("store", ["abc", "4711", HUGE], ids=["word", "nowhere", "long"])
def test_the_datastore_of_a_volatile_disk(ground: Ground, store: str) -> None:
    """It has none of its own: what is written there is left out, of a new VM as of an attached disk."""
    disk = f"DISK=[TYPE=fs,SIZE=1,DATASTORE_ID={store},DATASTORE=a,TM_MAD=b]"
    vm = ground.sim.call("one.vm.allocate", BASE + disk, True)
    ground.sim.call("one.vm.deploy", vm, ground.host)
    ground.sim.wait(vm, "RUNNING")
    ground.sim.call("one.vm.attach", vm, disk)
    ground.sim.wait(vm, "RUNNING")
    disks = xmlbody.read(ground.sim.call("one.vm.info", vm)).findall("TEMPLATE/DISK")
    assert [(found.findtext("TYPE"), found.findtext("DATASTORE_ID")) for found in disks] == [("fs", None)] * 2
