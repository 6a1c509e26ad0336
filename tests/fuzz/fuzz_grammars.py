"""The grammars by themselves: what each input may lead to, and nothing else."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import fuzz_words as words
from hypothesis import strategies as st
from lxml import etree

from onecore.errors import OneError
from onecore.kinds.vm import search
from onecore.wire import acl, template, xmlrpc
from scheduler.evaluate import holds_one, rank_one
from scheduler.requirements import ExpressionError, parse_rank, parse_requirement, to_text


@dataclass(frozen=True)
class Grammar:
    """Inputs, and what must hold for each; anything raised is a finding."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


_TAGS = ("methodCall", "methodName", "params", "param", "value", "int", "i4", "i8", "boolean", "double", "string",
         "base64", "dateTime.iso8601", "nil", "array", "data", "struct", "member", "name", "what")
_BITS = st.sampled_from([*(f"<{t}>" for t in _TAGS), *(f"</{t}>" for t in _TAGS), *(f"<{t}/>" for t in _TAGS), "1", "x",
                         "&amp;", "&#0;", "&#x41;", "&e;", "<!--", "-->", "<?x?>", "<![CDATA[", "]]>", "<!DOCTYPE a>",
                         '<!DOCTYPE a [<!ENTITY e "ee"><!ENTITY f "&e;&e;&e;">]>', " xmlns='u'", "\x00", "\ud7ff"])
_leaf = (words.text | st.integers(-2**70, 2**70) | st.booleans() | st.floats() | st.binary(max_size=20)
         | st.sampled_from(words.NASTY))
_argument = st.recursive(_leaf, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(
    words.text, inside, max_size=3), max_leaves=12)


@st.composite
def _calls(draw: st.DrawFn) -> bytes:
    """A call of anything, which may have been damaged."""
    name = draw(st.sampled_from(("one.vm.info", "x", "", "é")))
    call = xmlrpc.encode_call(name, draw(st.lists(_argument, max_size=5)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(call)))
        cut = draw(st.integers(0, 8))
        call = call[:at] + draw(st.binary(max_size=4) | _BITS.map(lambda bit: bit.encode())) + call[at + cut:]
    return call


def _call(data: bytes) -> None:
    try:
        name, given = xmlrpc.decode_call(data)
    except xmlrpc.BadCall as error:
        etree.fromstring(xmlrpc.fault(-503, f"Not an XML-RPC call: {error}"))
        return
    assert name and isinstance(given, list)


def _parsed(text: str) -> None:
    try:
        tree = template.parse(text)
    except template.TemplateError as error:
        assert "line" in str(error), error
        return
    for again in (template.to_text(tree), template.to_xml(tree)):
        assert template.parse(again) == tree, again


_HOST = {"ID": ("3",), "CLUSTER_ID": ("0",), "FREE_CPU": ("100", "-5.5"), "TEMPLATE/A": ("", "é"),
         "CLUSTERS/ID": ("0", "7")}


def _expression(text: str) -> None:
    for parse, worth in ((parse_requirement, holds_one), (parse_rank, rank_one)):
        try:
            tree = parse(text)
        except ExpressionError as error:
            assert str(error)
            continue
        worth(tree, _HOST)
        assert parse(to_text(tree)) == tree, to_text(tree)


_MARKS = st.sampled_from(("&", "|", "!", "(", ")", "=", "!=", ">", "<", "@>", "+", "-", "*", "/", '"', "ID",
                          "CLUSTER_ID", '"a b"', "FREE_CPU", "1", "0.5", "9" * 400, "1.", "*", "?", "[a", " ", "\n",
                          "é", "\\"))


def _rule(line: str) -> None:
    try:
        rule = acl.written(line)
    except ValueError as error:
        assert str(error)
        return
    assert acl.written(acl.text(rule)) == rule


def _masks(given: tuple[str, str, str, str]) -> None:
    try:
        rule = acl.parse(*given)
    except ValueError as error:
        assert str(error)
        return
    assert acl.written(acl.text(rule)) == rule


def _query(text: str) -> None:
    try:
        search.parse(text)
    except OneError as error:
        assert str(error)


_seeds = st.integers(0, 2**64)
_value = st.sampled_from(words.NASTY) | words.text | st.integers(-3, 300).map(str)
_hex = st.integers(0, 2**66).map(lambda n: f"{n:x}") | st.sampled_from(words.NASTY) | st.sampled_from(
    ("100000000", "200000001", "400000000", "1400000000", "1800000000", "f", "0", "-1", "0x1", "1_0"))
_sign = st.sampled_from(("#", "@", "%", "*", "")) | words.text
_kinds = st.lists(st.sampled_from([*acl.RESOURCES, "X", "vm", ""]), max_size=4).map("+".join)
_rights = st.lists(st.sampled_from([*acl.RIGHTS, "ALL", ""]), max_size=4).map("+".join)
_lines = st.tuples(_sign, _value, _kinds, _sign, _value, _rights, _sign, _value).map(
    lambda p: f"{p[0]}{p[1]} {p[2]}/{p[3]}{p[4]} {p[5]} {p[6]}{p[7]}") | words.text



def _large(bits: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The same again and again: what takes time that grows faster than the input takes too long here."""
    return st.tuples(st.lists(bits, min_size=1, max_size=6), st.integers(50, 5000), st.lists(bits, max_size=3)).map(
        lambda parts: "".join(parts[0]) * parts[1] + "".join(parts[2]))


def _many(bits: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    return st.lists(bits, max_size=most).map("".join)


_TEXT = st.sampled_from((*'=[],"#\\ \n\t\r', "A", "B_1", "1", '\\"', "]]>", "é"))
_XML = _BITS | st.sampled_from(("<A>", "</A>", "<B a='1'>", "</B>", "<T>", "</T>"))
_QUERY = st.sampled_from(("NAME", ".", "=", "&", "[0]", "[*]", "a", "%", "VM"))
GRAMMARS = {
    "calls": Grammar(_calls() | (_many(_BITS, 40) | _large(_BITS)).map(str.encode) | st.binary(), _call),
    "templates": Grammar(_seeds.map(lambda n: words.template(Random(n))) | words.text | _many(_TEXT, 40)
                         | _large(_TEXT), _parsed),
    "templates as XML": Grammar((_many(_XML, 30) | _large(_XML)).map(lambda inside: f"<T>{inside}</T>"), _parsed),
    "requirements": Grammar(_many(_MARKS, 40) | words.text | _large(_MARKS), _expression),
    "rules": Grammar(_lines, _rule), "masks of rules": Grammar(st.tuples(_hex, _hex, _hex, _hex), _masks),
    "search": Grammar(words.text | _many(_QUERY, 30) | _large(_QUERY), _query)}
"""By name."""
