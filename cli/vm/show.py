"""`onevm show`: everything about one VM, why it waits foremost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli import sections
from cli.cells import clock, lasted, number, size, value
from cli.kind import Kind, View
from cli.session import Session
from cli.vm.body import addresses, state_pair
from onecore.wire import states

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_SHOWN = ("DISK", "NIC", "NIC_ALIAS", "SECURITY_GROUP_RULE", "SNAPSHOT")
_STEPS = (("prolog", "PSTIME", "PETIME"), ("epilog", "ESTIME", "EETIME"))
_ACTIONS = {
    0: "none",
    1: "migrate",
    2: "live-migrate",
    3: "shutdown",
    4: "shutdown-hard",
    5: "undeploy",
    6: "undeploy-hard",
    7: "hold",
    8: "release",
    9: "stop",
    10: "suspend",
    11: "resume",
    12: "boot",
    13: "delete",
    14: "delete-recreate",
    15: "reboot",
    16: "reboot-hard",
    17: "resched",
    18: "unresched",
    19: "poweroff",
    20: "poweroff-hard",
    21: "disk-attach",
    22: "disk-detach",
    23: "nic-attach",
    24: "nic-detach",
    25: "snap-create",
    26: "snap-delete",
    27: "terminate",
    28: "terminate-hard",
    29: "disk-resize",
    30: "deploy",
    31: "chown",
    32: "chmod",
    33: "updateconf",
    34: "rename",
    35: "resize",
    36: "update",
    42: "recover",
    43: "retry",
    44: "monitor",
}
"""Names of the numbers in HISTORY/ACTION."""


def show(session: Session, kind: Kind, body: Body) -> list[str]:
    """The lines of `onevm show`."""
    return [
        sections.title(f"VIRTUAL MACHINE {value(body, 'ID')} INFORMATION"),
        *sections.fields([*_identity(body), *_trouble(body), *_whereabouts(body)]),
        *sections.section("VIRTUAL MACHINE MONITORING", sections.fields(_monitoring(body))),
        *sections.permissions(body),
        *sections.section("VM DISKS", _disks(body)),
        *sections.section("VM NICS", _nics(body)),
        *sections.section("VIRTUAL MACHINE HISTORY", _history(body)),
        *sections.template("USER TEMPLATE", body, "USER_TEMPLATE"),
        *sections.template("VIRTUAL MACHINE TEMPLATE", body, "TEMPLATE", _SHOWN),
    ]


def _identity(body: Body) -> list[tuple[str, str]]:
    state, lcm = state_pair(body)
    return [
        ("ID", value(body, "ID")),
        ("NAME", value(body, "NAME")),
        ("USER", value(body, "UNAME")),
        ("GROUP", value(body, "GNAME")),
        ("STATE", states.vm_name(state, 0) if state != states.VmState.ACTIVE else "ACTIVE"),
        ("LCM_STATE", states.vm_name(states.VmState.ACTIVE, lcm)),
    ]


def _trouble(body: Body) -> list[tuple[str, str]]:
    """Why it waits or failed, and what is under way."""
    state, lcm = state_pair(body)
    lines = []
    waits = value(body, "USER_TEMPLATE/SCHED_MESSAGE")
    if waits and (state in (states.VmState.PENDING, states.VmState.HOLD) or value(body, "RESCHED") == "1"):
        lines.append(("WAITS BECAUSE", waits))
    error = value(body, "USER_TEMPLATE/ERROR")
    if error:
        lines.append(("ERROR", error))
    under_way = _under_way(body) if state == states.VmState.ACTIVE and lcm != states.Lcm.RUNNING else ""
    return [*lines, ("UNDER WAY", under_way)] if under_way else lines


def _under_way(body: Body) -> str:
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


def _disks(body: Body) -> list[str]:
    rows = [
        [
            value(d, "DISK_ID"),
            value(d, "DATASTORE", "-"),
            value(d, "TARGET", "-"),
            _disk_name(d),
            _disk_size(body, d),
            value(d, "TYPE", "-").lower(),
            value(d, "SAVE", "NO"),
        ]
        for d in body.findall("TEMPLATE/DISK")
    ]
    context = body.find("TEMPLATE/CONTEXT")
    if context is not None and value(context, "DISK_ID"):
        rows.append([value(context, "DISK_ID"), "-", value(context, "TARGET", "-"), "CONTEXT", "-", "-", "-"])
    return sections.grid(
        [
            ("ID", 3, False),
            ("DATASTORE", 10, True),
            ("TARGET", 6, True),
            ("IMAGE", 35, True),
            ("SIZE", 9, True),
            ("TYPE", 4, True),
            ("SAVE", 4, False),
        ],
        rows,
    )


def _disk_name(disk: Body) -> str:
    return value(disk, "IMAGE") or f"{value(disk, 'FORMAT', 'raw')} - {value(disk, 'TYPE', 'volatile').lower()}"


def _disk_size(body: Body, disk: Body) -> str:
    used = next(
        (number(d, "SIZE") for d in body.findall("MONITORING/DISK_SIZE") if value(d, "ID") == value(disk, "DISK_ID")), 0
    )
    whole = number(disk, "SIZE") * 1024
    return f"{size(used * 1024, View()) if used else '-'}/{size(whole, View()) if whole else '-'}"


def _nics(body: Body) -> list[str]:
    rows = []
    for nic in [*body.findall("TEMPLATE/NIC"), *body.findall("TEMPLATE/NIC_ALIAS")]:
        rows.append(
            [
                value(nic, "NIC_ID"),
                value(nic, "NETWORK", "auto"),
                value(nic, "BRIDGE", "-"),
                ",".join(addresses(nic)) or "-",
                value(nic, "MAC", "-"),
                value(nic, "TARGET", "-"),
            ]
        )
    return sections.grid(
        [
            ("ID", 3, False),
            ("NETWORK", 20, True),
            ("BRIDGE", 12, True),
            ("IP", 15, True),
            ("MAC", 17, True),
            ("TARGET", 10, True),
        ],
        rows,
    )


def _history(body: Body) -> list[str]:
    now = time.time()
    rows = []
    for record in body.findall("HISTORY_RECORDS/HISTORY"):
        begun, ended = number(record, "STIME"), number(record, "ETIME")
        prolog = (
            max(0.0, (number(record, "PETIME") or now) - number(record, "PSTIME")) if number(record, "PSTIME") else 0.0
        )
        action = int(number(record, "ACTION"))
        rows.append(
            [
                value(record, "SEQ"),
                value(record, "HOSTNAME"),
                _ACTIONS.get(action, str(action)),
                value(record, "DS_ID"),
                clock(begun),
                lasted((ended or now) - begun, full=True),
                lasted(prolog, full=True).strip()[3:],
            ]
        )
    return sections.grid(
        [
            ("SEQ", 3, False),
            ("HOST", 15, True),
            ("ACTION", 12, True),
            ("DS", 4, False),
            ("START", 14, True),
            ("TIME", 14, False),
            ("PROLOG", 9, False),
        ],
        rows,
    )
