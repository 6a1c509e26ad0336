"""Disks, NICs and snapshots of a VM as users name them: an id, or else a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from cli.cells import value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from onecore.wire.xmlbody import Body


class Part(NamedTuple):
    """Where a kind of part stands in a VM's body, and which leaves are its id and its name."""

    paths: tuple[str, ...]
    number: str
    name: str


PARTS = {
    "disk": Part(("TEMPLATE/DISK",), "DISK_ID", "TARGET"),
    "NIC": Part(("TEMPLATE/NIC", "TEMPLATE/NIC_ALIAS"), "NIC_ID", "NAME"),
    "snapshot": Part(("TEMPLATE/SNAPSHOT",), "SNAPSHOT_ID", "NAME"),
}


def part_argument(kind: Kind, name: str, what: str) -> click.Argument:
    """The argument NAME, a part WHAT (a key of PARTS, or `disk snapshot`) of the VM before it, completed from there."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from cli.completion import parts

        return parts(kind, context.params, incomplete, lambda body: _known(body, what, context.params.get("disk")))

    return click.Argument([name], metavar=name.upper(), shell_complete=complete)


DETACH = {
    "disk": ("one.vm.detach", "Detach a disk, named by id or target, from a VM that runs or is off.", ("vdb",)),
    "NIC": (
        "one.vm.detachnic",
        "Detach a NIC or a further address, named by id or name, from a VM that runs or is off.",
        ("1", "NIC1"),
    ),
}
"""How each part is detached: the method, the command's text, and parts to show it with."""


def detach(what: str, kind: Kind) -> click.Command:
    """The command that detaches the part WHAT, a key of DETACH."""
    method, text, shown = DETACH[what]
    part = what.lower()

    def run(session: Session, kind: Kind, oid: str, **named: str) -> None:
        found = id_of(session, kind, oid)
        number = part_id(session, kind, found, what, named[part])
        session.call(method, found, number)
        session.told(f"{kind.tag} {found}: detaching {what} {number}")

    arguments = object_argument(kind, "oid"), part_argument(kind, part, what)
    examples = [f"{part}-detach web {one}" for one in shown]
    return command(kind, f"{part}-detach", run, *arguments, help=text, examples=examples)


def _known(body: Body, what: str, disk: str | None) -> list[tuple[str, str]]:
    """(id, name) of each part WHAT, or of each snapshot of DISK, an id or target."""
    if what in PARTS:
        known = PARTS[what]
        found = [element for path in known.paths for element in body.findall(path)]
        return [(value(element, known.number), value(element, known.name)) for element in found]
    number = next((i for i, target in _known(body, "disk", None) if disk in (i, target)), "")
    found = body.findall(f"SNAPSHOTS[DISK_ID='{number}']/SNAPSHOT")
    return [(value(element, "ID"), value(element, "NAME")) for element in found]


def part_id(session: Session, kind: Kind, oid: int, what: str, text: str) -> int:
    """The id of the part WHAT (a key of PARTS) that TEXT names in VM OID; raises CliError."""
    if text.isascii() and text.isdigit():
        return int(text)
    known, body = PARTS[what], read_info(session, kind, oid)
    found = [element for path in known.paths for element in body.findall(path)]
    return one_named(found, known.number, known.name, text, what, f"VM {oid}")


def disk_snapshot_id(session: Session, kind: Kind, oid: int, disk: int, text: str) -> int:
    """The id of the snapshot that TEXT names among those of DISK of VM OID; raises CliError."""
    if text.isascii() and text.isdigit():
        return int(text)
    found = read_info(session, kind, oid).findall(f"SNAPSHOTS[DISK_ID='{disk}']/SNAPSHOT")
    return one_named(found, "ID", "NAME", text, "snapshot", f"disk {disk} of VM {oid}")


def one_named(found: list[Body], number: str, name: str, text: str, what: str, owner: str) -> int:
    """The number of the one of FOUND that is called TEXT; raises CliError that lists what OWNER has."""
    ids = [int(value(element, number)) for element in found if value(element, name) == text and value(element, number)]
    if len(ids) == 1:
        return ids[0]
    known = ", ".join(f"{value(e, number)} {value(e, name)}".strip() for e in found if value(e, number)) or "none"
    raise CliError(f"{owner} has {'more than one' if ids else 'no'} {what} {text}; it has: {known}")
