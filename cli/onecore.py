"""`onecore`: the daemons of this machine, their backup and restore, and shell completion for all programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.command import HELP
from cli.program import Program, run

if TYPE_CHECKING:
    from cli.local.home import Home

SHELLS = ("bash", "zsh", "fish")


def home_option() -> click.Option:
    """--home: the home that a command is about."""
    return click.Option(
        ["--home"],
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Home directory; else /var/lib/onecore for root, ~/.local/share/onecore for others.",
    )


def config_option() -> click.Option:
    """--config: where oned's configuration is."""
    return click.Option(["--config"], metavar="FILE", help="Configuration of oned, else DIR/oned.conf.")


def home_of(given: Path | None) -> Home:
    """The home that --home names, else that of the user."""
    from cli.local.home import Home, default

    return Home(given.resolve()) if given else default()


def command(name: str, callback: Callable[..., Any], *parameters: click.Parameter) -> click.Command:
    """The command NAME: CALLBACK with PARAMETERS; its text is CALLBACK's docstring."""
    return click.Command(name, params=list(parameters), callback=callback, help=callback.__doc__, context_settings=HELP)


def _up(home: Path | None, port: int | None, dummy: int, foreground: bool) -> int:
    """Start oned and onesched if they do not run, and tell how to reach them.

    Standard output is one line to evaluate: eval "$(onecore up)".
    """
    from cli.local.up import up

    return up(home_of(home), port, dummy, foreground)


def _down(home: Path | None, now: bool) -> int:
    """Stop onesched and oned; guests run on."""
    from cli.local.down import down

    return down(home_of(home), now)


def _status(home: Path | None, json: bool) -> int:
    """Tell what runs and how much it keeps; exit code 0 when all runs, else 255."""
    from cli.local.report import status

    return status(home_of(home), json)


def _doctor(home: Path | None, dummy: bool) -> int:
    """Tell what this machine still needs and how to get it; exit code 255 when something required is missing."""
    from cli.local.doctor import doctor

    return doctor(home_of(home), dummy)


def _backup(home: Path | None, file: str, config: str | None, force: bool, series: bool) -> int:
    """Write a backup of the manager to FILE (-: standard output), while oned runs or not.

    It holds the database, credentials, keys and configuration; neither images nor disks of VMs.
    """
    return _upkeep("backup", home, file, config, (force, "--force"), (series, "--series"))


def _restore(home: Path | None, file: str, config: str | None, force: bool) -> int:
    """Put a backup (-: standard input) in place of what the home holds; oned must not run.

    Nothing ends guests or removes files until `onecore reconcile --accept`.
    """
    return _upkeep("restore", home, file, config, (force, "--force"))


def _upkeep(verb: str, home: Path | None, file: str, config: str | None, *flags: tuple[bool, str]) -> int:
    from cli.local.upkeep import upkeep

    options = [*(["--config", config] if config else []), *(flag for given, flag in flags if given)]
    return upkeep(verb, home_of(home), [*options, "--", file])


def _reconcile(home: Path | None, json: bool, **given: bool) -> int:
    """Compare a restored cloud with what its hosts run; with --accept, let it act again."""
    from cli.local.reconcile import reconcile

    return reconcile(home_of(home) if home else None, json, **given)


def _completion(shell: str) -> None:
    """Print what a shell has to source: eval "$(onecore completion bash)"."""
    from cli.completion import script
    from cli.kinds import NAMES
    from cli.main import program
    from cli.onedb import program_of_onedb

    local = {"onecore": program_of_onecore(), "onedb": program_of_onedb()}
    programs = {**local, **{made.name or "": made for made in map(program, NAMES)}}
    click.echo(script(shell, programs))


def program_of_onecore() -> Program:
    """The program `onecore`."""
    from cli.local.demo import MOST_HOSTS

    return Program(
        "onecore",
        {
            "up": lambda: command(
                "up",
                _up,
                home_option(),
                click.Option(["--port"], type=click.IntRange(1, 65535), help="Port of oned, else as configured."),
                click.Option(
                    ["--dummy"],
                    type=click.IntRange(0, MOST_HOSTS),
                    default=0,
                    metavar="HOSTS",
                    help="Register so many hosts that only pretend, and datastores for them.",
                ),
                click.Option(["--foreground"], is_flag=True, help="Stay, and stop both when interrupted."),
            ),
            "down": lambda: command(
                "down",
                _down,
                home_option(),
                click.Option(["--now"], is_flag=True, help="Kill what does not stop within 5 s."),
            ),
            "status": lambda: command(
                "status", _status, home_option(), click.Option(["-j", "--json"], is_flag=True, help="As JSON.")
            ),
            "doctor": lambda: command(
                "doctor",
                _doctor,
                home_option(),
                click.Option(["--dummy"], is_flag=True, help="Only what the dummy drivers need."),
            ),
            "backup": lambda: command(
                "backup",
                _backup,
                click.Argument(["file"]),
                home_option(),
                config_option(),
                click.Option(["--force"], is_flag=True, help="Replace a file that is there."),
                click.Option(["--series"], is_flag=True, help="The monitoring series too."),
            ),
            "restore": lambda: command(
                "restore",
                _restore,
                click.Argument(["file"]),
                home_option(),
                config_option(),
                click.Option(["--force"], is_flag=True, help="Even if there is a database; it is kept aside."),
            ),
            "reconcile": lambda: command(
                "reconcile",
                _reconcile,
                home_option(),
                click.Option(["-j", "--json"], is_flag=True, help="As JSON."),
                click.Option(["--accept"], is_flag=True, help="Let the cloud end guests and remove files again."),
                click.Option(["--take-over"], is_flag=True, help="VMs found on other hosts are there from now on."),
                click.Option(["--force"], is_flag=True, help="Whatever was not compared, or runs elsewhere."),
            ),
            "completion": lambda: command(
                "completion", _completion, click.Argument(["shell"], type=click.Choice(SHELLS))
            ),
        },
        "Run onecore on this machine.",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `onecore`."""
    return run(program_of_onecore(), arguments)
