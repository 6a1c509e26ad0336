"""Hosts: columns and commands of `onehost`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.cells import kilobytes, leaf, number, share
from cli.command import command, ids_argument
from cli.host import DISABLE, ENABLE, OFFLINE
from cli.ids import each, id_of
from cli.kind import Column, Factory, Kind, View, later, shared
from cli.kinds import kind as kind_of
from cli.session import Session
from onecore.wire.states import HOST_SHORT, HostState

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body


def _state(body: Body, view: View) -> str:
    return HOST_SHORT.get(HostState(int(number(body, "STATE"))), "????")


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str, im: str, vm: str, cluster: str | None, no_check: bool) -> None:
        """Register a host, and check whether it can be used."""
        cid = -1 if cluster is None else id_of(session, kind_of("cluster"), cluster)
        oid = session.number("one.host.allocate", name, im, vm, cid)
        session.made(oid)
        if not no_check and not session.dry:
            from cli.host import check

            check.report(session, oid)

    return command(
        kind,
        "create",
        run,
        click.Argument(["name"]),
        click.Option(["-i", "--im"], metavar="DRIVER", required=True, help="Information driver: kvm, dummy."),
        click.Option(["-v", "--vm"], metavar="DRIVER", required=True, help="Virtualization driver: kvm, dummy."),
        click.Option(["-c", "--cluster"], metavar="CLUSTER", help="Id or name of its cluster."),
        click.Option(["--no-check"], is_flag=True, help="Do not check the host afterwards."),
        examples=["create node1 --im kvm --vm kvm"],
    )


def _status(name: str, number: int, done: str, help: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        def run(session: Session, kind: Kind, ids: str) -> int:
            return each(session, kind, ids, lambda oid: session.call("one.host.status", oid, number), done)

        return command(kind, name, run, ids_argument(kind), help=help)

    return make


KIND = Kind(
    program="onehost",
    title="hosts",
    tag="HOST",
    method="host",
    pool="hostpool",
    show=later("cli.host.show:show"),
    decrypt=(True,),
    columns=(
        Column("ID", "Id of the host", 4, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("CLUSTER", "Its cluster", 9, leaf("CLUSTER"), left=True),
        Column("TVM", "VMs on it", 3, leaf("HOST_SHARE/RUNNING_VMS", "0")),
        Column("ZVM", "Zombies on it: guests of VMs that should not run there", 3, leaf("TEMPLATE/TOTAL_ZOMBIES", "0")),
        Column("TCPU", "CPU, percent of a core", 4, leaf("HOST_SHARE/TOTAL_CPU", "0")),
        Column("FCPU", "CPU that is idle", 4, leaf("MONITORING/CAPACITY/FREE_CPU")),
        Column("ACPU", "CPU that may be given to VMs", 4, leaf("HOST_SHARE/MAX_CPU", "0")),
        Column("TMEM", "Memory", 7, kilobytes("HOST_SHARE/TOTAL_MEM")),
        Column("FMEM", "Memory that is free", 7, kilobytes("MONITORING/CAPACITY/FREE_MEMORY")),
        Column("AMEM", "Memory that may be given to VMs", 7, kilobytes("HOST_SHARE/MAX_MEM")),
        Column("ALLOCATED_CPU", "CPU given to VMs", 17, share("HOST_SHARE/CPU_USAGE", "HOST_SHARE/MAX_CPU")),
        Column("ALLOCATED_MEM", "Memory given to VMs", 20, share("HOST_SHARE/MEM_USAGE", "HOST_SHARE/MAX_MEM", True)),
        Column("REAL_CPU", "CPU in use", 17, share("MONITORING/CAPACITY/USED_CPU", "HOST_SHARE/TOTAL_CPU")),
        Column("REAL_MEM", "Memory in use", 20, share("MONITORING/CAPACITY/USED_MEMORY", "HOST_SHARE/TOTAL_MEM", True)),
        Column("STAT", "Its state", 4, _state, left=True, state=True),
    ),
    default=("ID", "NAME", "CLUSTER", "TVM", "ALLOCATED_CPU", "ALLOCATED_MEM", "STAT"),
    commands={
        **shared("list", "show", "top", "delete", "rename", "update"),
        "create": _create,
        "check": later("cli.host.check:check"),
        "reconcile": later("cli.host.orphans:reconcile"),
        "sync": later("cli.host.several:sync"),
        "forceupdate": later("cli.host.several:forceupdate"),
        "flush": later("cli.host.flush:flush"),
        "enable": _status("enable", ENABLE, "enabled", "Let hosts be used."),
        "disable": _status("disable", DISABLE, "disabled", "Place no VMs on hosts; they are still monitored."),
        "offline": _status("offline", OFFLINE, "offline", "Leave hosts alone altogether."),
        "monitoring": later("cli.samples:monitoring", "host"),
    },
)
