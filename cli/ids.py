"""From what the user wrote (`1,3..7` or names) to ids, and the loop over them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from cli.errors import FAILED, CliError
from cli.kind import Kind
from cli.session import Caller, Session

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_RANGE = re.compile(r"(\d+)\.\.(\d+)\Z")
MOST = 1_000_000
"""Ids in one argument; beyond that it is a slip of the keyboard."""


def pool_arguments(kind: Kind, filter_flag: int = -2) -> tuple[int, ...]:
    """The arguments of the kind's pool.info: everything that FILTER_FLAG lets see."""
    return (filter_flag, -1, -1, *kind.tail) if kind.filtered else ()


Past = Callable[[str], int | None]
"""The id of an object that had this name once."""


def ids_of(session: Session, kind: Kind, text: str, past: Past | None = None) -> list[int]:
    """The ids that TEXT names, in its order, each once; raises CliError for a name that is not one object's.

    PAST is asked for the id of a name that no object has now.
    """
    found: list[int] = []
    names: dict[str, list[int]] | None = None
    for part in filter(None, (p.strip() for p in text.split(","))):
        numbers = _numbers(part)
        if numbers is None:
            names = names if names is not None else _names(session, kind)
            gone = past(part) if past and part not in names else None
            numbers = [_one(names, kind, part) if gone is None else gone]
        found += numbers
    if not found:
        raise CliError(f"{kind.tag}: no id or name given")
    return list(dict.fromkeys(found))


def id_of(session: Session, kind: Kind, text: str) -> int:
    """The id of one object, given by id or name."""
    return int(text) if text.isascii() and text.isdigit() else _one(_names(session, kind), kind, text)


def read_pool(caller: Caller, kind: Kind, filter_flag: int = -2, timeout: float | None = None) -> Body:
    """The body of the kind's pool: everything that FILTER_FLAG lets see."""
    from onecore.wire import xmlbody

    if kind.pool_reader:
        return kind.pool_reader(caller, filter_flag, timeout)
    text = caller.call(f"one.{kind.pool}.info", *pool_arguments(kind, filter_flag), timeout=timeout)
    return xmlbody.read(str(text))


def read_info(session: Session, kind: Kind, oid: int, *arguments: object) -> Body:
    """The body of one object; ARGUMENTS are what its info method takes besides the id."""
    from onecore.wire import xmlbody

    if kind.reader:
        return kind.reader(session, oid)
    return xmlbody.read(session.text(kind.call("info"), oid, *arguments))


def _numbers(part: str) -> list[int] | None:
    if part.isascii() and part.isdigit():
        return [int(part)]
    ends = _RANGE.match(part)
    if not ends:
        return None
    first, last = int(ends[1]), int(ends[2])
    if not first <= last < first + MOST:
        raise CliError(f"{part} is not a range of ids")
    return list(range(first, last + 1))


def _names(session: Session, kind: Kind) -> dict[str, list[int]]:
    names: dict[str, list[int]] = {}
    for name, oid in entries(session, kind):
        names.setdefault(name, []).append(oid)
    return names


def entries(session: Session, kind: Kind) -> Iterator[tuple[str, int]]:
    """Name and id of every object that the user can see."""
    for body in read_pool(session, kind).findall(kind.tag):
        yield body.findtext("NAME") or "", int(body.findtext("ID") or -1)


def _one(names: dict[str, list[int]], kind: Kind, name: str) -> int:
    found = names.get(name, [])
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(map(str, found))
        raise CliError(f"There are multiple {kind.tag}s with name {name}: give the id of one, of {ids}.")
    raise CliError(
        (f"{kind.absent} {name}" if kind.absent else f"{kind.tag} named {name} not found") + _close(names, name)
    )


def _close(names: Iterable[str], name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else "."


def each(session: Session, kind: Kind, text: str, act: Callable[[int], object], done: str) -> int:
    """Do ACT for every id of TEXT; errors are told, the rest still done.  Returns the exit code."""
    return each_of(session, kind, ids_of(session, kind, text), act, done)


def each_of(session: Session, kind: Kind, oids: Iterable[int], act: Callable[[int], object], done: str) -> int:
    """As each, for ids that are known."""
    code = 0
    for oid in oids:
        try:
            act(oid)
        except CliError as error:
            if error.offline:
                raise
            session.fail(error)
            code = FAILED
        else:
            if done:
                session.told(f"{kind.tag} {oid}: {done}")
    return code
