"""What an API hook is told of a call: its method, arguments and result, with secrets left out."""
from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from onecore.api import Method
from onecore.wire import xmlbody

SECRET = ("password", "new_password", "token")
"""Arguments of which nobody is told."""
SECRET_ANSWERS = frozenset(("one.user.login",))
"""Methods whose answer is for the caller alone: it is written down nowhere."""
LONGEST = 16_384
_SECRET_TEXT = re.compile(r"(?i)\b(\w*(?:PASSWORD|PASSWD|SECRET|TOKEN)\w*\s*=\s*)(\"(?:[^\"\\]|\\.)*\"|[^\s,\]]+)")
_SECRET_XML = re.compile(r"(?is)(<(\w*(?:PASSWORD|PASSWD|SECRET|TOKEN)\w*)>).*?(</\2>)")


def masked(text: str) -> str:
    """TEXT, a template or not, with the values of what looks like secrets as ***."""
    return _SECRET_XML.sub(r"\1***\3", _SECRET_TEXT.sub(r"\1***", text))


def document(method: Method, arguments: Iterable[Any], good: bool, answer: str) -> str:
    """<CALL_INFO> of a call: RESULT 1 or 0, its PARAMETERS in (from position 2 on) and out."""
    given = [("*" * 3 if parameter.name in SECRET else masked(str(value)))[:LONGEST]
             for parameter, value in zip(method.parameters, arguments, strict=False)]
    rows = [_row(place, "IN", text) for place, text in enumerate(given, 2)]
    rows += [_row(1, "OUT", "true" if good else "false"),
             _row(2, "OUT", "***" if good and method.name in SECRET_ANSWERS else answer[:LONGEST])]
    return (f"<CALL_INFO><RESULT>{int(good)}</RESULT><PARAMETERS>{''.join(rows)}</PARAMETERS></CALL_INFO>")


def _row(position: int, way: str, text: str) -> str:
    return (f"<PARAMETER><POSITION>{position}</POSITION><TYPE>{way}</TYPE>{xmlbody.text('VALUE', text)}</PARAMETER>")
