"""USER_INPUTS of a template: what has to be asked before it is instantiated."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import click

from cli.errors import CliError


def answers(
    inputs: Mapping[str, str], given: str | None, ask: Callable[[str, str], str] | None = None
) -> dict[str, str]:
    """A value for each of INPUTS (`M|text|What for| |default`): from GIVEN (`a=b,c=d`), asked for, or its default.

    Raises CliError for a mandatory one without a value, and for a given one that the template does not know.
    """
    known = dict(_pair(part) for part in (given or "").split(",") if part.strip())
    unknown = sorted(set(known) - set(inputs))
    if unknown:
        raise CliError(f"the template has no user input {', '.join(unknown)}")
    if ask is None and sys.stdin.isatty():
        ask = _prompt
    found = {name: known.get(name) or _value(name, text, ask) for name, text in inputs.items()}
    return {name: text for name, text in found.items() if text}


def _pair(part: str) -> tuple[str, str]:
    name, equals, text = part.partition("=")
    if not equals:
        raise CliError(f"{part!r} is not NAME=value")
    return name.strip().upper(), text.strip().strip('"')


def _value(name: str, declared: str, ask: Callable[[str, str], str] | None) -> str:
    need, kind, what, _, default = [*(p.strip() for p in declared.split("|")), "", "", "", ""][:5]
    if kind == "fixed":
        return default
    text = ask(f"{name} ({what})" if what else name, default) if ask else default
    if not text and need.upper() == "M":
        raise CliError(f"{name} is mandatory ({what or 'no description'}): give it with --user-inputs {name}=...")
    return text


def _prompt(what: str, default: str) -> str:
    return str(click.prompt(what, default=default, err=True))
