"""Disks, NICs, snapshots and scheduled actions as `onevm show` and the commands that list them tell of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli import sections
from cli.cells import clock, lasted, number, size, value
from cli.kind import View
from cli.vm.body import addresses, decoded, harmless

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_REPEATS = {"0": "weekly {}", "1": "monthly {}", "2": "yearly {}", "3": "every {} h"}
_ENDS = {"0": "never", "1": "after {} times"}


def disks(body: Body) -> list[str]:
    """The disks, and the context CD."""
    rows = [
        [
            value(d, "DISK_ID"),
            value(d, "DATASTORE", "-"),
            value(d, "TARGET", "-"),
            _marked(d, value(d, "IMAGE") or f"{value(d, 'FORMAT', 'raw')} - {value(d, 'TYPE', 'volatile').lower()}"),
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


def _marked(part: Body, text: str) -> str:
    """TEXT, and that PART is being attached or detached."""
    doing = [word for word in ("ATTACH", "DETACH") if value(part, word).upper() == "YES"]
    return f"{text} ({doing[0].lower()}ing)" if doing else text


def _disk_size(body: Body, disk: Body) -> str:
    used = next(
        (number(d, "SIZE") for d in body.findall("MONITORING/DISK_SIZE") if value(d, "ID") == value(disk, "DISK_ID")), 0
    )
    whole = number(disk, "SIZE") * 1024
    return f"{size(used * 1024, View()) if used else '-'}/{size(whole, View()) if whole else '-'}"


def nics(body: Body, tag: str = "NIC") -> list[str]:
    """The NICs, or with TAG NIC_ALIAS the further addresses and the NICs they are of."""
    alias = tag == "NIC_ALIAS"
    rows = [
        [
            value(nic, "NIC_ID"),
            *([value(nic, "PARENT", "-")] if alias else []),
            _marked(nic, value(nic, "NETWORK", "auto")),
            value(nic, "BRIDGE", "-"),
            ",".join(addresses(nic)) or "-",
            value(nic, "MAC", "-"),
            value(nic, "TARGET", "-"),
        ]
        for nic in body.findall(f"TEMPLATE/{tag}")
    ]
    heads = [
        ("NETWORK", 20, True),
        ("BRIDGE", 12, True),
        ("IP", 15, True),
        ("MAC", 17, True),
        ("TARGET", 10, True),
    ]
    return sections.grid([("ID", 3, False), *([("PARENT", 6, True)] if alias else []), *heads], rows)


def disk_snapshots(body: Body, disk: int | None = None) -> list[str]:
    """The snapshots of all disks, or of DISK; => marks the one that its disk stands on."""
    rows = []
    for tree in body.findall("SNAPSHOTS"):
        if disk is not None and value(tree, "DISK_ID") != str(disk):
            continue
        for snap in tree.findall("SNAPSHOT"):
            rows.append(
                [
                    "=>" if value(snap, "ACTIVE").upper() == "YES" else "",
                    value(snap, "ID"),
                    value(tree, "DISK_ID"),
                    value(snap, "PARENT", "-1"),
                    clock(number(snap, "DATE")),
                    _snapshot_size(body, tree, snap),
                    value(snap, "NAME", "-"),
                ]
            )
    return sections.grid(
        [
            ("AC", 2, True),
            ("ID", 3, False),
            ("DISK", 4, False),
            ("PARENT", 6, False),
            ("DATE", 14, True),
            ("SIZE", 12, True),
            ("NAME", 32, True),
        ],
        rows,
    )


def _snapshot_size(body: Body, tree: Body, snap: Body) -> str:
    path = f"MONITORING/SNAPSHOT_SIZE[ID='{value(snap, 'ID')}'][DISK_ID='{value(tree, 'DISK_ID')}']/SIZE"
    used, whole = number(body, path) * 1024, number(snap, "SIZE") * 1024
    return f"{size(used, View()) if used else '-'}/{size(whole, View()) if whole else '-'}"


def snapshots(body: Body) -> list[str]:
    """The snapshots of the whole VM."""
    rows = [
        [
            value(snap, "SNAPSHOT_ID"),
            clock(number(snap, "TIME")),
            value(snap, "NAME", "-"),
            value(snap, "HYPERVISOR_ID", "-"),
        ]
        for snap in body.findall("TEMPLATE/SNAPSHOT")
    ]
    return sections.grid([("ID", 4, False), ("TIME", 14, True), ("NAME", 46, True), ("HYPERVISOR_ID", 15, True)], rows)


def scheduled(body: Body) -> list[str]:
    """The scheduled actions, when they are due, and what became of them."""
    rows = [
        [
            value(action, "ID"),
            value(action, "ACTION"),
            value(action, "ARGS", "-"),
            clock(_due(body, action)),
            _repeat(action),
            _end(action),
            _status(body, action),
        ]
        for action in body.findall("TEMPLATE/SCHED_ACTION")
    ]
    return sections.grid(
        [
            ("ID", 3, False),
            ("ACTION", 12, True),
            ("ARGS", 4, True),
            ("SCHEDULED", 14, True),
            ("REPEAT", 10, True),
            ("END", 8, True),
            ("STATUS", 20, True),
        ],
        rows,
    )


def _due(body: Body, action: Body) -> float:
    relative = value(action, "TIME").startswith("+")
    return number(action, "TIME") + (number(body, "STIME") if relative else 0)


def _repeat(action: Body) -> str:
    form = _REPEATS.get(value(action, "REPEAT"))
    return form.format(value(action, "DAYS")) if form else "-"


def _end(action: Body) -> str:
    if value(action, "REPEAT") not in _REPEATS:
        return "-"
    kind, end = value(action, "END_TYPE"), number(action, "END_VALUE")
    return (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(end))
        if kind == "2"
        else _ENDS.get(kind, "never").format(int(end))
    )


def _status(body: Body, action: Body) -> str:
    message, done, left = value(action, "MESSAGE"), number(action, "DONE"), _due(body, action) - time.time()
    if message:
        return message
    if done > 0 and value(action, "REPEAT") not in _REPEATS:
        return f"done {clock(done)}"
    return f"in {lasted(left, full=True).strip()}" if left > 0 else "due"


def execution(body: Body) -> list[str]:
    """The last command in the guest, and what it printed."""
    found = body.find("TEMPLATE/QEMU_GA_EXEC")
    if found is None:
        return []
    told = [("COMMAND", value(found, "COMMAND")), ("STATUS", value(found, "STATUS", "-"))]
    if value(found, "RETURN_CODE"):
        told.append(("RETURN CODE", value(found, "RETURN_CODE")))
    printed = [harmless(decoded(value(found, name))) for name in ("STDOUT", "STDERR")]
    return [*sections.fields(told), *(line for text in printed for line in text.splitlines())]
