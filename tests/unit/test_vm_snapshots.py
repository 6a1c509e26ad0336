"""Trees of disk snapshots: OpenNebula's rules, whatever is asked in whatever order; how they are kept and shown."""
from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecore.kinds.vm.snapshots import (
    Tree,
    applied,
    create,
    delete,
    document,
    dump,
    empty,
    parse,
    rename,
    revert,
    why_not_delete,
    xml,
)


def grown(orphans: bool, *names: str) -> Tree:
    """One snapshot after the other."""
    tree = Tree(orphans)
    for name in names:
        tree = create(tree, tree.next, name, 10, 100 + tree.next)
    return tree


def test_each_stands_on_the_last() -> None:
    """Parents, children, what the disk stands on, what may go."""
    tree = grown(False, "a", "b")
    assert [(one.id, one.parent) for one in tree.snaps] == [(0, -1), (1, 0)]
    assert (tree.base, tree.next, tree.children(0), tree.total_mb) == (1, 2, [1], 20)
    assert "active" in why_not_delete(tree, 1) and "children: 1" in why_not_delete(tree, 0)
    back = revert(tree, 0)
    assert "active" in why_not_delete(back, 0) and why_not_delete(back, 1) == ""
    branch = create(back, back.next, "c", 10, 0)
    assert branch.children(0) == [1, 2] and delete(branch, 1).children(0) == [2]
    assert delete(branch, 1).next == 3


def test_where_orphans_are_allowed() -> None:
    """All but the active one may go; what was made from it goes on from its parent."""
    tree = grown(True, "a", "b", "c")
    assert [why_not_delete(tree, oid) for oid in (0, 1)] == ["", ""] and why_not_delete(tree, 2)
    less = delete(tree, 1)
    assert [(one.id, one.parent) for one in less.snaps] == [(0, -1), (2, 0)]


def test_one_that_nobody_is_sure_of() -> None:
    """It may go although it is the active one, unless something was made from it; the disk stands on its parent."""
    tree = grown(False, "a")
    told = {"disk_id": 0, "snap_id": 1, "name": "b", "size_mb": 7, "date": 5}
    doubted = applied({0: tree}, "disk_snapshot_create", told, sure=False)[0]
    assert (doubted.base, doubted.snaps[-1].sure, why_not_delete(doubted, 1)) == (1, False, "")
    assert "active" in why_not_delete(tree, 0) and "children" in why_not_delete(doubted, 0)
    assert "children" in why_not_delete(create(doubted, 2, "c", 10, 0), 1)
    assert delete(doubted, 1).base == 0 and parse(dump({0: doubted})) == {0: doubted}


Asked = st.lists(st.tuples(st.sampled_from("cdr"), st.integers(0, 12)), max_size=40)


@given(st.booleans(), Asked)
def test_whatever_is_asked(orphans: bool, asked: list[tuple[str, int]]) -> None:
    """No parent is missing, what the disk stands on is there, no id is given twice, nothing is lost in the record."""
    tree, given_ids = Tree(orphans), list[int]()
    for what, oid in asked:
        if what == "c":
            given_ids.append(tree.next)
            tree = create(tree, tree.next, str(oid), oid, oid)
        elif tree.find(oid) is not None:
            if what == "r":
                tree = revert(tree, oid)
            elif not why_not_delete(tree, oid):
                tree = delete(tree, oid)
        there = {one.id for one in tree.snaps}
        assert {one.parent for one in tree.snaps} | {tree.base} <= there | {-1}
        assert (tree.base == -1) == (not given_ids)
        for one in tree.snaps:  # no circles
            seen, at = set[int](), one.id
            while at != -1:
                assert at not in seen
                seen.add(at)
                found = tree.find(at)
                assert found is not None
                at = found.parent
    assert len(set(given_ids)) == len(given_ids) and parse(dump({3: tree})) == {3: tree}


def test_what_an_operation_makes_of_them() -> None:
    """As they will be; what is about no snapshot changes nothing."""
    trees = {0: grown(False, "a", "b")}
    about = {"disk_id": 0, "snap_id": 2, "name": "c", "size_mb": 7, "date": 5}
    made = applied(trees, "disk_snapshot_create", about)[0]
    assert (made.base, made.next, made.snaps[-1].name, made.snaps[-1].parent) == (2, 3, "c", 1)
    assert applied(trees, "disk_snapshot_revert", {"disk_id": 0, "snap_id": 0})[0].base == 0
    assert applied(trees, "disk_snapshot_delete", {"disk_id": 0, "snap_id": 0})[0].snaps[0].parent == -1
    for kind, told in (("disk_resize", {"disk_id": 0}), ("disk_snapshot_create", {"disk_id": 5}), ("migrate", {})):
        assert applied(trees, kind, told) is trees


def test_begun_anew() -> None:
    """None are left, and no id is given again."""
    tree = empty({0: grown(False, "a", "b")})[0]
    assert (tree.snaps, tree.base, tree.next) == ((), -1, 2)
    assert xml(dump({0: tree})) == "" and document({0: tree}) == {}


@pytest.mark.parametrize("orphans", [False, True])
def test_as_clients_see_them(orphans: bool) -> None:
    """Names are escaped; where orphans are allowed nobody has a parent."""
    tree = rename(grown(orphans, "<a> & \"b\"", ""), 0, "<c> ]]> é")
    root = ElementTree.fromstring(f"<V>{xml(dump({4: tree}))}</V>")
    found = root.find("SNAPSHOTS")
    assert found is not None
    assert [found.findtext(k) for k in ("ALLOW_ORPHANS", "CURRENT_BASE", "DISK_ID", "NEXT_SNAPSHOT")] == [
        "YES" if orphans else "NO", "1", "4", "2"]
    first, second = ({leaf.tag: leaf.text for leaf in one} for one in found.findall("SNAPSHOT"))
    assert first == {"DATE": "100", "ID": "0", "NAME": "<c> ]]> é", "PARENT": "-1", "SIZE": "10",
                     **({} if orphans else {"CHILDREN": "1"})}
    assert second == {"ACTIVE": "YES", "DATE": "101", "ID": "1", "PARENT": "-1" if orphans else "0", "SIZE": "10"}


def test_as_drivers_see_them() -> None:
    """With what each was made from, also where clients see no parents."""
    assert document({4: grown(True, "a", "b")}) == {"4": {"base": 1, "list": [
        {"id": 0, "parent": -1, "name": "a", "size_mb": 10}, {"id": 1, "parent": 0, "name": "b", "size_mb": 10}]}}
