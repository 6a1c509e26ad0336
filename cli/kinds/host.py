"""Hosts: columns and commands of `onehost`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import sections
from cli.cells import kilobytes, leaf, number, share, size, value
from cli.command import command, ids_argument
from cli.errors import CliError
from cli.ids import each, id_of, read_info
from cli.kind import Column, Factory, Kind, View, later, shared
from cli.kinds import kind as kind_of
from cli.session import Session
from onecore.wire.states import HOST_SHORT, HostState

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

ENABLE, DISABLE, OFFLINE = 0, 1, 2
"""Arguments of one.host.status."""


def _state(body: Body, view: View) -> str:
    return HOST_SHORT.get(HostState(int(number(body, "STATE"))), "????")


def _create(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, name: str, im: str, vm: str, cluster: str | None) -> None:
        """Register a host."""
        cid = -1 if cluster is None else id_of(session, kind_of("cluster"), cluster)
        session.say(f"ID: {session.number('one.host.allocate', name, im, vm, cid)}")

    return command(
        kind,
        "create",
        run,
        click.Argument(["name"]),
        click.Option(["-i", "--im"], metavar="DRIVER", required=True, help="Information driver: kvm, dummy."),
        click.Option(["-v", "--vm"], metavar="DRIVER", required=True, help="Virtualization driver: kvm, dummy."),
        click.Option(["-c", "--cluster"], metavar="CLUSTER", help="Id or name of its cluster."),
    )


def _status(name: str, number: int, done: str, help: str) -> Factory:
    def make(kind: Kind) -> click.Command:
        def run(session: Session, kind: Kind, ids: str) -> int:
            return each(session, kind, ids, lambda oid: session.call("one.host.status", oid, number), done)

        return command(kind, name, run, ids_argument(kind), help=help)

    return make


def _flush(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str) -> int:
        """Disable hosts and mark their VMs to be placed anew."""

        def flush(oid: int) -> None:
            session.call("one.host.status", oid, DISABLE)
            for vm in read_info(session, kind, oid).findall("VMS/ID"):
                try:
                    session.call("one.vm.action", "resched", int(vm.text or -1))
                except CliError as error:  # a VM in a state that cannot move now
                    session.fail(error)

        return each(session, kind, ids, flush, "flushed")

    return command(kind, "flush", run, ids_argument(kind))


def _forceupdate(kind: Kind) -> click.Command:
    def run(session: Session, kind: Kind, ids: str) -> int:
        """Have hosts monitored now: sets the status that they have once more."""

        def refresh(oid: int) -> None:
            state = int(number(read_info(session, kind, oid), "STATE"))
            if state == HostState.OFFLINE:
                raise CliError(f"HOST {oid} is offline")
            session.call("one.host.status", oid, DISABLE if state == HostState.DISABLED else ENABLE)

        return each(session, kind, ids, refresh, "monitoring")

    return command(kind, "forceupdate", run, ids_argument(kind))


def _show(session: Session, kind: Kind, body: Body) -> list[str]:
    view, part = View(), "HOST_SHARE"
    memory = [
        (label, size(number(body, f"{part}/{leaf_}"), view))
        for label, leaf_ in (("TOTAL MEM", "TOTAL_MEM"), ("MAX MEM", "MAX_MEM"), ("ALLOCATED MEM", "MEM_USAGE"))
    ]
    cpu = [
        (label, value(body, f"{part}/{leaf_}", "0"))
        for label, leaf_ in (("TOTAL CPU", "TOTAL_CPU"), ("MAX CPU", "MAX_CPU"), ("ALLOCATED CPU", "CPU_USAGE"))
    ]
    return [
        sections.title(f"HOST {value(body, 'ID')} INFORMATION"),
        *sections.fields(
            [
                ("ID", value(body, "ID")),
                ("NAME", value(body, "NAME")),
                ("CLUSTER", value(body, "CLUSTER")),
                ("STATE", HostState(int(number(body, "STATE"))).name),
                ("IM_MAD", value(body, "IM_MAD")),
                ("VM_MAD", value(body, "VM_MAD")),
                *_failure(body),
            ]
        ),
        *sections.section(
            "HOST SHARES", sections.fields([("RUNNING VMS", value(body, f"{part}/RUNNING_VMS", "0")), *memory, *cpu])
        ),
        *sections.section("MONITORING", sections.fields(_usage(body))),
        *sections.section("LOCAL SYSTEM DATASTORES", _datastores(body)),
        *sections.template("MONITORING INFORMATION", body, hide=("ERROR",)),
        *sections.section("VIRTUAL MACHINES", sections.ids(body, "VMS/ID")),
    ]


def _failure(body: Body) -> list[tuple[str, str]]:
    error = value(body, "TEMPLATE/ERROR")
    return [("ERROR", error)] if error else []


def _usage(body: Body) -> list[tuple[str, str]]:
    capacity = body.find("MONITORING/CAPACITY")
    if capacity is None:
        return []
    return [
        ("USED CPU", value(capacity, "USED_CPU", "0")),
        ("USED MEM", size(number(capacity, "USED_MEMORY"), View())),
        ("FREE CPU", value(capacity, "FREE_CPU", "0")),
        ("FREE MEM", size(number(capacity, "FREE_MEMORY"), View())),
    ]


def _datastores(body: Body) -> list[str]:
    rows = [
        [value(d, "ID"), *(size(number(d, f"{name}_MB") * 1024, View()) for name in ("TOTAL", "USED", "FREE"))]
        for d in body.findall("HOST_SHARE/DATASTORES/DS")
    ]
    return sections.grid([("ID", 4, False), ("TOTAL", 8, False), ("USED", 8, False), ("FREE", 8, False)], rows)


KIND = Kind(
    program="onehost",
    title="hosts",
    tag="HOST",
    method="host",
    pool="hostpool",
    show=_show,
    columns=(
        Column("ID", "Id of the host", 4, leaf("ID")),
        Column("NAME", "Its name", 15, leaf("NAME"), left=True, wide=True),
        Column("CLUSTER", "Its cluster", 9, leaf("CLUSTER"), left=True),
        Column("TVM", "VMs on it", 3, leaf("HOST_SHARE/RUNNING_VMS", "0")),
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
        "forceupdate": _forceupdate,
        "flush": _flush,
        "enable": _status("enable", ENABLE, "enabled", "Let hosts be used."),
        "disable": _status("disable", DISABLE, "disabled", "Place no VMs on hosts; they are still monitored."),
        "offline": _status("offline", OFFLINE, "offline", "Leave hosts alone altogether."),
        "monitoring": later("cli.samples:monitoring", "host"),
    },
)
