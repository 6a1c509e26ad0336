"""Rows to lines: widths, alignment, cutting, header and colours.  Knows nothing of kinds or servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_GREEN, _YELLOW, _RED, _END = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
_HEADER = "\x1b[1m\x1b[4m"
_WORDS = {
    _GREEN: "runn on rdy used ready enabled running",
    _RED: "fail err unkn error dsbl_err",
    _YELLOW: "pend hold prol boot migr save epil shut hotp snap drsz back rest clea susp stop poff unde clon init "
    "retry update lock disa dsbl off dele waiting held cancelling",
}
_COLOUR = {word: code for code, words in _WORDS.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Head:
    """A column as the table sees it.  `size` is its least width."""

    name: str
    size: int
    left: bool = False
    wide: bool = False
    state: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide and how dressed.  `width` 0: not a terminal, every column as wide as its content, nothing is cut.

    `sizes` fixes widths by name, `fit` names columns as wide as their content, `grow` the shares of what is left over.
    """

    width: int = 0
    header: bool = True
    colour: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)
    fit: frozenset[str] = frozenset()
    grow: Mapping[str, float] | None = None


def lines(heads: Sequence[Head], rows: Sequence[Sequence[str]], layout: Layout) -> list[str]:
    """The table as lines, header first."""
    sizes = widths(heads, rows, layout)
    out = []
    if layout.header:
        text = " ".join(_pad(h.name, size, h.left) for h, size in zip(heads, sizes, strict=True))
        out.append(f"{_HEADER}{text}{_END}" if layout.colour else text.rstrip())
    out += [_line(heads, row, sizes, layout.colour) for row in rows]
    return out


def widths(heads: Sequence[Head], rows: Sequence[Sequence[str]], layout: Layout) -> list[int]:
    """The width of each column."""
    content = [max([len(row[i]) for row in rows] + [len(h.name)]) for i, h in enumerate(heads)]
    sizes = [
        layout.sizes.get(h.name) or (size if h.name in layout.fit else max(h.size, size))
        for h, size in zip(heads, content, strict=True)
    ]
    if layout.width:
        left = layout.width - sum(sizes) - len(heads) + 1
        _shrink(heads, sizes, layout, -left) if left < 0 else _grow(heads, sizes, layout, left)
    return sizes


def _shrink(heads: Sequence[Head], sizes: list[int], layout: Layout, excess: int) -> None:
    fixed = {*layout.sizes, *layout.fit}
    for _ in range(excess):
        able = [i for i, h in enumerate(heads) if sizes[i] > h.size and h.name not in fixed]
        if not able:
            return
        sizes[max(able, key=sizes.__getitem__)] -= 1


def _grow(heads: Sequence[Head], sizes: list[int], layout: Layout, left: int) -> None:
    shares = layout.grow if layout.grow is not None else {h.name: 1.0 for h in heads if h.wide}
    takers = {i: shares[h.name] for i, h in enumerate(heads) if h.name in shares and h.name not in layout.sizes}
    total = sum(takers.values())
    for i, portion in takers.items():
        sizes[i] += int(left * (portion / total if total > 1 else portion))


def _line(heads: Sequence[Head], row: Sequence[str], sizes: Sequence[int], colour: bool) -> str:
    cells = []
    for head, text, size in zip(heads, row, sizes, strict=True):
        cell = _pad(text if len(text) <= size else text[:size], size, head.left)
        code = _COLOUR.get(text) if colour and head.state else None
        cells.append(f"{code}{cell}{_END}" if code else cell)
    return " ".join(cells).rstrip()


def _pad(text: str, size: int, left: bool) -> str:
    return text.ljust(size) if left else text.rjust(size)
