"""onecore.host.check: what the driver finds and what the core knows, in time, whatever the host does."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onecore.kinds.kind import inner_xml
from onecore.lifecycle.outbox import Owed
from onecore.wire.template import Tree

if TYPE_CHECKING:
    from host_ground import HostGround

pytest_plugins = ["host_ground"]
OWN = ["im driver", "vm driver", "monitoring", "datastores", "versions like others"]


def checked(ground: HostGround, host: int = 1) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    found = ground.ask("check", host=host)
    assert found["ok"] == all(one["ok"] for one in found["checks"])
    return {one["name"]: one for one in found["checks"]}


def failing(ground: HostGround, host: int = 1) -> dict[str, str]:
    """What is found of the checks that fail."""
    return {name: one["found"] for name, one in checked(ground, host).items() if not one["ok"]}


def test_a_host_that_is_well(cloud2: HostGround) -> None:
    """All ok; the driver is told of the datastores and the bridges of the networks in the host's cluster."""
    sim = cloud2.sim
    for name, more in (("a", "VN_MAD=bridge\nBRIDGE=br7"), ("b", "VN_MAD=dummy\nBRIDGE=br8"), ("c", "VN_MAD=bridge")):
        sim.call("one.vn.allocate", f'NAME={name}\n{more}\nAR=[TYPE=ETHER,SIZE=1]', -1)
    found = checked(cloud2)
    assert all(one["ok"] and not one["fix"] for one in found.values())
    assert set(OWN) < set(found)
    (asked,) = cloud2.sent("check")
    assert asked.args["bridges"] == ["br7", "onebr2"] and [ds["id"] for ds in asked.args["datastores"]] == [0]
    assert {"bridge br7", "bridge onebr2", "storage 0"} < set(found)


def test_what_the_driver_finds(cloud2: HostGround) -> None:
    """Its findings stand beside the core's, each with what mends it."""
    cloud2.script(checks={"node1": [{"name": "clock", "ok": False, "found": "9 s ahead", "fix": "start chrony"}]})
    found = checked(cloud2)
    assert found["clock"] == {"name": "clock", "ok": False, "found": "9 s ahead", "fix": "start chrony"}
    assert failing(cloud2) == {"clock": "9 s ahead"} and failing(cloud2, 2) == {}


def test_a_host_that_never_answers(cloud2: HostGround) -> None:
    """An answer within the minute that a client waits."""
    sim = cloud2.sim
    cloud2.script({"action": "im.check", "hang": True}, {"action": "vm.watch", "hang": True})
    begun = sim.clock.monotonic()
    found = failing(cloud2)
    assert sim.clock.monotonic() - begun < 50
    assert set(found) == {"host", "vm driver"} and "no answer" in found["host"]


def test_drivers_that_are_not_there(cloud2: HostGround) -> None:
    """Named, with those that are."""
    sim = cloud2.sim
    cloud2.ids.append(int(sim.call("one.host.allocate", "node3", "nix", "nax", -1)))
    found = failing(cloud2, 3)
    assert "there is no im driver 'nix'; known: dummy" in found["im driver"]
    assert "there is no vm driver 'nax'; known: dummy" in found["vm driver"]
    assert set(found) == {"im driver", "vm driver", "monitoring"}
    assert "onehost create node3" in checked(cloud2, 3)["vm driver"]["fix"]


def test_offline(cloud2: HostGround) -> None:
    """It is not asked."""
    cloud2.sim.call("one.host.status", cloud2.ids[0], 2)
    found = checked(cloud2)
    assert not found["state"]["ok"] and "enable" in found["state"]["fix"] and not cloud2.sent("check")


def test_a_host_in_error(cloud2: HostGround) -> None:
    """What is wrong is in the checks, and what it owes."""
    cloud2.script({"action": "im.sample", "host": "node1", "fail": "libvirt does not answer"},
                  {"action": "vm.cleanup", "fail": "away"})
    cloud2.until_state("ERROR")
    cloud2.put(Owed(cloud2.ids[0], 7, 1, 0, cloud2.sim.core.now(), 0))
    found = failing(cloud2)
    assert "libvirt does not answer" in found["monitoring"] and "ERROR" in found["monitoring"]
    assert "VM 7" in found["owed"]


def test_a_cluster_without_storage(cloud2: HostGround) -> None:
    """No VM can come to such a host."""
    cluster = cloud2.sim.call("one.cluster.allocate", "bare")
    cloud2.sim.call("one.cluster.addhost", cluster, cloud2.ids[0])
    assert "no system datastore" in failing(cloud2)["datastores"]


def test_versions_unlike_other_hosts(make_hosts: Callable[..., HostGround]) -> None:
    """Advice, no failure; only hosts of the same cluster and driver count."""
    ground = make_hosts(3)
    assert checked(ground)["versions like others"]["fix"] == ""
    host = ground.host(2)
    ground.put(replace(host, facts=inner_xml(Tree([("LIBVIRT_VERSION", "10.0"), ("VERSION", "1")]))))
    found = checked(ground)["versions like others"]
    assert found["ok"] and found["found"] == "LIBVIRT_VERSION 1, elsewhere 10.0" and found["fix"]
    cluster = ground.sim.call("one.cluster.allocate", "east")
    ground.sim.call("one.cluster.addhost", cluster, ground.ids[0])
    assert checked(ground)["versions like others"]["fix"] == ""
