"""The state table of VMs as data: no dead ends, an answer to every command, and users may what OpenNebula lets them."""
from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers.dummy import tm, vm
from onecore.config import Deadlines
from onecore.errors import WrongState
from onecore.kinds.vm.commands import deadline_key
from onecore.kinds.vm.record import ACTIONS
from onecore.kinds.vm.states import (
    CLEANING,
    CLONING,
    FAILED,
    LIVE,
    STATE_OF,
    STAYS,
    TRANSIENT,
    USER_EVENTS,
    VM,
    WAITING,
    S,
)
from onecore.lifecycle.machine import Machine, row
from onecore.wire.states import RECOVER, Lcm, VmState

ENTRY = {S.PENDING, S.HOLD, S.CLONING}
"""States that a new VM is in."""
OFF, AWAY = {S.SUSPENDED, S.POWEROFF}, {S.STOPPED, S.UNDEPLOYED}

MIGRATIONS = {"live_migrate", "migrate", "migrate_poff", "migrate_poff_hard"}
"""What one.vm.migrate asks for."""
DISKS = {"disk_attach", "disk_detach", "disk_resize", "disk_saveas", "disk_saveas_live", "disk_snapshot_create",
         "disk_snapshot_delete", "disk_snapshot_revert"}
"""What is asked for by the methods about disks."""
CHANGES = {"exec", "nic_attach", "nic_detach", "nic_update", "snapshot_create", "snapshot_revert", "snapshot_delete",
           "resize", "updateconf"}
"""What methods of their own ask for."""
UNSEEN = {"PROLOG", "EPILOG", "SHUTDOWN", "SHUTDOWN_POWEROFF", "HOTPLUG_SAVEAS_POWEROFF", "SHUTDOWN_UNDEPLOY",
          "EPILOG_UNDEPLOY", "PROLOG_UNDEPLOY", "HOTPLUG_PROLOG_POWEROFF", "HOTPLUG_EPILOG_POWEROFF", "BOOT_FAILURE",
          "PROLOG_FAILURE", "EPILOG_FAILURE", "EPILOG_UNDEPLOY_FAILURE", "PROLOG_MIGRATE_POWEROFF",
          "PROLOG_MIGRATE_POWEROFF_FAILURE", "BOOT_UNDEPLOY_FAILURE", "PROLOG_UNDEPLOY_FAILURE",
          "DISK_SNAPSHOT_POWEROFF", "DISK_SNAPSHOT_REVERT_POWEROFF", "DISK_SNAPSHOT_DELETE_POWEROFF"}
"""Where a guest that has begun, or begins, can miss a new configuration, besides the clean-ups."""
ALLOWED: dict[str, set[S]] = {
    "exec": {S.RUNNING},
    "deploy": {S.PENDING, S.HOLD, S.STOPPED, S.UNDEPLOYED},
    "hold": {S.PENDING},
    "release": {S.HOLD},
    "terminate": WAITING | CLONING | OFF | AWAY | LIVE | FAILED,
    "terminate_hard": WAITING | CLONING | OFF | AWAY | LIVE | FAILED | {S.SHUTDOWN},
    "undeploy": {S.RUNNING, S.UNKNOWN, S.POWEROFF},
    "undeploy_hard": {S.RUNNING, S.UNKNOWN, S.POWEROFF, S.SHUTDOWN_UNDEPLOY},
    "poweroff": {S.RUNNING, S.UNKNOWN},
    "poweroff_hard": {S.RUNNING, S.UNKNOWN, S.SHUTDOWN_POWEROFF},
    "stop": {S.RUNNING, S.SUSPENDED},
    "suspend": {S.RUNNING},
    "reboot": {S.RUNNING},
    "reboot_hard": {S.RUNNING},
    "resume": {S.STOPPED, S.UNDEPLOYED, S.SUSPENDED, S.POWEROFF, S.UNKNOWN},
    "live_migrate": {S.RUNNING},
    "migrate": {S.RUNNING, S.UNKNOWN, S.POWEROFF, S.SUSPENDED},
    "migrate_poff": {S.RUNNING},
    "migrate_poff_hard": {S.RUNNING},
    "disk_attach": {S.RUNNING, S.POWEROFF},
    "disk_detach": {S.RUNNING, S.POWEROFF},
    "disk_snapshot_create": {S.RUNNING, S.POWEROFF, S.SUSPENDED},
    "disk_snapshot_delete": {S.RUNNING, S.POWEROFF, S.SUSPENDED},
    "disk_snapshot_revert": {S.POWEROFF},
    "nic_attach": {S.RUNNING, S.POWEROFF},
    "nic_detach": {S.RUNNING, S.POWEROFF},
    "nic_update": {S.RUNNING} | WAITING | CLONING | OFF | AWAY,
    "snapshot_create": {S.RUNNING},
    "snapshot_revert": {S.RUNNING},
    "snapshot_delete": {S.RUNNING, S.POWEROFF},
    "resize": {S.RUNNING, S.POWEROFF, S.UNDEPLOYED} | WAITING | CLONING,
    "updateconf": {S.RUNNING, S.POWEROFF, S.UNDEPLOYED} | WAITING | CLONING | CLEANING | {
        s for s in S if s.name in UNSEEN},
    "disk_resize": {S.RUNNING, S.POWEROFF, S.UNDEPLOYED},
    "disk_saveas": {S.RUNNING, S.POWEROFF, S.SUSPENDED, S.UNDEPLOYED, S.STOPPED},
    "disk_saveas_live": {S.RUNNING},
    "resched": {S.RUNNING, S.UNKNOWN, S.POWEROFF},
    "unresched": {S.RUNNING, S.UNKNOWN, S.POWEROFF},
    "recover_success": TRANSIENT | FAILED | CLEANING | {S.UNKNOWN, S.CLONING_FAILURE},
    "recover_failure": TRANSIENT | FAILED | CLEANING | {S.UNKNOWN, S.CLONING_FAILURE},
    "recover_retry": TRANSIENT | FAILED | CLEANING,
    "recover_delete": set(S) - {S.DONE},
    "recover_recreate": set(S) - {S.DONE} - CLEANING,
    "recover_deletedb": set(S) - {S.DONE},
}
"""Where OpenNebula 7.4 accepts each action (its DispatchManagerActions)."""


BEFORE = (VmState.ACTIVE, VmState.POWEROFF)
"""States in which an operation may have begun."""


def _sent() -> set[tuple[S, str]]:
    """(state in which it is under way, command) of every command of the table; a row that keeps it takes it along."""
    found = {(row.target or source, row.send) for row in VM.rows if row.send for source in row.sources}
    taken = [(source, row.target) for row in VM.rows if row.keeps_op and row.target for source in row.sources]
    return found | {(target, send) for source, target in taken for state, send in found if state is source}


def test_numbers_and_names_are_opennebulas() -> None:
    """The pairs of S are those of the public enumerations."""
    for state in S:
        number, lcm = state.value
        assert state.name == (Lcm(lcm).name if number == VmState.ACTIVE else VmState(number).name)
        assert STATE_OF[number, lcm] is state


def test_every_state_is_entered_and_left() -> None:
    """No dead ends but DONE, nothing that cannot be reached."""
    entered = {row.target for row in VM.rows if row.target and row.sources - {row.target}}
    left = {s for row in VM.rows for s in row.sources if row.target not in (None, s)}
    assert entered | ENTRY == set(S) and left == set(S) - {S.DONE}


def test_every_state_is_reached_from_a_new_vm() -> None:
    """Walking the table from PENDING, HOLD and CLONING."""
    seen, todo = set[S](), list(ENTRY)
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo += [row.target for row in VM.rows if state in row.sources and row.target]
    assert seen == set(S)


def test_every_state_is_of_one_sort() -> None:
    """It stays, or something is under way in it."""
    assert set(S) == STAYS | TRANSIENT | CLEANING and not STAYS & (TRANSIENT | CLEANING)


def test_every_command_has_both_answers_where_it_is_under_way() -> None:
    """Whatever the driver says, the table knows what then."""
    missing = [(state.name, send, answer) for state, send in sorted(_sent(), key=str) for answer in ("ok", "fail")
               if not VM.knows(state, f"{send.split('.')[1]}.{answer}")]
    assert missing == []


def test_answers_to_nothing_are_in_no_row() -> None:
    """A row for an answer stands only where its command may be under way."""
    sent = {(state, send.split(".")[1]) for state, send in _sent()}
    odd = [(s.name, row.event) for row in VM.rows if row.event.endswith((".ok", ".fail")) for s in row.sources
           if (s, row.event.rpartition(".")[0]) not in sent]
    assert odd == []


def test_where_something_is_under_way_it_has_a_deadline_and_a_way_to_fail() -> None:
    """Each transient state: a command, a key of [deadlines], a failure row that ends it."""
    for state in TRANSIENT | CLEANING:
        commands = [send for where, send in _sent() if where is state]
        assert commands, state
        for send in commands:
            assert getattr(Deadlines(), deadline_key(send.split(".")[1])) > 0
        ends = [row for row in VM.rows
                if state in row.sources and row.event.endswith(".fail") and row.target is not state]
        assert ends, state


def test_where_nothing_is_under_way_nothing_is_sent_to_stay() -> None:
    """Resting states send commands only to go elsewhere; RUNNING may be rebooted, and be UNKNOWN meanwhile."""
    assert {state for state, _ in _sent()} - TRANSIENT - CLEANING == {S.RUNNING, S.UNKNOWN}


def test_every_command_is_an_action_of_its_family() -> None:
    """The dummies know all of them, and so every driver has to."""
    known = {**{f"vm.{a}": 1 for a in vm.ACTIONS}, **{f"tm.{a}": 1 for a in tm.ACTIONS}}
    assert {send for _, send in _sent()} - set(known) == set()


def test_failure_states_can_be_recovered_and_ended() -> None:
    """Again, as if it had worked, or away with it."""
    for state in FAILED:
        for event in ("recover_retry", "recover_success", "recover_failure", "recover_delete", "recover_recreate",
                      "terminate"):
            assert VM.knows(state, event), (state, event)
        again = next(r for r in VM.rows if state in r.sources and r.event == "recover_retry")
        assert again.send and again.target in TRANSIENT


def test_guards_are_exclusive() -> None:
    """Whatever a record says, at most one guarded row of a cell is true; the order never decides."""
    kinds = ("", "migrate_back", "migrate_poff_back", "disk_attach_undo", "disk_snapshot_create_undo",
             "disk_saveas_live_undo", "nic_attach_undo", "nic_update_undo", "snapshot_create_undo", "resize_undo",
             *VM.events())
    for state, event in product(S, VM.events()):
        guarded = [row for row in VM.rows if state in row.sources and row.event == event and row.when]
        records = product(("", "stopped", "undeployed"), kinds, (-1, 1), BEFORE, (0, 43), (-1, 0)) if guarded else ()
        for came, kind, to, before, lcm, on in records:
            record = SimpleNamespace(oid=1, came=came, op_kind=kind, to_hid=to, prev_state=before, prev_lcm=lcm, hid=on)
            assert sum(bool(row.when and row.when(record)) for row in guarded) <= 1, (state, event, record)


def test_each_cell_has_an_answer_for_every_record() -> None:
    """A cell whose rows are all guarded would refuse the rest; STOPPED and UNDEPLOYED always have a `came`.

    Rows that say why they refuse do so on purpose.
    """
    for state, event in product(S, VM.events()):
        rows = [row for row in VM.rows if state in row.sources and row.event == event]
        if rows and all(row.when and not row.why for row in rows):
            assert (state, event) in {(s, "deploy") for s in AWAY}


@pytest.mark.parametrize("event", sorted(ALLOWED))
def test_what_is_allowed_where(event: str) -> None:
    """As in OpenNebula."""
    assert {s.name for s in S if VM.knows(s, event)} == {s.name for s in ALLOWED[event]}


def test_all_that_users_ask_is_in_that_table() -> None:
    """one.vm.action, one.vm.deploy, one.vm.recover."""
    recovers = {f"recover_{name.replace('-', '')}" for name in RECOVER}
    assert set(ALLOWED) == {*USER_EVENTS, *MIGRATIONS, *DISKS, *CHANGES, "deploy", *recovers}


def test_actions_have_history_numbers() -> None:
    """What ends a stay on a host is written with OpenNebula's number."""
    assert set(USER_EVENTS) | {"deploy", "delete", "recreate", "monitor"} <= set(ACTIONS)
    assert len(set(ACTIONS.values())) == len(ACTIONS)


def test_late_news_are_ignored_everywhere() -> None:
    """What a host reports never is an error."""
    for state, event in product(S, ("seen_running", "seen_poweroff", "seen_suspended", "seen_lost")):
        assert VM.knows(state, event), (state, event)


def test_a_refusal_names_where_it_is_possible() -> None:
    """The text tells the user what to do instead."""
    with pytest.raises(WrongState, match=r'"hold" is not available for VM 7 in state RUNNING; it is possible in PEND'):
        VM.decide(S.RUNNING, SimpleNamespace(oid=7), "hold")


def test_two_rows_without_a_guard_are_a_mistake() -> None:
    """The machine refuses such a table."""
    with pytest.raises(ValueError, match="ambiguous"):
        Machine("X", [row(1, "go", 2), row({1, 3}, "go", 3)])
    Machine("X", [row(1, "go", 2, when=lambda record: True), row(1, "go", 3)])


def test_the_page_about_it_is_current() -> None:
    """docs/vm-states.md is made by scripts/vm_states.py; run that when this fails."""
    script = Path(__file__).resolve().parents[2] / "scripts" / "vm_states.py"
    assert subprocess.run([sys.executable, str(script), "--check"]).returncode == 0
