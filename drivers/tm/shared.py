"""tm/shared: a clone is a full copy of its image, on a file system that front-end and hosts see under the same path."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from drivers.base import Action, Executor
from drivers.tm.alike import actions
from drivers.tm.facts import images_written, virtual_sizes
from drivers.tm.layout import Disk, source
from drivers.tm.prolog import Content, resize_steps
from drivers.tm.steps import Step


def clone(executor: Executor, disks: Sequence[Disk]) -> Content:
    """Copies, of images whose sizes are known."""
    return partial(copy_steps, images_written(executor, disks), virtual_sizes(executor, disks))


def copy_steps(sizes: Mapping[str, int], virtual: Mapping[str, int], what: str, made: str, disk: Disk) -> list[Step]:
    """MADE is a copy of the disk's image, grown to the disk's size.

    SIZES are bytes on disk, VIRTUAL what a guest sees of them, by the image's file.
    """
    image = source(disk)
    copy = ("cp", "--sparse=always", "--reflink=auto", "--", image, made)
    return [Step(what, copy, grows=made, total=sizes[image]), *resize_steps(what, made, disk, virtual)]


ACTIONS: dict[str, Action] = actions(clone)
