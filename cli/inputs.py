"""USER_INPUTS of a template: what has to be asked before it is instantiated, by type, and what may be answered."""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click

from cli import flags
from cli.errors import CliError

_WHOLE, _FLOAT = re.compile(r"[+-]?\d+\Z"), re.compile(r"[+-]?\d+(\.\d+)?\Z")
_RANGE = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*\.\.\s*([+-]?\d+(?:\.\d+)?)\s*\Z")
_TRIES = 3
YES, NO = ("YES", "Y", "TRUE", "1"), ("NO", "N", "FALSE", "0")


@dataclass(frozen=True, slots=True)
class Input:
    """One input, as its declaration `M|type|description|options|default` says.

    `options` are the choices of a list, or the two ends of a range.
    """

    name: str
    mandatory: bool
    type: str
    what: str
    options: str
    default: str

    @property
    def prompt(self) -> str:
        """What to ask: the name, what it is for, what may be answered."""
        hints = {
            "list-multiple": f"any of {self.options}, with commas between",
            "boolean": "YES or NO",
            **dict.fromkeys(("range", "range-float", "list"), self.options),
        }
        told = "; ".join(text for text in (self.what, hints.get(self.type, "")) if text)
        return f"{self.name} ({told})" if told else self.name


Ask = Callable[[Input], str]


def parse(name: str, declared: str) -> Input:
    """The input of a declaration; an unknown type is text, as in OpenNebula."""
    need, kind, what, options, default = [*(p.strip() for p in declared.split("|", 4)), "", "", "", ""][:5]
    return Input(name, need.upper() == "M", kind.lower(), what, options, default)


def answers(inputs: Mapping[str, str], given: str | None, ask: Ask | None = None, order: str = "") -> dict[str, str]:
    """A value for each of INPUTS, in the ORDER of names: from GIVEN (`a=b,c=d`), asked for, or its default.

    Raises CliError for mandatory ones without a value, for given ones that the template does not know or that are not
    of their type.
    """
    known = dict(flags.line(line) for line in flags.lines(given or "") if line.strip())
    unknown = sorted(set(known) - set(inputs))
    if unknown:
        raise CliError(f"the template has no user input {', '.join(unknown)}")
    if ask is None and sys.stdin.isatty():
        ask = _prompt
    declared = [parse(name, inputs[name]) for name in _ordered(inputs, order)]
    if ask is None:
        _demand([one for one in declared if one.name not in known])
    found = {one.name: _value(one, known.get(one.name), ask) for one in declared}
    return {name: text for name, text in found.items() if text}


def _ordered(inputs: Mapping[str, str], order: str) -> list[str]:
    first = [name for name in (part.strip().upper() for part in order.split(",")) if name in inputs]
    return list(dict.fromkeys([*first, *inputs]))


def _demand(open_: list[Input]) -> None:
    """Raise CliError that names all mandatory inputs that nobody can be asked for."""
    missing = [one for one in open_ if one.mandatory and not one.default]
    if missing:
        told = ", ".join(f"{one.name} is mandatory ({one.what or 'no description'})" for one in missing)
        raise CliError(f"{told}: give it with --user-inputs {','.join(f'{one.name}=...' for one in missing)}")


def _value(one: Input, given: str | None, ask: Ask | None) -> str:
    """The value for the template; what is typed or given of type text64 goes there in base64, as its default is."""
    if one.type == "fixed":
        if given is not None and given != one.default:
            raise CliError(f"{one.name} is fixed, to {one.default!r}")
        return one.default
    if given is not None:
        return _ready(one, given)
    return _asked(one, ask) if ask else one.default


def _asked(one: Input, ask: Ask) -> str:
    """What is answered, asked anew when it is not right; raises CliError when it never is."""
    error = CliError(f"{one.name} is mandatory ({one.what or 'no description'})")
    for _ in range(_TRIES):
        text = ask(one).strip()
        if text == one.default:
            if text or not one.mandatory:
                return text
            continue
        try:
            return _ready(one, text)
        except CliError as wrong:
            error = wrong
            click.echo(str(wrong), err=True)
    raise error


def _ready(one: Input, text: str) -> str:
    """TEXT as the template takes it; raises CliError naming the input and what was expected."""
    expected = _expected(one, text)
    if expected:
        raise CliError(f"{one.name} must be {expected}, not {text!r}")
    if not text:
        return ""
    if one.type == "text64":
        return b64encode(text.encode()).decode()
    if one.type == "boolean":
        return "YES" if text.upper() in YES else "NO"
    return ",".join(_words(text)) if one.type == "list-multiple" else text


def _expected(one: Input, text: str) -> str:
    """What TEXT should have been; empty when it is fine."""
    if not text:
        return "given, as it is mandatory" if one.mandatory else ""
    if one.type in ("number", "range") and not _WHOLE.match(text):
        return "a whole number"
    if one.type in ("number-float", "range-float") and not _FLOAT.match(text):
        return "a number"
    if one.type in ("range", "range-float"):
        return _outside(one.options, float(text))
    if one.type == "boolean" and text.upper() not in (*YES, *NO):
        return "YES or NO"
    if one.type in ("list", "list-multiple"):
        chosen = [text] if one.type == "list" else _words(text)
        return "" if set(chosen) <= set(_words(one.options)) else f"of {', '.join(_words(one.options))}"
    return ""


def _outside(options: str, number: float) -> str:
    ends = _RANGE.match(options)
    if ends is None or float(ends[1]) <= number <= float(ends[2]):
        return ""
    return f"from {ends[1]} to {ends[2]}"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _prompt(one: Input) -> str:
    hidden = one.type == "password"
    shown = bool(one.default) and not hidden
    return str(click.prompt(one.prompt, default=one.default, err=True, hide_input=hidden, show_default=shown))
