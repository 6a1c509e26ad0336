"""Where dummies act: the script as it stands now, and the time and fate that it gives to each action."""
from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from drivers.base import Context, Permanent, Temporary
from drivers.dummy.files import Mark, mark_of
from drivers.dummy.script import Dice, Fate, Script, own_rule, parse_script
from onecore.wire.messages import Doc

_PLAIN = Fate()
_LOOK = 0.02
"""Seconds between two looks whether an action that is held may go on."""


class Stage:
    """The script of one driver process: its settings, overridden by HOME/dummy.json, read again when that changes."""

    def __init__(self, home: Path, settings: Mapping[str, Any]) -> None:
        self._path = home / "dummy.json"
        self._settings = settings
        self._lock = threading.Lock()
        self._mark: Mark | None = None
        self._script = _parsed("[drivers.dummy]", settings)
        self._dice = Dice(Random(self._script.seed))

    def script(self) -> Script:
        """The script as it stands; Permanent when the file is wrong."""
        mark = self._look()
        if mark != self._mark:
            with self._lock:
                self._script = _parsed(str(self._path), {**self._settings, **self._file()})
                self._dice = Dice(Random(self._script.seed))
                self._mark = mark
        return self._script

    def fate(self, action: str, host: Doc, vm: Doc | None) -> Fate:
        """What becomes of ACTION, its usual delay included; counted, so to be asked once for each."""
        script = self.script()
        usual = script.usual_delay(action)
        try:
            own = own_rule(vm.get("user", {})) if vm else ()
        except ValueError as error:
            raise Permanent(f"the VM's DUMMY attribute: {error}") from None
        if not own and not script.rules:
            return Fate(usual) if usual else _PLAIN
        with self._lock:
            fate = self._dice.fate((*own, *script.rules), action, str(host.get("name", "")),
                                   int(vm["id"]) if vm else -1, len(own))
        return replace(fate, delay=fate.delay + usual)

    def _look(self) -> Mark | None:
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            return None
        return mark_of(stat)

    def _file(self) -> dict[str, Any]:
        try:
            data = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise Permanent(f"{self._path}: {error}") from None
        return data if isinstance(data, dict) else {}


def stage(ctx: Context) -> Stage:
    """The stage of this process."""
    return ctx.keep("dummy.stage", lambda: Stage(ctx.home, ctx.settings.get("dummy", {})))


def act(ctx: Context, action: str, host: Doc, vm: Doc | None = None) -> None:
    """Let ACTION take its time; Temporary or Permanent when the script makes it fail, no end when it hangs."""
    fate = stage(ctx).fate(action, host, vm)
    if fate.delay:
        ctx.sleep(fate.delay)
    while fate.hold and stage(ctx).script().holds(action, str(host.get("name", "")), int(vm["id"]) if vm else -1):
        ctx.sleep(_LOOK)
    if fate.hang:
        ctx.sleep(math.inf)
    if fate.fail:
        raise Temporary(fate.fail) if fate.temporary else Permanent(fate.fail)


def failure(ctx: Context, action: str, host: Doc, vm: Doc) -> str:
    """The text with which the script makes ACTION fail, '' when it does not; it takes no time."""
    return stage(ctx).fate(action, host, vm).fail


def _parsed(where: str, data: Mapping[str, Any]) -> Script:
    try:
        return parse_script(data)
    except (ValueError, TypeError) as error:
        raise Permanent(f"{where}: {error}") from None
