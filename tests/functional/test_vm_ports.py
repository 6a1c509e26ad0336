"""Ports of screens and serial consoles: given at the start, unique on each host, kept or changed as VMs move."""
from __future__ import annotations

from typing import Any

import pytest
from api_calls import RPC_API, refused
from change_ground import tree
from cloud_process import Cloud
from disk_ground import idle
from sim import Refused, Sim
from sim_ground import Ground

from onecore.kinds.kind import tree_of
from onecore.kinds.vm.record import VmText

pytestmark = pytest.mark.surface

VNC = "GRAPHICS=[TYPE=VNC]\n"
SERIAL = "SERIAL=[TYPE=tcp]\n"


def make(ground: Ground, more: str = VNC, host: int | None = None) -> int:
    """A VM, deployed on HOST if it is given."""
    vm = int(ground.sim.call("one.vm.allocate", f"CPU=1\nMEMORY=64\n{more}", False))
    if host is not None:
        deploy(ground, vm, host)
    return vm


def deploy(ground: Ground, vm: int, host: int) -> None:
    """Put it there."""
    ground.sim.call("one.vm.deploy", vm, host)
    ground.sim.wait(vm, "RUNNING")


def move(ground: Ground, vm: int, host: int, live: bool = True, kind: int = 0) -> None:
    """Move it, and see it there."""
    ground.sim.call("one.vm.migrate", vm, host, live, False, -1, kind)
    idle(ground.sim)
    assert ground.sim.vm(vm).hid == host


def ports(sim: Sim, vm: int) -> list[int]:
    """The VM's ports: screen, serial console."""
    user = tree_of(sim.get(VmText, vm).user)
    return [int(v["PORT"]) for v in (tree(sim, vm).vector("GRAPHICS"), user.vector("SERIAL")) if v and v.get("PORT")]


def told(sim: Sim, vm: int) -> list[Any]:
    """The ports that the driver was told last."""
    attrs = next(c for c in reversed(sim.transport.sent) if c.object == ("vm", vm)).args["vm"]["attrs"]
    return [attrs[name]["PORT"] for name in ("GRAPHICS", "SERIAL") if attrs.get(name, {}).get("PORT")]


def test_from_the_start(ground: Ground) -> None:
    """By the VM's id from the base on; as asked for; none for what has none."""
    sim = ground.sim
    first, second = make(ground, VNC + SERIAL), make(ground, VNC + SERIAL)
    assert ports(sim, first) == [5900 + first, 20000 + first]
    assert ports(sim, second) == [5900 + second, 20000 + second]
    assert ports(sim, make(ground, "GRAPHICS=[TYPE=SPICE,PORT=6000]\nSERIAL=[PORT=21000]\n")) == [6000, 21000]
    assert ports(sim, make(ground, "GRAPHICS=[TYPE=NONE]\nSERIAL=[TYPE=pty]\n")) == []
    deploy(ground, first, ground.host)
    assert told(sim, first) == [str(port) for port in ports(sim, first)]


def test_two_who_want_the_same(ground: Ground) -> None:
    """On one host the second has the next free one, and says so; on two hosts both have it."""
    sim, other = ground.sim, ground.sim.add_host("node2")
    same = "GRAPHICS=[TYPE=VNC,PORT=6000]\nSERIAL=[PORT=6001]\n"
    vms = [make(ground, same, ground.host) for _ in range(3)]
    assert [ports(sim, vm) for vm in vms] == [[6000, 6001], [6002, 20000], [6003, 20001]]
    assert told(sim, vms[1]) == ["6002", "20000"]
    sim.advance(1)
    assert "GRAPHICS PORT is 6002: 6000 is taken on host 0" in (sim.home / "log" / "vm" / f"{vms[1]}.log").read_text()
    assert ports(sim, make(ground, same, other)) == [6000, 6001]


def test_the_last_port(ground: Ground) -> None:
    """Behind it comes the base again."""
    sim = ground.sim
    last = "GRAPHICS=[TYPE=VNC,PORT=65535]\n"
    assert [ports(sim, make(ground, last, ground.host)) for _ in range(3)] == [[65535], [5900], [5901]]


@pytest.mark.parametrize("state", ["POWEROFF", "SUSPENDED"])
def test_a_vm_that_is_off_keeps_its_port(ground: Ground, state: str) -> None:
    """It will be back on that host."""
    same = "GRAPHICS=[TYPE=VNC,PORT=6000]\n"
    sim, vm = ground.sim, make(ground, same, ground.host)
    ground.act(vm, {"POWEROFF": "poweroff", "SUSPENDED": "suspend"}[state])
    sim.wait(vm, state)
    assert ports(sim, make(ground, same, ground.host)) == [6001]
    ground.act(vm, "resume")
    sim.wait(vm, "RUNNING")
    assert ports(sim, vm) == [6000]


@pytest.mark.parametrize("state", ["STOPPED", "UNDEPLOYED", "DONE"])
def test_a_vm_that_left_does_not(ground: Ground, state: str) -> None:
    """Where it comes back its port may be another's, and it has another one then, in its checkpoint's guest too."""
    same = "GRAPHICS=[TYPE=VNC,PORT=6000]\n"
    sim, vm = ground.sim, make(ground, same, ground.host)
    ground.act(vm, {"STOPPED": "stop", "UNDEPLOYED": "undeploy", "DONE": "terminate"}[state])
    sim.wait(vm, state)
    assert ports(sim, make(ground, same, ground.host)) == [6000]
    if state != "DONE":
        deploy(ground, vm, ground.host)
        assert ports(sim, vm) == [6001] and told(sim, vm) == ["6001"]


def test_a_port_that_is_on_its_way(ground: Ground) -> None:
    """Where a VM migrates to, its port is taken from the beginning."""
    sim, other = ground.sim, ground.sim.add_host("node2")
    same = "GRAPHICS=[TYPE=VNC,PORT=6000]\n"
    vm = make(ground, same, ground.host)
    ground.script(delay={"vm.migrate": 20})
    sim.call("one.vm.migrate", vm, other, True, False)
    assert sim.state(vm) == "MIGRATE"
    assert ports(sim, make(ground, same, other)) == [6001]
    sim.wait(vm, "RUNNING")
    assert ports(sim, vm) == [6000] and sim.vm(vm).hid == other


def test_a_guest_that_keeps_its_port_cannot_go_where_it_is_taken(ground: Ground) -> None:
    """Live, or saved: refused, saying whose it is; off, it goes and has another."""
    sim, other = ground.sim, ground.sim.add_host("node2")
    same = "GRAPHICS=[TYPE=VNC,PORT=6000]\n"
    vm, there = make(ground, same, ground.host), make(ground, same, other)
    for live in (True, False):
        with pytest.raises(Refused, match=f"port 6000 of VM {vm}.*is VM {there}'s on host {other}"):
            sim.call("one.vm.migrate", vm, other, live, False)
    ground.act(vm, "suspend")
    sim.wait(vm, "SUSPENDED")
    with pytest.raises(Refused, match="port 6000"):
        sim.call("one.vm.migrate", vm, other, False, False)
    ground.act(vm, "resume")
    sim.wait(vm, "RUNNING")
    move(ground, vm, other, live=False, kind=1)
    assert ports(sim, vm) == [6001] and told(sim, vm) == ["6001"]
    move(ground, vm, ground.host)
    assert ports(sim, vm) == [6001]


def test_off_it_moves_and_has_another(ground: Ground) -> None:
    """A VM that is powered off."""
    sim, other = ground.sim, ground.sim.add_host("node2")
    same = "GRAPHICS=[TYPE=VNC,PORT=6000]\n"
    vm = make(ground, same, ground.host)
    make(ground, same, other)
    ground.act(vm, "poweroff")
    sim.wait(vm, "POWEROFF")
    move(ground, vm, other, live=False)
    assert ports(sim, vm) == [6001]


def test_after_a_crash(ground: Ground) -> None:
    """What is taken is known again."""
    same = "GRAPHICS=[TYPE=VNC,PORT=6000]\n"
    sim, vm = ground.sim, make(ground, same, ground.host)
    sim.reboot()
    sim.ready()
    sim.until(lambda: sim.host_state(ground.host) == "MONITORED")
    assert ports(sim, vm) == [6000] and ports(sim, make(ground, same, ground.host)) == [6001]


def test_a_port_by_updateconf(cloud: Cloud) -> None:
    """Off: a free one, of one's own or the next; while there may be a guest, it stays."""
    host, client = cloud.add_hosts(1)[0], cloud.client
    first, second = (cloud.make_vm(GRAPHICS={"TYPE": "VNC"}) for _ in range(2))
    for vm in (first, second):
        cloud.deploy(vm, host)

    def port(vm: int) -> str:
        return cloud.body("vm", vm).findtext("TEMPLATE/GRAPHICS/PORT") or ""
    mine, theirs = port(first), port(second)
    assert mine != theirs
    assert "PORT" in refused(client, RPC_API, "one.vm.updateconf", first, "GRAPHICS=[PORT=7000]", 1)
    client.call("one.vm.updateconf", first, f"GRAPHICS=[TYPE=VNC,LISTEN=0.0.0.0,PORT={mine}]")
    cloud.wait_vm(first, "RUNNING")
    client.call("one.vm.action", "poweroff-hard", first)
    cloud.wait_vm(first, "POWEROFF")
    said = refused(client, RPC_API, "one.vm.updateconf", first, f"GRAPHICS=[PORT={theirs}]", 1)
    assert f"PORT {theirs} is VM {second}'s" in said
    client.call("one.vm.updateconf", first, "GRAPHICS=[TYPE=SPICE]", 0)
    assert port(first) == mine
    client.call("one.vm.updateconf", first, "GRAPHICS=[PORT=7000]", 1)
    assert port(first) == "7000"
    client.call("one.vm.updateconf", first, "OS=[BOOT=disk0]", 0)
    client.call("one.vm.updateconf", first, "GRAPHICS=[TYPE=VNC]", 1)
    assert port(first) == mine
    for vm in (first, second):
        client.call("one.vm.recover", vm, 3)
