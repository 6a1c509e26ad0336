"""What dummies do by script: delays, capacity and the rules by which actions fail, hang or linger.  No I/O here."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from onecore.wire.messages import Doc

_TEXTS = ("wild", "problems")


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the actions that it matches; docs/drivers.md has the keys."""

    action: str = "*"
    host: str = "*"
    vm: int = -1
    fail: str = ""
    hang: bool = False
    delay: float = 0.0
    probability: float = 1.0
    times: int = 0
    """How often at most; 0: always."""
    temporary: bool = False
    hold: bool = False
    """Until a script has no such rule any more."""

    def matches(self, action: str, host: str, vm: int) -> bool:
        """Whether it is about this action (`vm.deploy`), host and VM (-1: none)."""
        return (self.vm in (-1, vm)) and fnmatchcase(action, self.action) and fnmatchcase(host, self.host)


@dataclass(frozen=True, slots=True)
class Script:
    """The settings of the dummies; memory and disks in MB, CPU in percent of a core."""

    delay: Mapping[str, float] = field(default_factory=dict)
    cpu: int = 1600
    memory_mb: int = 65536
    disk_mb: int = 1000000
    rules: tuple[Rule, ...] = ()
    seed: int | None = None
    clock_skew: float = 0.0
    """Seconds that the hosts' clocks are ahead."""
    wild: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of domains that are not ours, by glob of the host."""
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What `premigrate` finds against a move to a host, by its glob."""
    checks: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """What `check` finds besides or instead of what is usual, by glob of the host."""

    def holds(self, action: str, host: str, vm: int) -> bool:
        """Whether an action is not to go on yet."""
        return any(rule.hold and rule.matches(action, host, vm) for rule in self.rules)

    def usual_delay(self, action: str) -> float:
        """Seconds that ACTION takes without any rule."""
        return self.delay.get(action, self.delay.get("default", 0.0))

    def wild_on(self, host: str) -> list[str]:
        """The domains on HOST that are not ours."""
        return _of_host(self.wild, host)

    def problems_of(self, host: str) -> list[str]:
        """What speaks against a move to HOST."""
        return _of_host(self.problems, host)

    def checks_of(self, host: str) -> list[Mapping[str, Any]]:
        """What `check` is to find on HOST."""
        return [check for pattern, checks in self.checks.items() if fnmatchcase(host, pattern) for check in checks]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one action: it takes its time, is held, then it hangs, fails, or, with neither, succeeds."""

    delay: float = 0.0
    hang: bool = False
    fail: str = ""
    temporary: bool = False
    hold: bool = False


def parse_script(data: Mapping[str, Any]) -> Script:
    """The script in a JSON object; ValueError names what is wrong."""
    rest = {key: value for key, value in data.items() if key not in (*_TEXTS, "rules", "delay", "checks")}
    unknown = sorted(set(rest) - set(Script.__dataclass_fields__))
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    delay = {str(action): float(seconds) for action, seconds in dict(data.get("delay", {})).items()}
    wild, problems = (_texts(data.get(key, {})) for key in _TEXTS)
    checks = {str(host): tuple(map(parse_check, found)) for host, found in dict(data.get("checks", {})).items()}
    return Script(delay=delay, rules=tuple(parse_rule(rule) for rule in data.get("rules", ())), checks=checks,
                  wild=wild, problems=problems, **rest)


def parse_check(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A finding of `check`; ValueError when it has no name."""
    if not data.get("name"):
        raise ValueError("a check has no name")
    return {"name": str(data["name"]), "ok": _truth(data.get("ok", False)), "found": str(data.get("found", "")),
            "fix": str(data.get("fix", ""))}


def parse_rule(data: Mapping[str, Any]) -> Rule:
    """A rule with keys in either case and values as text or not: DUMMY attributes are text."""
    default = Rule()
    made: dict[str, Any] = {}
    for name, value in ((key.lower(), value) for key, value in data.items()):
        if name not in Rule.__dataclass_fields__:
            raise ValueError(f"a rule has no key {name!r}")
        kind = type(getattr(default, name))
        made[name] = _truth(value) if kind is bool else kind(value)
    return replace(default, **made)


def own_rule(user: Doc) -> tuple[Rule, ...]:
    """The rule in a VM's user template (`DUMMY = [ACTION=…, FAIL=…]`), if there is one."""
    own = user.get("DUMMY")
    return (parse_rule(own),) if isinstance(own, dict) else ()


class Dice:
    """Decides fates: counts how often rules struck and throws for their probability."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._struck: dict[tuple[Rule, int], int] = {}

    def fate(self, rules: Iterable[Rule], action: str, host: str, vm: int, own: int = 0) -> Fate:
        """The fate of an action: delays of all rules that strike add up, the first failure or hang decides.

        The first OWN rules are the VM's and counted for it alone.
        """
        delay, hold = 0.0, False
        for place, rule in enumerate(rules):
            if rule.matches(action, host, vm) and self._strikes(rule, vm if place < own else -1):
                delay += rule.delay
                hold |= rule.hold
                if rule.hang or rule.fail:
                    return Fate(delay, rule.hang, rule.fail, rule.temporary, hold)
        return Fate(delay, hold=hold)

    def _strikes(self, rule: Rule, vm: int) -> bool:
        struck = self._struck.get((rule, vm), 0)
        if rule.times and struck >= rule.times:
            return False
        if rule.probability < 1 and self._random.random() >= rule.probability:
            return False
        if rule.times:
            self._struck[rule, vm] = struck + 1
        return True


def _texts(data: object) -> Mapping[str, tuple[str, ...]]:
    """Lists of texts by glob of the host."""
    return {str(host): tuple(map(str, texts)) for host, texts in dict(data).items()}  # type: ignore[call-overload]


def _of_host(texts: Mapping[str, tuple[str, ...]], host: str) -> list[str]:
    return [text for pattern, found in texts.items() if fnmatchcase(host, pattern) for text in found]


def _truth(value: object) -> bool:
    return value.strip().upper() in ("YES", "TRUE", "1") if isinstance(value, str) else bool(value)
