"""The dummies' rules: which match, how often they strike, what they do."""
from __future__ import annotations

from random import Random

import pytest

from drivers.dummy.script import Dice, Fate, Rule, own_rule, parse_rule, parse_script


def fate(*rules: Rule, action: str = "vm.deploy", host: str = "node1", vm: int = 12) -> Fate:
    return Dice(Random(1)).fate(rules, action, host, vm)


@pytest.mark.parametrize(("rule", "strikes"), [
    (Rule(fail="x"), True),
    (Rule(action="vm.*", fail="x"), True),
    (Rule(action="tm.*", fail="x"), False),
    (Rule(host="node[12]", fail="x"), True),
    (Rule(host="node2", fail="x"), False),
    (Rule(vm=12, fail="x"), True),
    (Rule(vm=13, fail="x"), False),
])
def test_a_rule_strikes_what_it_matches(rule: Rule, strikes: bool) -> None:
    assert (fate(rule).fail == "x") is strikes


def test_delays_add_up_and_the_first_failure_decides() -> None:
    assert fate(Rule(delay=1), Rule(delay=2, fail="a", temporary=True), Rule(fail="b")) == Fate(3, False, "a", True)


def test_held_until_no_rule_says_so() -> None:
    held = Rule(action="tm.*", host="node1", hold=True)
    assert fate(held, Rule(fail="a"), action="tm.clone") == Fate(fail="a", hold=True)
    script = parse_script({"rules": [{"action": "tm.*", "host": "node1", "hold": True}]})
    assert script.rules == (held,) and script.holds("tm.clone", "node1", -1)
    assert not script.holds("vm.deploy", "node1", 1) and not script.holds("tm.clone", "node2", 1)
    assert not parse_script({}).holds("tm.clone", "node1", -1)


def test_times_counts_down_for_each_rule() -> None:
    dice, rules = Dice(Random(1)), (Rule(fail="a", times=2),)
    assert [dice.fate(rules, "vm.deploy", "h", 1).fail for _ in range(3)] == ["a", "a", ""]


def test_a_vms_own_rule_is_counted_for_it_alone() -> None:
    dice, rules = Dice(Random(1)), (Rule(fail="a", times=1),)
    assert [dice.fate(rules, "vm.deploy", "h", vm, own=1).fail for vm in (1, 1, 2)] == ["a", "", "a"]


def test_probability_follows_the_seed() -> None:
    rules = (Rule(fail="a", probability=0.3),)
    def throw() -> list[str]:
        dice = Dice(Random(7))
        return [dice.fate(rules, "vm.deploy", "h", 1).fail for _ in range(1000)]
    assert throw() == throw()
    assert 250 < throw().count("a") < 350


def test_a_vms_rule_is_text() -> None:
    user = {"DUMMY": {"ACTION": "vm.*", "FAIL": "no", "HANG": "no", "DELAY": "1.5", "TIMES": "2", "TEMPORARY": "YES"}}
    assert own_rule(user) == (Rule(action="vm.*", fail="no", delay=1.5, times=2, temporary=True),)
    assert own_rule({"DUMMY": "text"}) == own_rule({}) == ()


def test_what_a_script_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="'sped'"):
        parse_script({"sped": 1})
    with pytest.raises(ValueError, match="'fial'"):
        parse_rule({"fial": "x"})


def test_delays_have_a_default() -> None:
    script = parse_script({"delay": {"default": 0.1, "vm.deploy": 2}})
    assert script.usual_delay("vm.deploy") == 2 and script.usual_delay("vm.save") == 0.1
    assert parse_script({}).usual_delay("vm.save") == 0
