"""What an API hook is told of a call: its method, arguments and result, with secrets left out."""
from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from onecore.api import Method
from onecore.wire import xmlbody

SECRET = ("password", "new_password", "token")
"""Arguments of which nobody is told."""
SECRET_ANSWERS = frozenset(("one.user.login",))
"""Methods whose answer is for the caller alone: it is written down nowhere."""
LONGEST = 16_384
_VALUE = r"(?:\"(?:[^\"\\]|\\.)*\"|[^\s,\]]+)"


def _naming(word: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """What finds the values of names that match WORD, in text and in XML, and puts *** in their place."""
    return ((re.compile(rf"(?i)\b({word}\s*=\s*){_VALUE}"), r"\1***"),
            (re.compile(rf"(?is)(<({word})>).*?(</\2>)"), r"\1***\3"))


_PATTERNS = _naming(r"\w*(?:PASSWORD|PASSWD|SECRET|TOKEN)\w*")


@lru_cache(8)
def _patterns(hidden: frozenset[str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return _naming("(?:" + "|".join(map(re.escape, sorted(hidden))) + ")") if hidden else ()




def masked(text: str, hidden: frozenset[str] = frozenset()) -> str:
    """TEXT, a template or not, with the values of what looks like secrets, and of what is HIDDEN, as ***."""
    for pattern, to in (*_PATTERNS, *_patterns(hidden)):
        text = pattern.sub(to, text)
    return text


def document(method: Method, arguments: Iterable[Any], good: bool, answer: str,
             hidden: frozenset[str] = frozenset()) -> str:
    """<CALL_INFO> of a call: RESULT 1 or 0, its PARAMETERS in (from position 2 on) and out; HIDDEN: encrypted names."""
    given = [("*" * 3 if parameter.name in SECRET else masked(str(value), hidden))[:LONGEST]
             for parameter, value in zip(method.parameters, arguments, strict=False)]
    rows = [_row(place, "IN", text) for place, text in enumerate(given, 2)]
    rows += [_row(1, "OUT", "true" if good else "false"),
             _row(2, "OUT", "***" if good and method.name in SECRET_ANSWERS else answer[:LONGEST])]
    return (f"<CALL_INFO><RESULT>{int(good)}</RESULT><PARAMETERS>{''.join(rows)}</PARAMETERS></CALL_INFO>")


def _row(position: int, way: str, text: str) -> str:
    return (f"<PARAMETER><POSITION>{position}</POSITION><TYPE>{way}</TYPE>{xmlbody.text('VALUE', text)}</PARAMETER>")
