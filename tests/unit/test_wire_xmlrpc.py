"""The XML-RPC codec: every type both ways, what is refused, and the exact shape of answers."""
from __future__ import annotations

from xmlrpc import client as stdlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onecore.wire import xmlrpc
from onecore.wire.xmlrpc import Argument, BadCall, Fault, decode_answer, decode_call, encode_call

texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
                | st.sampled_from("\r\n\t&<>\"']"), max_size=20)
scalars = (texts | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.binary(max_size=9)
           | st.floats(allow_nan=False, allow_infinity=False))
arguments = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3)
                         | st.dictionaries(texts, inner, max_size=3), max_leaves=6)


def call(values: str) -> bytes:
    """A call of one argument."""
    return f"<methodCall><methodName>m</methodName><params><param>{values}</param></params></methodCall>".encode()


@pytest.mark.parametrize(("value", "expected"), [
    ("<value>plain</value>", "plain"), ("<value/>", ""), ("<value> <string>x</string> </value>", "x"),
    ("<value><string/></value>", ""), ("<value><string>a&lt;&#13;</string></value>", "a<\r"),
    ("<value><string><![CDATA[<b>]]></string></value>", "<b>"),
    ("<value><int>-5</int></value>", -5), ("<value><i4>+7</i4></value>", 7),
    ("<value><i8>9223372036854775807</i8></value>", 2**63 - 1), ("<value><boolean>1</boolean></value>", True),
    ("<value><boolean>0</boolean></value>", False), ("<value><double>1.5</double></value>", 1.5),
    ("<value><base64>aGk=</base64></value>", b"hi"), ("<value><nil/></value>", None),
    ("<value><dateTime.iso8601>20260101T00:00:00</dateTime.iso8601></value>", "20260101T00:00:00"),
    ("<value><array><data><value>a</value><value><int>1</int></value></data></array></value>", ["a", 1]),
    ("<value><array><data/></array></value>", []),
    ("<value><struct><member><name>k</name><value>v</value></member></struct></value>", {"k": "v"}),
])
def test_every_type_is_read(value: str, expected: Argument) -> None:
    name, found = decode_call(call(value))
    assert (name, found) == ("m", [expected]) and type(found[0]) is type(expected)


@pytest.mark.parametrize("data", [
    b"", b"{}", b"<a/>", b"<methodCall/>", b"<methodCall><methodName> </methodName></methodCall>",
    call("<int>1</int>"), call("<value/><value/>"), call(""), call("<value><int>x</int></value>"),
    call("<value><int></int></value>"), call("<value><boolean>2</boolean></value>"),
    call("<value><double>a</double></value>"), call("<value><base64>a</base64></value>"),
    call(f"<value><int>{'9' * 5000}</int></value>"),
    call("<value><what>1</what></value>"), call("<value>\x01</value>"), call("<value>&#1;</value>"),
    call("<value>&no;</value>"), call("<value>")[:40],
    b"<?xml version='1.0' encoding='no-such'?><methodCall/>",
])
def test_what_is_no_call_is_refused(data: bytes) -> None:
    with pytest.raises(BadCall, match="."):
        decode_call(data)


@pytest.mark.parametrize("doctype", [
    "<!DOCTYPE methodCall>", '<!DOCTYPE methodCall [<!ENTITY a "x">]>',
    '<!DOCTYPE methodCall [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
    '<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
])
def test_document_types_and_entities_are_refused(doctype: str) -> None:
    with pytest.raises(BadCall):
        decode_call(doctype.encode() + call("<value>&a;</value>"))
    with pytest.raises(BadCall, match="document type"):
        decode_call(doctype.encode() + call("<value>a</value>"))


def test_nesting_has_a_depth() -> None:
    def nested(depth: int) -> bytes:
        return call("<value><array><data>" * depth + "<value>x</value>" + "</data></array></value>" * depth)
    value = decode_call(nested(15))[1][0]
    for _ in range(15):
        assert isinstance(value, list)
        value = value[0]
    assert value == "x"
    for depth in (40, 200, 5000):
        with pytest.raises(BadCall, match="deeply|depth"):
            decode_call(nested(depth))


@given(st.lists(arguments, max_size=4))
def test_a_call_arrives_as_it_was_sent(values: list[Argument]) -> None:
    assert decode_call(encode_call("one.vm.info", values)) == ("one.vm.info", values)


@given(st.lists(texts | st.integers(-2**31, 2**31 - 1) | st.booleans(), max_size=4))
def test_the_standard_library_is_understood(values: list[object]) -> None:
    sent = stdlib.dumps(tuple(values), "one.vm.action").encode()
    assert decode_call(sent)[1] == [v.replace("\r\n", "\n").replace("\r", "\n") if isinstance(v, str) else v
                                    for v in values]
    assert stdlib.loads(encode_call("m", values)) == (tuple(values), "m")


@given(st.binary() | st.lists(st.sampled_from([
    b"<methodCall>", b"</methodCall>", b"<methodName>m</methodName>", b"<params>", b"</params>", b"<param>",
    b"</param>", b"<value>", b"</value>", b"<int>", b"</int>", b"1", b"<array>", b"</array>", b"<data>", b"<struct>",
    b"&a;", b"\xff", b"<!--", b"-->", b"<?x?>", b"<![CDATA["]), max_size=20).map(b"".join))
def test_any_bytes_are_a_call_or_a_bad_call(data: bytes) -> None:
    try:
        name, values = decode_call(data)
        assert name and isinstance(values, list)
    except BadCall as error:
        assert str(error)


def shape(answer: bytes) -> list[str]:
    """The types of an answer's elements."""
    return [str(v[0].tag) for v in etree.fromstring(answer).findall("params/param/value/array/data/value")]


def test_success_has_three_elements() -> None:
    assert shape(xmlrpc.success(7)) == ["boolean", "int", "int"]
    assert shape(xmlrpc.success(2**40)) == ["boolean", "i8", "int"]
    assert shape(xmlrpc.success("x")) == ["boolean", "string", "int"]
    assert decode_answer(xmlrpc.success(7)) == [True, 7, 0]
    assert decode_answer(b"".join(xmlrpc.success_body([b"&lt;VM&gt;", b"&lt;/VM&gt;"]))) == [True, "<VM></VM>", 0]


def test_failure_has_five_elements_and_ends_in_i8() -> None:
    answer = xmlrpc.failure("[one.vm.info] No such VM", 0x400, 12)
    assert shape(answer) == ["boolean", "string", "int", "int", "i8"]
    assert decode_answer(answer) == [False, "[one.vm.info] No such VM", 0x400, 12, 0]


@given(texts)
def test_no_character_of_a_text_is_lost(text: str) -> None:
    assert decode_answer(xmlrpc.failure(text, 1))[1] == text  # type: ignore[index]
    assert decode_answer(xmlrpc.success(text))[1] == text  # type: ignore[index]
    assert decode_answer(b"".join(xmlrpc.success_body([xmlrpc.escape_bytes(text)])))[1] == text  # type: ignore[index]


def test_a_fault_is_raised() -> None:
    with pytest.raises(Fault, match="too <few>") as caught:
        decode_answer(xmlrpc.fault(-501, "too <few>"))
    assert caught.value.code == -501
    with pytest.raises(stdlib.Fault):
        stdlib.loads(xmlrpc.fault(-501, "too few"))


@pytest.mark.parametrize("data", [b"", b"<html/>", b"<methodResponse/>", xmlrpc.success(1)[:-9],
                                  b"<methodResponse><params><param/></params></methodResponse>"])
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(BadCall):
        decode_answer(data)
