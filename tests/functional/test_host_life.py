"""The life of hosts: silence, errors, DISABLED and OFFLINE, debts, clocks, watches that are made anew."""
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sim import Refused
from xsd import validate

from onecore.lifecycle.outbox import Owed

if TYPE_CHECKING:
    from host_ground import HostGround

pytest_plugins = ["host_ground"]
SILENT = {"action": "im.sample", "host": "node1", "hang": True}
SICK = {"action": "im.sample", "host": "node1", "fail": "SSH: connection refused"}


def states(ground: HostGround) -> list[str]:
    """The states that node1 came to, as the change log has them."""
    return [new for what, _, new, _, _ in ground.rows() if what == "state"]


def test_silence_is_an_error_in_time(cloud2: HostGround) -> None:
    """ERROR a second or less after the limit; each change is a row; the other host does not care."""
    sim = cloud2.sim
    cloud2.script(SILENT)
    sim.advance(1)
    heard = sim.core.kinds["samples"].heard[cloud2.ids[0]]
    cloud2.until_state("ERROR", limit=31)
    assert 30 <= sim.clock.monotonic() - heard <= 31.1
    assert cloud2.told("ERROR") == "nothing heard for 30 s" or cloud2.told("ERROR") == "nothing heard for 31 s"
    assert cloud2.state(2) == "MONITORED"
    cloud2.script()
    cloud2.until_state("MONITORED", limit=35)
    sim.advance(1)
    assert states(cloud2) == ["MONITORED", "ERROR", "MONITORED"] and cloud2.told("ERROR") == ""


def test_a_silent_watch_is_made_anew(cloud2: HostGround) -> None:
    """At the limit and each time that nothing came for as long; not while the driver says what is wrong."""
    sim = cloud2.sim
    before = len(cloud2.watches())
    cloud2.script(SILENT)
    cloud2.until_state("ERROR")
    assert len(cloud2.watches()) == before + 1
    sim.advance(95)
    assert len(cloud2.watches()) == before + 4
    assert len(cloud2.watches(2)) == 1
    cloud2.script(SICK)
    sim.advance(100)
    assert len(cloud2.watches()) in (before + 4, before + 5)
    assert cloud2.told("ERROR") == "SSH: connection refused", "the reason takes the place of silence"


def test_a_driver_that_is_started_again_watches_again(cloud2: HostGround) -> None:
    """Nothing is lost by it, and no host is in ERROR."""
    cloud2.sim.transport.kill("im")
    cloud2.sim.advance(60)
    assert len(cloud2.watches()) == 2 and states(cloud2) == ["MONITORED"]


def test_a_disabled_host_that_cannot_be_asked(cloud2: HostGround) -> None:
    """It stays DISABLED, its ERROR says it once, its VMs are UNKNOWN; the first good sample mends all."""
    sim, vm, host = cloud2.sim, cloud2.vm(), cloud2.ids[0]
    sim.call("one.host.status", host, 1)
    cloud2.script(SICK)
    sim.wait(vm, "UNKNOWN", limit=15)
    assert cloud2.state() == "DISABLED" and cloud2.told("ERROR") == "SSH: connection refused"
    cloud2.script({**SICK, "fail": "SSH: next try in 7 s"})
    sim.advance(60)
    assert sum("ERROR" in keys for *_, keys, _ in cloud2.rows()) == 1, "no row for each sample"
    cloud2.script()
    sim.wait(vm, "RUNNING", limit=30)
    assert cloud2.state() == "DISABLED" and cloud2.told("ERROR") == ""
    cloud2.script(SILENT)
    sim.wait(vm, "UNKNOWN", limit=45)
    assert cloud2.state() == "DISABLED" and cloud2.told("ERROR").startswith("nothing heard for 3")


def test_offline(cloud2: HostGround) -> None:
    """Nobody looks: VMs are UNKNOWN, drivers are told, samples that are on their way count for nothing; and back."""
    sim, vm, off, host = cloud2.sim, cloud2.vm(), cloud2.vm(), cloud2.ids[0]
    sim.call("one.vm.action", "poweroff", off)
    sim.wait(off, "POWEROFF")
    sim.call("one.host.status", host, 2)
    sim.advance(1)
    assert (cloud2.state(), sim.state(vm), sim.state(off)) == ("OFFLINE", "UNKNOWN", "POWEROFF")
    assert len(cloud2.sent("unwatch")) == 2
    watches = len(cloud2.watches())
    sim.advance(120)
    assert cloud2.state() == "OFFLINE" and len(cloud2.watches()) == watches
    with pytest.raises(Refused, match="OFFLINE"):
        sim.call("onecore.host.sync", host)
    sim.call("one.host.status", host, 0)
    cloud2.until_state("MONITORED", limit=5)
    sim.wait(vm, "RUNNING", limit=30)
    sim.advance(1)
    assert states(cloud2) == ["MONITORED", "OFFLINE", "INIT", "MONITORED"]


# -- debts

def owing(ground: HostGround) -> int:
    """A VM that is PENDING, and whose clean-up node1 owes and cannot do."""
    vm = ground.vm()
    ground.script({"action": "vm.cleanup", "fail": "libvirt is away"}, {"action": "tm.delete", "fail": "and so is tm"})
    ground.sim.call("one.vm.recover", vm, 4)
    ground.sim.wait(vm, "PENDING")
    assert [o.vid for o in ground.sim.core.store.all(Owed)] == [vm]
    return vm


def test_what_ends_on_a_host_that_is_offline_leaves_no_vm_running(cloud2: HostGround) -> None:
    """A VM that changed as its host became so, and one that came: nobody looks, so that nobody can say how they are."""
    sim, changed, came = cloud2.sim, cloud2.vm(), cloud2.vm(2)
    cloud2.script(delay={"vm.resize": 5.0, "vm.migrate": 5.0})
    sim.call("one.vm.resize", changed, "CPU=2", False)
    sim.call("one.vm.migrate", came, cloud2.ids[0], True)
    sim.call("one.host.status", cloud2.ids[0], 2)
    assert (sim.state(changed), sim.state(came)) == ("HOTPLUG_RESIZE", "MIGRATE")
    sim.advance(10)
    assert [sim.vm(vm).hid for vm in (changed, came)] == cloud2.ids[:1] * 2
    assert (sim.state(changed), sim.state(came)) == ("UNKNOWN", "UNKNOWN")
    sim.call("one.host.status", cloud2.ids[0], 0)
    for vm in (changed, came):
        sim.wait(vm, "RUNNING", limit=60)


def test_a_host_that_owes_is_not_on(cloud2: HostGround) -> None:
    """ERROR until it has paid, though it is heard; disabled and enabled again it is no further."""
    sim, vm, host = cloud2.sim, owing(cloud2), cloud2.ids[0]
    guests = [{"action": a, "fail": "away"} for a in ("vm.cleanup", "tm.delete")]
    cloud2.script(*guests, {**SICK, "times": 1})
    cloud2.until_state("ERROR")
    sim.advance(60)
    assert cloud2.state() == "ERROR" and "owes" in cloud2.told("ERROR")
    sim.call("one.host.status", host, 1)
    sim.advance(30)
    assert cloud2.state() == "DISABLED"
    sim.call("one.host.status", host, 0)
    sim.advance(60)
    assert cloud2.state() == "INIT" and sim.guests("node1") == [vm]
    cloud2.script()
    cloud2.until_state("MONITORED", limit=30)
    assert sim.guests("node1") == [] and not sim.core.store.all(Owed)


def test_a_disabled_host_that_owes(cloud2: HostGround) -> None:
    """By hand it takes any VM but the one whose end it owes, unless forced; it pays without being enabled."""
    sim, vm, host = cloud2.sim, owing(cloud2), cloud2.ids[0]
    sim.call("one.host.status", host, 1)
    with pytest.raises(Refused, match="may still run on host"):
        sim.call("one.vm.deploy", vm, host)
    cloud2.vm()
    cloud2.script()
    sim.until(lambda: not sim.core.store.all(Owed), limit=30, what="the debt to be paid")
    assert cloud2.state() == "DISABLED"
    sim.call("one.vm.deploy", vm, host)
    sim.wait(vm, "RUNNING")


# -- drivers that are not there

@pytest.mark.parametrize(("im", "vm", "family"), [("nix", "dummy", "im"), ("dummy", "nix", "vm")])
def test_a_driver_that_does_not_exist(cloud2: HostGround, im: str, vm: str, family: str) -> None:
    """ERROR that names it, whatever samples say; DISABLED shows it too."""
    sim = cloud2.sim
    cloud2.ids.append(int(sim.call("one.host.allocate", "node3", im, vm, -1)))
    cloud2.until_state("ERROR", 3, limit=5)
    assert f"there is no {family} driver 'nix'; known: dummy" in cloud2.told("ERROR", 3)
    sim.advance(45)
    came = [new for what, _, new, *_ in cloud2.rows(3) if what == "state"]
    assert came in (["ERROR"], ["MONITORED", "ERROR"]), "a sample may be the first to come; it does not flap"
    sim.call("one.host.status", cloud2.ids[2], 1)
    sim.advance(15)
    assert cloud2.state(3) == "DISABLED" and f"no {family} driver" in cloud2.told("ERROR", 3)
    sim.call("one.host.status", cloud2.ids[2], 2)
    sim.advance(15)
    assert cloud2.state(3) == "OFFLINE"
    sim.call("one.host.delete", cloud2.ids[2])


# -- what samples tell besides

def test_a_wrong_clock_is_said_once(cloud2: HostGround) -> None:
    """In the log once, in the body as it is; again when it was right meanwhile."""
    sim, host = cloud2.sim, cloud2.ids[0]
    assert cloud2.told("CLOCK_SKEW") == "0.00"
    sim.call("one.host.update", host, "DUMMY_CLOCK_SKEW=-7.26", 1)
    sim.advance(60)
    assert cloud2.told("CLOCK_SKEW") == "-7.26"
    text = "(node1) is 7.3 s behind this machine's"
    assert cloud2.log().count(text) == 1
    sim.call("one.host.update", host, "DUMMY_CLOCK_SKEW=0.2", 1)
    sim.advance(20)
    sim.call("one.host.update", host, "DUMMY_CLOCK_SKEW=-7.26", 1)
    sim.advance(20)
    assert cloud2.log().count(text) == 2


def test_an_editor_does_not_freeze_what_monitoring_tells(cloud2: HostGround) -> None:
    """A template that was shown, changed and sent back holds only what somebody set."""
    sim, host = cloud2.sim, cloud2.ids[0]
    shown = "".join(f'{name}="{cloud2.told(name)}"\n' for name in ("HYPERVISOR", "HOSTNAME", "ARCH", "LIBVIRT_VERSION"))
    sim.call("one.host.update", host, shown + 'ERROR="old"\nCLOCK_SKEW="9"\nZOMBIES="one-9"\nNOTE="mine"\n', 0)
    assert b"NOTE" in cloud2.host().template and b"HOSTNAME" not in cloud2.host().template
    assert cloud2.told("ERROR") == cloud2.told("ZOMBIES") == "" and cloud2.told("CLOCK_SKEW") == "0.00"
    assert cloud2.told("HOSTNAME") == "node1" and cloud2.told("LIBVIRT_VERSION") == "1"


def test_samples_write_no_rows(cloud2: HostGround) -> None:
    """Zombies, clocks and numbers are memory."""
    sim = cloud2.sim
    sim.advance(15)
    given = sim.core.store.given
    cloud2.script(wild={"node1": ["stranger"]})
    sim.advance(25)
    assert cloud2.told("TOTAL_WILDS") == "1" and sim.core.store.given == given


def test_bodies_in_every_state(cloud2: HostGround) -> None:
    """With all that is seen besides, they are what the schema describes."""
    sim, host = cloud2.sim, cloud2.ids[0]
    cloud2.own_store()
    cloud2.guest(1, 4711)
    cloud2.script(SICK, wild={"node1": ["<a&b>"]})
    cloud2.until_state("ERROR")
    validate("host", sim.call("one.host.info", host))
    cloud2.script(wild={"node1": ["<a&b>"]})
    cloud2.until_state("MONITORED")
    assert cloud2.told("WILDS") == "<a&b>, one-4711"
    for status in (0, 1, 2):
        sim.call("one.host.status", host, status)
        validate("host", sim.call("one.host.info", host))
        validate("host_pool", sim.call("one.hostpool.info"))


# -- watches

def test_a_watch_knows_the_datastores(cloud2: HostGround) -> None:
    """It is made anew when they change, or the host's cluster does; others are left alone."""
    sim = cloud2.sim

    def stores(host: int) -> list[tuple[int, bool]]:
        return [(ds["id"], ds["shared"]) for ds in cloud2.watches(host)[-1].args["datastores"]]
    assert stores(1) == [(0, True)]
    own = cloud2.own_store()
    sim.advance(2)
    assert stores(1) == stores(2) == [(0, True), (own, False)]
    number = len(cloud2.watches(2))
    cluster = int(sim.call("one.cluster.allocate", "east"))
    sim.call("one.cluster.addhost", cluster, cloud2.ids[0])
    sim.advance(2)
    assert stores(1) == [] and len(cloud2.watches(2)) == number
    sim.call("one.datastore.delete", own)
    sim.advance(2)
    assert stores(2) == [(0, True)]


def test_sync(cloud2: HostGround) -> None:
    """Both drivers end what they have, then both begin anew."""
    before = len(cloud2.sim.transport.sent)
    cloud2.sim.call("onecore.host.sync", cloud2.ids[0])
    cloud2.sim.advance(1)
    about = [c.action for c in cloud2.sim.transport.sent[before:] if c.lane == "node1"]
    assert about == ["unwatch", "unwatch", "watch", "watch"]
    assert ("update", "", "", "SYNC", "onecore.host.sync") in cloud2.rows()
    assert cloud2.state() == "MONITORED"


def test_forceupdate_brings_a_sample_at_once(cloud2: HostGround) -> None:
    """`onehost forceupdate` sets the status that the host has."""
    sim, host = cloud2.sim, cloud2.ids[0]
    for status in (0, 1, 1):
        sim.call("one.host.status", host, status)
        sim.advance(0.1)
        heard = sim.core.kinds["samples"].heard[host]
        assert sim.clock.monotonic() - heard < 0.2
