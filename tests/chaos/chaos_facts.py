"""What is so: the rows in SQL and the files of the dummy hosts, read without any code of the core.

The words for states are written down here once more, from OpenNebula's numbers, and so is which of them may last.
"""
from __future__ import annotations

import html
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

STATES = {1: "PENDING", 2: "HOLD", 4: "STOPPED", 5: "SUSPENDED", 6: "DONE", 8: "POWEROFF", 9: "UNDEPLOYED",
          10: "CLONING", 11: "CLONING_FAILURE"}
LCM = {1: "PROLOG", 2: "BOOT", 3: "RUNNING", 4: "MIGRATE", 5: "SAVE_STOP", 6: "SAVE_SUSPEND", 7: "SAVE_MIGRATE",
       8: "PROLOG_MIGRATE", 9: "PROLOG_RESUME", 10: "EPILOG_STOP", 11: "EPILOG", 12: "SHUTDOWN",
       15: "CLEANUP_RESUBMIT", 16: "UNKNOWN", 17: "HOTPLUG", 18: "SHUTDOWN_POWEROFF", 19: "BOOT_UNKNOWN",
       20: "BOOT_POWEROFF", 21: "BOOT_SUSPENDED", 22: "BOOT_STOPPED", 23: "CLEANUP_DELETE", 24: "HOTPLUG_SNAPSHOT",
       25: "HOTPLUG_NIC", 26: "HOTPLUG_SAVEAS", 27: "HOTPLUG_SAVEAS_POWEROFF", 28: "HOTPLUG_SAVEAS_SUSPENDED",
       29: "SHUTDOWN_UNDEPLOY", 30: "EPILOG_UNDEPLOY", 31: "PROLOG_UNDEPLOY", 32: "BOOT_UNDEPLOY",
       33: "HOTPLUG_PROLOG_POWEROFF", 34: "HOTPLUG_EPILOG_POWEROFF", 35: "BOOT_MIGRATE", 36: "BOOT_FAILURE",
       37: "BOOT_MIGRATE_FAILURE", 38: "PROLOG_MIGRATE_FAILURE", 39: "PROLOG_FAILURE", 40: "EPILOG_FAILURE",
       41: "EPILOG_STOP_FAILURE", 42: "EPILOG_UNDEPLOY_FAILURE", 43: "PROLOG_MIGRATE_POWEROFF",
       44: "PROLOG_MIGRATE_POWEROFF_FAILURE", 45: "PROLOG_MIGRATE_SUSPEND", 46: "PROLOG_MIGRATE_SUSPEND_FAILURE",
       47: "BOOT_UNDEPLOY_FAILURE", 48: "BOOT_STOPPED_FAILURE", 49: "PROLOG_RESUME_FAILURE",
       50: "PROLOG_UNDEPLOY_FAILURE", 51: "DISK_SNAPSHOT_POWEROFF", 52: "DISK_SNAPSHOT_REVERT_POWEROFF",
       53: "DISK_SNAPSHOT_DELETE_POWEROFF", 54: "DISK_SNAPSHOT_SUSPENDED", 56: "DISK_SNAPSHOT_DELETE_SUSPENDED",
       57: "DISK_SNAPSHOT", 59: "DISK_SNAPSHOT_DELETE", 60: "PROLOG_MIGRATE_UNKNOWN",
       61: "PROLOG_MIGRATE_UNKNOWN_FAILURE", 62: "DISK_RESIZE", 63: "DISK_RESIZE_POWEROFF",
       64: "DISK_RESIZE_UNDEPLOYED", 65: "HOTPLUG_NIC_POWEROFF", 66: "HOTPLUG_RESIZE",
       67: "HOTPLUG_SAVEAS_UNDEPLOYED", 68: "HOTPLUG_SAVEAS_STOPPED"}
IMAGES = {0: "INIT", 1: "READY", 2: "USED", 3: "DISABLED", 4: "LOCKED", 5: "ERROR", 6: "CLONE", 7: "DELETE",
          8: "USED_PERS", 9: "LOCKED_USED", 10: "LOCKED_USED_PERS"}
FAILURES = {name for name in LCM.values() if name.endswith("_FAILURE")}
RESTING = {*STATES.values(), *FAILURES, "RUNNING", "UNKNOWN"} - {"CLONING"}
"""Where a VM may stay for ever."""
HOSTED = {*LCM.values(), "SUSPENDED", "POWEROFF"}
"""Where a VM is on a host."""
USED = {"USED", "USED_PERS", "LOCKED_USED", "LOCKED_USED_PERS"}
TABLES = ("vm_pool", "vm_text", "history", "lease", "outbox", "owed", "image_pool", "host_pool", "datastore_pool")
SHARED, FRONT = "%shared", "%front"
KEEPS = {"RUNNING", "UNKNOWN", "POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED"}
"""Where a VM has all of its files."""
Row = dict[str, Any]
Place = tuple[str, int, int]
"""Whose storage (a host's name, SHARED, FRONT), datastore, VM."""


@dataclass(frozen=True)
class Guest:
    """What a dummy host runs of a VM."""

    host: str
    vm: int
    generation: int
    state: str
    memory_kb: int = 0
    has: Row = field(default_factory=dict)
    """What it has (`disks`, `nics`), as docs/drivers.md says."""


class Facts:
    """One look at the database of a home and the files of its hosts."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with sqlite3.connect(home / "onecore.db") as sql:
            sql.row_factory = sqlite3.Row
            self.tables = {name: [dict(row) for row in sql.execute(f"SELECT * FROM {name}")] for name in TABLES}
        sql.close()
        self.vms = {row["oid"]: row for row in self.tables["vm_pool"] if row["state"] != 6}
        self.images = {row["oid"]: row for row in self.tables["image_pool"]}
        self.hosts = {row["oid"]: row for row in self.tables["host_pool"]}
        self.guests, self.folders = list(guests(home)), folders(home)
        self.local = {row["oid"] for row in self.tables["datastore_pool"]
                      if _tree(row["template"]).findtext("SHARED") == "NO"}

    def state(self, vm: int) -> str:
        """A VM's state in a word."""
        row = next(row for row in self.tables["vm_pool"] if row["oid"] == vm)
        return STATES.get(row["state"]) or LCM[row["lcm"]]

    def path(self, vm: int) -> list[str]:
        """All states that a VM has come to, as the change log has them."""
        return [new for new, in rows(self.home, "SELECT new FROM log WHERE kind = 'vm' AND oid = ? "
                                     "AND what IN ('create', 'state') ORDER BY seq, n", vm)]

    def image(self, name: str) -> str:
        """The state of an image, `gone` when there is none of that name."""
        return next((IMAGES[row["state"]] for row in self.images.values() if row["name"] == name), "gone")

    def template(self, vm: int) -> ElementTree.Element:
        """TEMPLATE of a VM."""
        row = next(row for row in self.tables["vm_text"] if row["oid"] == vm)
        return _tree(row["template"])

    def place(self, vm: int) -> Place | None:
        """Where the files of a VM are, by its record; None: it has none, or it is on its way."""
        row, state = self.vms[vm], self.state(vm)
        if state not in KEEPS and not (row["came"] and state in ("PENDING", "HOLD")):
            return None
        if row["ds_id"] not in self.local:
            return SHARED, row["ds_id"], vm
        return (self.hosts[row["hid"]]["name"] if row["hid"] >= 0 else FRONT), row["ds_id"], vm

    def snapshots(self, vm: int) -> dict[str, Row]:
        """The trees of snapshots of a VM's disks: `base` and `snaps`, by DISK_ID."""
        row = next(row for row in self.tables["vm_text"] if row["oid"] == vm)
        return dict(json.loads(row["snapshots"] or "{}"))

    def disks(self, vm: int) -> list[Row]:
        """The DISKs of a VM."""
        return [_vector(disk) for disk in self.template(vm).findall("DISK")]

    def nics(self, vm: int) -> list[Row]:
        """Its NICs and aliases."""
        return [*self.vectors(vm, "NIC"), *self.vectors(vm, "NIC_ALIAS")]

    def vectors(self, vm: int, name: str) -> list[Row]:
        """The vectors NAME of its template."""
        return [_vector(each) for each in self.template(vm).findall(name)]


@lru_cache(2000)
def _tree(escaped: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(f"<T>{html.unescape(bytes(escaped).decode())}</T>")


def _vector(element: ElementTree.Element) -> Row:
    return {child.tag: child.text or "" for child in element}


def guests(home: Path) -> Iterator[Guest]:
    """Every file of a guest."""
    root = home / "dummy"
    for host in sorted(root.iterdir() if root.is_dir() else ()):
        if not host.name.startswith("%") and host.name != "images":
            for path in sorted(host.iterdir()):
                if path.name.isdecimal():
                    generation, state, *rest = path.read_text().partition("\n")[0].split(None, 4)
                    has = json.loads(rest[2]) if len(rest) > 2 and rest[2].startswith("{") else {}
                    memory = int(rest[1]) if len(rest) > 1 else 0
                    yield Guest(host.name, int(path.name), int(generation), state, memory, has)


def folders(home: Path) -> dict[Place, Row]:
    """Every directory of a VM: its disks (MB and content by id), whether there is a checkpoint, its mark."""
    found: dict[Place, Row] = {}
    for path in sorted((home / "dummy").glob("*/disks/*")):
        datastore, _, vm = path.name.partition("-")
        found[path.parent.parent.name, int(datastore), int(vm)] = json.loads(path.read_text().partition("\n")[2])
    return found


def content(home: Path, source: str) -> int:
    """What an image holds."""
    path = home / "dummy" / "images" / source
    return int(path.read_text().split()[0]) if path.is_file() else 0


def rows(home: Path, text: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What SQL answers to a question."""
    with sqlite3.connect(home / "onecore.db") as sql:
        found = sql.execute(text, parameters).fetchall()
    sql.close()
    return found
