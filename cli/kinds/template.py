"""VM templates: columns and commands of `onetemplate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import flags, inputs, sections, source
from cli.cells import leaf, moment, named, value
from cli.command import command, ids_argument, object_argument
from cli.errors import CliError
from cli.ids import each, id_of, read_info
from cli.kind import Column, Kind, View, shared
from cli.session import Session
from cli.vm.create import template

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, file: str | None, dry: bool, **given: Any) -> None:
        """Create a template from a FILE (- or nothing: standard input) or from flags; with both, flags win."""
        text = template(file, flags.used(given))
        if dry:
            session.say(text.rstrip("\n"))
            return
        session.made(session.number("one.template.allocate", text))

    return command(
        kind,
        "create",
        run,
        click.Argument(["file"], required=False),
        *flags.options(),
        click.Option(["--dry"], is_flag=True, help="Only tell the template."),
        examples=["create web.tmpl", "create --name web --cpu 1 --memory 2g --disk alpine --nic private"],
    )


def _recursive(what: str) -> click.Option:
    return click.Option(["-r", "--recursive"], is_flag=True, help=f"{what} the images of its disks too.")


def _delete(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, recursive: bool) -> int:
        """Delete templates."""
        return each(session, kind, ids, lambda oid: session.call("one.template.delete", oid, recursive), "deleted")

    return command(kind, "delete", run, ids_argument(kind), _recursive("Delete"))


def _clone(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, oid: str, name: str, recursive: bool) -> None:
        """Copy a template under a new NAME."""
        session.made(session.number("one.template.clone", id_of(session, kind, oid), name, recursive))

    return command(kind, "clone", run, object_argument(kind, "oid"), click.Argument(["name"]), _recursive("Copy"))


def _instantiate(kind: Kind) -> click.Command:
    return command(
        kind,
        "instantiate",
        _run_instantiate,
        object_argument(kind, "oid"),
        click.Argument(["file"], required=False),
        *flags.options(),
        click.Option(["--hold"], is_flag=True, help="On hold: not placed until released."),
        click.Option(
            ["-m", "--multiple"], type=click.IntRange(1, 100_000), default=1, metavar="N", help="So many VMs."
        ),
        click.Option(["--persistent"], is_flag=True, help="Copy template and images and make them persistent."),
        click.Option(["--user-inputs", "answers"], metavar="A=B,C=D", help="Values for the template's user inputs."),
        examples=["instantiate web --name web1", "instantiate web --name web-%i --multiple 3 --memory 4g"],
    )


def _run_instantiate(
    session: Session,
    kind: Kind,
    oid: str,
    file: str | None,
    hold: bool,
    multiple: int,
    persistent: bool,
    answers: str | None,
    **given: Any,
) -> None:
    """Create VMs from a template, changed by flags and by an extra template FILE.

    In --name, %i is the number of the VM among the --multiple.
    """
    found = id_of(session, kind, oid)
    used = flags.used(given)
    name = used.pop("name", "")
    extra = _extra(file, used) + _answers(session, kind, found, answers)
    for i in range(multiple):
        number = session.number("one.template.instantiate", found, name.replace("%i", str(i)), hold, extra, persistent)
        session.made(number, "VM ID")


def _extra(file: str | None, used: dict[str, Any]) -> str:
    if file and used:
        raise CliError("give an extra template file or flags, not both")
    return source.checked(source.required(file)) if file else flags.text(used)


def _answers(session: Session, kind: Kind, oid: int, given: str | None) -> str:
    from onecore.wire.template import Tree, to_text, tree_of

    body = read_info(session, kind, oid)
    declared = body.find("TEMPLATE/USER_INPUTS")
    asked = {name: v for name, v in tree_of(declared) if isinstance(v, str)} if declared is not None else {}
    return to_text(Tree(inputs.answers(asked, given, order=value(body, "TEMPLATE/INPUTS_ORDER")).items()))


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"TEMPLATE {value(body, 'ID')} INFORMATION"),
        *sections.fields(
            [
                ("ID", value(body, "ID")),
                ("NAME", value(body, "NAME")),
                ("USER", value(body, "UNAME")),
                ("GROUP", value(body, "GNAME")),
                ("LOCK", sections.lock(body)),
                ("REGISTER TIME", moment("REGTIME")(body, View())),
            ]
        ),
        *sections.permissions(body),
        *sections.template("TEMPLATE CONTENTS", body),
    ]


KIND = Kind(
    program="onetemplate",
    title="VM templates",
    tag="VMTEMPLATE",
    method="template",
    pool="templatepool",
    filtered=True,
    show=_show,
    decrypt=(False, True),
    columns=(
        Column("ID", "Id of the template", 4, leaf("ID")),
        Column("USER", "Its owner", 8, named("UNAME", "UID"), left=True),
        Column("GROUP", "Its group", 8, named("GNAME", "GID"), left=True),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("REGTIME", "When it was registered", 14, moment("REGTIME")),
    ),
    default=("ID", "USER", "GROUP", "NAME", "REGTIME"),
    commands={
        **shared("list", "show", "top", "rename", "update", "chown", "chgrp", "chmod", "lock", "unlock"),
        "create": _create,
        "delete": _delete,
        "clone": _clone,
        "instantiate": _instantiate,
    },
)
