"""What dummy hosts show of what is on them: guests and what was left by files, the rest by script."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.inline import Inline
from onecore.wire.messages import Command, Message, Result

HOST = {"id": 3, "name": "node1", "attrs": {"DUMMY_CLOCK_SKEW": "-4.5"}}
STORES = [{"id": 0, "base_path": "/ds/0", "shared": True}]
SCRIPT = {"wild": {"node*": ["stranger"], "other": ["far"]},
          "checks": {"node1": [{"name": "libvirt", "found": "does not answer", "fix": "start it"},
                               {"name": "moon", "ok": True, "found": "full"}]}}


class Dummies:
    """The im and tm dummies on one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.messages: list[Message] = []
        self._families = {family: Inline(family, home, {}, lambda: 0.0, lambda _: None, self.messages.append)
                          for family in ("im", "tm", "vm")}

    def do(self, family: str, action: str, **args: Any) -> Result:
        command = Command(1, 1, 1, 1, "node1", "dummy", action, ("host", 3), 5.0, "", {"host": HOST, **args})
        return self._families[family].run(command)

    def put(self, path: str, text: str) -> None:
        file = self.home / "dummy" / "node1" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def dummies(tmp_path: Path) -> Iterator[Dummies]:
    (tmp_path / "dummy.json").write_text(json.dumps(SCRIPT))
    yield Dummies(tmp_path)


def test_a_survey_shows_guests_wild_domains_and_what_was_left(dummies: Dummies) -> None:
    dummies.put("12", "3 running 1 1024")
    dummies.put("dirs/0-9", "40")
    dummies.put("dirs/7-9", "40")
    dummies.put("taps/one-9-0", "")
    found = dummies.do("im", "survey", datastores=STORES).data
    assert [(each["name"], each["id"], each["generation"]) for each in found["domains"]] == [
        ("one-12", 12, 3), ("stranger", -1, -1)]
    assert found["dirs"] == [{"ds": 0, "vm": 9, "path": "/ds/0/9", "size_mb": 40}]
    assert found["taps"] == ["one-9-0"]


def test_what_is_removed_is_not_shown_again(dummies: Dummies) -> None:
    dummies.put("dirs/0-9", "40")
    dummies.put("taps/one-9-0", "")
    assert dummies.do("tm", "delete", vm={"id": 9, "generation": 1, "dir": "/ds/0/9"}, datastore={"id": 0}).ok
    assert dummies.do("vm", "untap", taps=["one-9-0", "one-9-1"]).ok
    found = dummies.do("im", "survey", datastores=STORES).data
    assert found["dirs"] == [] and found["taps"] == []


def test_samples_show_wild_domains_and_the_clock(dummies: Dummies) -> None:
    sample = dummies.do("im", "probe", datastores=[]).data["sample"]
    assert [(vm["id"], vm["deploy_id"]) for vm in sample["vms"]] == [(-1, "stranger")]
    assert sample["host"]["clock_skew"] == -4.5 and sample["host"]["libvirt"] and sample["host"]["python"]


def test_checks_are_well_but_for_what_the_script_says(dummies: Dummies) -> None:
    found = dummies.do("im", "check", datastores=STORES, bridges=["br0"]).data["checks"]
    checks = {each["name"]: each for each in found}
    assert not checks["libvirt"]["ok"] and checks["libvirt"]["fix"] == "start it"
    assert checks["moon"]["found"] == "full" and checks["ssh"]["ok"]
    assert {"storage 0", "bridge br0"} <= set(checks)


def test_a_check_without_a_name_is_refused(dummies: Dummies) -> None:
    (dummies.home / "dummy.json").write_text(json.dumps({"checks": {"*": [{"ok": True}]}}))
    result = dummies.do("im", "check")
    assert not result.ok and "a check has no name" in result.error
