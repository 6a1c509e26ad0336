"""`onedb`: the database of a home on this machine: backup, restore, check, purge-done, under OpenNebula's names."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from cli.onecore import command, config_option, home_of, home_option, program_of_onecore
from cli.program import Program, run
from cli.spans import MOMENTS

LONGEST = 3600.0
"""Seconds that a purge may take; it rests in between."""


def _check(home: Path | None, config: str | None) -> int:
    """Check a copy of the database, while oned runs or not: its pages, owners, and what belongs to objects.

    Each fault is a line; exit code 255 when there is one.
    """
    from cli.local.upkeep import upkeep

    return upkeep("check", home_of(home), ["--config", config] if config else [])


def _checking(name: str) -> Callable[[], click.Command]:
    return lambda: command(name, _check, home_option(), config_option())


def _purge(home: Path | None, end_time: str | None) -> int:
    """Have the oned that runs forget the VMs that were DONE before --end_time, or all: bodies, history and log."""
    from cli.local.reconcile import ask
    from cli.spans import moment

    before = int(time.time()) + 1 if end_time is None else moment(end_time, "--end_time")
    print(f"{ask(home_of(home) if home else None, 'onecore.purge', before, seconds=LONGEST)} VMs purged")
    return 0


def _purging() -> click.Command:
    end = click.Option(["-e", "--end_time", "--end-time"], metavar="TIME", help=f"Only those before: {MOMENTS}.")
    return command("purge-done", _purge, home_option(), end)


def program_of_onedb() -> Program:
    """The program `onedb`; `fsck` is OpenNebula's word for `check`, which repairs nothing."""
    factories = {
        **{name: program_of_onecore().factories[name] for name in ("backup", "restore")},
        **{name: _checking(name) for name in ("check", "fsck")},
        "purge-done": _purging,
    }
    return Program("onedb", factories, "Back up, restore, check and purge the database of a home on this machine.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `onedb`."""
    return run(program_of_onedb(), arguments)
