"""`onevm create`: from a file, standard input or template flags."""

from __future__ import annotations

from typing import Any

import click

from cli import flags, source
from cli.command import command
from cli.kind import Kind
from cli.session import Session


def create(kind: Kind) -> click.Command:
    """The command `create`."""
    return command(
        kind,
        "create",
        run,
        click.Argument(["file"], required=False),
        *flags.options(),
        click.Option(["--hold"], is_flag=True, help="On hold: not placed until released."),
        click.Option(
            ["-m", "--multiple"], type=click.IntRange(1, 100_000), default=1, metavar="N", help="So many VMs."
        ),
        click.Option(["--dry"], is_flag=True, help="Only tell the template."),
        examples=[
            "create web.tmpl",
            "create --name web --cpu 1 --memory 2g --disk alpine:size=8192 --nic private --ssh",
            "create web.tmpl --name web-%i --multiple 3",
        ],
    )


def run(session: Session, kind: Kind, file: str | None, hold: bool, multiple: int, dry: bool, **given: Any) -> None:
    """Create VMs from a template FILE (- or nothing: standard input) or from flags.

    With both, flags win.  In --name, %i is the number of the VM among the --multiple.
    """
    text = template(file, flags.used(given))
    if dry:
        session.say(text.rstrip("\n"))
        return
    for i in range(multiple):
        session.made(session.number("one.vm.allocate", numbered(text, i), hold))


def template(file: str | None, used: dict[str, Any]) -> str:
    """The template text of FILE and flags together; raises CliError when there is neither."""
    if not used:
        return source.checked(source.required(file))
    added = source.checked(flags.text(used))
    if file is None:
        return added
    from onecore.wire.template import parse, to_text

    return to_text(parse(source.checked(source.required(file))).merged(parse(added)))


def numbered(text: str, i: int) -> str:
    """TEXT with %i in its NAME replaced by I."""
    if "%i" not in text:
        return text
    from onecore.wire.template import parse, to_text

    tree = parse(text)
    tree.set("NAME", tree.get("NAME").replace("%i", str(i)))
    return to_text(tree)
