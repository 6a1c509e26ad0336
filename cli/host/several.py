"""Verbs that go to several hosts, or all: sync, forceupdate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cli.cells import number, value
from cli.command import command, ids_argument
from cli.errors import CliError
from cli.host import DISABLE, ENABLE
from cli.ids import each, id_of, read_info
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session
from onecore.wire.states import HostState

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def sync(kind: Kind) -> click.Command:
    """The command `sync`."""

    def run(session: Session, kind: Kind, ids: str | None, cluster: str | None, force: bool) -> int:
        """Connect to hosts anew (all that are not offline, or those named) and send them the probe once more."""
        return _on(session, kind, ids, cluster, lambda oid: session.call("onecore.host.sync", oid), "synced")

    force = click.Option(["-f", "--force"], is_flag=True, help="Nothing more: hosts are always connected anew.")
    return command(kind, "sync", run, _ids(kind), _cluster(), force)


def forceupdate(kind: Kind) -> click.Command:
    """The command `forceupdate`."""

    def run(session: Session, kind: Kind, ids: str | None, cluster: str | None) -> int:
        """Have hosts monitored now: sets the status that they have once more."""

        def refresh(oid: int) -> None:
            state = int(number(read_info(session, kind, oid), "STATE"))
            if state == HostState.OFFLINE:
                raise CliError(f"HOST {oid} is offline")
            session.call("one.host.status", oid, DISABLE if state == HostState.DISABLED else ENABLE)

        return _on(session, kind, ids, cluster, refresh, "monitoring")

    return command(kind, "forceupdate", run, _ids(kind), _cluster())


def _ids(kind: Kind) -> click.Argument:
    made = ids_argument(kind)
    made.required, made.metavar = False, f"[{made.metavar}]"
    return made


def _cluster() -> click.Option:
    return click.Option(["-c", "--cluster"], metavar="CLUSTER", help="Only hosts of this cluster, by id or name.")


def _on(
    session: Session, kind: Kind, ids: str | None, cluster: str | None, act: Callable[[int], object], done: str
) -> int:
    """ACT on the hosts named, or on all that are not offline (of CLUSTER)."""
    if ids is not None and cluster is not None:
        raise CliError("give hosts or --cluster, not both")
    if ids is None:
        ids = ",".join(_all(session, kind, cluster))
    return each(session, kind, ids, act, done) if ids else 0


def _all(session: Session, kind: Kind, cluster: str | None) -> list[str]:
    from onecore.wire import xmlbody

    cid = None if cluster is None else str(id_of(session, kind_of("cluster"), cluster))

    def wanted(body: Body) -> bool:
        return int(number(body, "STATE")) != HostState.OFFLINE and cid in (None, value(body, "CLUSTER_ID"))

    pool = xmlbody.read(session.text(f"one.{kind.pool}.info"))
    return [value(body, "ID") for body in pool.findall(kind.tag) if wanted(body)]
