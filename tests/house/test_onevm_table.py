"""docs/onevm.md and onevm say the same: every command, option and argument of ours, and OpenNebula's commands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import click
import pytest
from tree import ROOT

from cli.kinds import kind
from cli.program import LACKS

VM = kind("vm")
OPENNEBULA = (
    "create update hold release disk-saveas terminate undeploy poweroff reboot deploy migrate stop suspend "
    "resume recover disk-attach disk-detach nic-attach nic-detach nic-update sg-attach sg-detach chgrp chown "
    "chmod resched unresched rename snapshot-create snapshot-revert snapshot-delete snapshot-list "
    "disk-snapshot-create disk-snapshot-revert disk-snapshot-delete disk-snapshot-rename disk-snapshot-list "
    "disk-resize list show top resize save backupmode updateconf lock unlock exec exec-retry exec-cancel "
    "create-chart delete-chart update-chart sched-delete sched-update backup backup-cancel pci-attach "
    "pci-detach ssh port-forward vnc restore vmgroup-add vmgroup-del"
)
"""The commands of OpenNebula 7.4's onevm."""
WORDS = ("same", "differs", "no", "ours")


@dataclass
class Entry:
    """A command or a group of options: its arguments, and for each option what the page says of it."""

    here: str
    arguments: list[str]
    options: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _entries(heading: str) -> dict[str, Entry]:
    """The table below HEADING by its first column; a row without one goes on with the row above."""
    text = (ROOT / "docs/onevm.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found: dict[str, Entry] = {}
    name = ""
    for line in [line for line in text.splitlines() if line.startswith("|")][2:]:
        first, options, here, note = _cells(line)
        assert here in WORDS, line
        if first:
            name, *arguments = first.strip("`").split()
            assert name not in found, line
            found[name] = Entry(here, arguments)
        found[name].said.append((here, note))
        found[name].groups += re.findall(r"\*(\w+)\*", options)
        for spelled in re.findall(r"`([^`]+)`", options):
            found[name].options |= dict.fromkeys(spelled.split(", "), here)
    return found


GROUPS, COMMANDS = _entries("Options that commands share"), _entries("Commands")
OURS = sorted(VM.commands)


def _said(entry: Entry) -> dict[str, str]:
    whole = dict(GROUPS["every"].options)
    for group in entry.groups:
        whole |= GROUPS[group].options
    return whole | entry.options


def test_opennebulas_commands_are_all_there() -> None:
    """And no other is said to be one."""
    assert {name for name, entry in COMMANDS.items() if entry.here != "ours"} == set(OPENNEBULA.split())


def test_the_page_knows_our_commands() -> None:
    """All of them, and none that is not there."""
    assert {name for name, entry in COMMANDS.items() if entry.here != "no"} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_the_page_knows_our_options(name: str) -> None:
    """All of them, and none that is not there."""
    made = VM.commands[name](VM)
    options = {
        spelled
        for option in made.get_params(click.Context(made, **made.context_settings))
        if isinstance(option, click.Option)
        for spelled in (*option.opts, *option.secondary_opts)
    }
    said = _said(COMMANDS[name])
    assert {spelled for spelled, here in said.items() if here != "no"} == options


@pytest.mark.parametrize("name", OURS)
def test_the_page_knows_our_arguments(name: str) -> None:
    """How many there are, and which may be left out."""
    made = VM.commands[name](VM)
    needed = [argument.required for argument in made.params if isinstance(argument, click.Argument)]
    assert [not text.startswith("[") for text in COMMANDS[name].arguments] == needed


def test_what_is_otherwise_says_how() -> None:
    """A difference, a lack and an addition have a reason or a description."""
    rows = [(name, *row) for table in (GROUPS, COMMANDS) for name, entry in table.items() for row in entry.said]
    assert [(name, here) for name, here, note in rows if here != "same" and len(note) < 10] == []


def test_every_group_is_used() -> None:
    """By some command."""
    assert {group for entry in COMMANDS.values() for group in entry.groups} | {"every"} == set(GROUPS)


def test_the_program_gives_the_same_reasons() -> None:
    """For each command that is not there."""
    said = {("onevm", name): entry.said[0][1] for name, entry in COMMANDS.items() if entry.here == "no"}
    assert said == LACKS
