"""Virtual data centres: columns and commands of `onevdc`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cli import sections
from cli.cells import counted, leaf, value
from cli.command import command, ids_argument, object_argument
from cli.ids import each, id_of
from cli.kind import Column, Factory, Kind, View, later, shared
from cli.kinds import kind as kind_of
from cli.session import Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

ALL = -10
"""In place of an object's id: all of its kind in the zone."""
PARTS = {"cluster": "CLUSTERS", "host": "HOSTS", "datastore": "DATASTORES", "vnet": "VNETS"}
"""What a VDC has: the kind, and the element of the body."""
_WORDS = {"add": ("added", "Give VDCs"), "del": ("deleted", "Take from VDCs")}


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str) -> None:
        """Create a VDC, to which groups and resources are added then."""
        from onecore.wire.template import Tree, to_text

        session.made(session.number("one.vdc.allocate", to_text(Tree([("NAME", name)]))))

    return command(kind, "create", run, click.Argument(["name"]), examples=["create lab"])


def _group(verb: str, kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, group: str) -> int:
        gid = id_of(session, kind_of("group"), group)
        done = f"group {_WORDS[verb][0]}"
        return each(session, kind, ids, lambda oid: session.call(f"one.vdc.{verb}group", oid, gid), done)

    return command(
        kind,
        f"{verb}group",
        run,
        ids_argument(kind),
        object_argument(kind_of("group"), "group"),
        help=f"{_WORDS[verb][1]} a group, which may use what they have.",
        examples=[f"{verb}group lab staff"],
    )


def _part(verb: str, part: str, kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str, zone: str, **given: str) -> int:
        zid = id_of(session, kind_of("zone"), zone)
        number = ALL if given[part].upper() == "ALL" else id_of(session, kind_of(part), given[part])
        done = f"{part} {_WORDS[verb][0]}"
        return each(session, kind, ids, lambda oid: session.call(f"one.vdc.{verb}{part}", oid, zid, number), done)

    return command(
        kind,
        f"{verb}{part}",
        run,
        ids_argument(kind),
        object_argument(kind_of("zone"), "zone"),
        object_argument(kind_of(part), part),
        help=f"{_WORDS[verb][1]} a {part} of a zone; ALL is all of them.",
        examples=[f"{verb}{part} lab 0 ALL"],
    )


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"VDC {value(body, 'ID')} INFORMATION"),
        *sections.fields([("ID", value(body, "ID")), ("NAME", value(body, "NAME"))]),
        *sections.template("VDC TEMPLATE", body),
        *sections.section("GROUPS", sections.ids(body, "GROUPS/ID")),
        *(line for part, tag in PARTS.items() for line in sections.section(tag, _members(body, part, tag))),
    ]


def _members(body: Body, part: str, tag: str) -> list[str]:
    rows = [[value(one, "ZONE_ID"), _named(one, part)] for one in body.findall(f"{tag}/*")]
    return sections.grid([("ZONE", 5, False), (part.upper(), 9, False)], rows) if rows else []


def _named(one: Body, part: str) -> str:
    number = value(one, f"{part.upper()}_ID")
    return "ALL" if number == str(ALL) else number


def _count(part: str, tag: str) -> Callable[[Body, View], str]:
    def cell(body: Body, view: View) -> str:
        found = [_named(one, part) for one in body.findall(f"{tag}/*")]
        return "ALL" if "ALL" in found else str(len(found))

    return cell


def _changes() -> dict[str, Factory]:
    here = "cli.kinds.vdc"
    made = {f"{verb}group": later(f"{here}:_group", verb) for verb in _WORDS}
    return made | {f"{verb}{part}": later(f"{here}:_part", verb, part) for part in PARTS for verb in _WORDS}


KIND = Kind(
    program="onevdc",
    title="virtual data centres",
    tag="VDC",
    method="vdc",
    pool="vdcpool",
    show=_show,
    columns=(
        Column("ID", "Id of the VDC", 4, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("GROUPS", "Its groups", 6, counted("GROUPS/ID")),
        *(Column(tag, f"Its {tag.lower()}", len(tag), _count(part, tag)) for part, tag in PARTS.items()),
    ),
    default=("ID", "NAME", "GROUPS", *PARTS.values()),
    commands={**shared("list", "show", "top", "delete", "rename", "update"), "create": _create, **_changes()},
)
