"""Commands that pages have one paste are ones that the programs take: their names, options and arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from tree import ROOT

from cli.kinds import NAMES, kind

PAGES = ("README.md", "docs/cli.md", "docs/ha.md", "docs/hosts.md")
PROGRAMS = {kind(name).program: kind(name) for name in NAMES}


def _pasted() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of each command of ours in the blocks of the pages."""
    for page in PAGES:
        for block in re.findall(r"^ *```\w*\n(.*?)^ *```", (ROOT / page).read_text(), re.S | re.M):
            for line in block.splitlines():
                words: list[str] = []
                for word in (*shlex.split(line, comments=True), ";"):
                    if word not in (";", "&&", "|", "||"):
                        words.append(word)
                    elif words and words[0] in PROGRAMS:
                        yield page, words
                        words = []
                    else:
                        words = []


COMMANDS = list(_pasted())


def test_there_are_some() -> None:
    """In the tour above all."""
    assert sum(page == "README.md" for page, _ in COMMANDS) > 20


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[" ".join(words) for _, words in COMMANDS])
def test_a_command(page: str, words: list[str]) -> None:
    """It is read as it stands, and not done."""
    ours = PROGRAMS[words[0]]
    assert words[1] in ours.commands, f"{page}: {words[0]} has no {words[1]}"
    made = ours.commands[words[1]](ours)
    try:
        made.make_context(words[1], words[2:])
    except click.ClickException as error:
        pytest.fail(f"{page}: {' '.join(words)}: {error.format_message()}")
