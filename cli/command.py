"""How a command is made: a plain function of (session, kind, ...) behind click parameters and the options all share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.errors import CliError
from cli.kind import Kind
from cli.session import Account, Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

HELP = {"help_option_names": ["-h", "--help"]}
Run = Callable[..., int | None]


def _shared(taken: set[str]) -> list[click.Parameter]:
    verbose = ["--verbose"] if "-v" in taken else ["-v", "--verbose"]
    return [
        click.Option(["--user"], metavar="NAME", help="User to connect as."),
        click.Option(["--password"], metavar="TEXT", help="Password of that user; asked for when missing."),
        click.Option(["--endpoint"], metavar="URL", help="URL of the server, else $ONE_XMLRPC."),
        click.Option(verbose, is_flag=True, help="Tell what was done."),
        *([] if "--dry-run" in taken else [_dry_run()]),
        version_option(),
    ]


def _dry_run() -> click.Option:
    return click.Option(["--dry-run", "try_only"], is_flag=True, help="Have the server try changes and do nothing.")


def version_option() -> click.Option:
    """-V, --version: tells onecore's version and ends."""

    def tell(context: click.Context, option: click.Parameter, given: bool) -> None:
        if given and not context.resilient_parsing:
            from importlib.metadata import version

            click.echo(f"onecore {version('onecore')}")
            context.exit(0)

    return click.Option(
        ["-V", "--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=tell,
        help="Tell the version and exit.",
    )


def command(
    kind: Kind, name: str, run: Run, *parameters: click.Parameter, help: str = "", examples: Sequence[str] = ()
) -> click.Command:
    """The command NAME: RUN(session, kind, ...) with PARAMETERS and the shared options; its text is RUN's docstring.

    EXAMPLES are command lines without the program's name; its help ends with them.
    """

    def callback(
        user: str | None,
        password: str | None,
        endpoint: str | None,
        verbose: bool,
        try_only: bool = False,
        **rest: Any,
    ) -> int | None:
        if try_only and rest.get("wait"):
            raise CliError("there is nothing to --wait for in a --dry-run")
        if user is not None and password is None:
            password = click.prompt("Password", hide_input=True, err=True)
        return run(Session(Account(endpoint, user, password), verbose, try_only), kind, **rest)

    taken = {name for parameter in parameters for name in parameter.opts}
    return click.Command(
        name,
        params=[*parameters, *_shared(taken)],
        callback=callback,
        help=help or run.__doc__,
        epilog=_examples(kind.program, examples),
        context_settings=HELP,
    )


def _examples(program: str, lines: Sequence[str]) -> str | None:
    """Help's last paragraph, which click leaves as it is (\\b)."""
    return "\n".join(["\b", "Examples:", *(f"  {program} {line}" for line in lines)]) if lines else None


def ids_argument(kind: Kind, name: str = "ids") -> click.Argument:
    """One argument with ids (`1,3..7`) or names of KIND, completed from the server."""
    metavar = f"{kind.tag}S" if name == "ids" else name.upper()
    return click.Argument([name], metavar=metavar, shell_complete=_names(kind, comma=True))


def object_argument(kind: Kind, name: str, required: bool = True) -> click.Argument:
    """One argument with the id or name of one object of KIND."""
    word = kind.tag if name == "oid" else name.upper()
    metavar = word if required else f"[{word}]"
    return click.Argument([name], metavar=metavar, required=required, shell_complete=_names(kind))


def object_option(kind: Kind, *names: str, help: str) -> click.Option:
    """An option that names one object of KIND by id or name."""
    return click.Option(names, metavar=kind.tag, shell_complete=_names(kind), help=help)


def file_option(what: str = "Template") -> click.Option:
    """-f, --file: where the template is; else standard input."""
    return click.Option(["-f", "--file"], metavar="FILE", help=f"{what}, - for standard input.")


def _names(kind: Kind, comma: bool = False) -> Callable[..., list[CompletionItem]]:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from cli.completion import objects

        return objects(kind, context.params, incomplete, comma)

    return complete
