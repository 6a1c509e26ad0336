"""The rows of the harness against the tables of the product: what is new and struck by nobody fails here."""
from __future__ import annotations

import pytest
from chaos_actions import ACTIONS, ROADS, WAYS
from chaos_facts import IMAGES, LCM, RESTING, STATES
from sim_points import POINTS, Strike

from onecore.kinds.vm.states import STAYS, VM, S
from onecore.wire.states import ImageState, Lcm, VmState

NOT_YET = ("MIGRATE", "SAVE_MIGRATE", "PROLOG_MIGRATE", "BOOT_MIGRATE", "HOTPLUG", "DISK_",
           "RESIZE")
"""States whose rows are still to be written."""
NOT_YET_EVENTS = ("migrate", "live_migrate", "disk_", "snapshot_", "seen_moved", "seen_not_moved", "seen_stayed",
                  "updateconf", "nic_", "resize", "exec", "seen_saved")
ANSWERS = (".ok", ".fail", ".lost")
UNSTRUCK = {
    "seen_found": "a restored cloud takes a guest over: tests/functional/test_backup_restore.py",
    "stranded": "an observation that changes no state: tests/functional/test_ha_sim.py",
}
"""Events that no row begins with, and where they are tested instead."""


def test_the_words_for_states_are_opennebulas() -> None:
    """The oracle has its own copy of the numbers; it is the same."""
    assert {int(s): s.name for s in VmState} == {**STATES, 0: "INIT", 3: "ACTIVE"}
    kept = {int(lcm): lcm.name for lcm in Lcm if lcm.name not in ("LCM_INIT", "BACKUP", "BACKUP_POWEROFF", "RESTORE")}
    assert kept == LCM
    assert {int(s): s.name for s in ImageState} == IMAGES


def test_the_oracle_and_the_table_agree_on_what_may_last() -> None:
    """What the table calls resting, but for CLONING, which waits for an image."""
    assert {s.name for s in STAYS} - {"CLONING"} <= RESTING
    assert {s.name for s in S} & RESTING == {s.name for s in STAYS} - {"CLONING"}


def test_every_action_starts_somewhere() -> None:
    """At a place to which a road leads; and every place is used."""
    assert {action.start for action in ACTIONS.values()} == set(ROADS)


def test_every_state_has_a_row() -> None:
    """Those that last as a starting place, the others as a way."""
    places = {place.split()[0] for place in ROADS}
    new = {s for s in S if not s.name.startswith(NOT_YET)}
    assert sorted(s.name for s in STAYS & new if s.name not in places) == ["DONE"]
    assert sorted(s.name for s in new - STAYS if s.name not in WAYS) == []


def test_a_strike_is_read_as_it_is_written() -> None:
    """So that a command line repeats it."""
    for point in POINTS.values():
        for fault in point.faults:
            strike = Strike(point.name, 3, fault, "tm.prolog", 2.5)
            assert Strike.parse(str(strike)) == strike
    with pytest.raises(ValueError, match="no POINT"):
        Strike.parse("commit.after#1=hang")


def asked(cells: set[tuple[str, str]]) -> set[str]:
    """The events of the table, but for answers of drivers, that are not among CELLS in any of their states."""
    wanted = {(s.name, line.event) for line in VM.rows if not line.ignore for s in line.sources
              if not line.event.endswith(ANSWERS) and line.event not in UNSTRUCK
              and not s.name.startswith(NOT_YET) and not line.event.startswith(NOT_YET_EVENTS)}
    return {f"{state}/{event}" for state, event in wanted - cells}
