"""Every event that a user, the match-maker, the clock or a host can cause, as a row: from where, what, and where to.

Adding an action is adding a row.  test_chaos_tables.py compares the rows with the state table and the API table.
"""
from __future__ import annotations

from chaos_action import Action
from chaos_changes import changes, moves, scheduled
from chaos_events import by_themselves, images
from chaos_users import failed, users
from chaos_ways import under_way

ACTIONS: dict[str, Action] = {action.key: action for family in (
    users, failed, under_way, moves, changes, scheduled, by_themselves, images) for action in family()}
"""Every row by its key."""
