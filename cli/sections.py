"""Building blocks of `show`: titles, labelled lines, small tables, permissions, templates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cli import table
from cli.cells import value
from cli.session import coloured

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def title(text: str) -> str:
    """The heading of a section, 80 wide and underlined on a terminal."""
    return f"\x1b[1m\x1b[4m{text:<80}\x1b[0m" if coloured() else text


def fields(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """`LABEL : text` lines."""
    return [f"{label:<20}: {text}".rstrip() for label, text in pairs]


def section(heading: str, body: Sequence[str]) -> list[str]:
    """A blank line, the heading and its lines; nothing when there are no lines."""
    return ["", title(heading), *body] if body else []


def grid(heads: Sequence[tuple[str, int, bool]], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table with (name, least width, left) columns; empty when there are no rows."""
    named = [table.Head(name, size, left) for name, size, left in heads]
    return table.lines(named, rows, table.Layout(colour=coloured())) if rows else []


def permissions(body: Body) -> list[str]:
    """The permission bits as `um-` lines; nothing for a kind that has none."""
    bits = body.find("PERMISSIONS")
    if bits is None:
        return []
    return section("PERMISSIONS", fields((who, _bits(bits, who)) for who in ("OWNER", "GROUP", "OTHER")))


def _bits(bits: Body, who: str) -> str:
    return "".join(letter.lower() if value(bits, f"{who}_{letter}") == "1" else "-" for letter in "UMA")


def lock(body: Body) -> str:
    """The lock's level in a word."""
    return {"1": "Use", "2": "Manage", "3": "Admin", "4": "All"}.get(value(body, "LOCK/LOCKED"), "None")


def ids(body: Body, path: str) -> list[str]:
    """Ids in lines of at most twenty."""
    found = [element.text or "" for element in body.findall(path)]
    return [", ".join(found[i : i + 20]) for i in range(0, len(found), 20)]


def template(heading: str, body: Body, path: str = "TEMPLATE", hide: Iterable[str] = ()) -> list[str]:
    """The attributes at PATH in ATTR=VALUE form, but for those of HIDE, in alphabetical order."""
    text = template_text(body, path, hide)
    return section(heading, text.splitlines() or [""])


def template_text(body: Body, path: str, hide: Iterable[str] = ()) -> str:
    """As template, bare text."""
    from onecore.wire.template import Tree, to_text, tree_of

    element = body.find(path)
    if element is None:
        return ""
    return to_text(Tree(sorted(tree_of(element).without(hide), key=lambda pair: pair[0])))
