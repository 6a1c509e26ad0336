"""A guest's live move between two hosts, cut off at its steps (cut.py), and then asked for again.

On files that both hosts see, and on each host's own.  ONECORE_LONG=1 takes every step.
"""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import kvm_ground as ground
import kvm_remote as remote
import pytest
from bed import Bed, Node
from cut import Cut
from kvm_bench import Bench
from kvm_cut import cut_off

from onecore.wire.messages import Doc, Result

pytestmark = pytest.mark.live
ONE = 8161
SHARED, OWN = "0", "100"
_STRIDE = 1 if os.environ.get("ONECORE_LONG") else 31


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with remote.bed(tcp=True) as made:
        yield made


class Way:
    """A guest on the first node, and its way to the second."""

    def __init__(self, bed: Bed, bench: Bench, store: str) -> None:
        self.bench, self.nodes, self.store = bench, bed.nodes, bed.datastores / store
        self.vm = self._vm(bed)
        tm_mad = "shared" if store == SHARED else "ssh"
        place = ground.store(self.store, tm_mad)
        self.vm["tm_mad"] = tm_mad
        self.args: dict[str, Any] = {"host": remote.host(bed.nodes[0]), "to": remote.host(bed.nodes[1]),
                                     "datastore": place, "to_datastore": place, "to_dir": self.vm["dir"]}
        bench.ok("deploy", self.vm)

    def _vm(self, bed: Bed) -> Any:
        made = ground.vm(bed.home, ONE)
        if self.store.name != SHARED:
            front = Path(made["dir"])
            made["dir"] = str(self.store / str(ONE))
            for node in self.nodes:
                node.run("rm", "-rf", made["dir"])
            self.nodes[0].run("mkdir", "-p", made["dir"])
            shutil.copy(front / "disk.0", self.nodes[0].path(made["dir"]) / "disk.0")
            shutil.rmtree(front)
        return made

    def states(self) -> list[str]:
        """What its domain does on either host.  The second is asked first: it runs there only when no more here."""
        there, here = (str(self.bench.ok("state", self.vm, host=self.args[side])["state"]) for side in ("to", "host"))
        return [here, there]

    def left(self, node: Node) -> list[str]:
        """What of it is on a node that it has left."""
        devices = [name for name in node.run("ls", "/sys/class/net").split()
                   if name == ground.BRIDGE or name.startswith(f"one-{ONE}-")]
        files = self.store.name != SHARED and node.path(self.vm["dir"]).exists()
        return [*devices, *([self.vm["dir"]] if files else [])]


@pytest.fixture
def bench(bed: Bed) -> Iterator[Bench]:
    made = remote.bench(bed, migrate_uri=remote.URI)
    yield made
    made.close()


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("store", [SHARED, OWN])
def test_a_move_is_cut_off_at_its_steps(bed: Bed, bench: Bench, store: str, kill: bool) -> None:
    cut = 0
    for at in count(1 + kill, _STRIDE):
        remote.sweep(bed)
        way, token = Way(bed, bench, store), Cut(at, kill=kill)
        result = cut_off(bench, token, "migrate", way.vm, **way.args)
        try:
            _go_on(way, token, result)
        except AssertionError as error:
            raise AssertionError(f"cut off at look {token.looks}: {'a kill' if result is None else result}") from error
        if not token.was_cut:
            break
        cut += 1
    assert cut > 1


def _go_on(way: Way, token: Cut, result: Result | None) -> None:
    """It is on one host, the one that was told; asked for again the move is made, and nothing is left behind."""
    if not token.was_cut:
        assert result and result.ok
    if result is not None:
        where: Doc = result.data
        moved = where.get("where") == "to"
        assert way.states() == (["gone", "running"] if moved else ["running", "gone"])
        assert moved or way.left(way.nodes[1]) == []
    assert way.states().count("running") <= 1
    assert way.bench.ok("migrate", way.vm, **way.args) == {"where": "to", "left": []}
    assert way.states() == ["gone", "running"] and way.left(way.nodes[0]) == []
