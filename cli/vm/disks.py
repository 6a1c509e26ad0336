"""The commands about disks: attach, detach, resize, save as an image."""

from __future__ import annotations

from typing import Any

import click

from cli import source
from cli.command import command, file_option, object_argument, object_option
from cli.errors import CliError
from cli.flags import megabytes
from cli.ids import id_of
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session
from cli.vm.parts import disk_snapshot_id, part_argument, part_id

_ATTRIBUTES = {"target": "TARGET", "prefix": "DEV_PREFIX", "cache": "CACHE", "discard": "DISCARD", "form": "FORMAT"}
"""Options of disk-attach that become attributes as they are."""


def attach(kind: Kind) -> click.Command:
    """The command `disk-attach`."""

    def run(session: Session, kind: Kind, oid: str, file: str | None, **given: str | None) -> None:
        """Attach a disk to a VM that runs or is off: an image, or a volatile disk.

        A template from FILE or standard input holds one DISK.
        """
        found, text = id_of(session, kind, oid), disk_template(session, file, given)
        session.call("one.vm.attach", found, text)
        session.told(f"{kind.tag} {found}: attaching disk")

    return command(
        kind,
        "disk-attach",
        run,
        object_argument(kind, "oid"),
        file_option(),
        object_option(kind_of("image"), "-i", "--image", help="The image."),
        click.Option(
            ["--volatile"], type=click.Choice(["fs", "swap", "raw"]), help="No image but an empty disk, with --size."
        ),
        click.Option(["-t", "--target"], metavar="DEVICE", help="Its name in the guest, as vdb."),
        click.Option(["--prefix"], metavar="PREFIX", help="The bus by its prefix: vd, sd or hd."),
        click.Option(["--size"], metavar="SIZE", help="Its size in MB, or 8g; an image grows to it."),
        click.Option(["--format", "form"], metavar="FORMAT", help="Of a volatile disk: raw or qcow2."),
        click.Option(["--cache"], metavar="MODE", help="none, writethrough, writeback, directsync, unsafe or default."),
        click.Option(["--discard"], metavar="MODE", help="ignore or unmap."),
        examples=[
            "disk-attach web --image data",
            "disk-attach web -i data --target vdc --cache none",
            "disk-attach web --volatile fs --size 8g --format qcow2",
        ],
    )


def disk_template(session: Session, file: str | None, given: dict[str, Any]) -> str:
    """The DISK that the options of disk-attach ask for, or that FILE or standard input holds; raises CliError."""
    asked = {name: text for name, text in given.items() if text is not None}
    if file is not None or not {"image", "volatile"} & set(asked):
        text = source.given(file)
        if asked or text is None:
            raise CliError("give --image IMAGE, --volatile TYPE, or a template by --file or standard input alone")
        return source.vector(text, "DISK")
    if "image" in asked and "volatile" in asked:
        raise CliError("give --image or --volatile, not both")
    if "volatile" in asked and "size" not in asked:
        raise CliError("--volatile needs --size")
    return _vector(session, asked)


def _vector(session: Session, asked: dict[str, str]) -> str:
    from onecore.wire.template import Tree, to_text

    if "image" in asked:
        disk = {"IMAGE_ID": str(id_of(session, kind_of("image"), asked["image"]))}
    else:
        disk = {"TYPE": asked["volatile"]}
    disk |= {attribute: asked[name] for name, attribute in _ATTRIBUTES.items() if name in asked}
    if "size" in asked:
        disk["SIZE"] = str(megabytes(asked["size"], "--size"))
    return to_text(Tree([("DISK", disk)]))


def resize(kind: Kind) -> click.Command:
    """The command `disk-resize`."""

    def run(session: Session, kind: Kind, oid: str, disk: str, size: str) -> None:
        """Make a disk larger, in MB or as 8g; the guest's file system is the guest's business."""
        found, mb = id_of(session, kind, oid), megabytes(size, "SIZE")
        number = part_id(session, kind, found, "disk", disk)
        session.call("one.vm.diskresize", found, number, str(mb))
        session.told(f"{kind.tag} {found}: resizing disk {number} to {mb} MB")

    return command(
        kind,
        "disk-resize",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "disk", "disk"),
        click.Argument(["size"]),
        examples=["disk-resize web 0 20g", "disk-resize web vda 20480"],
    )


def saveas(kind: Kind) -> click.Command:
    """The command `disk-saveas`."""

    def run(
        session: Session, kind: Kind, oid: str, disk: str, name: str, type_: str | None, snapshot: str | None
    ) -> None:
        """Save a disk, or a snapshot of it, as a new image, whose id is told at once.

        The image is LOCKED until the copy is complete.
        """
        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, "disk", disk)
        snap = -1 if snapshot is None else disk_snapshot_id(session, kind, found, number, snapshot)
        session.made(session.number("one.vm.disksaveas", found, number, name, type_ or "", snap), "Image ID")

    return command(
        kind,
        "disk-saveas",
        run,
        object_argument(kind, "oid"),
        part_argument(kind, "disk", "disk"),
        click.Argument(["name"]),
        click.Option(["-t", "--type", "type_"], metavar="TYPE", help="Of the image: OS, DATABLOCK or CDROM."),
        click.Option(["-s", "--snapshot"], metavar="ID", help="This snapshot of the disk, by id or name."),
        examples=["disk-saveas web 0 web-backup", "disk-saveas web vdb data-old --type DATABLOCK --snapshot before"],
    )
