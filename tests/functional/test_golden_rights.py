"""The golden table of rights, walked by a user, her group's administrator and a stranger; then every id of a neighbour.

The table is tests/golden/rights.txt: what OpenNebula has, not what this code does.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from api_calls import ACTION, AUTHORIZATION, NO_EXISTS, RPC_API
from matched import plan_of
from sim import Refused, Sim
from tenants import ROLES, Row, Tenant, rows, typed
from xsd import validate

from onecore.api import TABLE
from onecore.kinds.kind import KINDS

pytestmark = pytest.mark.surface

TABLED = list(rows())
STRANGER = "stranger:secret"
POOL_KINDS = {kind.pool_api: name for name, kind in KINDS.items()}


@dataclass
class World:
    """Two tenants and a stranger."""

    sim: Sim
    mine: Tenant
    theirs: Tenant

    def call(self, secret: str, method: str, words: list[str]) -> Any:
        """A call of the table."""
        return self.sim.call(method, *typed(method, words), secret=secret)

    def shown(self, method: str, answer: str) -> tuple[set[int], set[int]]:
        """Which of the two tenants' objects a pool's answer holds."""
        if answer.startswith("<"):
            kind = POOL_KINDS[method.rpartition(".")[0]]
            found = {(kind, int(element.findtext("ID", "-1"))) for element in ElementTree.fromstring(answer)}
        else:
            told = json.loads(answer)
            told = told["events"] if isinstance(told, dict) else told
            found = {(event["kind"], event.get("oid", event["id"])) for event in told
                     if event.get("what") != "refused"}  # who asked, and was refused, reads what she asked for
        return tuple({oid for kind, oid in found if oid in tenant.ids_of(kind)}  # type: ignore[return-value]
                     for tenant in (self.mine, self.theirs))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A simulated cloud with both tenants in it."""
    home = tmp_path_factory.mktemp("tenants")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home / "user"))
        sim = Sim(home / "home").boot().ready()
        made = World(sim, Tenant(sim, "alpha", 1), Tenant(sim, "beta", 2))
        group = int(sim.call("one.group.allocate", "strangers"))
        sim.call("one.vdc.delgroup", 0, group)
        sim.call("one.user.allocate", "stranger", "secret", "core", [group])
        yield made
        sim.close()


def test_every_method_has_a_line() -> None:
    """Sorted, once each in the list of methods, and with words that mean something."""
    missing = sorted(set(TABLE) - {row.method for row in TABLED})
    assert not missing, (
        f"no line in tests/golden/rights.txt for {', '.join(missing)}: add `METHOD USER ADMIN STRANGER ARGUMENTS` "
        "(its head says how), with verdicts from OpenNebula's documentation and not from what the code does")
    gone = sorted({row.method for row in TABLED} - set(TABLE))
    assert not gone, f"tests/golden/rights.txt has lines for methods that are not there: {', '.join(gone)}"
    listed = (Path(__file__).parents[1] / "golden" / "methods.txt").read_text().split()
    assert sorted(listed) == sorted(set(TABLE)) == sorted({row.method for row in TABLED})
    for row in TABLED:
        assert set(row.verdicts.values()) <= {"allowed", "refused", "shown", "nothing"}, row


@pytest.mark.parametrize("role", ROLES)
def test_the_table(world: World, role: str) -> None:
    """What the table says is so, for each line; what is refused has changed nothing."""
    secret = STRANGER if role == "stranger" else world.mine.secret(role)
    before, wrong = world.mine.dump(), list[str]()
    for row in TABLED:
        words = [world.mine.fill(word) for word in row.words]
        found = _tried(world, secret, row, words, row.verdicts[role])
        if found != row.verdicts[role]:
            wrong.append(f"{row}\n    as {role}: {found}, not {row.verdicts[role]}")
    assert not wrong, "\n".join(wrong)
    assert world.mine.dump() == before


def _tried(world: World, secret: str, row: Row, words: list[str], verdict: str) -> str:
    """What came of a call: a verdict of the table, or an error's text.  What is to be allowed is tried dry."""
    name, dry = row.method, verdict == "allowed" and not TABLE[row.method].reads and row.method != "onecore.dryrun"
    try:
        answer = world.call(secret, "onecore.dryrun" if dry else name, [name, *words] if dry else words)
    except Refused as error:
        if error.code == AUTHORIZATION:
            assert "Not authorized" in str(error), error
            return "refused"
        return "allowed" if error.code == OTHERWISE.get(name) else f"{error.code:#x} {error}"
    if verdict in ("shown", "nothing"):
        mine, theirs = world.shown(name, answer)
        return "theirs" if theirs else "shown" if mine else "nothing"
    return "allowed"


OTHERWISE = {**{f"one.image.snapshot{verb}": RPC_API for verb in ("delete", "flatten", "revert")},
             **{f"one.vm.{verb}": ACTION for verb in ("cancelexec", "retryexec", "disksnapshotdelete",
                                                      "disksnapshotrevert")}}
"""What this VM or image does not let anybody do as it is, and the error that says so."""


# -- every id of another tenant

FURTHER = [Row(0, method, {}, words) for method, *words in (
    ("one.vm.allocate", "CPU=1\nMEMORY=64\nDISK=[IMAGE_ID={image}]"),
    ("one.vm.allocate", 'CPU=1\nMEMORY=64\nDISK=[IMAGE="{image.name}",IMAGE_UNAME="{user.name}"]'),
    ("one.vm.allocate", 'CPU=1\nMEMORY=64\nDISK=[IMAGE="{image.name}",IMAGE_UID={user}]'),
    ("one.vm.allocate", "CPU=1\nMEMORY=64\nNIC=[NETWORK_ID={net}]"),
    ("one.vm.allocate", 'CPU=1\nMEMORY=64\nNIC=[NETWORK="{vnet.name}",NETWORK_UNAME="{user.name}"]'),
    ("one.vm.allocate", 'CPU=1\nMEMORY=64\nNIC=[NETWORK_ID={0.net},SECURITY_GROUPS="{secgroup}"]'),
    ("one.vm.allocate", "CPU=1\nMEMORY=64\nCONTEXT=[FILES_DS={image}]"),
    ("one.template.instantiate", "{0.template}", "mine", "false", "DISK=[IMAGE_ID={image}]"),
    ("one.vm.allocate", "CPU=1\nMEMORY=64\nVMGROUP=[VMGROUP_ID={vmgroup},ROLE=web]"),
    ("one.vm.attach", "{0.vm}", "DISK=[IMAGE_ID={image}]"), ("one.vm.attachnic", "{0.vm}", "NIC=[NETWORK_ID={net}]"),
    ("one.vm.deploy", "{0.waiting}", "{0.host}", "false", "{datastore}"),
    ("one.vm.migrate", "{0.vm}", "{0.host}", "false", "false", "{datastore}"),
    ("one.image.clone", "{0.image}", "mine", "{datastore}"),
    ("one.vn.reserve", "{0.net}", "SIZE=1\nNETWORK_ID={vnet}"),
    ("one.vn.update", "{0.vnet}", 'SECURITY_GROUPS="{secgroup}"', "1"),
    ("one.host.allocate", "mine", "dummy", "dummy", "{cluster}"),
    ("one.vn.allocate", "NAME=mine\nVN_MAD=dummy", "{cluster}"),
    ("one.datastore.allocate", "NAME=mine\nTM_MAD=dummy\nDS_MAD=dummy", "{cluster}"),
    *((f"one.{kind}pool.info", "{user}", "-1", "-1", *more) for kind, *more in (
        ("vm", "-2"), ("image",), ("vn",), ("template",), ("secgroup",), ("vmgroup",))),
    ("one.documentpool.info", "{user}", "-1", "-1", "100"), ("one.vmpool.infoextended", "{user}", "-1", "-1", "-2"),
    ("one.vmpool.monitoring", "{user}"), ("onecore.op.list", "{user}"), ("onecore.audit", "user={user}", "0", "1000"),
    ("onecore.audit", "kind=vm&id={vm}", "0", "1000"),
    *(("onecore.dryrun", f"one.vm.{verb}", "{vm}", *more) for verb, *more in (("rename", "x"), ("attachnic", ""))))]
"""Ids where the table has none; {0.kind} is always one's own."""
CALLERS = ("user", "admin", "keeper")
_ID = re.compile(r"\{(\w+)(\.name)?\}")


def _foreign(world: World, row: Row) -> Iterator[list[str]]:
    """The words of a call with, one after the other, each id of the other tenant in place of one's own."""
    mine, theirs = world.mine, world.theirs
    own = [re.sub(r"\{0\.(\w+)\}", lambda found: str(mine.ids[found[1]]), word) for word in row.words]
    for at, word in enumerate(own):
        for name in dict.fromkeys(name for name, field in _ID.findall(word) if not field):
            for oid in theirs.ids_of(name):
                yield [mine.fill(w.replace(f"{{{name}}}", str(oid)) if n == at else w) for n, w in enumerate(own)]
        if ".name}" in word:
            yield [(theirs if n == at else mine).fill(w) for n, w in enumerate(own)]


@pytest.mark.parametrize("prefix", sorted({row.method.split(".")[1] for row in TABLED}))
def test_ids_of_another_tenant(world: World, prefix: str) -> None:
    """Tried by an own user, the group's administrator, and one who has every right on all that is the own tenant's.

    It answers nothing, changes nothing, and never fails for another reason than that it is theirs.
    """
    before, wrong = world.theirs.dump(), list[str]()
    for method, group in groupby(sorted([*TABLED, *FURTHER], key=lambda row: row.method), lambda row: row.method):
        if method.split(".")[1] != prefix:
            continue
        for row, caller in product(group, CALLERS):
            for words in _foreign(world, row):
                if told := _leak(world, world.mine.secret(caller), row.method, words):
                    wrong.append(f"{row.method} {' '.join(words)} as {caller}: {told}")
        after = world.theirs.dump()
        wrong += [f"{method} changed {name} of the other tenant" for name in before if after[name] != before[name]]
        before = after
    assert not wrong, "\n".join(wrong)


def _leak(world: World, secret: str, method: str, words: list[str]) -> str:
    """What is wrong about the answer to a call with another's id, if anything."""
    name = world.theirs.name
    try:
        answer = world.call(secret, method, words)
    except Refused as error:
        tells = name in str(error) and name not in " ".join(words)
        return f"{error.code:#x} {error}" if tells or error.code not in (AUTHORIZATION, NO_EXISTS) else ""
    if not TABLE[method].reads or not isinstance(answer, str):
        return f"allowed: {answer!r:.200}"
    return f"shows {answer:.200}" if name in answer or any(world.shown(method, answer)[1:]) else ""


# -- where VMs are put

def test_a_tenants_vms_are_put_on_its_hosts(world: World) -> None:
    """And in its datastores, though the match-maker may all; where rules change, so does that, at once."""
    sim, mine = world.sim, world.mine
    for tenant in (world.mine, world.theirs):
        found = [place for place in plan_of(sim).placements if place.vm == tenant.ids["waiting"]]
        assert [(place.host, place.store) for place in found] == [(tenant.ids["host"], tenant.ids["system"])]
    vm, told = mine.ids["waiting"], sim.call("one.vm.info", mine.ids["waiting"], secret=mine.secret("user"))
    validate("vm", told)
    requirements = ElementTree.fromstring(told).findtext("TEMPLATE/AUTOMATIC_REQUIREMENTS")
    assert requirements == f"(CLUSTER_ID = {mine.ids['cluster']}) & (ID = {mine.ids['host']})"
    sim.call("one.vdc.delhost", mine.ids["vdc"], 0, mine.ids["host"])
    assert [refusal.vm for refusal in plan_of(sim).refusals if refusal.vm == vm] == [vm]
    sim.call("one.vdc.addcluster", mine.ids["vdc"], 0, mine.ids["cluster"])
    assert [place.host for place in plan_of(sim).placements if place.vm == vm] == [mine.ids["host"]]
    sim.call("one.vdc.delcluster", mine.ids["vdc"], 0, mine.ids["cluster"])
    sim.call("one.vdc.addhost", mine.ids["vdc"], 0, mine.ids["host"])
    free = int(sim.call("one.vm.allocate", "CPU=0.1\nMEMORY=64"))
    assert "AUTOMATIC_REQUIREMENTS" not in sim.call("one.vm.info", free)
    assert [place.vm for place in plan_of(sim).placements if place.vm == free] == [free]
    sim.call("one.vm.chown", free, mine.ids["user"], mine.ids["group"])
    assert [(place.host, place.store) for place in plan_of(sim).placements if place.vm == free] == [
        (mine.ids["host"], mine.ids["system"])]
    sim.call("one.vm.action", "terminate", free)
