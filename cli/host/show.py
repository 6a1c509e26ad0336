"""`onehost show`: everything about one host, what is left on it included, for which it is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli import sections
from cli.cells import clock, number, size, value
from cli.errors import CliError
from cli.host import drain, orphans
from cli.kind import Kind, View
from cli.session import Session
from onecore.wire.states import HostState

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_SAID = ("ERROR", "DRAINING", "CLOCK_SKEW", "WILDS", "TOTAL_WILDS", "ZOMBIES", "TOTAL_ZOMBIES")
"""What TEMPLATE holds and stands in lines of its own."""
_SKEW = 2.0


def show(session: Session, kind: Kind, body: Body) -> list[str]:
    """The lines of `onehost show`."""
    return [
        sections.title(f"HOST {value(body, 'ID')} INFORMATION"),
        *sections.fields([*_identity(body), *_health(body)]),
        *_draining(session, body),
        *sections.section("HOST SHARES", sections.fields(_shares(body))),
        *sections.section("MONITORING", sections.fields(_usage(body))),
        *sections.section("LOCAL SYSTEM DATASTORES", _datastores(body)),
        *sections.template("MONITORING INFORMATION", body, hide=_SAID),
        *sections.section("VIRTUAL MACHINES", sections.ids(body, "VMS/ID")),
        *_left(session, body),
    ]


def _identity(body: Body) -> list[tuple[str, str]]:
    return [
        ("ID", value(body, "ID")),
        ("NAME", value(body, "NAME")),
        ("CLUSTER", value(body, "CLUSTER")),
        ("STATE", HostState(int(number(body, "STATE"))).name),
        ("IM_MAD", value(body, "IM_MAD")),
        ("VM_MAD", value(body, "VM_MAD")),
    ]


def _health(body: Body) -> list[tuple[str, str]]:
    """When it was last heard, and what is wrong."""
    heard, error = number(body, "MONITORING/TIMESTAMP"), value(body, "TEMPLATE/ERROR")
    lines = [("LAST HEARD", f"{clock(heard)}, {_ago(time.time() - heard)} ago" if heard else "-")]
    skew = value(body, "TEMPLATE/CLOCK_SKEW")
    if skew:
        seconds = number(body, "TEMPLATE/CLOCK_SKEW")
        wrong = " (too much: see onehost check)" if abs(seconds) > _SKEW else ""
        lines.append(("CLOCK SKEW", f"{round(seconds, 2) + 0.0:.2f} s{wrong}"))
    return [*lines, ("ERROR", error)] if error else lines


def _draining(session: Session, body: Body) -> list[str]:
    """How far the host is with getting rid of its VMs, when that was asked for."""
    if not value(body, "TEMPLATE/DRAINING"):
        return []
    try:
        found = drain.ask(session, int(number(body, "ID")))
    except CliError as error:
        if error.offline:
            raise
        return sections.fields([("DRAINING", f"since {clock(number(body, 'TEMPLATE/DRAINING'))}")])
    if drain.is_over(found):
        return []
    return [
        *sections.fields([("DRAINING", drain.summary(found))]),
        *sections.section("STILL ON IT", drain.left(found)),
    ]


def _ago(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole} s" if whole < 120 else f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def _shares(body: Body) -> list[tuple[str, str]]:
    view, part = View(), "HOST_SHARE"
    memory = [
        (label, size(number(body, f"{part}/{leaf_}"), view))
        for label, leaf_ in (("TOTAL MEM", "TOTAL_MEM"), ("MAX MEM", "MAX_MEM"), ("ALLOCATED MEM", "MEM_USAGE"))
    ]
    cpu = [
        (label, value(body, f"{part}/{leaf_}", "0"))
        for label, leaf_ in (("TOTAL CPU", "TOTAL_CPU"), ("MAX CPU", "MAX_CPU"), ("ALLOCATED CPU", "CPU_USAGE"))
    ]
    return [("RUNNING VMS", value(body, f"{part}/RUNNING_VMS", "0")), *memory, *cpu]


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


def _left(session: Session, body: Body) -> list[str]:
    """What should not be there; nothing when the host is left alone, or the server does not tell."""
    if int(number(body, "STATE")) == HostState.OFFLINE:
        return []
    found = orphans.ask(session, int(number(body, "ID")))
    return orphans.lines(found) if found else []
