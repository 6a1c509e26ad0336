"""What a group's administrator may do to the group's users: all but become an administrator of the cloud."""
from __future__ import annotations

import pytest
from sim import Refused
from sim_ground import Ground

pytestmark = pytest.mark.surface
CALLS = {"one.user.login": ("{name}", "", 600, -1), "one.user.passwd": ("{oid}", "other"),
         "one.user.enable": ("{oid}", True), "one.user.update": ("{oid}", "A=1", 1),
         "one.user.chauth": ("{oid}", "core", "another"), "one.user.delete": ("{oid}",)}


@pytest.mark.parametrize("method", CALLS)
def test_an_administrator_in_the_group(ground: Ground, method: str) -> None:
    """Who was put into group 0 is out of reach, though the group is still the primary one; the others are not."""
    sim = ground.sim
    group = sim.call("one.group.allocate", "tenant")
    ids = {name: sim.call("one.user.allocate", name, "secret", "core", [group]) for name in ("amy", "bob", "carl")}
    sim.call("one.group.addadmin", group, ids["amy"])
    sim.call("one.user.addgroup", ids["bob"], 0)

    def call(name: str) -> None:
        given = [ids[name] if a == "{oid}" else name if a == "{name}" else a for a in CALLS[method]]
        sim.call(method, *given, secret="amy:secret")
    with pytest.raises(Refused, match="Not authorized") as refused:
        call("bob")
    assert refused.value.code == 0x0200
    call("carl")
    assert f"<ID>{ids['bob']}</ID>" in sim.call("one.user.info", ids["bob"], secret="amy:secret")
