"""What an API hook is told of a call: its method, arguments and result, with secrets left out."""
from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
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


def _naming(word: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds the values of names that match WORD in text, and the tags of such elements in XML.

    Nothing is tried twice: the text may be as long as a call.
    """
    return re.compile(rf"(?i)\b({word}\s*+=\s*+){_VALUE}"), re.compile(rf"(?i)<(/?)({word})>")


_LOOKS_SECRET = _naming(r"(?=\w*?(?:PASSWORD|PASSWD|SECRET|TOKEN))\w++")


@lru_cache(8)
def _named(hidden: frozenset[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return _naming("(?:" + "|".join(map(re.escape, sorted(hidden))) + ")")


def masked(text: str, hidden: frozenset[str] = frozenset()) -> str:
    """TEXT, a template or not, with the values of what looks like secrets, and of what is HIDDEN, as ***."""
    for values, tags in (_LOOKS_SECRET, *([_named(hidden)] if hidden else [])):
        text = _without_elements(values.sub(r"\1***", text), tags)
    return text


def _without_elements(text: str, tags: re.Pattern[str]) -> str:
    """TEXT with what stands between two TAGS of a name as ***."""
    found, ends = list(tags.finditer(text)), defaultdict[str, list[int]](list)
    for tag in found:
        if tag[1]:
            ends[tag[2].lower()].append(tag.start())
    out, at = [], 0
    for tag in found:
        there = ends[tag[2].lower()]
        if tag[1] or tag.start() < at or (place := bisect_left(there, tag.end())) == len(there):
            continue
        out += [text[at:tag.end()], "***"]
        at = there[place]
    return "".join(out) + text[at:]


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
