"""OpenNebula's expression language for requirements and ranks: text to a tree and back.

The grammar is OpenNebula's (expr_parser.l, expr_bool.y, expr_arith.y, as facts): `&`, `|` and `!` share one precedence
level, left associative; a unary minus reaches over the product that follows it; names and values may be quoted.  What a
tree is worth for an object is in evaluate.py.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal

MAX_LENGTH = 65536
MAX_DEPTH = 64

Operator = Literal["=", "!=", ">", "<", "@>"]
Joint = Literal["&", "|", "+", "-", "*", "/"]


class ExpressionError(ValueError):
    """The text is not an expression; the message names the column."""


@dataclass(frozen=True, slots=True)
class Empty:
    """No text: true as a requirement, 0 as a rank."""


@dataclass(frozen=True, slots=True)
class Compare:
    """An attribute compared with a literal: a str (a glob), an int or a float."""

    name: str
    operator: Operator
    value: str | int | float


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary of a requirement."""

    inside: Expression


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a rank."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute's number in a rank; 0 where the object lacks it."""

    name: str


@dataclass(frozen=True, slots=True)
class Minus:
    """A rank with its sign turned."""

    inside: Expression


@dataclass(frozen=True, slots=True)
class Chain:
    """Two or more parts taken from left to right; all its joints have one precedence."""

    parts: tuple[Expression, ...]
    joints: tuple[Joint, ...]


Expression = Empty | Compare | Not | Number | Attribute | Minus | Chain

_TOKEN = re.compile(r'(?P<word>[A-Za-z][A-Za-z0-9_]*)|(?P<quoted>"[^"]*")|(?P<float>[0-9]+\.[0-9]+)|(?P<int>[0-9]+)'
                    r'|(?P<mark>[@!&|=><()*+/-])')
_BLANK = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class _Cursor:
    """The tokens of one text; `kind` and `text` are the present one's."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"an expression of {len(text)} characters is too long (at most {MAX_LENGTH})")
        self.source, self.end, self.depth = text, 0, 0
        self.start, self.kind, self.text = 0, "", ""
        self.step()

    def step(self) -> None:
        """Go to the next token; kind is "end" after the last."""
        blank = _BLANK.match(self.source, self.end)
        self.start = blank.end() if blank else self.end
        found = _TOKEN.match(self.source, self.start)
        if found:
            self.kind, self.text, self.end = str(found.lastgroup), found.group(), found.end()
        elif self.start == len(self.source):
            self.kind, self.text, self.end = "end", "", self.start
        else:
            what = "a quote that is not closed" if self.source[self.start] == '"' else repr(self.source[self.start])
            raise ExpressionError(f"unexpected {what} at column {self.start + 1}")

    def at(self, *marks: str) -> bool:
        """Is the present token one of MARKS?"""
        return self.kind == "mark" and self.text in marks

    def unexpected(self, expecting: str) -> ExpressionError:
        """The error that says what stands here and what should."""
        what = "end" if self.kind == "end" else repr(self.text[:40])
        return ExpressionError(f"unexpected {what} at column {self.start + 1}, expecting {expecting}")

    def take(self) -> str:
        """The present token's text; goes on to the next."""
        text = self.text
        self.step()
        return text

    def close(self) -> None:
        """Take the closing parenthesis."""
        if not self.at(")"):
            raise self.unexpected("& or | or )")
        self.step()

    def deeper(self) -> None:
        """Count one level of nesting; refuses absurd ones."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError(f"nested more than {MAX_DEPTH} deep at column {self.start + 1}")


@lru_cache(maxsize=4096)
def parse_requirement(text: str) -> Expression:
    """TEXT as a boolean expression; raises ExpressionError."""
    cursor = _Cursor(text)
    if cursor.kind == "end":
        return Empty()
    tree = _condition(cursor)
    if cursor.kind != "end":
        raise cursor.unexpected("& or |")
    return tree


@lru_cache(maxsize=4096)
def parse_rank(text: str) -> Expression:
    """TEXT as an arithmetic expression; raises ExpressionError."""
    cursor = _Cursor(text)
    if cursor.kind == "end":
        return Empty()
    tree = _sum(cursor)
    if cursor.kind != "end":
        raise cursor.unexpected("+ - * or /")
    return tree


def _joined(parts: list[Expression], joints: list[Joint]) -> Expression:
    return parts[0] if len(parts) == 1 else Chain(tuple(parts), tuple(joints))


def _condition(cursor: _Cursor) -> Expression:
    parts, joints = [_term(cursor)], list[Joint]()
    while cursor.at("&", "|"):
        joints.append("&" if cursor.take() == "&" else "|")
        parts.append(_term(cursor))
    return _joined(parts, joints)


def _term(cursor: _Cursor) -> Expression:
    cursor.deeper()
    tree: Expression
    if cursor.at("!"):
        cursor.step()
        tree = Not(_term(cursor))
    elif cursor.at("("):
        cursor.step()
        tree = _condition(cursor)
        cursor.close()
    else:
        tree = _comparison(cursor)
    cursor.depth -= 1
    return tree


def _comparison(cursor: _Cursor) -> Compare:
    name = _name(cursor)
    operator = _operator(cursor)
    if cursor.kind in ("word", "quoted"):
        if operator in ("<", ">"):
            raise cursor.unexpected(f"a number after {operator}")
        return Compare(name, operator, cursor.take().strip('"'))
    return Compare(name, operator, _number(cursor, "a value"))


def _name(cursor: _Cursor) -> str:
    """An attribute; a path is taken without its quotes too, as no comparison has another use for `/`."""
    if cursor.kind not in ("word", "quoted") or cursor.text == '""':
        raise cursor.unexpected("an attribute, ! or (")
    name = cursor.take().strip('"')
    while cursor.at("/"):
        cursor.step()
        if cursor.kind != "word":
            raise cursor.unexpected("the rest of a path")
        name += "/" + cursor.take()
    return name


def _operator(cursor: _Cursor) -> Operator:
    if cursor.at("=", ">", "<"):
        mark = cursor.take()
        if mark != "=" and cursor.at("="):
            raise ExpressionError(f"unexpected '=' at column {cursor.start + 1}: "
                                  f"there is no {mark}= operator, only = != > < @>")
        return "=" if mark == "=" else ">" if mark == ">" else "<"
    if cursor.at("!", "@"):
        mark = cursor.take()
        if not cursor.at("=" if mark == "!" else ">"):
            raise cursor.unexpected("=" if mark == "!" else ">")
        cursor.step()
        return "!=" if mark == "!" else "@>"
    raise cursor.unexpected("= != > < or @>")


def _number(cursor: _Cursor, expecting: str) -> int | float:
    negative = cursor.at("-")
    if negative:
        cursor.step()
    if cursor.kind not in ("int", "float"):
        raise cursor.unexpected(expecting)
    if len(cursor.text) > 300:
        raise ExpressionError(f"the number at column {cursor.start + 1} is too long")
    size: int | float = int(cursor.text) if cursor.kind == "int" else float(cursor.text)
    cursor.step()
    return -size if negative else size


def _sum(cursor: _Cursor) -> Expression:
    parts, joints = [_product(cursor)], list[Joint]()
    while cursor.at("+", "-"):
        joints.append("+" if cursor.take() == "+" else "-")
        parts.append(_product(cursor))
    return _joined(parts, joints)


def _product(cursor: _Cursor) -> Expression:
    parts, joints = [_factor(cursor)], list[Joint]()
    while cursor.at("*", "/"):
        joints.append("*" if cursor.take() == "*" else "/")
        parts.append(_factor(cursor))
    return _joined(parts, joints)


def _factor(cursor: _Cursor) -> Expression:
    cursor.deeper()
    tree: Expression
    if cursor.at("-") and not cursor.source[cursor.end:cursor.end + 1].isdecimal():
        cursor.step()
        tree = Minus(_product(cursor))
    elif cursor.at("("):
        cursor.step()
        tree = _sum(cursor)
        cursor.close()
    elif cursor.kind in ("word", "quoted") and cursor.text != '""':
        tree = Attribute(cursor.take().strip('"'))
    else:
        tree = Number(_number(cursor, "an attribute, a number, - or ("))
    cursor.depth -= 1
    return tree


def to_text(tree: Expression) -> str:
    """The tree as text that parses to the same tree."""
    match tree:
        case Compare(name, operator, value):
            return f"{_quoted(name)} {operator} {_literal(value)}"
        case Not(inside):
            return f"!({to_text(inside)})"
        case Number(value):
            return _literal(value)
        case Attribute(name):
            return _quoted(name)
        case Minus(inside):
            return f"-({to_text(inside)})"
        case Chain(parts, joints):
            tail = "".join(f" {joint} {_part(part)}" for joint, part in zip(joints, parts[1:], strict=True))
            return _part(parts[0]) + tail
    return ""


def _part(tree: Expression) -> str:
    return f"({to_text(tree)})" if isinstance(tree, (Chain, Minus)) else to_text(tree)


def _quoted(name: str) -> str:
    return name if _WORD.match(name) else f'"{name}"'


def _literal(value: str | int | float) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int):
        return str(value)
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else text + ".0"


def names(tree: Expression) -> frozenset[str]:
    """Every attribute that the tree looks at."""
    match tree:
        case Compare(name, _, _) | Attribute(name):
            return frozenset((name,))
        case Not(inside) | Minus(inside):
            return names(inside)
        case Chain(parts, _):
            return frozenset().union(*map(names, parts))
    return frozenset()


def demands(tree: Expression) -> tuple[Expression, ...]:
    """The parts that must each be true: those of a chain of `&` alone, else the whole."""
    if isinstance(tree, Chain) and set(tree.joints) == {"&"}:
        return tree.parts
    return (tree,)
