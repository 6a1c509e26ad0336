"""Images: columns and commands of `oneimage`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cli import sections, source
from cli.cells import flag, leaf, megabytes, moment, named, number, size, value
from cli.command import command, ids_argument, object_argument
from cli.errors import CliError
from cli.flags import megabytes as parse_megabytes
from cli.ids import each, id_of
from cli.kind import Column, Factory, Kind, View, shared
from cli.kinds import kind as kind_of
from cli.session import Session
from onecore.wire.states import IMAGE_SHORT, IMAGE_TYPE_SHORT, ImageState, ImageType

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_TEXTS = {
    "name": "Name.",
    "description": "Description.",
    "type": "OS, CDROM, DATABLOCK, KERNEL, RAMDISK or CONTEXT.",
    "path": "File or URL to copy.",
    "source": "File that is used where it is.",
    "size": "Size in MB, or 8g.",
    "prefix": "Prefix of its device: vd, sd, hd.",
    "target": "Its device, as vda.",
    "driver": "Driver of the mapping.",
    "format": "raw or qcow2.",
    "fs": "File system to make in it.",
    "disk_type": "FILE, CDROM or BLOCK.",
}


def _state(body: Body, view: View) -> str:
    return IMAGE_SHORT.get(ImageState(int(number(body, "STATE"))), "????")


def _type(body: Body, view: View) -> str:
    return IMAGE_TYPE_SHORT.get(ImageType(int(number(body, "TYPE"))), "??")


def _create(kind: Kind) -> click.Command:
    def run(
        session: Session, kind: Kind, file: str | None, datastore: str, dry: bool, no_check_capacity: bool, **given: Any
    ) -> None:
        """Register an image in a datastore, from a template FILE, standard input or flags."""
        text = template(file, given)
        if dry:
            session.say(text.rstrip("\n"))
            return
        ds = id_of(session, kind_of("datastore"), datastore)
        session.made(session.number("one.image.allocate", text, ds, no_check_capacity))

    texts = [click.Option([f"--{name}"], metavar="TEXT", help=help) for name, help in _TEXTS.items()]
    return command(
        kind,
        "create",
        run,
        click.Argument(["file"], required=False),
        *texts,
        click.Option(["--persistent"], is_flag=True, help="Changes are kept."),
        click.Option(["-d", "--datastore"], metavar="DATASTORE", required=True, help="Id or name of its datastore."),
        click.Option(["--no_check_capacity", "--no-check-capacity"], is_flag=True, help="Even if it does not fit."),
        click.Option(["--dry"], is_flag=True, help="Only tell the template."),
        examples=[
            "create -d default --name debian --path https://example.org/debian.qcow2 --prefix vd",
            "create -d default --name data --type datablock --size 8g --prefix vd --persistent",
        ],
    )


def template(file: str | None, given: dict[str, Any]) -> str:
    """The template text of flags, or else of FILE or standard input; raises CliError."""
    used = {name: text for name, text in given.items() if text}
    if not used:
        return source.checked(source.required(file))
    if file is not None:
        raise CliError("give a template file or flags, not both")
    from onecore.wire.template import Tree, to_text

    if "name" not in used:
        raise CliError("an image needs --name")
    if "size" in used:
        used["size"] = str(parse_megabytes(used["size"], "--size"))
    if "path" in used and "://" not in used["path"]:
        used["path"] = os.path.abspath(os.path.expanduser(used["path"]))
    names = {"prefix": "DEV_PREFIX"}
    return to_text(Tree((names.get(n, n.upper()), "YES" if text is True else text) for n, text in used.items()))


def _delete(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, force: bool) -> int:
        """Delete images and their files."""
        return each(session, kind, ids, lambda oid: session.call("one.image.delete", oid, force), "deleted")

    return command(
        kind,
        "delete",
        run,
        ids_argument(kind),
        click.Option(["--force"], is_flag=True, help="Even if its file cannot be removed."),
    )


def _clone(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, name: str, datastore: str | None) -> None:
        """Copy an image under a new NAME."""
        ds = -1 if datastore is None else id_of(session, kind_of("datastore"), datastore)
        session.made(session.number("one.image.clone", id_of(session, kind, oid), name, ds))

    return command(
        kind,
        "clone",
        run,
        object_argument(kind, "oid"),
        click.Argument(["name"]),
        click.Option(["-d", "--datastore"], metavar="DATASTORE", help="Datastore of the copy."),
    )


def _switch(name: str, method: str, on: bool, done: str, help: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        def run(session: Session, kind: Kind, ids: str) -> int:
            return each(session, kind, ids, lambda oid: session.call(kind.call(method), oid, on), done)

        return command(kind, name, run, ids_argument(kind), help=help)

    return make


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    yes_no = flag("PERSISTENT")
    return [
        sections.title(f"IMAGE {value(body, 'ID')} INFORMATION"),
        *sections.fields(
            [
                ("ID", value(body, "ID")),
                ("NAME", value(body, "NAME")),
                ("USER", value(body, "UNAME")),
                ("GROUP", value(body, "GNAME")),
                ("LOCK", sections.lock(body)),
                ("DATASTORE", value(body, "DATASTORE", "-")),
                ("TYPE", ImageType(int(number(body, "TYPE"))).name),
                ("REGISTER TIME", moment("REGTIME")(body, View())),
                ("PERSISTENT", yes_no(body, View())),
                ("SOURCE", value(body, "SOURCE", "-")),
                ("PATH", value(body, "PATH", "-")),
                ("FORMAT", value(body, "FORMAT", "-")),
                ("SIZE", size(number(body, "SIZE") * 1024, View())),
                ("STATE", ImageState(int(number(body, "STATE"))).name),
                ("RUNNING_VMS", value(body, "RUNNING_VMS", "0")),
                *([("ERROR", value(body, "TEMPLATE/ERROR"))] if value(body, "TEMPLATE/ERROR") else []),
            ]
        ),
        *sections.permissions(body),
        *sections.template("IMAGE TEMPLATE", body, hide=("ERROR",)),
        *sections.section("VIRTUAL MACHINES", sections.ids(body, "VMS/ID")),
    ]


def _chtype(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, type: str) -> int:
        """Give images another TYPE: OS, CDROM, DATABLOCK, KERNEL, RAMDISK or CONTEXT."""
        return each(session, kind, ids, lambda oid: session.call("one.image.chtype", oid, type), "type changed")

    return command(kind, "chtype", run, ids_argument(kind), click.Argument(["type"]), examples=["chtype 7 datablock"])


_SNAPSHOTS = {
    "delete": ("deleted", "Delete a snapshot of an image."),
    "revert": ("reverted", "Make a snapshot of an image its current content."),
    "flatten": ("flattened", "Make a snapshot of an image its only content; all others go."),
}


def _snapshot(verb: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        done, help = _SNAPSHOTS[verb]

        def run(session: Session, kind: Kind, oid: str, snapshot: int) -> None:
            found = id_of(session, kind, oid)
            session.call(f"one.image.snapshot{verb}", found, snapshot)
            session.told(f"{kind.tag} {found}: {done}")

        number = click.Argument(["snapshot"], type=click.IntRange(min=0))
        return command(kind, f"snapshot-{verb}", run, object_argument(kind, "oid"), number, help=help)

    return make


KIND = Kind(
    program="oneimage",
    title="images",
    tag="IMAGE",
    method="image",
    pool="imagepool",
    filtered=True,
    show=_show,
    decrypt=(True,),
    columns=(
        Column("ID", "Id of the image", 4, leaf("ID")),
        Column("USER", "Its owner", 8, named("UNAME", "UID"), left=True),
        Column("GROUP", "Its group", 8, named("GNAME", "GID"), left=True),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("DATASTORE", "Its datastore", 10, leaf("DATASTORE"), left=True),
        Column("SIZE", "Its size", 7, megabytes("SIZE")),
        Column("TYPE", "Its type", 4, _type, left=True),
        Column("REGTIME", "When it was registered", 14, moment("REGTIME")),
        Column("PER", "Whether changes are kept", 3, flag("PERSISTENT"), left=True),
        Column("STAT", "Its state", 4, _state, left=True, state=True),
        Column("RVMS", "VMs that use it", 5, leaf("RUNNING_VMS", "0")),
    ),
    default=("ID", "USER", "GROUP", "NAME", "DATASTORE", "SIZE", "TYPE", "PER", "STAT", "RVMS"),
    commands={
        **shared("list", "show", "top", "rename", "update", "chown", "chgrp", "chmod", "lock", "unlock"),
        "create": _create,
        "delete": _delete,
        "clone": _clone,
        "chtype": _chtype,
        **{f"snapshot-{verb}": _snapshot(verb) for verb in _SNAPSHOTS},
        "enable": _switch("enable", "enable", True, "enabled", "Let images be used."),
        "disable": _switch("disable", "enable", False, "disabled", "Keep images from being used."),
        "persistent": _switch("persistent", "persistent", True, "persistent", "Keep the changes that VMs make."),
        "nonpersistent": _switch(
            "nonpersistent", "persistent", False, "not persistent", "Drop the changes that VMs make."
        ),
    },
)
