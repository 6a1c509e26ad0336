"""`onehost check`: whether a host can be used, and how to mend what cannot."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cli.command import command, object_argument
from cli.errors import FAILED, CliError, one_line
from cli.ids import id_of
from cli.kind import Kind
from cli.session import Session, coloured

SECONDS = 60.0
_COLOURS = {"ok": "\x1b[32m", "FAIL": "\x1b[31m", "note": "\x1b[33m"}
Check = Mapping[str, Any]


def check(kind: Kind) -> click.Command:
    """The command `check`."""

    def run(session: Session, kind: Kind, oid: str, as_json: bool) -> int:
        """Check whether a host can be used; each failure with what mends it."""
        found = ask(session, id_of(session, kind, oid))
        for line in [json.dumps(found, indent=2)] if as_json else lines(found):
            session.say(line)
        return 0 if all(one["ok"] for one in found) else FAILED

    option = click.Option(["-j", "--json", "as_json"], is_flag=True, help="As JSON.")
    return command(kind, "check", run, object_argument(kind, "oid"), option)


def ask(session: Session, oid: int) -> list[Check]:
    """The checks of host OID, made now."""
    found: list[Check] = json.loads(session.text("onecore.host.check", oid, timeout=SECONDS))["checks"]
    return found


def lines(checks: Sequence[Check]) -> list[str]:
    """A line for each check, and one below it for what mends it."""
    width = max([20, *(len(one["name"]) for one in checks)])
    out = [f"{'CHECK':<{width}} STAT FOUND"]
    for one in checks:
        word = "FAIL" if not one["ok"] else "note" if one["fix"] else "ok"
        out.append(f"{one['name']:<{width}} {_dressed(word)} {one_line(one['found'])}".rstrip())
        if one["fix"]:
            out.append(f"{'':<{width}}      fix: {one_line(one['fix'])}")
    return out


def _dressed(word: str) -> str:
    return f"{_COLOURS[word]}{word:<4}\x1b[0m" if coloured() else f"{word:<4}"


def report(session: Session, oid: int) -> None:
    """What fails on a host that was just registered, on standard error; it stays registered."""
    sys.stdout.flush()  # the id is out before the host has its time to answer
    try:
        failing = [one for one in ask(session, oid) if not one["ok"]]
    except CliError as error:
        session.fail(f"host {oid} is registered, but was not checked: {error}")
        return
    if failing:
        session.fail(f"host {oid} is registered, but not all is well (onehost check {oid} looks again):")
    for one in failing:
        if one["found"] == "not asked" or (one["name"] == "monitoring" and len(failing) > 1):
            continue  # these follow from the others
        session.fail(f"{one['name']}: {one['found']}" + (f"; fix: {one['fix']}" if one["fix"] else ""))
