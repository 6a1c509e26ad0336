"""The DISK vectors of a VM: images found and taken, volatile disks checked, ids and targets given."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from onecore.api import Request
from onecore.errors import NoExists, NotAllocated, WrongState
from onecore.kinds import verbs
from onecore.kinds.image import work as image_work
from onecore.kinds.image.record import BUSY, Image
from onecore.kinds.kind import KINDS, identifier, named, tree_of, whole
from onecore.kinds.vm.disk_record import OURS
from onecore.wire.states import ImageState, ImageType
from onecore.wire.template import Tree, Vector

VOLATILE = {"fs", "raw", "swap"}
MAX_DISKS, MAX_MB = 64, 2**40
_PREFIXES = ("hd", "sd", "vd", "xvd", "fd")
_TARGET = re.compile(rf"({'|'.join(_PREFIXES)})[a-z]{{1,2}}\Z")


@dataclass
class Disks:
    """What was found: image and datastore ids, MB in the system datastore, whether an image is still being made."""

    images: list[int] = field(default_factory=list)
    datastores: list[int] = field(default_factory=list)
    size_mb: int = 0
    waits: bool = False
    next_id: int = 0


def resolve(req: Request, tree: Tree) -> Disks:
    """Complete each DISK in TREE; takes the images.  Raises NotAllocated, NoExists or Forbidden."""
    found, targets = Disks(), _Targets()
    given = tree.vectors("DISK")
    _check_number(len(given))
    for disk in given:
        targets.reserve(disk.get("TARGET", ""))
    for number, disk in enumerate(given):
        _complete(req, disk, found, targets, number)
    found.next_id = len(given)
    targets.keep(tree)
    return found


def add(req: Request, tree: Tree, disk: Vector, disk_id: int) -> None:
    """Complete DISK, one more of TREE's, and take its image.

    Raises NotAllocated, NoExists or Forbidden, and WrongState when its image is not there yet.
    """
    found, targets = Disks(), _Targets()
    _check_number(len(tree.vectors("DISK")) + 1)
    for other in (*tree.vectors("DISK"), tree.vector("CONTEXT") or {}, disk):
        targets.reserve(other.get("TARGET", ""))
    _complete(req, disk, found, targets, disk_id)
    if found.waits:
        raise WrongState(f"IMAGE {found.images[0]} ({disk['IMAGE']}) is still being made; a disk is attached when its "
                         "image is READY", found.images[0])
    tree.add("DISK", disk)


def _check_number(number: int) -> None:
    if number > MAX_DISKS:
        raise NotAllocated(f"DISK may be given {MAX_DISKS} times, not {number}")


def _complete(req: Request, disk: Vector, found: Disks, targets: _Targets, disk_id: int) -> None:
    for name in OURS:
        disk.pop(name, None)
    named_image = disk.get("IMAGE_ID") or disk.get("IMAGE")
    _from_image(req, disk, found) if named_image else _volatile(disk, found)
    disk.setdefault("DEV_PREFIX", req.core.config.defaults.device_prefix)
    if not disk.get("TARGET"):
        disk["TARGET"] = targets.next(disk["DEV_PREFIX"])
    disk["DISK_ID"] = str(disk_id)


class _Targets:
    """Device names: vda, vdb, …"""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def reserve(self, target: str) -> None:
        if target and not _TARGET.match(target):
            raise NotAllocated("DISK TARGET must be hd, sd, vd, xvd or fd and a letter or two, such as vda, "
                               f"not {target[:40]!r}")
        if target and target in self._taken:
            raise NotAllocated(f"DISK TARGET {target} is another disk's already")
        self._taken.add(target)

    def next(self, prefix: str) -> str:
        if prefix not in _PREFIXES:
            raise NotAllocated(f"DISK DEV_PREFIX must be one of {', '.join(_PREFIXES)}, not {prefix[:40]!r}")
        for number in range(26 * 27):
            letters = chr(97 + number % 26)
            name = prefix + (chr(96 + number // 26) if number >= 26 else "") + letters
            if name not in self._taken:
                self._taken.add(name)
                return name
        raise NotAllocated(f"no target is left for prefix {prefix}")

    def keep(self, tree: Tree) -> None:
        """The context disk must not take a name in use."""
        context = tree.vector("CONTEXT")
        if context is not None and context.get("TARGET"):
            self.reserve(context["TARGET"])
        elif context is not None:
            context["TARGET"] = self.next("hd")


def find_image(req: Request, disk: Vector, where: str = "DISK") -> Any:
    """The image that IMAGE_ID, or IMAGE with IMAGE_UID or IMAGE_UNAME, names; raises NoExists."""
    if disk.get("IMAGE_ID"):
        return KINDS["image"].find(req.core, identifier(disk["IMAGE_ID"], f"{where} IMAGE_ID"))
    uid = owner(req, disk, "IMAGE")
    image = named(req.core, KINDS["image"], disk["IMAGE"], uid)
    if image is None:
        raise NoExists(f"User {uid} does not own an image with name: {disk['IMAGE']}. "
                       "Set IMAGE_UNAME or IMAGE_UID of owner in DISK.")
    return image


def owner(req: Request, vector: Vector, prefix: str) -> int:
    """Whose object a name means: PREFIX_UID, PREFIX_UNAME, or the caller's."""
    uid, uname = vector.get(f"{prefix}_UID", ""), vector.get(f"{prefix}_UNAME", "")
    if uid:
        return identifier(uid, f"{prefix}_UID")
    if uname:
        user = named(req.core, KINDS["user"], uname)
        if user is None:
            raise NoExists(f"{prefix}_UNAME names no user: {uname!r}")
        return int(user.oid)
    return req.caller.uid


def _from_image(req: Request, disk: Vector, found: Disks) -> None:
    from onecore.kinds.vm.allocate import use_of
    image: Image = find_image(req, disk)
    use_of(req, "image", image)
    image = image_work.use(req.tx, req.core, image)
    datastore = verbs.existing("datastore", req.core, image.ds_id)
    attrs = tree_of(image.template)
    size = image.size
    if disk.get("SIZE"):
        size = max(size, _megabytes(disk["SIZE"]))
    saved = bool(image.persistent)
    disk.update({
        "IMAGE": image.name, "IMAGE_ID": str(image.oid), "DATASTORE": datastore.name,
        "DATASTORE_ID": str(datastore.oid),
        "TM_MAD": datastore.tm_mad, "TYPE": "CDROM" if image.type == ImageType.CDROM else "FILE",
        "FORMAT": image.format,
        "SOURCE": image.source, "CLONE": "NO" if saved else "YES", "SAVE": "YES" if saved else "NO",
        "ORIGINAL_SIZE": str(image.size),
        "SIZE": str(size), "IMAGE_STATE": str(image.state), "CLONE_TARGET": "SYSTEM", "LN_TARGET": "NONE",
        "READONLY": "YES" if image.type == ImageType.CDROM else disk.get("READONLY", attrs.get("READONLY") or "NO")})
    if not disk.get("DEV_PREFIX") and attrs.get("DEV_PREFIX"):
        disk["DEV_PREFIX"] = attrs.get("DEV_PREFIX")
    if attrs.get("DRIVER"):
        disk.setdefault("DRIVER", attrs.get("DRIVER"))
    if image.oid in found.images and saved:
        raise NotAllocated(f"DISK: persistent image {image.oid} is given twice")
    found.images.append(image.oid)
    found.datastores.append(image.ds_id)
    found.size_mb += 0 if saved else size
    found.waits = found.waits or ImageState(image.state) in BUSY


def _megabytes(given: str) -> int:
    found = whole(given, 1, MAX_MB)
    if found is None:
        raise NotAllocated(f"DISK SIZE must be a whole number of MB from 1 to {MAX_MB}, not {given[:40]!r}")
    return found


def _volatile(disk: Vector, found: Disks) -> None:
    kind = disk.get("TYPE", "").lower()
    if kind not in VOLATILE:
        raise NotAllocated("DISK must name an IMAGE or IMAGE_ID, or have TYPE fs, raw or swap"
                           + (f", not {disk['TYPE']!r}" if disk.get("TYPE") else ""))
    size = _megabytes(disk.get("SIZE", ""))
    disk["TYPE"] = kind
    for name in ("DATASTORE", "DATASTORE_ID", "TM_MAD"):  # it lies with the VM: only images have a datastore
        disk.pop(name, None)
    disk.setdefault("FORMAT", "raw")
    if disk["FORMAT"] not in ("raw", "qcow2"):
        raise NotAllocated(f"DISK FORMAT must be raw or qcow2, not {disk['FORMAT']!r}")
    disk["SAVE"] = "NO"
    found.size_mb += size
