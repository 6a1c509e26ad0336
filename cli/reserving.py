"""Reservations of virtual networks, and recovering them: `onevnet reserve` and `recover`."""

from __future__ import annotations

from typing import Any

import click

from cli import source
from cli.command import command, ids_argument, object_argument, object_option
from cli.errors import CliError
from cli.ids import each, id_of
from cli.kind import Kind
from cli.session import Session

OPERATIONS = {"failure": 0, "success": 1, "delete": 2, "retry": 3}


def reserve(kind: Kind) -> click.Command:
    """The command `reserve`."""
    return command(
        kind,
        "reserve",
        _run_reserve,
        object_argument(kind, "oid"),
        click.Argument(["file"], required=False),
        click.Option(["-n", "--name"], metavar="TEXT", help="Name of the new network."),
        click.Option(["-s", "--size"], type=click.IntRange(min=1), metavar="N", help="So many addresses."),
        click.Option(["-a", "--ar_id", "--ar-id"], type=click.IntRange(min=0), metavar="ID", help="From this range."),
        click.Option(["-i", "--ip"], metavar="IP", help="From this IPv4 address on."),
        click.Option(["--ip6"], metavar="IP", help="From this IPv6 address on."),
        click.Option(["-m", "--mac"], metavar="MAC", help="From this MAC address on."),
        object_option(kind, "--network", help="Add them to this reservation, and make no new network."),
        examples=["reserve private --name mine --size 10", "reserve private more.txt"],
    )


def _run_reserve(session: Session, kind: Kind, oid: str, file: str | None, network: str | None, **given: Any) -> None:
    """Reserve addresses in a row of a network for a new one, by flags or a template FILE; tells its id."""
    from onecore.wire.template import Tree, to_text

    found = id_of(session, kind, oid)
    flags = {name.upper(): str(text) for name, text in given.items() if text is not None}
    if network is not None:
        flags["NETWORK_ID"] = str(id_of(session, kind, network))
    if file and flags:
        raise CliError("give a template file or flags, not both")
    text = to_text(Tree(flags.items())) if flags else source.checked(source.required(file))
    made = session.number("one.vn.reserve", found, text)
    if network is None:
        session.made(made)


def recover(kind: Kind) -> click.Command:
    """The command `recover`."""

    def run(session: Session, kind: Kind, ids: str, **asked: bool) -> int:
        """End what networks are stuck in; exactly one of the options says how."""
        chosen = [name for name, on in asked.items() if on]
        if len(chosen) != 1:
            raise CliError(f"give one of {', '.join(f'--{name}' for name in OPERATIONS)}")
        number = OPERATIONS[chosen[0]]
        return each(session, kind, ids, lambda oid: session.call("one.vn.recover", oid, number), f"recover {chosen[0]}")

    helps = {
        "failure": "Call it a failure.",
        "success": "Call it a success.",
        "delete": "Delete it.",
        "retry": "Try again.",
    }
    options = [click.Option([f"--{name}"], is_flag=True, help=helps[name]) for name in OPERATIONS]
    return command(kind, "recover", run, ids_argument(kind), *options, examples=["recover 7 --delete"])
