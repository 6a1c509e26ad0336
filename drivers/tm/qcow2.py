"""tm/qcow2: a clone is an overlay of its image, on a file system that front-end and hosts see under the same path."""
from __future__ import annotations

from collections.abc import Sequence

from drivers.base import Action, Executor
from drivers.tm.alike import actions
from drivers.tm.facts import images_written
from drivers.tm.layout import Disk, grown_mb, image_format, source
from drivers.tm.prolog import Content
from drivers.tm.steps import Step


def clone(executor: Executor, disks: Sequence[Disk]) -> Content:
    """Overlays, once it is seen that the images are there."""
    images_written(executor, disks)
    return overlay_steps


def overlay_steps(what: str, made: str, disk: Disk) -> list[Step]:
    """MADE is an overlay of the disk's image, of the disk's size if that is more."""
    size = (f"{grown_mb(disk)}M",) if grown_mb(disk) else ()
    backing = ("-b", source(disk), "-F", image_format(disk))
    return [Step(what, ("qemu-img", "create", "-q", "-f", "qcow2", *backing, made, *size))]


ACTIONS: dict[str, Action] = actions(clone)
