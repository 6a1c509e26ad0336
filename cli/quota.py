"""A user's or group's usage and limits: cells of lists, tables of show.

In a pool they stand behind all objects, as QUOTAS elements with their ids.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cli import sections
from cli.cells import number, size, value
from cli.kind import Cell, View

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

_DEFAULT, _UNLIMITED = "-1", "-2"


@lru_cache(1)
def _by_id(pool: Body) -> dict[str, Body]:
    """The QUOTAS of a pool by the id of whose they are."""
    return {value(found, "ID"): found for found in pool.findall("QUOTAS")}


def _usage(body: Body) -> Body | None:
    pool = body.getparent()
    own = None if pool is None else _by_id(pool).get(value(body, "ID"))
    return (body if own is None else own).find("VM_QUOTA/VM")


def cell(name: str, factor: float = 0.0) -> Cell:
    """'used / limit' of NAME (VMS, CPU, MEMORY); FACTOR gives KB, 0 is a plain number; '-' without a limit."""

    def show(body: Body, view: View) -> str:
        usage = _usage(body)
        return "-" if usage is None else _pair(usage, name, factor, view)

    return show


def _pair(usage: Body, name: str, factor: float, view: View) -> str:
    """'used / limit'; '-' without a limit of its own."""
    limit = value(usage, name, _DEFAULT)
    most = "-" if limit in (_DEFAULT, _UNLIMITED) else _amount(usage, name, factor, view)
    return f"{_amount(usage, f'{name}_USED', factor, view)} / {most}"


def _amount(usage: Body, path: str, factor: float, view: View) -> str:
    amount = number(usage, path)
    return size(amount * factor, view) if factor else f"{amount:g}"


MB = 1024.0
TABLES: tuple[tuple[str, str, str, dict[str, float]], ...] = (
    ("VMS USAGE & QUOTAS", "VM", "CLUSTER_IDS", {"VMS": 0, "MEMORY": MB, "CPU": 0, "SYSTEM_DISK_SIZE": MB}),
    (
        "VMS USAGE & QUOTAS - RUNNING",
        "VM",
        "CLUSTER_IDS",
        {"RUNNING_VMS": 0, "RUNNING_MEMORY": MB, "RUNNING_CPU": 0},
    ),
    ("DATASTORES USAGE & QUOTAS", "DATASTORE", "ID", {"IMAGES": 0, "SIZE": MB}),
    ("NETWORKS USAGE & QUOTAS", "NETWORK", "ID", {"LEASES": 0}),
    ("IMAGES USAGE & QUOTAS", "IMAGE", "ID", {"RVMS": 0}),
)
"""Heading, section, what it is of, and its metrics with how many KB one is (0: a plain number)."""


def tables(body: Body) -> list[str]:
    """What is used and allowed, as far as there is any."""
    return [line for table in TABLES for line in _table(body, *table)]


def _table(body: Body, heading: str, section: str, ident: str, metrics: dict[str, float]) -> list[str]:
    rows = [
        [value(found, ident, "*"), *(_pair(found, name, factor, View()) for name, factor in metrics.items())]
        for found in body.findall(f"{section}_QUOTA/{section}")
    ]
    head = "CLUSTERS" if ident == "CLUSTER_IDS" else "ID"
    return sections.section(heading, sections.grid([(head, 8, False), *((n, 17, False) for n in metrics)], rows))
