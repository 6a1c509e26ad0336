"""The search query of pool calls: KEY=value&KEY=value, or a bare word, over the bodies of VMs."""
from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from onecore.errors import BadArgument
from onecore.kinds.kind import group_name, user_name
from onecore.kinds.vm.body import Archived, body
from onecore.kinds.vm.record import Vm
from onecore.lifecycle.core import Core
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes, unescape

MAX_QUERY, MAX_TERMS = 1000, 10
AT_ONCE = 50
"""How many VMs are looked at before others have their turn."""
_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[(\d{1,9}|\*)\])?\Z")
_PLACES = (), ("TEMPLATE",), ("USER_TEMPLATE",)
"""Where the first step of a path is looked for."""

Step = tuple[str, int]
"""The name of an element, and which of them, -1: any."""

FIELDS: dict[str, Callable[[Core, Vm], str]] = {
    "ID": lambda _core, vm: str(vm.oid), "UID": lambda _core, vm: str(vm.uid), "GID": lambda _core, vm: str(vm.gid),
    "NAME": lambda _core, vm: vm.name, "STATE": lambda _core, vm: str(vm.state),
    "LCM_STATE": lambda _core, vm: str(vm.lcm), "DEPLOY_ID": lambda _core, vm: vm.deploy_id,
    "UNAME": lambda core, vm: user_name(core, vm.uid), "GNAME": lambda core, vm: group_name(core, vm.gid)}
"""What a VM's record says by itself: no body is made for these."""


@dataclass(frozen=True)
class Term:
    """VALUE is a part of what stands at PATH, or anywhere when the path is empty."""

    path: tuple[Step, ...]
    value: str

    @property
    def field(self) -> str:
        """The name in FIELDS, or ""."""
        return self.path[0][0] if len(self.path) == 1 and self.path[0][0] in FIELDS else ""


def parse(query: str) -> tuple[Term, ...]:
    """The terms of a query, all of which must hold; none: everything matches.  Raises BadArgument."""
    if len(query) > MAX_QUERY:
        raise BadArgument(f"the search query may have {MAX_QUERY} characters, not {len(query)}")
    parts = [part for part in query.strip().split("&") if part.strip()]
    if len(parts) > MAX_TERMS:
        raise BadArgument(f"the search query may have {MAX_TERMS} parts, not {len(parts)}")
    return tuple(_term(part) for part in parts)


def _term(part: str) -> Term:
    key, equals, value = part.partition("=")
    if not equals:
        return Term((), part.strip())
    steps = [_STEP.match(step) for step in key.strip().split(".")]
    if None in steps or not value:
        raise BadArgument("the search query must be a word, or KEY=value where KEY is a path of names with dots "
                          f"between them, such as TEMPLATE.NIC.IP=10.0.0.1, not {part[:60]!r}")
    path = tuple((s[1], -1 if s[2] in (None, "*") else int(s[2])) for s in steps if s is not None)
    return Term(path[1:] if path[0][0] == "VM" and len(path) > 1 else path, value)


async def chosen(core: Core, vms: Iterable[Vm], terms: tuple[Term, ...]) -> set[int]:
    """Ids of those VMs that match, looked at a few at a time so that nobody else waits."""
    found = set()
    for number, vm in enumerate(vms, 1):
        if matches(core, vm, terms):
            found.add(vm.oid)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return found


def matches(core: Core, one: Vm | Archived, terms: tuple[Term, ...]) -> bool:
    """Whether every term holds: first what the record says, then whether the values are in the body at all."""
    vm = one.vm if isinstance(one, Archived) else one
    if any(term.value not in FIELDS[term.field](core, vm) for term in terms if term.field):
        return False
    rest = [term for term in terms if not term.field]
    if not rest:
        return True
    text = b"".join(body(core, one))
    if not text or any(escape_bytes(term.value) not in text for term in rest if "]]>" not in term.value):
        return False
    tree = xmlbody.read(unescape(text.decode()))
    return all(_holds(tree, term) for term in rest)


def _holds(tree: Any, term: Term) -> bool:
    if not term.path:
        return _within(tree, term.value)
    return any(_within(found, term.value) for place in _PLACES
               for found in _at(tree, (*((name, -1) for name in place), *term.path)))


def _at(tree: Any, path: tuple[Step, ...]) -> list[Any]:
    """The elements at a path below TREE."""
    found = [tree]
    for name, place in path:
        below = [element.findall(name) for element in found]
        found = [e for each in below for e in (each if place < 0 else each[place:place + 1])]
    return found


def _within(element: Any, value: str) -> bool:
    """Whether VALUE is a part of the text of an element or of one below it."""
    return any(value in (each.text or "") for each in element.iter())
