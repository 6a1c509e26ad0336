"""The commands that name a host for VMs: deploy and migrate."""

from __future__ import annotations

import click

from cli import source
from cli.command import command, file_option, ids_argument, object_argument
from cli.errors import CliError
from cli.ids import each, id_of
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session

FORCE = "warning: a VM that still runs on its old host now writes to its disks from two hosts"
SAVED, OFF, OFF_HARD = 0, 1, 2
"""Migration types: how a guest that is not moved live is stopped."""
CHECKED = 90.0
"""Seconds for the answer to a migration: both hosts are asked first whether it can be."""


def deploy(kind: Kind) -> click.Command:
    """The command `deploy`."""

    def run(
        session: Session,
        kind: Kind,
        ids: str,
        host: str,
        datastore: str | None,
        enforce: bool,
        file: str | None,
        force: bool,
    ) -> int:
        """Start VMs on a host, in a system datastore if one is named."""
        if force:
            session.fail(FORCE)
        hid, ds = _place(session, host, datastore)
        extra = source.required(file) if file else ""
        rest = (extra, True) if force else (extra,)
        return each(
            session, kind, ids, lambda oid: session.call("one.vm.deploy", oid, hid, enforce, ds, *rest), "deploying"
        )

    return command(
        kind,
        "deploy",
        run,
        *_arguments(kind),
        click.Option(["-e", "--enforce"], is_flag=True, help="Only if the host has room."),
        file_option("Template that is merged into the user template"),
        click.Option(["--force"], is_flag=True, help="Even if a host that is away may run them (administrators)."),
        examples=["deploy web node2", "deploy 3..5 node2 fast --enforce"],
    )


def migrate(kind: Kind) -> click.Command:
    """The command `migrate`."""

    def run(
        session: Session,
        kind: Kind,
        ids: str,
        host: str,
        datastore: str | None,
        enforce: bool,
        live: bool,
        poff: bool,
        poff_hard: bool,
    ) -> int:
        """Move VMs to another host, or another system datastore.

        A running guest is saved and goes on there, unless one of the options says otherwise; one that is off or
        suspended stays so.
        """
        if live + poff + poff_hard > 1:
            raise CliError("give one of --live, --poff and --poff-hard")
        hid, ds = _place(session, host, datastore)
        how = OFF_HARD if poff_hard else OFF if poff else SAVED
        return each(
            session,
            kind,
            ids,
            lambda oid: session.call("one.vm.migrate", oid, hid, live, enforce, ds, how, timeout=CHECKED),
            f"migrating to {host}",
        )

    return command(
        kind,
        "migrate",
        run,
        *_arguments(kind),
        click.Option(["-e", "--enforce"], is_flag=True, help="Only if the host has room."),
        click.Option(["--live"], is_flag=True, help="As they run, without a break that is felt."),
        click.Option(["--poff"], is_flag=True, help="Shut running guests down for it, and start them there."),
        click.Option(["--poff-hard"], is_flag=True, help="The same without asking the guest."),
        examples=["migrate web node2 --live", "migrate web node2 && onetask follow web", "migrate web node1 fast"],
    )


def _arguments(kind: Kind) -> list[click.Parameter]:
    return [
        ids_argument(kind),
        object_argument(kind_of("host"), "host"),
        object_argument(kind_of("datastore"), "datastore", required=False),
    ]


def _place(session: Session, host: str, datastore: str | None) -> tuple[int, int]:
    hid = id_of(session, kind_of("host"), host)
    return hid, -1 if datastore is None else id_of(session, kind_of("datastore"), datastore)
