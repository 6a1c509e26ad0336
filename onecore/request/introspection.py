"""system.*: what XML-RPC servers tell of themselves, and several calls in one.  These take no session."""
from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from onecore.api import TABLE, Method
from onecore.errors import NotReady
from onecore.wire import xmlrpc

NAMES = ("system.listMethods", "system.methodHelp", "system.methodSignature", "system.multicall")
MOST_CALLS = 1000
_TYPES = {"str": "string", "int": "int", "bool": "boolean", "list": "array"}
_HEAD = b"<?xml version='1.0'?><methodResponse><params><param>"
_END = b"</param></params></methodResponse>"

One = Callable[[str, list[Any]], Awaitable[list[bytes]]]
"""The answer to one call."""


async def answer(name: str, given: list[Any], one: One) -> list[bytes]:
    """The answer to a system.* call."""
    if name == "system.listMethods":
        return _value(xmlrpc.encode_value(sorted([*TABLE, *NAMES])))
    if name == "system.multicall":
        return await _several(given, one)
    method = TABLE.get(str(given[0])) if given else None
    if method is None:
        return [xmlrpc.fault(-506, f"Method '{str(given[0])[:80] if given else ''}' not defined")]
    if name == "system.methodHelp":
        return _value(xmlrpc.encode_value(inspect.cleandoc(method.call.__doc__ or "")))
    return _value(xmlrpc.encode_value(signatures(method)))


def signatures(method: Method) -> list[list[str]]:
    """Type of the result (an array), of the session, of each argument; one for each number of arguments taken."""
    types = ["array", "string", *(_TYPES[parameter.type] for parameter in method.parameters)]
    needed = 2 + sum(parameter.default is inspect.Parameter.empty for parameter in method.parameters)
    return [types[:count] for count in range(len(types), needed - 1, -1)]


def _value(value: str) -> list[bytes]:
    return [_HEAD, value.encode(), _END]


async def _several(given: list[Any], one: One) -> list[bytes]:
    calls = given[0] if given else None
    if not isinstance(calls, list) or len(calls) > MOST_CALLS:
        return [xmlrpc.fault(-501, f"system.multicall takes an array of up to {MOST_CALLS} structs of methodName and "
                                   "params")]
    out, ready = list[bytes](), True
    for call in calls:
        try:
            out += await _one(call, one) if ready else [_NOT_READY]
        except NotReady:
            if not out:
                raise
            out, ready = [*out, _NOT_READY], False  # those before it may be done, which a 503 for all would deny
    return [_HEAD, b"<value><array><data>", *out, b"</data></array></value>", _END]


async def _one(call: Any, one: One) -> list[bytes]:
    if not isinstance(call, dict) or not isinstance(call.get("params", []), list):
        return [_fault(-501, "each call is a struct of methodName (string) and params (array)")]
    name = str(call.get("methodName", ""))
    if name == "system.multicall":
        return [_fault(-501, "system.multicall does not take itself")]
    joined = b"".join(await one(name, call.get("params", [])))
    if b"<fault>" in joined[:80]:
        return [joined[joined.index(b"<fault>") + 7:joined.rindex(b"</fault>")]]
    inner = joined[joined.index(b"<param>") + 7:joined.rindex(b"</param>")]
    return [b"<value><array><data>", inner, b"</data></array></value>"]


def _fault(code: int, text: str) -> bytes:
    return xmlrpc.encode_value({"faultCode": code, "faultString": text}).encode()


_NOT_READY = _fault(-503, "not ready: this call was not answered, try it again")
