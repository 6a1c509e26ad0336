"""Random changes of real guests, and something killed or cancelled at a random moment: all rest, by themselves.

Only with ONECORE_LONG=1: as many turns as ONECORE_TURNS says; ONECORE_SEED gives other ones.
"""
from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from bed_acts import other, pair_of, runs_on
from bed_cloud import BedCloud, bed_cloud
from bed_kills import KILLS
from cloud_process import until
from crash_ground import check_books_but_guests

from onecore.wire.client import ClientError

pytestmark = [pytest.mark.live, pytest.mark.skipif(not os.environ.get("ONECORE_LONG"), reason="ONECORE_LONG=1 runs it")]

TURNS = int(os.environ.get("ONECORE_TURNS", "100"))
SEED = int(os.environ.get("ONECORE_SEED", "1"))
VICTIMS = ("oned", "oned", "vm driver", "vm driver", "tm driver", "libvirtd", "sshd", "cancel", "cancel",
           "cancel", "node",
           "network")
RESTS = {"RUNNING": "", "POWEROFF": "resume", "SUSPENDED": "resume", "STOPPED": "resume", "UNDEPLOYED": "resume",
         "PENDING": "", "UNKNOWN": ""}
"""Where a change may end, and what leads from there to RUNNING."""
WAIT = 2.0
"""Seconds within which something dies."""
RETRY = 2
"""Of one.vm.recover."""
Change = Callable[[BedCloud, int], object]


def _call(method: str, *arguments: object) -> Change:
    return lambda cloud, vm: cloud.patiently(f"one.vm.{method}", vm, *arguments)


def _act(action: str) -> Change:
    return lambda cloud, vm: cloud.act(vm, action)


def _last(what: str, key: str, method: str) -> Change:
    """METHOD of the newest WHAT that the VM has, but for its first disk and NIC; nothing when there is none."""
    def change(cloud: BedCloud, vm: int) -> None:
        found = cloud.body("vm", vm).findall(what)
        if len(found) > ("SNAPSHOT" not in what):
            number = int(found[-1].findtext(key, ""))
            cloud.patiently(f"one.vm.{method}", vm, *((0, number) if key == "ID" else (number,)))
    return change


def _save_as(cloud: BedCloud, vm: int) -> None:
    cloud.patiently("one.vm.disksaveas", vm, 0, f"saved-{vm}-{time.monotonic_ns()}", "", -1)


def _remove_saved(cloud: BedCloud) -> None:
    """The images that are there, or failed."""
    for image in ElementTree.fromstring(cloud.client.text("one.imagepool.info", -2, -1, -1)).findall("IMAGE"):
        if image.findtext("NAME", "").startswith("saved-") and image.findtext("STATE") in ("1", "5"):
            cloud.client.call("one.image.delete", int(image.findtext("ID", "")))


CHANGES: dict[str, Change] = {
    "migrate live": lambda cloud, vm: cloud.patiently("one.vm.migrate", vm, other(cloud, vm), True),
    "migrate saved": lambda cloud, vm: cloud.patiently("one.vm.migrate", vm, other(cloud, vm), False),
    "suspend": _act("suspend"), "stop": _act("stop"),
    "poweroff-hard": _act("poweroff-hard"), "undeploy-hard": _act("undeploy-hard"),
    "attach": _call("attach", "DISK=[TYPE=raw,SIZE=8,FORMAT=raw]"),
    "detach": _last("TEMPLATE/DISK", "DISK_ID", "detach"),
    "attachnic": lambda cloud, vm: cloud.patiently("one.vm.attachnic", vm, f"NIC=[NETWORK_ID={cloud.network}]"),
    "detachnic": _last("TEMPLATE/NIC", "NIC_ID", "detachnic"),
    "snapshotcreate": _call("snapshotcreate", "moment"),
    "snapshotdelete": _last("TEMPLATE/SNAPSHOT", "SNAPSHOT_ID", "snapshotdelete"),
    "disksnapshotcreate": _call("disksnapshotcreate", 0, "moment"),
    "disksnapshotdelete": _last("SNAPSHOTS/SNAPSHOT", "ID", "disksnapshotdelete"),
    "saveas": _save_as}
SAVES = ("suspend", "stop", "migrate saved")
"""Changes on whose way it may be found SUSPENDED."""
ENDS = ("poweroff-hard", "undeploy-hard")
"""Changes after which another boot goes on; so it does when the host died."""


@dataclass
class Turn:
    """One change of one VM, and what it was like before."""

    vm: int
    change: str
    boot: str
    told: list[str] = field(default_factory=list)
    """What became of it, in words."""


@pytest.fixture(scope="module")
def cloud() -> Iterator[BedCloud]:
    with bed_cloud(2) as made:
        yield made


@pytest.fixture(scope="module")
def pair(cloud: BedCloud) -> Iterator[list[int]]:
    with pair_of(cloud, "random") as vms:
        yield vms


def _under_way(cloud: BedCloud) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(cloud.client.text("onecore.op.list", -2))
    return rows


def _strike(cloud: BedCloud, victim: str) -> None:
    """What dies, and comes back."""
    if victim != "cancel":
        KILLS[victim](cloud)
        return
    for row in _under_way(cloud):
        with suppress(ClientError):  # it ended meanwhile, or can only be gone on with
            cloud.client.call("onecore.op.cancel", row["id"])


def _begin(cloud: BedCloud, turn: Turn) -> None:
    cloud.client.call("one.vm.update", turn.vm, "ERROR=", 1)
    try:
        CHANGES[turn.change](cloud, turn.vm)
    except ClientError as error:
        turn.told.append(str(error))


def _rests(cloud: BedCloud, turn: Turn) -> bool:
    """Whether the VM is RUNNING, and its guest where the record says; what failed or is off is led there."""
    state = cloud.vm_state(turn.vm)
    if not turn.told or turn.told[-1] != state:
        turn.told.append(state)
    assert state != "SUSPENDED" or turn.change in SAVES, turn
    if state == "RUNNING":
        return runs_on(cloud, turn.vm) == [cloud.node_of(turn.vm).name]
    with suppress(ClientError):  # its host is not heard yet
        if state.endswith("_FAILURE"):
            cloud.recover(turn.vm, RETRY)
        elif RESTS.get(state):
            cloud.act(turn.vm, RESTS[state])
    return False


@pytest.mark.timeout(60 * TURNS + 600)
def test_whatever_is_struck_they_get_to_rest(cloud: BedCloud, pair: list[int]) -> None:
    chance = random.Random(SEED)
    for number in range(TURNS):
        turns = [Turn(vm, chance.choice(list(CHANGES)), cloud.told(vm)["boot_id"]) for vm in pair]
        victim, wait = chance.choice(VICTIMS), chance.uniform(0.0, WAIT)
        for turn in turns:
            _begin(cloud, turn)
        time.sleep(wait)
        began = time.monotonic()
        _strike(cloud, victim)
        for oid in cloud.hosts.values():
            cloud.wait_host(oid, "MONITORED", 120)
        for turn in turns:
            what = f"turn {number} of seed {SEED}: {turn.change}, {victim} after {wait:.2f} s, VM {turn.vm}"
            until(150, f"{what} to rest", lambda turn=turn: _rests(cloud, turn),  # type: ignore[misc]
                  lambda turn=turn: (turn.told, cloud.error_of(turn.vm), cloud.guests()))  # type: ignore[misc]
            boot = cloud.booted(turn.vm)
            print(f"{what}: {', '.join(turn.told)}; {time.monotonic() - began:.1f} s; {cloud.error_of(turn.vm)}")
            ended = turn.change in ENDS or victim == "node"
            assert ended or boot == turn.boot, (what, turn.told, cloud.error_of(turn.vm))
        until(60, "nothing under way", lambda: not _under_way(cloud), lambda: _under_way(cloud))
        check_books_but_guests(cloud)
        _remove_saved(cloud)
