"""`onedb`: the database of a home on this machine: backup, restore, check, under OpenNebula's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from cli.onecore import command, config_option, home_of, home_option, program_of_onecore
from cli.program import Program, run


def _check(home: Path | None, config: str | None) -> int:
    """Check a copy of the database, while oned runs or not: its pages, owners, and what belongs to objects.

    Each fault is a line; exit code 255 when there is one.
    """
    from cli.local.upkeep import upkeep

    return upkeep("check", home_of(home), ["--config", config] if config else [])


def _checking(name: str) -> Callable[[], click.Command]:
    return lambda: command(name, _check, home_option(), config_option())


def program_of_onedb() -> Program:
    """The program `onedb`; `fsck` is OpenNebula's word for `check`, which repairs nothing."""
    factories = {
        **{name: program_of_onecore().factories[name] for name in ("backup", "restore")},
        **{name: _checking(name) for name in ("check", "fsck")},
    }
    return Program("onedb", factories, "Back up, restore and check the database of a home on this machine.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `onedb`."""
    return run(program_of_onedb(), arguments)
