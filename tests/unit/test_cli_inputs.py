"""USER_INPUTS: what is asked, what may be answered, what goes into the template."""

from __future__ import annotations

import sys
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

from cli import inputs
from cli.errors import CliError

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


def test_what_is_not_given_is_asked_for_in_order() -> None:
    asked: list[tuple[str, str]] = []

    def ask(one: inputs.Input) -> str:
        asked.append((one.prompt, one.default))
        return one.default or "typed"

    declared = {"A": "M|text|What?", "B": "O|text|| |d", "C": "M|fixed|| |f", "D": "O|text", "E": "M|list|Which|x,y|y"}
    found = inputs.answers(declared, "d=given", ask, "e,b")
    assert list(found.items()) == [("E", "y"), ("B", "d"), ("A", "typed"), ("C", "f"), ("D", "given")]
    assert asked == [("E (Which; x,y)", "y"), ("B", "d"), ("A (What?)", "")]


def test_values_may_hold_commas() -> None:
    declared = {"A": "M|list-multiple||x,y,z", "B": "O|text"}
    assert inputs.answers(declared, 'A=x, z,B="one, two"') == {"A": "x,z", "B": "one, two"}


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        ("M|text||", "a b", "a b"),
        ("M|password||", "s3cret", "s3cret"),
        ("M|number||", "-12", "-12"),
        ("M|number-float||", "1.5", "1.5"),
        ("M|range||1..8", "8", "8"),
        ("M|range-float||0.5..2.5", "0.5", "0.5"),
        ("M|range||nonsense", "99", "99"),
        ("M|list||a,b", "b", "b"),
        ("M|list-multiple||a,b,c", "a,c", "a,c"),
        ("M|boolean||", "yes", "YES"),
        ("M|boolean||", "0", "NO"),
        ("M|fixed|||x", "x", "x"),
        ("O|boolean||", "", None),
        ("M|strange||", "anything", "anything"),
    ],
)
def test_types(declared: str, given: str, value: str | None) -> None:
    assert inputs.answers({"A": declared}, f"a={given}").get("A") == value


@pytest.mark.parametrize(
    ("declared", "given", "told"),
    [
        ("M|number||", "1.5", "A must be a whole number, not '1.5'"),
        ("M|number-float||", "x", "A must be a number, not 'x'"),
        ("M|range||1..8", "9", "A must be from 1 to 8, not '9'"),
        ("M|range||1..8", "1.5", "A must be a whole number, not '1.5'"),
        ("M|range-float||0.5..2.5", "2.6", "A must be from 0.5 to 2.5, not '2.6'"),
        ("M|list||a,b", "c", "A must be of a, b, not 'c'"),
        ("M|list-multiple||a,b", "a,c", "A must be of a, b, not 'a,c'"),
        ("M|boolean||", "maybe", "A must be YES or NO, not 'maybe'"),
        ("M|fixed|||x", "y", "A is fixed, to 'x'"),
        ("M|text||", "", "A must be given, as it is mandatory, not ''"),
    ],
)
def test_wrong_answers(declared: str, given: str, told: str) -> None:
    with pytest.raises(CliError) as error:
        inputs.answers({"A": declared}, f"a={given}")
    assert str(error.value) == told


def test_text64_goes_into_the_template_in_base64() -> None:
    found = inputs.answers({"A": "M|text64|", "B": "O|text64|| |Yg=="}, "a=two\nlines")
    assert (b64decode(found["A"]), found["B"]) == (b"two\nlines", "Yg==")


def test_a_wrong_answer_is_asked_for_anew(capsys: pytest.CaptureFixture[str]) -> None:
    typed = iter(["many", "9", "3"])
    assert inputs.answers({"A": "M|range||1..8"}, None, lambda one: next(typed)) == {"A": "3"}
    assert capsys.readouterr().err == "A must be a whole number, not 'many'\nA must be from 1 to 8, not '9'\n"
    with pytest.raises(CliError, match="A is mandatory"):
        inputs.answers({"A": "M|text|"}, None, lambda one: "")


def test_without_a_terminal_all_that_is_missing_is_named() -> None:
    declared = {"A": "M|text|First", "B": "M|number", "C": "M|text|| |d", "D": "O|text"}
    with pytest.raises(CliError) as error:
        inputs.answers(declared, None)
    told = "A is mandatory (First), B is mandatory (no description): give it with --user-inputs A=...,B=..."
    assert str(error.value) == told
    assert inputs.answers(declared, "a=1,b=2") == {"A": "1", "B": "2", "C": "d"}


def test_unknown_inputs() -> None:
    with pytest.raises(CliError, match="the template has no user input X"):
        inputs.answers({"A": "O|text"}, "x=1")
    with pytest.raises(CliError, match="'nothing' is not NAME=value"):
        inputs.answers({"A": "O|text"}, "nothing")


def test_on_a_terminal_the_command_asks(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords without an echo."""
    asked = (
        "<USER_INPUTS><PW>M|password|Root password</PW><SIZE>O|number|Size| |3</SIZE></USER_INPUTS>"
        "<INPUTS_ORDER>SIZE,PW</INPUTS_ORDER>"
    )
    cloud.answers["one.template.info"] = f"<VMTEMPLATE><ID>3</ID><TEMPLATE>{asked}</TEMPLATE></VMTEMPLATE>"
    cloud.answers["one.template.instantiate"] = 9
    typed: list[tuple[str, bool, bool]] = []

    def prompt(text: str, default: str, err: bool, hide_input: bool, show_default: bool) -> str:
        typed.append((text, hide_input, show_default))
        return default or "s3cret"

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert one("template", "instantiate", "3").code == 0
    assert typed == [("SIZE (Size)", False, True), ("PW (Root password)", True, False)]
    assert cloud.made("one.template.instantiate")[0][3] == 'SIZE="3"\nPW="s3cret"\n'
