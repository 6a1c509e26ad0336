"""`onedb`: the database of a home on this machine: backup, restore, check, under OpenNebula's names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cli.command import HELP
from cli.local.home import Home, default
from cli.program import Program, run


def _check(home: Path | None, config: str | None) -> int:
    """Check a copy of the database, while oned runs or not: its pages, owners, and what belongs to objects.

    Each fault is a line; exit code 255 when there is one.
    """
    from cli.local.upkeep import upkeep

    return upkeep("check", Home(home.resolve()) if home else default(), ["--config", config] if config else [])


def _made(name: str) -> click.Command:
    from cli.onecore import _config_option, _home_option, program_of_onecore

    if name in ("backup", "restore"):
        return program_of_onecore().factories[name]()
    return click.Command(
        name, params=[_home_option(), _config_option()], callback=_check, help=_check.__doc__, context_settings=HELP
    )


def program_of_onedb() -> Program:
    """The program `onedb`; `fsck` is OpenNebula's word for `check`, which repairs nothing."""
    names = ("backup", "restore", "check", "fsck")
    factories = {name: (lambda name=name: _made(name)) for name in names}
    return Program("onedb", factories, "Back up, restore and check the database of a home on this machine.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `onedb`."""
    return run(program_of_onedb(), arguments)
