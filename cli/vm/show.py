"""`onevm show`: everything about one VM, why it waits foremost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cli import formats, sections
from cli.cells import clock, lasted, number, size, value
from cli.command import command as make
from cli.command import object_argument
from cli.ids import id_of, read_info
from cli.kind import Kind, View
from cli.session import Session
from cli.shared import decrypt_option, shown
from cli.task import ops
from cli.vm import show_parts
from cli.vm.body import state_pair
from cli.vm.history import history
from onecore.wire import states

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_SHOWN = ("DISK", "NIC", "NIC_ALIAS", "SECURITY_GROUP_RULE", "SNAPSHOT", "SCHED_ACTION", "QEMU_GA_EXEC")
_STEPS = (("prolog", "PSTIME", "PETIME"), ("epilog", "ESTIME", "EETIME"))


def command(kind: Kind) -> click.Command:
    """The command `show`."""

    def run(session: Session, kind: Kind, oid: str, decrypt: bool, everything: bool, **form: Any) -> None:
        """Show one of the virtual machines."""
        body = read_info(session, kind, id_of(session, kind, oid), *(kind.decrypt if decrypt else ()))
        chosen = formats.chosen(**form)
        hidden = () if everything else _SHOWN
        for line in _lines(session, body, hidden) if chosen == "table" else shown(session, kind, body, chosen):
            session.say(line)

    return make(
        kind,
        "show",
        run,
        object_argument(kind, "oid"),
        *formats.options(),
        decrypt_option(),
        click.Option(
            ["--all", "everything"], is_flag=True, help="The template with disks and NICs, which stand above."
        ),
        examples=["show web", "show 7 -o json"],
    )


def show(session: Session, kind: Kind, body: Body) -> list[str]:
    """The lines of `onevm show`."""
    return _lines(session, body, _SHOWN)


def _lines(session: Session, body: Body, hidden: Sequence[str]) -> list[str]:
    return [
        sections.title(f"VIRTUAL MACHINE {value(body, 'ID')} INFORMATION"),
        *sections.fields([*_identity(body), *_trouble(session, body), *_whereabouts(body)]),
        *sections.section("VIRTUAL MACHINE MONITORING", sections.fields(_monitoring(body))),
        *sections.permissions(body),
        *sections.section("VM DISKS", show_parts.disks(body)),
        *sections.section("VM DISK SNAPSHOTS", show_parts.disk_snapshots(body)),
        *sections.section("VM NICS", show_parts.nics(body)),
        *sections.section("VM ALIAS", show_parts.nics(body, "NIC_ALIAS")),
        *sections.section("SNAPSHOTS", show_parts.snapshots(body)),
        *sections.section("VIRTUAL MACHINE HISTORY", history(body)),
        *sections.section("SCHEDULED ACTIONS", show_parts.scheduled(body)),
        *sections.section("COMMAND IN THE GUEST", show_parts.execution(body)),
        *sections.template("USER TEMPLATE", body, "USER_TEMPLATE"),
        *sections.template("VIRTUAL MACHINE TEMPLATE", body, "TEMPLATE", hidden),
    ]


def _identity(body: Body) -> list[tuple[str, str]]:
    state, lcm = state_pair(body)
    return [
        ("ID", value(body, "ID")),
        ("NAME", value(body, "NAME")),
        ("USER", value(body, "UNAME")),
        ("GROUP", value(body, "GNAME")),
        *_vm_group(body),
        ("STATE", states.vm_name(state, 0) if state != states.VmState.ACTIVE else "ACTIVE"),
        ("LCM_STATE", states.vm_name(states.VmState.ACTIVE, lcm)),
    ]


def _vm_group(body: Body) -> list[tuple[str, str]]:
    group = value(body, "TEMPLATE/VMGROUP/VMGROUP_ID")
    return [("VM GROUP", f"{group}, role {value(body, 'TEMPLATE/VMGROUP/ROLE')}")] if group else []


def _trouble(session: Session, body: Body) -> list[tuple[str, str]]:
    """Why it waits or failed, and what is under way."""
    state, lcm = state_pair(body)
    lines = []
    waits = value(body, "USER_TEMPLATE/SCHED_MESSAGE")
    if waits and (state in (states.VmState.PENDING, states.VmState.HOLD) or value(body, "RESCHED") == "1"):
        lines.append(("WAITS BECAUSE", waits))
    error = value(body, "USER_TEMPLATE/ERROR")
    if error:
        lines.append(("ERROR", error))
    moving = state == states.VmState.ACTIVE and lcm not in (states.Lcm.RUNNING, states.Lcm.UNKNOWN)
    under_way = _under_way(session, body) if moving and "FAILURE" not in states.vm_name(state, lcm) else ""
    return [*lines, ("UNDER WAY", under_way)] if under_way else lines


def _under_way(session: Session, body: Body) -> str:
    op = ops.of_vm(session, int(value(body, "ID")))
    if op:
        age = lasted(time.time() - float(op["since"]), full=True).strip()
        return f"{op['what']}: {ops.progress(op)}, for {age} (operation {op['id']})"
    last = body.find("HISTORY_RECORDS/HISTORY[last()]")
    if last is None:
        return ""
    for name, begun, ended in _STEPS:
        if number(last, begun) and not number(last, ended):
            return f"{name} for {lasted(time.time() - number(last, begun), full=True).strip()}"
    return ""


def _whereabouts(body: Body) -> list[tuple[str, str]]:
    last = body.find("HISTORY_RECORDS/HISTORY[last()]")
    placed = [("HOST", value(last, "HOSTNAME")), ("CLUSTER ID", value(last, "CID"))] if last is not None else []
    return [
        ("LOCK", sections.lock(body)),
        ("RESCHED", "Yes" if value(body, "RESCHED") == "1" else "No"),
        *placed,
        ("START TIME", clock(number(body, "STIME"))),
        ("END TIME", clock(number(body, "ETIME"))),
        ("DEPLOY ID", value(body, "DEPLOY_ID", "-")),
    ]


def _monitoring(body: Body) -> list[tuple[str, str]]:
    units = {"MEMORY": 1, "NETRX": 1024, "NETTX": 1024, "DISKRDBYTES": 1024, "DISKWRBYTES": 1024}
    found = body.find("MONITORING")
    lines = []
    for leaf in found if found is not None else ():
        name = str(leaf.tag)
        if len(leaf) or name in ("ID", "TIMESTAMP"):
            continue
        text = (leaf.text or "").strip()
        lines.append((name, size(number(body, f"MONITORING/{name}") / units[name], View()) if name in units else text))
    return lines
