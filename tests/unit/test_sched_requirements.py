"""The expression language: what it accepts, what it says of the rest, and what its trees are worth."""

from __future__ import annotations

import fnmatch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.columns import Live, Table
from scheduler.evaluate import glob, holds, holds_one, rank_one, ranks
from scheduler.requirements import (
    Attribute,
    Chain,
    Compare,
    Empty,
    Expression,
    ExpressionError,
    Minus,
    Not,
    Number,
    demands,
    names,
    parse_rank,
    parse_requirement,
    to_text,
)

HOST = {
    "ID": ("3",),
    "NAME": ("node3",),
    "CLUSTER_ID": ("0",),
    "HOST_SHARE/MAX_CPU": ("800",),
    "HOST_SHARE/RUNNING_VMS": ("5",),
    "TEMPLATE/ARCH": ("x86_64",),
    "TEMPLATE/CPUSPEED": ("2394.5",),
    "TEMPLATE/HYPERVISOR": ("kvm",),
    "CLUSTERS/ID": ("0", "103"),
}


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("", True),
        ("  \n", True),
        ('ARCH = "x86*"', True),
        ("ARCH = x86_64", True),
        ('ARCH != "arm"', True),
        ('GPU != "arm"', False),
        ("GPU = 1", False),
        ("GPU != 1", False),
        ("!(GPU = YES)", True),
        ("! GPU = YES", True),
        ("CPUSPEED > 2394", False),
        ("CPUSPEED > 2394.0", True),
        ("CPUSPEED = 2394", True),
        ("CPUSPEED < 2395.5", True),
        ("ARCH = 3", False),
        ("ARCH != 3", False),
        ('ARCH = ""', False),
        ('ARCH != ""', False),
        ('"CLUSTERS/ID" @> 103', True),
        ('"CLUSTERS/ID" @> 10', False),
        ("CLUSTERS/ID @> 103 & HOST_SHARE/MAX_CPU > 1", True),
        ('"CLUSTERS/ID" @> "1*"', True),
        ('"CLUSTERS/ID" = 103', False),
        ("ID @> 3", True),
        ('"/HOST/TEMPLATE/ARCH" = "x86_64"', True),
        ("ID = 3 | ID = 9 & ID = 9", False),
        ("ID = 3 | (ID = 9 & ID = 9)", True),
        ("!ID = 9 & ID = 9", False),
        ("!(ID = 9 & ID = 9)", True),
        ("ID = 3 & !ID = 9 | ID = 8", True),
        ("ID ! = 9", True),
        ("ID @ > 3", True),
        ("ID > -1", True),
        ("arch = x86_64", False),
    ],
)
def test_requirements_are_worth_what_opennebula_says(text: str, worth: bool) -> None:
    assert holds_one(parse_requirement(text), HOST) is worth


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("", 0),
        ("RUNNING_VMS", 5),
        ("- RUNNING_VMS", -5),
        ("-RUNNING_VMS + 10", 5),
        ("MAX_CPU / 3", 266),
        ("-7 / 2", -3),
        ("GPU", 0),
        ("GPU + 2 * 3", 6),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("10 -4", 6),
        ("-RUNNING_VMS * 2", -10),
        ("8 / - 2 / 2", -8),
        ("1 / GPU", 2**53),
        ("GPU / GPU", 0),
        ("CPUSPEED * 10", 23945),
        ("ARCH", 0),
        ("- 5", -5),
    ],
)
def test_ranks_are_worth_what_opennebula_says(text: str, worth: int) -> None:
    assert rank_one(parse_rank(text), HOST) == worth


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A >= 3", "column 4: there is no >= operator"),
        ("A = ", "unexpected end at column 5, expecting a value"),
        ("A", "unexpected end at column 2, expecting = != > < or @>"),
        ("A = 3 B = 4", "unexpected 'B' at column 7, expecting & or |"),
        ("(A = 3", "unexpected end at column 7"),
        ('A = "x', "a quote that is not closed at column 5"),
        ("A = 3 # 4", "'#' at column 7"),
        ('A > "x"', "expecting a number after >"),
        ("A ! 3", "unexpected '3' at column 5, expecting ="),
        ('"" = 3', "expecting an attribute"),
        ("3 = A", "expecting an attribute"),
        ("A/ = 3", "unexpected '=' at column 4, expecting the rest of a path"),
        ("A = 3 &", "unexpected end at column 8"),
        ("(" * 100, "deep"),
        ("!" * 70000, "too long"),
        ("A = " + "9" * 400, "too long"),
        ("A = ²", "column 5"),
    ],
)
def test_errors_name_the_place(text: str, told: str) -> None:
    with pytest.raises(ExpressionError, match="^.*" + told.replace("(", r"\(").replace("|", r"\|") + ".*$"):
        parse_requirement(text)


@pytest.mark.parametrize("text", ["1 +", "* 2", "A = 3", "(1", "1 2", "!A", '""'])
def test_bad_ranks_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="column"):
        parse_rank(text)


WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,4}", fullmatch=True)
NAMES = WORDS | st.from_regex(r'[^"\x00]{1,6}', fullmatch=True)
FLOATS = st.floats(-1e9, 1e9).map(lambda value: round(value, 6))
NUMBERS = st.integers(-(10**12), 10**12) | FLOATS
COMPARISONS = st.builds(
    Compare, NAMES, st.sampled_from(["=", "!=", "@>"]), st.text("ax*?[]!-\\0", max_size=5) | NUMBERS
) | st.builds(Compare, NAMES, st.sampled_from("<>"), NUMBERS)


def chains(parts: st.SearchStrategy[Expression], joints: str) -> st.SearchStrategy[Expression]:
    """Chains of PARTS."""
    return st.lists(parts, min_size=2, max_size=4).flatmap(
        lambda some: st.tuples(*[st.sampled_from(joints)] * (len(some) - 1)).map(
            lambda signs: Chain(tuple(some), signs)
        )
    )


REQUIREMENTS = st.just(Empty()) | st.recursive(
    COMPARISONS, lambda tree: tree.map(Not) | chains(tree, "&|"), max_leaves=12
)
RANKS = st.just(Empty()) | st.recursive(
    NUMBERS.map(Number) | NAMES.map(Attribute),
    lambda tree: tree.map(Minus) | chains(tree, "+-") | chains(tree, "*/"),
    max_leaves=12,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["A", "B", "c/D", "E"]),
    st.lists(st.sampled_from(["", "1", "2.5", "a", "ax", "-3 MB", "x86_64"]), min_size=1, max_size=3).map(tuple),
)


@given(REQUIREMENTS)
def test_a_printed_requirement_parses_to_itself(tree: Expression) -> None:
    assert parse_requirement(to_text(tree)) == tree


@given(RANKS)
def test_a_printed_rank_parses_to_itself(tree: Expression) -> None:
    assert parse_rank(to_text(tree)) == tree


@given(st.text('AB1.9 =!<>@&|()"*-+/^#é\n', max_size=40) | st.text(max_size=20))
def test_any_text_parses_or_is_refused_and_what_parses_has_a_worth(text: str) -> None:
    for parse, worth in ((parse_requirement, holds_one), (parse_rank, rank_one)):
        try:
            tree = parse(text)
        except ExpressionError:
            continue
        worth(tree, HOST)
        assert parse(to_text(tree)) == tree


def plainly(tree: Expression, thing: dict[str, tuple[str, ...]]) -> bool:
    """The worth of a requirement, worked out one object at a time and without numpy."""
    match tree:
        case Empty():
            return True
        case Not(inside):
            return not plainly(inside, thing)
        case Chain(parts, joints):
            found = plainly(parts[0], thing)
            for joint, part in zip(joints, parts[1:], strict=True):
                found = (found and plainly(part, thing)) if joint == "&" else (found or plainly(part, thing))
            return found
        case Compare(name, sign, value):
            texts = thing.get({"D": "c/D"}.get(name, name), ())
            return any(one(sign, text, value) for text in (texts if sign == "@>" else texts[:1]))
    raise AssertionError(tree)


def one(sign: str, text: str, value: str | int | float) -> bool:
    """A single comparison."""
    if isinstance(value, str):
        return bool(value) and (fnmatch.fnmatchcase(text, value) != (sign == "!="))
    try:
        number = float(text.split()[0]) if text else None
    except ValueError:
        number = None
    if number is None:
        return False
    if isinstance(value, int) and sign != "@>":
        number = int(number)
    return {
        "=": number == value,
        "@>": number == value,
        "!=": number != value,
        "<": number < value,
        ">": number > value,
    }[sign]


SMALL = st.recursive(
    st.builds(
        Compare,
        st.sampled_from(["A", "B", "D", "E", "F"]),
        st.sampled_from(["=", "!=", "@>"]),
        st.sampled_from(["a*", "ax", "", "[a-x]*", 1, 2, 2.5, -3]),
    ),
    lambda tree: tree.map(Not) | chains(tree, "&|"),
    max_leaves=6,
)


@given(SMALL, st.lists(OBJECTS, min_size=1, max_size=5))
def test_columns_and_single_objects_agree(tree: Expression, things: list[dict[str, tuple[str, ...]]]) -> None:
    table = Table([{"ID": ("0",), **thing} for thing in things])
    assert holds(tree, table).tolist() == [plainly(tree, thing) for thing in things]
    last = np.array([len(things) - 1])
    assert holds(tree, table, last).tolist() == [plainly(tree, things[-1])]


@pytest.mark.parametrize(
    ("pattern", "text", "same"),
    [
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        ("a?c", "abc", True),
        ("*/x", "a/b/x", True),
        ("[!a]*", "b", True),
        ("[", "[", True),
        ("A*", "abc", False),
        ("a" + "*a" * 25 + "b", "a" * 60, False),
        (r"\\", "\\", True),
    ],
)
def test_globs_are_those_of_c(pattern: str, text: str, same: bool) -> None:
    assert glob(pattern)(text) is same


def test_the_least_deep_place_counts() -> None:
    table = Table([{"ID": ("1",), "HOST_SHARE/PCI/ID": ("7",), "TEMPLATE/ID": ("8",)}, {"TEMPLATE/ID": ("9",)}])
    assert table.numbers("ID").tolist() == [1, 9]
    assert table.numbers("PCI/ID").tolist()[0] == 7
    assert not table.has("PCI")


def test_current_vms_is_a_set_that_is_never_missing() -> None:
    live = Live(
        Table([{"ID": ("0",)}, {"ID": ("1",)}]), {"RUNNING_VMS": np.array([1, 0])}, {"CURRENT_VMS": [{12}, set()]}
    )
    assert holds(parse_requirement("CURRENT_VMS = 12"), live).tolist() == [True, False]
    assert holds(parse_requirement("CURRENT_VMS != 12"), live).tolist() == [False, True]
    assert holds(parse_requirement("CURRENT_VMS @> 12"), live, np.array([1])).tolist() == [False]
    assert holds(parse_requirement("CURRENT_VMS > 1"), live).tolist() == [False, False]
    assert ranks(parse_rank("RUNNING_VMS * 10"), live).tolist() == [10, 0]
    assert holds(parse_requirement('RUNNING_VMS = "1"'), live).tolist() == [True, False]


def test_names_and_demands() -> None:
    tree = parse_requirement("A = 1 & !(B = 2) & (C = 3 | D = 4)")
    assert names(tree) == {"A", "B", "C", "D"}
    assert len(demands(tree)) == 3
    assert demands(parse_requirement("A = 1 & B = 2 | C = 3")) == (parse_requirement("A = 1 & B = 2 | C = 3"),)
