"""Storage actions that are cancelled at a look at their token: nothing that a guest wrote is lost, and the same command
again, or the one that takes it back, ends as if there had been no cancel.

ONECORE_LONG=1 takes every look of every action, otherwise every eighth of some.
"""
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import test_tm_disks as disks
import test_tm_move as move
from cut import Cut
from sim_points import LONG
from storage_bed import Bed, copy_tree
from storage_ground import needs_qemu_img

from drivers.base import Cancelled
from drivers.token import Token

pytestmark = needs_qemu_img
FIRST, STRIDE = (1, 1) if LONG else (7, 8)
OP = 100
BACK = [(kind, then) for kind in ("qcow2", "ssh") for then in ("move", "move_back")]


def steps(bed: Bed, do: Callable[[], object], again: Callable[[], object], see: Callable[[], Any],
          check: Callable[[], object]) -> None:
    """DO, cancelled at looks, then CHECK, then AGAIN: what is to SEE is as after AGAIN alone."""
    home = bed.ground.home.parent
    before = home.with_name("before")
    copy_tree(home, before)
    looks = _cancelled(bed, do, 0)
    assert looks > FIRST
    copy_tree(before, home)
    bed.ground.op = OP
    again()
    wanted = see()
    for at in range(FIRST, looks + 1, STRIDE):
        copy_tree(before, home)
        with suppress(Cancelled):
            _cancelled(bed, do, at)
        check()
        bed.ground.op = OP
        again()
        assert see() == wanted, f"cancelled at look {at} of {looks}"


def _cancelled(bed: Bed, do: Callable[[], object], at: int) -> int:
    """DO with a token that is cancelled at look number AT; how many looks there were."""
    cut = bed.ground.token = Cut(at, kill=False)
    bed.ground.op = OP
    try:
        do()
    finally:
        bed.ground.token = Token()
    return cut.looks


@pytest.mark.parametrize(("kind", "act"), disks.ALL if LONG else disks.ONCE)
def test_a_change_of_a_disk(tmp_path: Path, kind: str, act: str) -> None:
    bed = Bed(tmp_path / "bed", kind)
    disks.prepared(bed)
    if act == "epilog_stop":
        bed.vm["disks"] = bed.vm["disks"][:1]
    if act == "merge into an image":
        bed.snap(1, 1, 0, (0, -1), action="delete")

    def check() -> None:
        assert act in disks.CHANGING or set(disks.read(bed).values()) <= {3}
    steps(bed, lambda: disks.ACTS[act](bed), lambda: disks.ACTS[act](bed), lambda: disks.seen(bed), check)


@pytest.mark.parametrize(("kind", "then"), BACK if LONG else BACK[2:])
def test_a_move(tmp_path: Path, kind: str, then: str) -> None:
    bed = move.small(tmp_path / "bed", kind)
    places = [move.place(bed, *place) for place in (("node1", 0), ("node2", 5))]

    def check() -> None:
        assert 2 in [move.held(bed, place) for place in places], "what the guest wrote is whole somewhere"
    steps(bed, lambda: move.go(bed, "node2", 5, "move", OP), lambda: move.go(bed, "node2", 5, then, OP),
          lambda: [(move.names(place), move.held(bed, place)) for place in (*places, Path(bed.vm["dir"]))], check)
