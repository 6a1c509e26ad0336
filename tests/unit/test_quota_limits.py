"""Limits as values; which states count as running, and that nothing that ends a VM can be refused for them."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from onecore.errors import BadArgument
from onecore.kinds.quota.limits import amount, limit, merged, shown
from onecore.kinds.quota.usage import IDLE, runs
from onecore.kinds.vm.states import ROWS, S
from onecore.wire.template import parse

STARTS = {("HOLD", "release"), ("POWEROFF", "resume"), ("SUSPENDED", "resume"), ("STOPPED", "resume"),
          ("UNDEPLOYED", "resume"), ("STOPPED", "deploy"), ("UNDEPLOYED", "deploy"), ("HOLD", "deploy")}


@dataclass
class Moved:
    """What of a VM says whether it runs."""

    state: int
    lcm: int
    prev_state: int = 0
    prev_lcm: int = 0


def _runs(now: S, before: S | None = None) -> bool:
    moved: Any = Moved(*now.value, *(before.value if before else (0, 0)))
    return runs(moved)


def test_what_makes_a_vm_run_and_what_does_not() -> None:
    """Only what starts a VM that is off takes RUNNING quota, beside what was seen; nothing that ends it does."""
    takes = {(source.name, line.event) for line in ROWS for source in line.sources
             if line.target is not None and not _runs(source) and _runs(line.target, source)}
    asked = {(state, event) for state, event in takes if "." not in event and not event.startswith("seen_")}
    assert {event for _, event in asked} == {"release", "resume", "deploy", "recover_recreate"}
    assert asked >= STARTS


def test_what_ends_while_it_ends() -> None:
    """A second, harder word to a VM that was off is no start either."""
    assert _runs(S.SHUTDOWN, S.RUNNING) and not _runs(S.SHUTDOWN, S.SUSPENDED) and not _runs(S.SHUTDOWN, S.SHUTDOWN)


def test_every_state_was_thought_of() -> None:
    """What is called after a VM that is off, and is no start of it, is idle."""
    off = {s for s in S if any(word in s.name for word in ("POWEROFF", "SUSPEND", "STOPPED", "UNDEPLOYED", "EPILOG"))}
    running = {S.SHUTDOWN_POWEROFF, S.SAVE_SUSPEND, S.BOOT_POWEROFF, S.BOOT_SUSPENDED, S.BOOT_STOPPED,
               S.BOOT_STOPPED_FAILURE}
    assert off - running == IDLE - {S.HOLD, S.DONE, S.CLEANUP_DELETE}


def test_merging() -> None:
    """What is given replaces what is about the same; what says nothing goes."""
    first = merged({}, parse('VM=[VMS=5,CPU=1.5]\nDATASTORE=[ID=1,SIZE=100]\nVM=[CLUSTER_IDS="2, 1",VMS=1]'), (), False)
    assert first == {"VM": {"": {"CPU": 150, "VMS": 5}, "1,2": {"VMS": 1}}, "DATASTORE": {"1": {"SIZE": 100}}}
    second = merged(first, parse('VM=[MEMORY=64,VMS_USED=9]\nVM=[CLUSTER_IDS="1,2",VMS=-1]'), (), False)
    assert second == {"VM": {"": {"MEMORY": 64}}, "DATASTORE": {"1": {"SIZE": 100}}}
    assert merged(second, parse("VM=[]\nDATASTORE=[ID=1]"), (), False) == {}
    assert merged({}, parse("VM=[LICENSE=2.5,RUNNING_LICENSE=1]"), ("LICENSE",), False) == {
        "VM": {"": {"LICENSE": 250, "RUNNING_LICENSE": 100}}}


def test_which_limit_holds() -> None:
    """-1 and nothing: the default; -2 none, also where there is a default."""
    defaults = {"VM": {"": {"VMS": 3}}}
    assert limit({}, defaults, "VM", "", "VMS") == 3
    assert limit({"VM": {"": {"VMS": -1}}}, defaults, "VM", "", "VMS") == 3
    assert limit({"VM": {"": {"VMS": -2}}}, defaults, "VM", "", "VMS") == -2
    assert limit({"VM": {"": {"VMS": 0}}}, defaults, "VM", "", "VMS") == 0
    assert limit({}, {}, "VM", "", "VMS") == -2


@pytest.mark.parametrize(("text", "is_default", "said"), [
    ("VM=[VMS=x]", False, "VM/VMS"), ("VM=[VMS=-3]", False, "VM/VMS"), ("VM=[VMS=1.5]", False, "whole number"),
    ("VM=[VMS=nan]", False, "VM/VMS"), ("VM=[CPU=inf]", False, "VM/CPU"), ("VM=[VMS=-1]", True, "-2"),
    ("VM=[GOLD=1]", False, "not GOLD"), ("DATASTORE=[SIZE=1]", False, "DATASTORE/ID"),
    ("DATASTORE=[ID=-1,SIZE=1]", False, "DATASTORE/ID"), ("VM=5", False, "vectors"), ("HOST=[ID=1]", False, "HOST"),
    ("VM=[CLUSTER_IDS=x,VMS=1]", False, "CLUSTER_IDS"), ("VM=[CLUSTER_IDS=1,VMS=1]", True, "CLUSTER_IDS")])
def test_what_is_no_limit(text: str, is_default: bool, said: str) -> None:
    """The text names the metric, and what was expected."""
    with pytest.raises(BadArgument, match=said):
        merged({}, parse(text), (), is_default)


def test_numbers() -> None:
    """Fractions only where there are some."""
    assert [amount("CPU", t) for t in ("0.5", "2", "-1", "x", "1e99")] == [50, 200, -1, None, None]
    assert [shown("CPU", v) for v in (50, 200, 1234567, -1, 0)] == ["0.5", "2", "12345.67", "-1", "0"]
    assert (amount("MEMORY", "64"), shown("MEMORY", 64)) == (64, "64")
