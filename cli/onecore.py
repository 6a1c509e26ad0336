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


def _home_option() -> click.Option:
    return click.Option(
        ["--home"],
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Home directory; else /var/lib/onecore for root, ~/.local/share/onecore for others.",
    )


def _config_option() -> click.Option:
    return click.Option(["--config"], metavar="FILE", help="Configuration of oned, else DIR/oned.conf.")


def _home(given: Path | None) -> Home:
    from cli.local.home import Home, default

    return Home(given.resolve()) if given else default()


def _command(name: str, callback: Callable[..., Any], *parameters: click.Parameter) -> click.Command:
    return click.Command(name, params=list(parameters), callback=callback, help=callback.__doc__, context_settings=HELP)


def _up(home: Path | None, port: int | None, dummy: int, foreground: bool) -> int:
    """Start oned and onesched if they do not run, and tell how to reach them.

    Standard output is one line to evaluate: eval "$(onecore up)".
    """
    from cli.local.up import up

    return up(_home(home), port, dummy, foreground)


def _down(home: Path | None, now: bool) -> int:
    """Stop onesched and oned; guests run on."""
    from cli.local.down import down

    return down(_home(home), now)


def _status(home: Path | None, json: bool) -> int:
    """Tell what runs and how much it keeps; exit code 0 when all runs, else 255."""
    from cli.local.report import status

    return status(_home(home), json)


def _doctor(home: Path | None, dummy: bool) -> int:
    """Tell what this machine still needs and how to get it; exit code 255 when something required is missing."""
    from cli.local.doctor import doctor

    return doctor(_home(home), dummy)


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
    return upkeep(verb, _home(home), [*options, "--", file])


def _reconcile(home: Path | None, json: bool, **given: bool) -> int:
    """Compare a restored cloud with what its hosts run; with --accept, let it act again."""
    from cli.local.reconcile import reconcile

    return reconcile(_home(home) if home else None, json, **given)


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
            "up": lambda: _command(
                "up",
                _up,
                _home_option(),
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
            "down": lambda: _command(
                "down",
                _down,
                _home_option(),
                click.Option(["--now"], is_flag=True, help="Kill what does not stop within 5 s."),
            ),
            "status": lambda: _command(
                "status", _status, _home_option(), click.Option(["-j", "--json"], is_flag=True, help="As JSON.")
            ),
            "doctor": lambda: _command(
                "doctor",
                _doctor,
                _home_option(),
                click.Option(["--dummy"], is_flag=True, help="Only what the dummy drivers need."),
            ),
            "backup": lambda: _command(
                "backup",
                _backup,
                click.Argument(["file"]),
                _home_option(),
                _config_option(),
                click.Option(["--force"], is_flag=True, help="Replace a file that is there."),
                click.Option(["--series"], is_flag=True, help="The monitoring series too."),
            ),
            "restore": lambda: _command(
                "restore",
                _restore,
                click.Argument(["file"]),
                _home_option(),
                _config_option(),
                click.Option(["--force"], is_flag=True, help="Even if there is a database; it is kept aside."),
            ),
            "reconcile": lambda: _command(
                "reconcile",
                _reconcile,
                _home_option(),
                click.Option(["-j", "--json"], is_flag=True, help="As JSON."),
                click.Option(["--accept"], is_flag=True, help="Let the cloud end guests and remove files again."),
                click.Option(["--take-over"], is_flag=True, help="VMs found on other hosts are there from now on."),
                click.Option(["--force"], is_flag=True, help="Whatever was not compared, or runs elsewhere."),
            ),
            "completion": lambda: _command(
                "completion", _completion, click.Argument(["shell"], type=click.Choice(SHELLS))
            ),
        },
        "Run onecore on this machine.",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `onecore`."""
    return run(program_of_onecore(), arguments)
