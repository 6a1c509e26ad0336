"""A program of the command line: finds the command, runs it, and turns every error into one line and exit code 255."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from cli.command import HELP, version_option
from cli.errors import FAILED, INTERRUPTED, CliError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HINTS = {
    ("onevm", "delete"): "terminate, or recover --delete",
    ("onevm", "shutdown"): "terminate, or poweroff",
    ("onevm", "boot"): "resume",
    ("onevm", "start"): "resume",
    ("onevm", "restart"): "resume, or recover --retry",
    ("onevm", "reset"): "reboot --hard",
    ("onevm", "cancel"): "terminate --hard, or onetask cancel",
    ("onevm", "resubmit"): "recover --recreate",
    ("onevm", "livemigrate"): "migrate --live",
    ("onevm", "attachdisk"): "disk-attach",
    ("onevm", "detachdisk"): "disk-detach",
    ("onevm", "disk-snapshot"): "disk-saveas, or disk-snapshot-create",
}
"""Commands of other programs or times, and what does it here."""
_BACKUPS, _PCI = "backups of VMs are not built yet", "PCI devices are not passed through to guests yet"
LACKS = {
    **{("onevm", name): _BACKUPS for name in ("backup", "backup-cancel", "backupmode", "restore")},
    **{("onevm", name): _PCI for name in ("pci-attach", "pci-detach")},
}
"""Commands that OpenNebula has, and why they are not here."""


class Program(click.Group):
    """A group whose commands are made only when they are asked for."""

    def __init__(self, name: str, factories: Mapping[str, Callable[[], click.Command]], help: str) -> None:
        super().__init__(name, help=help, context_settings=HELP, params=[version_option()], no_args_is_help=True)
        self.factories = factories

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in alphabetical order."""
        return sorted(self.factories)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of that name."""
        factory = self.factories.get(cmd_name)
        return factory() if factory else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with a suggestion for a name that is not there."""
        if args[0].startswith("-") or args[0] in self.factories or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no command {args[0]}{_meant(str(self.name), args[0], self.factories)}", ctx)


def _meant(program: str, given: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    lack = LACKS.get((program, given))
    if lack:
        return f": {lack}"
    close = HINTS.get((program, given)) or " or ".join(get_close_matches(given, known, n=2))
    return f"; did you mean {close}?" if close else f" (see {program} --help)"


def run(program: Program, arguments: Sequence[str] | None = None) -> int:
    """Run PROGRAM with ARGUMENTS (default: the process's) and return its exit code."""
    try:
        code = _invoke(program, arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output went away: nothing to complain about
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _invoke(program: Program, arguments: Sequence[str] | None) -> int:
    try:
        code = program.main(arguments, prog_name=program.name, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
    except click.Abort:
        return INTERRUPTED
    except SystemExit:  # click ends a completion so, and a command whose reader went away
        return 0
    except click.ClickException as error:
        _complain(program, error.format_message(), getattr(error, "ctx", None))
    except BrokenPipeError:
        raise
    except (CliError, OSError) as error:
        sys.stderr.write(one_line(error) + "\n")
    return FAILED


def _complain(program: Program, text: str, context: click.Context | None) -> None:
    sys.stderr.write(f"{context.command_path if context else program.name}: {one_line(text)}\n")
