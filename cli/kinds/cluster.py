"""Clusters: columns and commands of `onecluster`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections
from cli.cells import counted, leaf, value
from cli.command import command, ids_argument, object_argument
from cli.ids import each, id_of
from cli.kind import Column, Factory, Kind, shared
from cli.kinds import kind as kind_of
from cli.session import Session
from onecore.wire.states import PlanState

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str) -> None:
        """Create a cluster."""
        session.made(session.number("one.cluster.allocate", name))

    return command(kind, "create", run, click.Argument(["name"]))


_PLAN = {
    "optimize": "Have the match-maker plan moves of the VMs; `show` tells what it found.",
    "planexecute": "Carry a cluster's plan out.",
    "plandelete": "Forget a cluster's plan; moves under way go on.",
}
_STATES = {str(int(state)): word for state, word in (
    (PlanState.NONE, "asked for"), (PlanState.READY, "ready"), (PlanState.APPLYING, "under way"),
    (PlanState.DONE, "done"), (PlanState.ERROR, "failed"), (PlanState.TIMEOUT, "timed out"))}


def _planning(verb: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        def run(session: Session, kind: Kind, ids: str) -> int:
            return each(session, kind, ids, lambda oid: session.call(kind.call(verb), oid), verb)

        return command(kind, verb, run, ids_argument(kind), help=_PLAN[verb], examples=[f"{verb} default"])

    return make


def _resources(verb: str, part: str, help: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        def run(session: Session, kind: Kind, oid: str, **given: str) -> int:
            cluster = id_of(session, kind, oid)
            return each(
                session, kind_of(part), given[f"{part}s"], lambda one: session.call(kind.call(verb), cluster, one), verb
            )

        return command(
            kind, verb, run, object_argument(kind, "oid"), ids_argument(kind_of(part), f"{part}s"), help=help
        )

    return make


def _plan(body: Body) -> list[str]:
    plan = body.find("PLAN")
    if plan is None:
        return []
    rows = [
        [value(one, "ID"), value(one, "VM_ID"), value(one, "HOST_ID"), _STATES.get(value(one, "STATE"), "-")]
        for one in plan.findall("ACTION")
    ]
    state = sections.fields([("STATE", _STATES.get(value(plan, "STATE"), "-"))])
    heads = [("ID", 4, False), ("VM", 6, False), ("TO HOST", 7, False), ("STATE", 9, True)]
    return [*state, *sections.grid(heads, rows)]


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    return [
        sections.title(f"CLUSTER {value(body, 'ID')} INFORMATION"),
        *sections.fields([("ID", value(body, "ID")), ("NAME", value(body, "NAME"))]),
        *sections.section("PLAN", _plan(body)),
        *sections.template("CLUSTER TEMPLATE", body),
        *(
            line
            for name in ("HOSTS", "VNETS", "DATASTORES")
            for line in sections.section(name, sections.ids(body, f"{name}/ID"))
        ),
    ]


KIND = Kind(
    program="onecluster",
    title="clusters",
    tag="CLUSTER",
    method="cluster",
    pool="clusterpool",
    show=_show,
    decrypt=(True,),
    columns=(
        Column("ID", "Id of the cluster", 4, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("HOSTS", "Its hosts", 5, counted("HOSTS/ID")),
        Column("VNETS", "Its virtual networks", 5, counted("VNETS/ID")),
        Column("DATASTORES", "Its datastores", 10, counted("DATASTORES/ID")),
    ),
    default=("ID", "NAME", "HOSTS", "VNETS", "DATASTORES"),
    commands={
        **shared("list", "show", "top", "delete", "rename", "update"),
        "create": _create,
        "addhost": _resources("addhost", "host", "Move hosts into a cluster."),
        "delhost": _resources("delhost", "host", "Take hosts out of a cluster."),
        "adddatastore": _resources("adddatastore", "datastore", "Let a cluster's hosts use datastores."),
        "deldatastore": _resources("deldatastore", "datastore", "Take datastores out of a cluster."),
        "addvnet": _resources("addvnet", "vnet", "Let a cluster's hosts use virtual networks."),
        "delvnet": _resources("delvnet", "vnet", "Take virtual networks out of a cluster."),
        **{verb: _planning(verb) for verb in _PLAN},
    },
)
