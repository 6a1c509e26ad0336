"""fence/lease: no power switch, but the locks that QEMU holds on disks of shared storage for as long as it lives.

Good only for file systems that show every host's locks and cut a silent host off before they drop its locks: what a
guest there still does reaches no disk any more.  docs/ha.md has the limits.
"""
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drivers.base import Action, Context, Executor, Permanent
from drivers.fencing import locks
from drivers.tm.layout import disk_path
from onecore.wire.messages import Doc

FILE_SYSTEMS = ("nfs4", "ceph", "gfs2")
SETTLE, POLL, TEST_SECONDS = 120.0, 2.0, 20.0


def fence(ctx: Context, args: Doc) -> Doc:
    """No VM of VMS held a disk for `settle` seconds; Permanent when one does, or when that could not be told."""
    settings: Any = ctx.settings.get("lease") or {}
    here, owners = ctx.host({}), _disks(args["vms"])
    files = {_real(here, path): vm for path, vm in owners.items()}
    _check_file_systems(here, files, tuple(settings.get("file_systems") or FILE_SYSTEMS))
    end = ctx.now() + float(settings.get("settle", SETTLE))
    while True:
        _check_free(here, files)
        left = end - ctx.now()
        if left <= 0:
            return {}
        ctx.progress("waiting whether disks stay free")
        ctx.sleep(min(POLL, left))


def _disks(vms: list[Doc]) -> dict[str, int]:
    """The VM of each disk that its guest may write to; Permanent for a VM that its disks tell nothing of."""
    found: dict[str, int] = {}
    for vm in vms:
        paths = list(_written(vm))
        if not paths:
            raise Permanent(f"VM {vm['id']} has no disk that it writes to, so that nothing tells whether it runs; "
                            "HA = NO in its template leaves it out")
        found.update(dict.fromkeys(paths, int(vm["id"])))
    return found


def _written(vm: Doc) -> Iterator[str]:
    for disk in vm["disks"]:
        if disk.get("CACHE", "").lower() == "unsafe":
            raise Permanent(f"disk {disk['DISK_ID']} of VM {vm['id']} has CACHE = unsafe: its host may write it later")
        is_read = disk.get("READONLY", "").upper() == "YES" or disk.get("TYPE", "").upper() == "CDROM"
        if not is_read:
            yield disk_path(vm, disk)


def _real(here: Executor, path: str) -> str:
    """The file behind the links; Permanent when it is not there."""
    try:
        return here.run(["readlink", "-e", "--", path], timeout=TEST_SECONDS).removesuffix("\n")
    except Permanent:
        raise Permanent(f"{path} is not there, so that nothing tells whether its VM runs") from None


def _check_file_systems(here: Executor, files: dict[str, int], good: tuple[str, ...]) -> None:
    """Raise Permanent unless all FILES are where locks of every host are seen."""
    for directory in sorted({str(Path(path).parent) for path in files}):
        found = here.run(["findmnt", "--noheadings", "--first-only", "--output", "FSTYPE", "--target", directory],
                         timeout=TEST_SECONDS).strip()
        if found not in good:
            raise Permanent(f"{directory} is on {found}, whose locks tell nothing of other hosts; "
                            f"file_systems in [drivers.lease] are {', '.join(good)}")


def _check_free(here: Executor, files: dict[str, int]) -> None:
    held = here.run([sys.executable, locks.__file__, *files], timeout=TEST_SECONDS).splitlines()
    vms = sorted({files[path] for path in held})
    if vms:
        raise Permanent(f"VMs {', '.join(map(str, vms))} still hold their disks")


ACTIONS: dict[str, Action] = {"fence": fence}
