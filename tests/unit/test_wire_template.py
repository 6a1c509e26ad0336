"""The template language: its grammar, where its errors point, and that nothing is lost on the way there and back."""
from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onecore.wire.template import MAX_ATTRIBUTES, TemplateError, Tree, Value, check_text, parse, to_text, to_xml

names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,6}", fullmatch=True)
values = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=12),
    st.text("ab \"\\\n\r\t#=,[]<>&'", max_size=8)).filter(lambda v: "]]>" not in v)
vectors = st.dictionaries(names, values, min_size=1, max_size=4)
trees = st.builds(Tree, st.lists(st.tuples(names, values | vectors), max_size=6))


@pytest.mark.parametrize(("text", "pairs"), [
    ("", []),
    ("\n \t\r\n", []),
    ("name=vm", [("NAME", "vm")]),
    ('NAME = "a b" CPU=1', [("NAME", "a b"), ("CPU", "1")]),
    ('A="line 1\nline 2"', [("A", "line 1\nline 2")]),
    ('A="say \\"hi\\""', [("A", 'say "hi"')]),
    ('A="C:\\dir\\n"', [("A", "C:\\dir\\n")]),
    ('A="x=[1,2] # y"', [("A", "x=[1,2] # y")]),
    ("A=", [("A", "")]),
    ("A=\nB=1", [("A", ""), ("B", "1")]),
    ('A=""', [("A", "")]),
    ("A=1\nA=2", [("A", "1"), ("A", "2")]),
    ("A=[]", [("A", {})]),
    ("A=[b=1, C=\"2 3\"]", [("A", {"B": "1", "C": "2 3"})]),
    ("A = [\n  B = 1 ,\n\n  C = 2\n]\nD=3", [("A", {"B": "1", "C": "2"}), ("D", "3")]),
    ("A=[b=first, B=second]", [("A", {"B": "first"})]),
    ("A=[B=, C=]", [("A", {"B": "", "C": ""})]),
    ("A=[B=1]\nA=[B=2]\nA=3", [("A", {"B": "1"}), ("A", {"B": "2"}), ("A", "3")]),
    ("# first\nA=1\n  # \"second\nB=2\n#", [("A", "1"), ("B", "2")]),
    ("A=[\n # inside\n B=1 ]", [("A", {"B": "1"})]),
    ("A=é/ü-1.5%", [("A", "é/ü-1.5%")]),
    ("_A1=x", [("_A1", "x")]),
])
def test_what_the_text_form_says(text: str, pairs: list[tuple[str, Value]]) -> None:
    assert parse(text) == Tree(pairs)


@pytest.mark.parametrize(("text", "unexpected", "where"), [
    ("A", "unexpected end of text, expecting =", "line 1, columns 2:2"),
    ("=1", "unexpected =, expecting an attribute name", "line 1, columns 1:1"),
    ("A=1\nB C=2", "unexpected C, expecting =", "line 2, columns 3:3"),
    ("A\n=1", "unexpected end of line, expecting =", "line 1, columns 2:2"),
    ("A=1 # why", "unexpected #", "line 1, columns 5:5"),
    ("A=a,b", "unexpected ,", "line 1, columns 4:4"),
    ("A=1\n\nB=[C=[D=1]]", "unexpected [, expecting a value", "line 3, columns 6:6"),
    ("A=[B=1,,C=2]", "unexpected ,, expecting an attribute name", "line 1, columns 8:8"),
    ("A=[B=1 C=2]", "unexpected C, expecting , or ]", "line 1, columns 8:8"),
    ("A=[B", "unexpected end of text, expecting =", "line 1, columns 5:5"),
    ("A=[B=1", "unexpected end of text, expecting , or ]", "line 1, columns 7:7"),
    ("a-b=1", "unexpected a-b, expecting an attribute name", "line 1, columns 1:3"),
    ("1A=1", "unexpected 1A, expecting an attribute name", "line 1, columns 1:2"),
    ("é=1", "unexpected é", "line 1, columns 1:1"),
    ('"A"=1', "unexpected A", "line 1, columns 1:3"),
    ('A=1\nB="x\ny', "no closing quote", "line 2, columns 3:3"),
    ('A="x\\"', "no closing quote", "line 1, columns 3:3"),
    ('\nAB="x]]>"', "]]>", "line 2, columns 4:9"),
])
def test_an_error_says_what_and_where(text: str, unexpected: str, where: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(text)
    assert str(caught.value).startswith("Parse error: ") and str(caught.value).endswith(where)
    assert unexpected in str(caught.value)


@pytest.mark.parametrize(("text", "pairs"), [
    ("<TEMPLATE/>", []),
    ("  \n<VM><A>1</A><b>x &lt; y</b></VM>", [("A", "1"), ("B", "x < y")]),
    ("<T><A><![CDATA[<&>]]></A><A/></T>", [("A", "<&>"), ("A", "")]),
    ("<T><A><B>1</B><b>2</b><C/></A></T>", [("A", {"B": "1", "C": ""})]),
    ("<T><!-- no --><A>x<!-- no -->y</A><?pi?></T>", [("A", "xy")]),
    ("<?xml version='1.0'?><T><A>1</A></T>", [("A", "1")]),
    ("<T><A>]]<![CDATA[>]]></A></T>", [("A", "]]>")]),
])
def test_what_the_xml_form_says(text: str, pairs: list[tuple[str, Value]]) -> None:
    assert parse(text) == Tree(pairs)


@pytest.mark.parametrize("text", [
    "<T><A></T>", "<T>\n<A>&no;</A></T>", "<", "<T/><T/>", "<T><A><B><C>1</C></B></A></T>", "<T><a-b>1</a-b></T>",
    "<T><é>1</é></T>", "<T xmlns='urn:a'><A>1</A></T>", "<!DOCTYPE T><T/>",
    "<!DOCTYPE T [<!ENTITY a 'aaaa'>]><T><A>&a;</A></T>",
    "<!DOCTYPE T [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><T><A>&a;</A></T>",
])
def test_the_xml_form_is_refused_with_a_place(text: str) -> None:
    with pytest.raises(TemplateError, match=r"^Parse error: .* at line \d+, column \d+$"):
        parse(text)


@pytest.mark.parametrize("bad", ["\0", "\x08", "\x0b", "\x1f", "\ufffe", "\ud800"])
def test_what_xml_cannot_carry_is_named(bad: str) -> None:
    with pytest.raises(TemplateError, match=f"extra .*U\\+{ord(bad):04X}.* at line 2, column 3"):
        parse(f"A=1\nB={bad}", "extra")
    assert check_text("\t\n\r plain \U0001f600") == "\t\n\r plain \U0001f600"


@pytest.mark.parametrize("text", ["A=1\n" * (MAX_ATTRIBUTES + 1), "<T>" + "<A/>" * (MAX_ATTRIBUTES + 1) + "</T>"])
def test_a_template_has_a_size(text: str) -> None:
    with pytest.raises(TemplateError, match=f"more than {MAX_ATTRIBUTES}"):
        parse(text)


@given(trees)
@example(Tree([("A", "ends in \\")]))
@example(Tree([("A", {"B": 'a\\"b'})]))
def test_the_text_form_loses_nothing(tree: Tree) -> None:
    assert parse(to_text(tree)) == tree


@given(trees, st.sampled_from(["]]>", "]]]]>>", "x"]))
@example(Tree([("A", "\r\n\r")]), "]]>")
def test_the_xml_form_loses_nothing(tree: Tree, nasty: str) -> None:
    tree.add("LAST", nasty)
    assert parse(to_xml(tree)) == tree
    assert parse(to_text(tree)) == tree


@given(st.text() | st.text("A1=[],\"\\# \n\r<>/&;!-x", max_size=40)
       | st.lists(st.sampled_from(["<", "T>", "</T>", "<A>", "</A>", "<![CDATA[", "]]>", "&amp;", "<!--", "<!DOCTYPE T",
                                   "<?", "é", "x"]), max_size=9).map("<".__add__("").join))
def test_any_text_is_a_template_or_a_template_error(text: str) -> None:
    try:
        assert isinstance(parse(text), Tree)
    except TemplateError as error:
        assert " at line " in str(error)


@given(trees, trees)
def test_merging_replaces_what_the_other_names(mine: Tree, other: Tree) -> None:
    merged = mine.merged(other)
    for name in merged.names():
        assert merged.all(name) == (other if name in other else mine).all(name)
    assert set(merged.names()) == {*mine.names(), *other.names()}


def test_a_tree_is_asked_and_changed_by_name() -> None:
    tree = Tree([("a", "1"), ("B", {"C": "2"}), ("A", "3"), ("B", "4")])
    assert (tree.get("A"), tree.get("B"), tree.get("NO", "-")) == ("1", "4", "-")
    assert tree.vector("B") == {"C": "2"} and tree.vector("A") is None and tree.vectors("B") == [{"C": "2"}]
    other = tree.copy()
    tree.set("A", "9")
    tree.remove("B")
    tree.set("NEW", {})
    assert tree == Tree([("A", "9"), ("NEW", {})]) and len(other) == 4
    assert other.only(["A"]) == Tree([("A", "1"), ("A", "3")]) == other.without(["B"])
