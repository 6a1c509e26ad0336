"""The XML-RPC codec: calls and answers as OpenNebula's clients write and read them.

Decoding refuses document types and entities.  Encoding an answer joins ready bytes: a body arrives as fragments that
are escaped already.
"""
from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence

from lxml import etree

Argument = str | int | float | bool | bytes | list["Argument"] | dict[str, "Argument"] | None

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
                          remove_pis=True, strip_cdata=True)

ANSWER = b"<?xml version='1.0'?><methodResponse><params><param><value><array><data>"
ANSWER_END = b"</data></array></value></param></params></methodResponse>"
OK_TEXT = ANSWER + b"<value><boolean>1</boolean></value><value><string>"
OK_TEXT_END = b"</string></value><value><int>0</int></value>" + ANSWER_END


class BadCall(ValueError):
    """The bytes are not an XML-RPC call; the message says why."""


class Fault(Exception):
    """The other side answered with a fault."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} (fault {code})")
        self.code, self.text = code, text


def _root(data: bytes) -> etree._Element:
    try:
        root = etree.fromstring(data, _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadCall(f"not well-formed XML: {error}") from None
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]  # the stubs do not know it
        raise BadCall("a document type is not allowed")
    return root


def decode_call(data: bytes) -> tuple[str, list[Argument]]:
    """Method name and arguments of a methodCall; raises BadCall."""
    root = _root(data)
    if root.tag != "methodCall":
        raise BadCall(f"expected <methodCall>, got <{root.tag}>")
    name, arguments = "", []
    for child in root:
        if child.tag == "methodName":
            name = (child.text or "").strip()
        elif child.tag == "params":
            for param in child:
                if param.tag != "param" or len(param) != 1 or param[0].tag != "value":
                    raise BadCall("each <param> holds one <value>")
                arguments.append(_value(param[0]))
    if not name:
        raise BadCall("methodName is missing")
    return name, arguments


def _value(element: etree._Element, depth: int = 0) -> Argument:
    if not len(element):
        return element.text or ""
    typed = element[0]
    tag, text = typed.tag, typed.text or ""
    if tag == "string":
        return text
    try:
        if tag in ("int", "i4", "i8"):
            return int(text)
        if tag == "boolean":
            return {"0": False, "1": True, "false": False, "true": True}[text.strip()]
        if tag == "double":
            return float(text)
        if tag == "base64":
            return base64.b64decode(text, validate=False)
    except (KeyError, ValueError, binascii.Error):
        raise BadCall(f"{text[:40]!r} is not a value of type {tag}") from None
    if depth > 16:
        raise BadCall("values are nested too deeply")
    if tag == "array":
        data = typed.find("data")
        return [] if data is None else [_value(v, depth + 1) for v in data if v.tag == "value"]
    if tag == "struct":
        return {member.findtext("name", ""): _value(v, depth + 1)
                for member in typed for v in member.findall("value")}
    if tag in ("nil", "dateTime.iso8601"):
        return None if tag == "nil" else text
    raise BadCall(f"unknown type <{tag}>")


def escape(text: str) -> str:
    """TEXT as it stands between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def unescape(text: str) -> str:
    """What `escape` made TEXT of."""
    return text.replace("&#13;", "\r").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def encode_value(value: object) -> str:
    """One <value>: strings are always typed; integers above 32 bits are <i8>."""
    if isinstance(value, bool):
        return f"<value><boolean>{int(value)}</boolean></value>"
    if isinstance(value, int):
        tag = "int" if -2**31 <= value < 2**31 else "i8"
        return f"<value><{tag}>{value}</{tag}></value>"
    if isinstance(value, float):
        return f"<value><double>{value!r}</double></value>"
    if isinstance(value, bytes):
        return f"<value><base64>{base64.b64encode(value).decode()}</base64></value>"
    if isinstance(value, (list, tuple)):
        return "<value><array><data>" + "".join(map(encode_value, value)) + "</data></array></value>"
    if isinstance(value, dict):
        members = "".join(f"<member><name>{escape(k)}</name>{encode_value(v)}</member>" for k, v in value.items())
        return f"<value><struct>{members}</struct></value>"
    return f"<value><string>{escape(str(value))}</string></value>"


def encode_call(method: str, arguments: Sequence[object]) -> bytes:
    """A methodCall as bytes."""
    params = "".join(f"<param>{encode_value(a)}</param>" for a in arguments)
    return (f"<?xml version='1.0'?><methodCall><methodName>{escape(method)}</methodName>"
            f"<params>{params}</params></methodCall>").encode()


def escape_bytes(text: str) -> bytes:
    """TEXT as it stands inside a <string> of an answer."""
    return escape(text).encode()


def success(value: object) -> bytes:
    """[true, value, 0] for an id or a short text."""
    return ANSWER + (f"<value><boolean>1</boolean></value>{encode_value(value)}"
                     "<value><int>0</int></value>").encode() + ANSWER_END


def success_body(fragments: Iterable[bytes]) -> list[bytes]:
    """[true, text, 0] around fragments that are escaped already; not joined."""
    return [OK_TEXT, *fragments, OK_TEXT_END]


def failure(text: str, code: int, oid: int = -1) -> bytes:
    """[false, text, code, object id, <i8>replication index]: five elements, the last always <i8>.

    An object id beyond 32 bits, which is nobody's, is given as -1.
    """
    oid = oid if -2**31 <= oid < 2**31 else -1
    return ANSWER + (f"<value><boolean>0</boolean></value>{encode_value(text)}<value><int>{code}</int></value>"
                     f"<value><int>{oid}</int></value><value><i8>0</i8></value>").encode() + ANSWER_END


def fault(code: int, text: str) -> bytes:
    """An XML-RPC fault."""
    body = encode_value({"faultCode": code, "faultString": text})
    return f"<?xml version='1.0'?><methodResponse><fault>{body}</fault></methodResponse>".encode()


def decode_answer(data: bytes) -> Argument:
    """The value of a methodResponse; raises Fault or BadCall."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadCall(f"not an XML-RPC answer: {error}") from None
    found = root.find("fault/value")
    if found is not None:
        told = _value(found)
        if isinstance(told, dict):
            raise Fault(int(str(told.get("faultCode", 0))), str(told.get("faultString", "")))
    value = root.find("params/param/value")
    if value is None:
        raise BadCall("the answer holds no value")
    return _value(value)
