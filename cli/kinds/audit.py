"""Who did what: columns and commands of `oneaudit`, which OpenNebula does not have."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cli import list_options, listing, sections, spans
from cli.cells import leaf, moment, value
from cli.command import command
from cli.errors import CliError
from cli.ids import id_of
from cli.kind import Column, Kind, PoolReader, View, shared
from cli.kinds import kind as kind_of
from cli.session import Caller, Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

PAGE, LIMIT = 1000, 100
"""Rows of one answer at most, and of a list unless asked otherwise."""


def rows(caller: Caller, query: str, before: int, limit: int, timeout: float | None = None) -> list[dict[str, Any]]:
    """The rows that QUERY finds before the number BEFORE (0: the end), the latest first, LIMIT at most."""
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        size = min(PAGE, limit - len(found))
        page = json.loads(str(caller.call("onecore.audit", query, before, size, timeout=timeout)))
        if not page:
            break
        found += page
        before = int(page[-1]["seq"])
    return found


def pool(query: str, before: int, limit: int) -> PoolReader:
    """A reader of those rows for a list."""

    def read(caller: Caller, filter_flag: int, timeout: float | None) -> Body:
        from onecore.wire import xmlbody

        each = "".join(_xml(row) for row in rows(caller, query, before, limit, timeout))
        return xmlbody.read(f"<AUDIT>{each}</AUDIT>")

    return read


def _xml(row: dict[str, Any]) -> str:
    from onecore.wire import xmlbody

    texts = {tag: ",".join(map(str, v)) if isinstance(v, list) else str(v) for tag, v in row.items()}
    texts["id"], texts["oid"] = texts.get("seq", ""), texts.get("id", "")
    inner = "".join(xmlbody.text(tag.upper(), text) for tag, text in texts.items() if tag != "seq")
    return f"<ROW>{inner}</ROW>"


def _reader(caller: Caller, oid: int) -> Body:
    found = next(iter(pool("", oid + 1, 1)(caller, -2, None)), None)
    if found is None or value(found, "ID") != str(oid):
        raise CliError(f"there is no row {oid} that you may see")
    return found


def _object(body: Body, view: View) -> str:
    return f"{value(body, 'KIND')} {value(body, 'OID')}".strip() or "-"


def _what(body: Body, view: View) -> str:
    """`state PENDING > PROLOG`, `update STATE`, `refused`."""
    old, new = value(body, "OLD"), value(body, "NEW")
    change = f"{old} > {new}" if old and new else new or old or value(body, "KEYS")
    return f"{value(body, 'WHAT', '-')} {change}".strip()


def _user(body: Body, view: View) -> str:
    return value(body, "USER" if view.numeric else "NAME") or value(body, "USER", "-")


def _list(kind: Kind) -> click.Command:
    return command(
        kind,
        "list",
        _run,
        click.Option(["--by", "who"], metavar="USER", help="Only what this user did, by id or name."),
        click.Option(["--method"], metavar="NAME", help="Only calls of this method; * stands for anything."),
        click.Option(["--kind", "kind_"], metavar="NAME", help="Only what happened to this kind: vm, image, user."),
        click.Option(["--id", "oid"], type=click.IntRange(min=0), metavar="N", help="Only to the object of this id."),
        click.Option(["--what"], metavar="WORD", help="Only state, create, update, delete or refused."),
        click.Option(["--client"], metavar="IP", help="Only from this address."),
        click.Option(["--request"], metavar="ID", help="Only of this request."),
        click.Option(["--allowed"], is_flag=True, help="Only what was allowed."),
        click.Option(["--refused"], is_flag=True, help="Only what was refused."),
        click.Option(["--since"], metavar="TIME", help=f"Only from then on: {spans.MOMENTS}."),
        click.Option(["--until"], metavar="TIME", help="Only up to then."),
        click.Option(["--limit"], type=click.IntRange(1, 1_000_000), default=LIMIT, metavar="N", help="So many rows."),
        click.Option(
            ["--before"], type=click.IntRange(min=0), default=0, metavar="ID", help="The rows before this one."
        ),
        *list_options.options(kind),
        examples=["list --refused --since 7d", "list --kind vm --id 12 -j", "list --method 'one.user.*' --by ann"],
    )


def _run(session: Session, kind: Kind, limit: int, before: int, **given: Any) -> None:
    """List who did what, when, from where, and by which rule it was allowed or refused; the latest first."""
    names = ("who", "method", "kind_", "oid", "what", "client", "request", "allowed", "refused", "since", "until")
    query = _query(session, **{name: given.pop(name) for name in names})
    listing.run_list(session, replace(kind, pool_reader=pool(query, before, limit)), **given)


def _query(session: Session, who: str | None, allowed: bool, refused: bool, **given: Any) -> str:
    if allowed and refused:
        raise CliError("give --allowed or --refused, not both")
    asked = {
        "user": None if who is None else id_of(session, kind_of("user"), who),
        "outcome": "allowed" if allowed else "refused" if refused else None,
        **{key: None if given[key] is None else spans.moment(given[key], f"--{key}") for key in ("since", "until")},
        **{
            key: given[name] for key, name in (("method", "method"), ("kind", "kind_"), ("id", "oid"), ("what", "what"))
        },
        "client": given["client"],
        "rid": given["request"],
    }
    for key, text in asked.items():
        if text is not None and "&" in str(text):
            raise CliError(f"--{'request' if key == 'rid' else key} {text!r}: a value without & was expected")
    return "&".join(f"{key}={text}" for key, text in asked.items() if text is not None)


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    shown = [(c.name, c.cell(body, View())) for c in kind.columns if c.name not in ("USER", "WHAT")]
    more = [(tag, value(body, tag, "-")) for tag in ("NAME", "USER", "WHAT", "OLD", "NEW", "KEYS", "CODE")]
    return [sections.title(f"AUDIT ROW {value(body, 'ID')}"), *sections.fields([*shown, *more])]


KIND = Kind(
    program="oneaudit",
    title="rows of the audit",
    tag="ROW",
    method="audit",
    pool="audit",
    pool_reader=pool("", 0, LIMIT),
    reader=_reader,
    show=_show,
    columns=(
        Column("ID", "Number of the row", 6, leaf("ID")),
        Column("TIME", "When", 14, moment("TIME"), left=True),
        Column("USER", "Who", 10, _user, left=True),
        Column("METHOD", "The call", 22, leaf("METHOD"), left=True),
        Column("OBJECT", "What it was about", 10, _object, left=True),
        Column("WHAT", "What happened to that", 24, _what, left=True, wide=True),
        Column("OUTCOME", "allowed or refused", 7, leaf("OUTCOME"), left=True),
        Column("RULE", "What allowed it, or why it was refused", 12, leaf("RULE"), left=True),
        Column("CLIENT", "From which address", 15, leaf("CLIENT"), left=True),
        Column("REQUEST", "Id of the request", 10, leaf("RID"), left=True),
    ),
    default=("TIME", "USER", "METHOD", "OBJECT", "WHAT", "RULE", "CLIENT"),
    commands={**shared("show"), "list": _list},
)
