"""The snapshots of a VM's disks: OpenNebula's rules for their trees, how a record keeps them, how bodies show them.

Pure.  `parent` is what a snapshot's disk stood on when it was made.  Where orphans are allowed (a snapshot is a copy
of its own), clients see no parents, and what has children may go; else what anything stands on has to stay.
"""
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from onecore.wire import xmlbody
from onecore.wire.messages import Doc


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One; `date` in Unix seconds, `size_mb` that of the disk then; `sure` unless nobody knows whether it was made."""

    id: int
    parent: int
    name: str
    size_mb: int
    date: int
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Tree:
    """Those of one disk; `base` is the one that it stands on (-1: none), `next` the id of the next, given once."""

    orphans: bool
    next: int = 0
    base: int = -1
    snaps: tuple[Snapshot, ...] = ()

    def find(self, oid: int) -> Snapshot | None:
        """The snapshot of that id."""
        return next((one for one in self.snaps if one.id == oid), None)

    def children(self, oid: int) -> list[int]:
        """The ids of those that were made from it."""
        return [one.id for one in self.snaps if one.parent == oid]

    @property
    def total_mb(self) -> int:
        """What they take at most."""
        return sum(one.size_mb for one in self.snaps)


Trees = dict[int, Tree]
"""By DISK_ID."""
DOUBT = '"sure":false'
"""What `dump` writes exactly when one is not sure."""


def create(tree: Tree, oid: int, name: str, size_mb: int, date: int, sure: bool = True) -> Tree:
    """One more, made from what the disk stands on, and the disk goes on from it."""
    made = Snapshot(oid, tree.base, name, size_mb, date, sure)
    return replace(tree, next=max(tree.next, oid + 1), base=oid, snaps=(*tree.snaps, made))


def why_not_delete(tree: Tree, oid: int) -> str:
    """Why a snapshot that is there has to stay; "" when it may go."""
    found, children = tree.find(oid), tree.children(oid)
    if oid == tree.base and (found is None or found.sure):
        return f"snapshot {oid} is the active one: the disk stands on it"
    if children and not tree.orphans:
        return f"snapshot {oid} has children: {', '.join(map(str, children))}"
    return ""


def delete(tree: Tree, oid: int) -> Tree:
    """One less; what was made from it was made from its parent."""
    gone = tree.find(oid)
    if gone is None:
        return tree
    rest = (replace(one, parent=gone.parent) if one.parent == oid else one for one in tree.snaps if one.id != oid)
    return replace(tree, base=gone.parent if tree.base == oid else tree.base, snaps=tuple(rest))


def revert(tree: Tree, oid: int) -> Tree:
    """The disk stands on that one."""
    return replace(tree, base=oid)


def rename(tree: Tree, oid: int, name: str) -> Tree:
    """Another name for one."""
    return replace(tree, snaps=tuple(replace(one, name=name) if one.id == oid else one for one in tree.snaps))


def empty(trees: Trees) -> Trees:
    """None of them any more; no id is given again."""
    return {disk: replace(tree, base=-1, snaps=()) for disk, tree in trees.items()}


def applied(trees: Trees, kind: str, about: dict[str, Any], sure: bool = True) -> Trees:
    """TREES as they are when the operation KIND, ABOUT a snapshot (its arguments), succeeded, as far as one is SURE."""
    disk, oid = about.get("disk_id", -1), about.get("snap_id", -1)
    tree = trees.get(disk)
    if tree is None:
        return trees
    if kind == "disk_snapshot_create":
        return {**trees, disk: create(tree, oid, about["name"], about["size_mb"], about["date"], sure)}
    change = {"disk_snapshot_delete": delete, "disk_snapshot_revert": revert}.get(kind)
    return {**trees, disk: change(tree, oid)} if change else trees


# -- as a record keeps them, as drivers and clients see them

def parse(text: str) -> Trees:
    """What VmText.snapshots holds."""
    return {int(disk): Tree(**{**tree, "snaps": tuple(Snapshot(**one) for one in tree["snaps"])})
            for disk, tree in json.loads(text or "{}").items()}


def dump(trees: Trees) -> str:
    """The reverse of `parse`; "" for none."""
    return json.dumps({str(disk): asdict(tree) for disk, tree in trees.items()}, separators=(",", ":")) if trees else ""


def document(trees: Trees) -> Doc:
    """As drivers see them (docs/drivers.md)."""
    return {str(disk): {"base": tree.base, "list": [{"id": one.id, "parent": one.parent, "name": one.name,
                                                     "size_mb": one.size_mb} for one in tree.snaps]}
            for disk, tree in trees.items() if tree.snaps}


def xml(text: str) -> str:
    """<SNAPSHOTS> of each disk that has some."""
    return "".join(_disk_xml(disk, tree) for disk, tree in parse(text).items() if tree.snaps) if text else ""


def _disk_xml(disk: int, tree: Tree) -> str:
    return (f"<SNAPSHOTS><ALLOW_ORPHANS>{'YES' if tree.orphans else 'NO'}</ALLOW_ORPHANS>"
            f"<CURRENT_BASE>{tree.base}</CURRENT_BASE><DISK_ID>{disk}</DISK_ID>"
            f"<NEXT_SNAPSHOT>{tree.next}</NEXT_SNAPSHOT>{''.join(_xml(tree, one) for one in tree.snaps)}</SNAPSHOTS>")


def _xml(tree: Tree, one: Snapshot) -> str:
    children: Iterable[int] = () if tree.orphans else tree.children(one.id)
    shown = ",".join(map(str, children))
    return ("<SNAPSHOT>" + ("<ACTIVE>YES</ACTIVE>" if one.id == tree.base else "")
            + (f"<CHILDREN>{shown}</CHILDREN>" if shown else "") + f"<DATE>{one.date}</DATE><ID>{one.id}</ID>"
            + (xmlbody.text("NAME", one.name) if one.name else "")
            + f"<PARENT>{-1 if tree.orphans else one.parent}</PARENT><SIZE>{one.size_mb}</SIZE></SNAPSHOT>")
