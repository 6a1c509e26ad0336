"""What an expression is worth: for all rows of some columns at once, or for a single object.

A missing attribute makes every comparison false, `!=` included, and counts 0 in a rank.  Texts are compared as C's
fnmatch does; a number is what the attribute's text begins with, without its fraction where the literal has none.
"""
from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from scheduler.columns import ALL, Bools, Columns, Floats, Ints, Leaves, Rows, Table, Texts, number
from scheduler.requirements import Attribute, Chain, Compare, Empty, Expression, Minus, Not, Number

RANK_LIMIT = 2.0 ** 53
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt}
_JOIN: Mapping[str, Callable[[Any, Any], Any]] = {
    "&": operator.and_, "|": operator.or_, "+": operator.add, "-": operator.sub, "*": operator.mul, "/": np.divide}


@lru_cache(maxsize=4096)
def glob(pattern: str) -> Callable[[str], bool]:
    """Does a text match PATTERN?  `\\` makes the character after it literal."""
    plain = re.sub(r"\\(.)", lambda m: f"[{m[1]}]" if m[1] in "*?[" else m[1], pattern, flags=re.S)
    try:
        matches = re.compile(fnmatch.translate(plain)).match
    except re.error:
        return lambda text: text == pattern
    return lambda text: matches(text) is not None


def holds(tree: Expression, columns: Columns, rows: Rows = ALL) -> Bools:
    """Which of ROWS meet the requirement."""
    match tree:
        case Compare():
            return _compare(tree, columns, rows)
        case Not(inside):
            return ~holds(inside, columns, rows)
        case Chain(parts, joints):
            result = holds(parts[0], columns, rows)
            for joint, part in zip(joints, parts[1:], strict=True):
                result = _JOIN[joint](result, holds(part, columns, rows))
            return result
        case Empty():
            return np.ones(columns.numbers("ID")[rows].shape, dtype=np.bool_)
    raise TypeError(f"{tree} is not a requirement")


def ranks(tree: Expression, columns: Columns, rows: Rows = ALL) -> Ints:
    """The rank of each of ROWS, cut to an integer."""
    with np.errstate(all="ignore"):
        values = np.trunc(_arithmetic(tree, columns, rows))
    clear = np.nan_to_num(values, nan=0.0, posinf=RANK_LIMIT, neginf=-RANK_LIMIT)
    cut: Ints = np.clip(clear, -RANK_LIMIT, RANK_LIMIT).astype(np.int64)
    return cut


def holds_one(tree: Expression, attributes: Leaves) -> bool:
    """Does this one object meet the requirement?"""
    return bool(holds(tree, Table([attributes]))[0])


def rank_one(tree: Expression, attributes: Leaves) -> int:
    """The rank of this one object."""
    return int(ranks(tree, Table([attributes]))[0])


def _compare(tree: Compare, columns: Columns, rows: Rows) -> Bools:
    sets = columns.members(tree.name)
    if sets is not None:
        wanted = number(str(tree.value))
        chosen = sets[rows] if isinstance(rows, slice) else [sets[row] for row in rows]
        inside = np.fromiter((wanted in ids for ids in chosen), dtype=np.bool_, count=len(chosen))
        return ~inside if tree.operator == "!=" else inside & (tree.operator in ("=", "@>"))
    if tree.operator == "@>" or isinstance(tree.value, str):
        column = columns.texts(tree.name)
        return _lookup(column, _test(tree))[column.codes[rows]]
    return _numeric(columns.numbers(tree.name)[rows], tree.operator, tree.value)


def _numeric(values: Floats, sign: str, literal: int | float) -> Bools:
    if isinstance(literal, int):
        values = np.trunc(values)
    result: Bools = _COMPARE[sign](values, float(literal))
    return result & ~np.isnan(values) if sign == "!=" else result


def _lookup(column: Texts, test: Callable[[tuple[str, ...]], bool]) -> Bools:
    return np.fromiter((test(values) for values in column.values), dtype=np.bool_, count=len(column.values))


def _test(tree: Compare) -> Callable[[tuple[str, ...]], bool]:
    value = tree.value
    if not isinstance(value, str):
        return lambda values: any(number(text) == value for text in values)
    if not value:
        return lambda values: False
    same = glob(value)
    if tree.operator == "@>":
        return lambda values: any(map(same, values))
    wanted = tree.operator == "="
    return lambda values: bool(values) and same(values[0]) == wanted


def _arithmetic(tree: Expression, columns: Columns, rows: Rows) -> Floats:
    match tree:
        case Attribute(name):
            return np.nan_to_num(columns.numbers(name)[rows], nan=0.0)
        case Number(value):
            return _constant(float(value), columns, rows)
        case Minus(inside):
            return -_arithmetic(inside, columns, rows)
        case Chain(parts, joints):
            result = _arithmetic(parts[0], columns, rows)
            for joint, part in zip(joints, parts[1:], strict=True):
                result = _JOIN[joint](result, _arithmetic(part, columns, rows))
            return result
        case Empty():
            return _constant(0.0, columns, rows)
    raise TypeError(f"{tree} is not a rank")


def _constant(value: float, columns: Columns, rows: Rows) -> Floats:
    return np.full(columns.numbers("ID")[rows].shape, value)
