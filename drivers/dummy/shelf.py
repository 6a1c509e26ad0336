"""Where dummy disks and images are: small files below HOME/dummy, which outlive the driver and show what is where.

`HOST/disks/DS-VM` is a VM's directory on a host, `%shared/disks/DS-VM` one in a datastore that all hosts see,
`%front/disks/DS-VM` one that a stop brought to the front-end; folder.py says what is in it.  `images/SOURCE` is what
an image holds (`CONTENT [VM GENERATION]`: who brought it home); an image without a file holds 0.
"""
from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from drivers.base import Context, Permanent
from drivers.dummy.files import Spares, host_directory, read_text
from drivers.dummy.folder import Folder
from onecore.wire.messages import Doc

SHARED, FRONT = "%shared", "%front"
Place = tuple[str, int, int]
"""Whose storage (a host's name, SHARED, FRONT), the datastore's id, the VM's id."""


@dataclass(frozen=True, slots=True)
class Held:
    """What an image holds, and which run of which VM brought that home (-1: none, or it is in use again)."""

    content: int = 0
    vm: int = -1
    generation: int = 0


class Shelf:
    """Reads and writes them, each whole: whoever looks sees the old or the new.

    OWNER names the process's own spare files; not durable, as no machine of a dummy ever dies.
    """

    def __init__(self, root: Path, owner: str) -> None:
        self._root = str(root)
        self._spares = Spares(f"{root}/%spare-{owner}")

    def get(self, place: Place) -> Folder | None:
        """The VM's directory at PLACE, None when there is none."""
        path = self._path(place)
        text = read_text(path)
        try:
            return None if text is None else Folder.parse(text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Permanent(f"{path}: {error}") from None

    def put(self, place: Place, folder: Folder) -> None:
        """Make or change it."""
        self._spares.give(self._path(place), folder.text().encode())

    def drop(self, place: Place) -> None:
        """Remove it; none there is fine."""
        self._spares.keep(self._path(place))

    def image(self, name: str) -> Held:
        """What an image holds."""
        words = (read_text(self._image(name)) or "0").split()
        return Held(*map(int, words))

    def put_image(self, name: str, held: Held) -> None:
        """Change it."""
        words = (held.content, held.vm, held.generation) if held.vm >= 0 else (held.content,)
        self._spares.give(self._image(name), " ".join(map(str, words)).encode() + b"\n")

    def has_image(self, name: str) -> bool:
        """Whether anything was ever written on an image."""
        return os.path.exists(self._image(name))

    def drop_image(self, name: str) -> None:
        """Remove it; none there is fine."""
        with suppress(FileNotFoundError):
            os.unlink(self._image(name))

    def sizes(self, host: str) -> list[tuple[int, int, int]]:
        """(datastore, VM, MB) of each directory that HOST sees."""
        places: list[Place] = [(whose, *pair) for whose in (host, SHARED) for pair in self.listed(whose)]
        found = [(place, self.get(place)) for place in places]
        return [(place[1], place[2], folder.mb) for place, folder in found if folder]

    def listed(self, whose: str) -> list[tuple[int, int]]:
        """(datastore, VM) of each directory on a host, or SHARED, or FRONT."""
        names = os.listdir(self._disks(whose)) if os.path.isdir(self._disks(whose)) else []
        pairs = [name.partition("-") for name in names]
        return sorted((int(ds), int(vm)) for ds, _, vm in pairs if ds.isdecimal() and vm.isdecimal())

    def find(self, host: str, vm: Doc) -> Place | None:
        """Where the directory is that a VM on HOST uses, for who is not told of its datastore; None: nowhere."""
        datastore = vm["dir"].rpartition("/")[0].rpartition("/")[2]
        if datastore.isdecimal():
            for whose in (host, SHARED):
                place = (whose, int(datastore), int(vm["id"]))
                if os.path.exists(self._path(place)):
                    return place
        return None

    def _disks(self, whose: str) -> str:
        base = f"{self._root}/{whose}" if whose in (SHARED, FRONT) else host_directory(self._root, whose)
        return f"{base}/disks"

    def _path(self, place: Place) -> str:
        whose, datastore, vm = place
        return f"{self._disks(whose)}/{datastore}-{vm}"

    def _image(self, name: str) -> str:
        return f"{self._root}/images/{quote(name, safe='')}"


def shelf(ctx: Context, owner: str) -> Shelf:
    """The shelf of this process; OWNER is its family."""
    return ctx.keep(f"dummy.shelf.{owner}", lambda: Shelf(ctx.home / "dummy", owner))


def is_shared(datastore: Doc) -> bool:
    """Whether all hosts see the same files in a system datastore."""
    return str((datastore.get("attrs") or {}).get("SHARED", "YES")).upper() != "NO"


def place_of(host: Doc, vm: Doc, datastore: Doc) -> Place:
    """Where the directory of a VM on HOST (none: on the front-end) is."""
    whose = SHARED if is_shared(datastore) else str(host["name"]) if host else FRONT
    return whose, int(datastore.get("id", 0)), int(vm["id"])
