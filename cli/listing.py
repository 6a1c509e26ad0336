"""`list` and `top` of every kind."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from cli import filters, formats, table
from cli.command import command
from cli.errors import CliError
from cli.ids import id_of, pool_arguments, read_info, read_pool
from cli.kind import Column, Kind, View
from cli.list_options import arguments, options
from cli.session import Session, coloured, on_terminal

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

FLAGS = {"a": -2, "all": -2, "m": -3, "mine": -3, "g": -1, "group": -1, "G": -4}
"""Words for the filter flag of pools."""
_EXAMPLES = ("list", "list -l ID,NAME -f 'NAME~^web'", "list -o json", "list --csv --no-header")


@dataclass(frozen=True, slots=True)
class Listing:
    """What the options of a list ask for, checked."""

    kind: Kind
    columns: tuple[Column, ...]
    conditions: tuple[filters.Condition, ...]
    every: bool
    layout: table.Layout
    view: View
    form: str
    delimiter: str
    extended: bool
    search: filters.Search | None
    pager: bool


def list_(kind: Kind) -> click.Command:
    """The command `list`."""
    return command(
        kind, "list", run_list, *arguments(kind), *options(kind), help=f"List {kind.title}.", examples=_EXAMPLES
    )


def top(kind: Kind) -> click.Command:
    """The command `top`."""
    return command(
        kind,
        "top",
        run_top,
        *arguments(kind),
        *options(kind),
        help=f"List {kind.title} again and again.",
        examples=["top -d 2"],
    )


def run_list(session: Session, kind: Kind, filterflag: str = "", describe: bool = False, **given: Any) -> None:
    """List objects."""
    if describe:
        for column in kind.columns:
            session.say(f"{column.name:16}: {column.help}")
        return
    listing = _listing(kind, **given)
    _page(_lines(session, listing, filterflag), listing.pager)


def run_top(
    session: Session, kind: Kind, filterflag: str = "", describe: bool = False, delay: float = 5.0, **given: Any
) -> None:
    """List objects until interrupted."""
    while True:
        text = "\n".join(_lines(session, _listing(kind, **given), filterflag))
        sys.stdout.write(("\x1b[H\x1b[J" if on_terminal() else "") + text + "\n")
        sys.stdout.flush()
        time.sleep(delay)


def _listing(
    kind: Kind,
    names: str | None = None,
    named: str | None = None,
    condition: str | None = None,
    operator: str = "AND",
    delimiter: str = ",",
    no_pager: bool = False,
    extended: bool = False,
    search: str | None = None,
    numeric: bool = False,
    kilobytes: bool = False,
    delay: float = 0,
    output: str | None = None,
    xml: bool = False,
    json: bool = False,
    yaml: bool = False,
    csv: bool = False,
    **look: Any,
) -> Listing:
    if len(delimiter) != 1:
        raise CliError("--csv-del takes one character")
    form = formats.chosen(output, xml, json, yaml, csv)
    return Listing(
        kind,
        _columns(kind, names, named),
        tuple(filters.parse(kind, condition or "")),
        operator.upper() == "AND",
        _layout(kind, **look),
        View(numeric, kilobytes, time.time()),
        form,
        delimiter,
        extended,
        filters.Search(kind, search) if search else None,
        pager=form == "table" and not no_pager and on_terminal(),
    )


def _columns(kind: Kind, names: str | None, named: str | None) -> tuple[Column, ...]:
    wanted: Sequence[str] = kind.default
    if named:
        if named not in kind.views and named != "default":
            raise CliError(f"no set of columns {named}; there are {', '.join(['default', *kind.views])}")
        wanted = kind.views.get(named, kind.default)
    if names:
        wanted = [n.strip() for n in names.split(",") if n.strip()]
    return tuple(_column(kind, name) for name in wanted)


def _column(kind: Kind, name: str) -> Column:
    found = kind.column(name)
    if found is None:
        raise CliError(f"no column {name}; there are {', '.join(c.name for c in kind.columns)}")
    return found


def _layout(
    kind: Kind, adjust: str | None, size: str | None, expand: str | None, no_expand: bool, no_header: bool
) -> table.Layout:
    sizes = {_column(kind, name).name: int(_positive(text)) for name, text in _pairs(size or "")}
    fit = frozenset(_column(kind, name).name for name, _ in _pairs(adjust or ""))
    grow = {_column(kind, name).name: _positive(text or "1") for name, text in _pairs(expand or "")} or None
    return table.Layout(_width(), not no_header, coloured(), sizes, fit, {} if no_expand else grow)


def _width() -> int:
    if not on_terminal():
        return 0
    import shutil

    return shutil.get_terminal_size().columns


def _pairs(text: str) -> list[tuple[str, str]]:
    return [
        (name.strip(), number.strip()) for name, _, number in (p.partition("=") for p in text.split(",") if p.strip())
    ]


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 10_000:
        raise CliError(f"{text!r} is not a width: NAME=NUMBER was expected")
    return number


def _lines(session: Session, listing: Listing, filterflag: str) -> list[str]:
    listing = replace(listing, view=_with_more(session, listing))
    body = _fetch(session, listing, filterflag)
    for element in body.findall(listing.kind.tag):
        if (
            listing.search
            and not listing.search.finds(element)
            or not filters.keep(listing.conditions, element, listing.view, listing.every)
        ):
            body.remove(element)
    if listing.form in ("xml", "json", "yaml"):
        return [formats.document(body, listing.form)]
    if listing.form == "name":
        return [element.findtext("NAME") or "" for element in body.findall(listing.kind.tag)]
    rows = [[c.cell(element, listing.view) for c in listing.columns] for element in body.findall(listing.kind.tag)]
    if listing.form == "csv":
        return formats.separated(
            [[c.name for c in listing.columns]][not listing.layout.header :] + rows, listing.delimiter
        )
    return table.lines(
        [table.Head(c.name, c.size, c.left, c.wide, c.state) for c in listing.columns], rows, listing.layout
    )


def _with_more(session: Session, listing: Listing) -> View:
    asked = {c.name: c.more for c in (*listing.columns, *(c.column for c in listing.conditions)) if c.more}
    return replace(listing.view, more={name: more(session) for name, more in asked.items()})


def _fetch(session: Session, listing: Listing, filterflag: str) -> Body:
    from onecore.wire import xmlbody

    kind, flag = listing.kind, filter_flag(session, filterflag or "a")
    if kind.extended and (listing.extended or listing.search):
        return xmlbody.read(session.text(f"one.{kind.pool}.{kind.extended}", *pool_arguments(kind, flag)))
    body = read_pool(session, kind, flag)
    if listing.extended:
        for element in body.findall(kind.tag):
            body[body.index(element)] = read_info(session, kind, int(element.findtext("ID") or -1))
    return body


def filter_flag(session: Session, text: str) -> int:
    """The number for a filter flag given as a word, a user id or a user name."""
    if text in FLAGS:
        return FLAGS[text]
    if text.lstrip("-").isdigit():
        return int(text)
    from cli.kinds import kind

    return id_of(session, kind("user"), text)


def _page(lines: Sequence[str], pager: bool) -> None:
    text = "\n".join(lines)
    program = os.environ.get("ONE_PAGER", "more").strip()
    if pager and program:
        import shutil
        import subprocess

        if len(lines) >= shutil.get_terminal_size().lines and shutil.which(program.split()[0]):
            subprocess.run(program, shell=True, input=text + "\n", text=True, check=False)
            return
    if text:
        sys.stdout.write(text + "\n")
