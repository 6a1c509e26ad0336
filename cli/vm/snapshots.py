"""The commands about snapshots of whole VMs (`snapshot-*`) and of their disks (`disk-snapshot-*`)."""

from __future__ import annotations

from typing import Any

import click

from cli import sections
from cli.command import command, ids_argument, object_argument
from cli.ids import each, id_of, read_info
from cli.kind import Kind
from cli.session import Session
from cli.vm import schedule
from cli.vm.parts import disk_snapshot_id, part_argument, part_id

WHAT = {
    "revert": "Put a VM back to where it was at a snapshot; what was written since is lost.",
    "delete": "Delete a snapshot of a VM.",
}
DISK_WHAT = {
    "revert": "Put a disk back to where it was at a snapshot; what was written since is lost.",
    "delete": "Delete a snapshot of a disk.",
}


def create(kind: Kind) -> click.Command:
    """The command `snapshot-create`."""

    def run(session: Session, kind: Kind, ids: str, name: str | None, **when: Any) -> int:
        """Take a snapshot of running VMs, memory and disks, under NAME if one is given."""
        code = schedule.planned(session, kind, ids, "snapshot-create", when, name or "")
        if code is None:
            code = each(
                session,
                kind,
                ids,
                lambda oid: session.call("one.vm.snapshotcreate", oid, name or ""),
                "creating snapshot",
            )
        return code

    return command(
        kind,
        "snapshot-create",
        run,
        ids_argument(kind),
        click.Argument(["name"], required=False),
        *schedule.options(),
        examples=["snapshot-create web before-upgrade", "snapshot-create web nightly --schedule 02:00 --weekly 1,4"],
    )


def change(verb: str, kind: Kind) -> click.Command:
    """The command `snapshot-VERB`, one of WHAT."""

    def run(session: Session, kind: Kind, oid: str, snapshot: str, **when: Any) -> int:
        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, "snapshot", snapshot)
        code = schedule.planned(session, kind, str(found), f"snapshot-{verb}", when, str(number))
        if code is None:
            session.call(f"one.vm.snapshot{verb}", found, number)
            session.told(f"{kind.tag} {found}: snapshot {number}: {verb}")
        return code or 0

    return command(
        kind,
        f"snapshot-{verb}",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "snapshot", "snapshot"),
        *schedule.options(),
        help=WHAT[verb],
        examples=[f"snapshot-{verb} web 0", f"snapshot-{verb} web before-upgrade"],
    )


def disk_create(kind: Kind) -> click.Command:
    """The command `disk-snapshot-create`."""

    def run(session: Session, kind: Kind, oid: str, disk: str, name: str, **when: Any) -> int:
        """Take a snapshot of a disk; a guest that runs goes on."""
        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, "disk", disk)
        code = schedule.planned(session, kind, str(found), "disk-snapshot-create", when, f"{number},{name}")
        if code is None:
            snap = session.number("one.vm.disksnapshotcreate", found, number, name)
            session.told(f"{kind.tag} {found}: creating snapshot {snap} of disk {number}")
        return code or 0

    return command(
        kind,
        "disk-snapshot-create",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "disk", "disk"),
        click.Argument(["name"]),
        *schedule.options(),
        examples=["disk-snapshot-create web 0 before-upgrade"],
    )


def disk_change(verb: str, kind: Kind) -> click.Command:
    """The command `disk-snapshot-VERB`, one of DISK_WHAT."""

    def run(session: Session, kind: Kind, oid: str, disk: str, snapshot: str, **when: Any) -> int:
        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, "disk", disk)
        snap = disk_snapshot_id(session, kind, found, number, snapshot)
        code = schedule.planned(session, kind, str(found), f"disk-snapshot-{verb}", when, f"{number},{snap}")
        if code is None:
            session.call(f"one.vm.disksnapshot{verb}", found, number, snap)
            session.told(f"{kind.tag} {found}: snapshot {snap} of disk {number}: {verb}")
        return code or 0

    return command(
        kind,
        f"disk-snapshot-{verb}",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "disk", "disk"),
        part_argument(kind, "snapshot", "disk snapshot"),
        *schedule.options(),
        help=DISK_WHAT[verb],
        examples=[f"disk-snapshot-{verb} web 0 1", f"disk-snapshot-{verb} web vda before-upgrade"],
    )


def disk_rename(kind: Kind) -> click.Command:
    """The command `disk-snapshot-rename`."""

    def run(session: Session, kind: Kind, oid: str, disk: str, snapshot: str, name: str) -> None:
        """Give a snapshot of a disk a new name."""
        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, "disk", disk)
        snap = disk_snapshot_id(session, kind, found, number, snapshot)
        session.call("one.vm.disksnapshotrename", found, number, snap, name)
        session.told(f"{kind.tag} {found}: snapshot {snap} of disk {number} renamed")

    return command(
        kind,
        "disk-snapshot-rename",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "disk", "disk"),
        part_argument(kind, "snapshot", "disk snapshot"),
        click.Argument(["name"]),
        examples=["disk-snapshot-rename web 0 1 before-upgrade"],
    )


def list_(kind: Kind) -> click.Command:
    """The command `snapshot-list`."""

    def run(session: Session, kind: Kind, oid: str) -> None:
        """List the snapshots of a VM."""
        from cli.vm.show_parts import snapshots

        _tell(session, "SNAPSHOTS", snapshots(read_info(session, kind, id_of(session, kind, oid))))

    return command(kind, "snapshot-list", run, object_argument(kind, "oid"), examples=["snapshot-list web"])


def disk_list(kind: Kind) -> click.Command:
    """The command `disk-snapshot-list`."""

    def run(session: Session, kind: Kind, oid: str, disk: str) -> None:
        """List the snapshots of a disk."""
        from cli.vm.show_parts import disk_snapshots

        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, "disk", disk)
        _tell(session, "VM DISK SNAPSHOTS", disk_snapshots(read_info(session, kind, found), number))

    return command(
        kind,
        "disk-snapshot-list",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "disk", "disk"),
        examples=["disk-snapshot-list web vda"],
    )


def _tell(session: Session, title: str, lines: list[str]) -> None:
    for line in [sections.title(title), *lines] if lines else ["No snapshots available"]:
        session.say(line)
