"""The rows of the harness against the tables of the product: what is new and struck by nobody fails here."""
from __future__ import annotations

import pytest
from chaos_actions import ACTIONS
from chaos_facts import IMAGES, LCM, RESTING, STATES
from chaos_roads import ROADS
from chaos_ways import WAYS
from sim_points import POINTS, Strike

from onecore.kinds.vm.states import STAYS, S
from onecore.wire.states import ImageState, Lcm, VmState


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
    assert sorted(s.name for s in STAYS if s.name not in places) == ["DONE"]
    assert sorted(s.name for s in set(S) - STAYS if s.name not in {way.state for way in WAYS}) == []


def test_a_strike_is_read_as_it_is_written() -> None:
    """So that a command line repeats it."""
    for point in POINTS.values():
        for fault in point.faults:
            strike = Strike(point.name, 3, fault, "tm.prolog", 2.5)
            assert Strike.parse(str(strike)) == strike
    with pytest.raises(ValueError, match="no POINT"):
        Strike.parse("commit.after#1=hang")
