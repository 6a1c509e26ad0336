"""Every method of a whole cloud, with arguments that are nearly right: no bug is told, all answers can be read.

The cloud is a simulated one (tests/functional/sim.py) with a tenant in it.  Its drivers are dummies, whatever a host or
datastore names: nothing that an input says is carried out on this machine.
"""
from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any

import fuzz_words as words
from fuzz_run import Tally, bounded
from hypothesis import strategies as st
from lxml import etree
from matched import plan_of
from sim import Sim
from sim_ground import assert_sums
from tenants import Tenant, rows
from xsd import known, problems, schema_of

from drivers import registry
from drivers.base import Permanent
from onecore.api import TABLE, Parameter
from onecore.kinds.kind import KINDS
from onecore.request.introspection import NAMES
from onecore.wire import xmlrpc

CALLS = 700
"""After which the cloud is looked at as a whole, stopped, started again, and another one is made."""
INTERNAL, AUTHENTICATION = 0x2000, 0x0100

_NUMBERS = (-1, -2, -3, -4, -5, -10, 2**31 - 1, 2**31, 2**32, 2**63 - 1, -2**31, -2**31 - 1, 2**63, 10**30, 3600,
            1_800_000_100)
_TEXTS = ("alpha-user", "alpha-image", "oneadmin", "core", "dummy", "poweroff", "terminate", "terminate-hard", "resume",
          "hold", "suspend", "stop", "undeploy", "reboot", "resched", "OS", "DATABLOCK", "one.vm.info", "one.vm.rename",
          "100000000", "400000000", "web", "user=0&outcome=refused", "NAME=alpha", "0,1,2")


def _number(rng: Random) -> int:
    odds = rng.random()
    return rng.randint(0, 8) if odds < 0.5 else rng.randint(98, 108) if odds < 0.6 else rng.choice(_NUMBERS)


def _text(rng: Random) -> str:
    return rng.choice(_TEXTS) if rng.random() < 0.4 else words.value(rng)


def _other(rng: Random) -> Any:
    """A value of any type that XML-RPC has."""
    return rng.choice((rng.random() * 1e9, float("nan"), b"\0\xff", {_text(rng): _text(rng)}, [], {}, True,
                       [_number(rng), _text(rng)], _number(rng), _text(rng), [[[_number(rng)]]]))


_RIGHT: dict[str, list[tuple[str, ...]]] = {}
for _row in rows():
    _RIGHT.setdefault(_row.method, []).append(_row.words)
CAREFUL = {"one.user.passwd", "one.user.chauth", "one.user.enable", "one.user.delete", "one.user.login",
           "one.zone.enable", "one.vdc.delgroup", "one.acl.delrule", "one.user.chgrp"}
"""Mostly tried only: what comes after them is refused."""
_PLACE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")

class Word(str):
    """A word of the golden table: an id, number or text, as the method reads it."""


def _argument(rng: Random, method: str, parameter: Parameter, right: str | None) -> Any:
    """What is given for a parameter; RIGHT is what the golden table has."""
    templates = parameter.type == "str" and any(word in parameter.name for word in ("template", "quota", "rules"))
    odds = rng.random()
    if right is not None and odds < (0.25 if templates else 0.8):
        return Word(right)
    if templates:
        return words.template(rng, words.about(method) if odds < 0.9 else "") if odds < 0.97 else _text(rng)
    if parameter.type == "str":
        return _text(rng)
    return {"int": _number(rng), "bool": rng.random() < 0.5, "list": [_number(rng) for _ in range(rng.randint(0, 3))]}[
        parameter.type]


def call(rng: Random) -> tuple[str, str, list[Any]]:
    """Who (a role, "" for nobody), a method, its arguments after the session."""
    if rng.random() < 0.03:
        name, some = rng.choice(NAMES), [_other(rng) for _ in range(rng.randint(0, 3))]
        return "", name, [[{"methodName": _text(rng), "params": some}, *some]] if name == "system.multicall" else some
    name = rng.choice(_METHODS)
    right = rng.choice(_RIGHT.get(name, [()]))
    given = [_argument(rng, name, p, right[n] if n < len(right) else None) for n, p in enumerate(TABLE[name].parameters)
             if n < len(right) or rng.random() < 0.3]
    odds = rng.random()
    if odds < 0.03 and given:
        given[rng.randrange(len(given))] = _other(rng)
    elif odds < 0.06:
        given = given[:rng.randint(0, len(given))] + [_other(rng) for _ in range(rng.randint(0, 2))]
    if name != "onecore.dryrun" and rng.random() < (0.9 if name in CAREFUL or name.endswith(".delete") else 0.3):
        name, given = "onecore.dryrun", [name, *given]
    return rng.choice(_ROLES), name, given


_METHODS = sorted(TABLE)
_ROLES = ("oneadmin",) * 20 + ("user", "admin", "keeper") * 3 + ("",)
batches = st.integers(0, 2**64)
"""Each is the seed of some calls."""
AT_ONCE = 25
"""Calls of a batch."""


@contextmanager
def dummies_only() -> Iterator[None]:
    """No driver but dummies is found; a hook's program is not one."""
    plain = registry.find

    def find(family: str, name: str) -> Any:
        if name != "dummy":
            raise Permanent(f"there is no {family} driver {name!r} here")
        return plain(family, name)
    registry.find = find  # type: ignore[assignment]
    try:
        yield
    finally:
        registry.find = plain


class World:
    """A cloud, made anew when it was used long enough."""

    def __init__(self, base: Path, tally: Tally, told: Callable[[str], None] = lambda text: None) -> None:
        self._base, self._tally, self._told = base, tally, told
        self._number = self._calls = 0
        self._sim: Sim | None = None
        self._recent: list[str] = []
        self._known: set[str] = set()
        self._batches: list[int] = []

    def check(self, batch: int) -> None:
        """Some calls; what breaks is noted, so that all others go on."""
        rng = Random(batch)
        if self._sim is None or self._calls >= CALLS:
            self.end()
            self._begin()
        self._batches.append(batch)
        for _ in range(AT_ONCE):
            role, name, given = call(rng)
            self._calls += 1
            given = self._filled(name, given)
            self._recent = [*self._recent[-5:], f"{role or 'nobody'}: {name}{tuple(given)!r:.1500}"]
            try:
                with bounded(self._tally):
                    self._one(role, name, given)
                    if rng.random() < 0.04 and self._sim is not None:
                        self._sim.advance(rng.choice((1, 30, 300)))
            except BaseException as error:  # a Hang is none of Exception, and a finding too
                if isinstance(error, KeyboardInterrupt):
                    raise
                self._note(error)

    def _begin(self) -> None:
        self._number, self._calls, self._batches = self._number + 1, 0, []
        home = self._base / f"cloud{self._number}"
        sim = Sim(home).boot().ready()
        self._tenant = Tenant(sim, "alpha", 1)
        sim.call("one.host.allocate", "other", "dummy", "dummy", self._tenant.ids["cluster"])
        plain = sim.log.line

        def line(level: str, text: str, rid: str = "", error: BaseException | None = None, **fields: Any) -> None:
            if error is not None:
                self._note(error)
            plain(level, text, rid, error, **fields)
        sim.log.line = line  # type: ignore[method-assign]
        assert sim.loop is not None
        sim.loop.set_exception_handler(lambda _, told: self._note(told.get("exception") or RuntimeError(str(told))))
        self._sim = sim

    def _filled(self, name: str, given: list[Any]) -> list[Any]:
        """The arguments with the tenant's ids in place of {kind}, and the golden table's words as their types."""
        tenant, out = self._tenant, list[Any]()
        types = [p.type for p in TABLE[name].parameters] if name in TABLE else []
        if name == "onecore.dryrun" and given and isinstance(given[0], str) and given[0] in TABLE:
            types = ["str", *(p.type for p in TABLE[given[0]].parameters)]
        for value, kind in zip_longest(given, types[:len(given)], fillvalue="str"):
            text = value
            if isinstance(value, str):
                text = _PLACE.sub(lambda m: str(
                    tenant.fields.get((m[1], m[2]), m[0]) if m[2] else tenant.ids.get(m[1], m[0])), value)
            if isinstance(value, Word):
                text = {"int": int, "bool": "true".__eq__, "list": lambda word: [int(word)]}.get(kind, str)(text)
            out.append(text)
        return out

    def _one(self, role: str, name: str, given: list[Any]) -> None:
        sim = self._sim
        assert sim is not None
        session = {"": ":", "oneadmin": sim.secret}.get(role) or self._tenant.secret(role)
        data = xmlrpc.encode_call(name, given if name.startswith("system.") else [session, *given])
        found: list[bytes] = []

        async def answer() -> None:
            found.append(b"".join(await sim.dispatch.answer(data, "127.0.0.1")))
        assert sim.loop is not None
        task = sim.loop.create_task(answer())
        sim.until(task.done, what=f"the answer of {name}")
        task.result()
        if self._read(found[0], "one.user.login" in (name, *given[:1])) and role == "oneadmin":
            self._calls = CALLS  # the administrator locked himself out

    def _read(self, answer: bytes, token: bool) -> bool:
        """Whether it says that nobody is let in with that session; AssertionError for an answer that cannot be.

        A TOKEN is what somebody gave, and may look like a document.
        """
        try:
            value: Any = xmlrpc.decode_answer(answer)
        except xmlrpc.Fault:
            return False
        if not (isinstance(value, list) and value and isinstance(value[0], bool)):
            return False  # of a system.* method
        if value[0]:
            assert len(value) == 3 and value[1] != "", value
            if isinstance(value[1], str) and value[1].startswith("<") and not token:
                etree.fromstring(value[1])
            return False
        assert len(value) == 5 and value[1].startswith("["), value
        assert value[2] != INTERNAL, value[1]
        return bool(value[2] == AUTHENTICATION)

    def _note(self, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        said = re.sub(r"see request \S+", "", str(error))
        where = (f"{type(error).__name__} {said:.200} "
                 + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames[-3:])))
        if where not in self._known:
            self._known.add(where)
            again = ",".join(map(str, self._batches))
            text = "\n".join([where, f"    python -m tests.fuzz --batches {again}",
                              *(f"    {line}" for line in self._recent),
                              "".join(traceback.format_exception(error))[-3000:]])
            self._tally.findings.append(text)
            self._told(text)

    def end(self) -> None:
        """Every body is what its schema says, and what a restart finds is what there was."""
        sim, self._sim = self._sim, None
        if sim is None:
            return
        self._recent.append("then the cloud was looked at")
        try:
            self._look(sim)
            plan_of(sim)
            sim.advance(700)
            sim.reboot()
            assert_sums(sim)
            told = [text[text.index("Traceback"):] for text in sim.journals() if "Traceback" in text]
            assert not told, f"a driver says: {told[0]:.2000}"
        except Exception as error:
            self._note(error)
        sim.close()

    def _look(self, sim: Sim) -> None:
        for name, kind in KINDS.items():
            for record in list(sim.core.store.all(kind.record)):
                try:
                    schema = schema_of(name)
                    body = known(schema, xmlrpc.unescape(b"".join(kind.body(sim.core, record)).decode()))
                    assert not (found := problems(schema, body)), f"{name}: {found} {body}"
                except Exception as error:
                    self._note(error)
