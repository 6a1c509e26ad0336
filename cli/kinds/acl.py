"""ACL rules: columns and commands of `oneacl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections
from cli.cells import leaf, value
from cli.command import command, ids_argument
from cli.errors import CliError
from cli.ids import each
from cli.kind import Cell, Column, Kind, View, shared
from cli.session import Caller, Session
from onecore.wire import acl

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

LETTERS = {
    "V": "VM",
    "H": "HOST",
    "N": "NET",
    "I": "IMAGE",
    "U": "USER",
    "T": "TEMPLATE",
    "G": "GROUP",
    "D": "DATASTORE",
    "C": "CLUSTER",
    "O": "DOCUMENT",
    "Z": "ZONE",
    "S": "SECGROUP",
    "v": "VDC",
    "R": "VROUTER",
    "M": "MARKETPLACE",
    "A": "MARKETPLACEAPP",
    "P": "VMGROUP",
    "t": "VNTEMPLATE",
    "B": "BACKUPJOB",
}
"""What stands for a kind of object in OpenNebula's column of kinds, which knows neither ACL nor HOOK: see RULE."""
RIGHTS = {right[0]: right for right in ("USE", "MANAGE", "ADMIN", "CREATE")}
_RES, _OPE = f"RES_{''.join(LETTERS)}", f"OPE_{''.join(RIGHTS)}"


def _word(place: int) -> Cell:
    """A word of the rule's text."""
    return lambda body, view: (value(body, "STRING").split() + [""] * 4)[place] or "-"


def _kinds(body: Body, view: View) -> str:
    named = _word(1)(body, view).partition("/")[0].split("+")
    return "".join(letter if name in named else "-" for letter, name in LETTERS.items())


def _target(body: Body, view: View) -> str:
    return _word(1)(body, view).partition("/")[2] or "-"


def _rights(body: Body, view: View) -> str:
    named = _word(2)(body, view).split("+")
    return "".join(letter.lower() if name in named else "-" for letter, name in RIGHTS.items())


def numbers(words: tuple[str, ...]) -> tuple[str, str, str, str]:
    """The four hexadecimal numbers of a rule, given so (the zone may be missing) or as text; raises CliError."""
    if len(words) == 1:
        words = tuple(words[0].split())
    try:
        hexadecimal = len(words) in (3, 4) and all(set(word) <= set("0123456789abcdefABCDEF") for word in words)
        rule = acl.parse(*words) if hexadecimal else acl.written(" ".join(words))
    except ValueError as error:
        raise CliError(str(error)) from None
    return f"{rule.user:x}", f"{rule.resource:x}", f"{rule.rights:x}", f"{rule.zone:x}"


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, rule: tuple[str, ...]) -> None:
        """Add a RULE: "USER RESOURCE+RESOURCE/ID RIGHT+RIGHT [ZONE]", or its three or four hexadecimal numbers.

        Users, ids and zones are #id, @group, %cluster or * (all); the zone is * when it is left out.
        """
        session.made(session.number("one.acl.addrule", *numbers(rule)))

    return command(
        kind,
        "create",
        run,
        click.Argument(["rule"], nargs=-1, required=True),
        examples=['create "#5 VM+NET/@100 USE+MANAGE *"', 'create "@100 IMAGE/* CREATE"'],
    )


def _delete(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str) -> int:
        """Take rules out of force."""
        return each(session, kind, ids, lambda oid: session.call("one.acl.delrule", oid), "deleted")

    return command(kind, "delete", run, ids_argument(kind), examples=["delete 7", "delete 3..5"])


def _reader(caller: Caller, oid: int) -> Body:
    from cli.ids import read_pool

    found = next((b for b in read_pool(caller, KIND).findall("ACL") if value(b, "ID") == str(oid)), None)
    if found is None:
        raise CliError(f"there is no ACL rule {oid}")
    return found


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    numbers = ((name, value(body, name)) for name in ("USER", "RESOURCE", "RIGHTS", "ZONE"))
    return [
        sections.title(f"ACL RULE {value(body, 'ID')} INFORMATION"),
        *sections.fields([("ID", value(body, "ID")), ("RULE", value(body, "STRING")), *numbers]),
    ]


KIND = Kind(
    program="oneacl",
    title="ACL rules",
    tag="ACL",
    method="acl",
    pool="acl",
    show=_show,
    reader=_reader,
    columns=(
        Column("ID", "Id of the rule", 5, leaf("ID")),
        Column("USER", "To whom it gives something", 8, _word(0)),
        Column(_RES, "On what: a letter for each kind", len(_RES), _kinds),
        Column("RID", "On which of them", 8, _target),
        Column(_OPE, "Use, manage, admin, create", len(_OPE), _rights),
        Column("ZONE", "In which zone", 5, _word(3)),
        Column("RULE", "All of it as text", 30, leaf("STRING"), left=True, wide=True),
    ),
    default=("ID", "USER", _RES, "RID", _OPE, "ZONE"),
    commands={**shared("list", "top", "show"), "create": _create, "delete": _delete},
)
