"""ds/fs: images are files in a directory of the front-end.

A new image is written under a temporary name, checked, and renamed: what fails leaves nothing.  An image that is made
twice is one file.
"""
from __future__ import annotations

import os
from itertools import chain

from drivers.base import Action, Context, Permanent
from drivers.ds.capacity import MB, need, room
from drivers.ds.fetch import origin
from drivers.ds.inspect import HEAD, inspect, packing, refuse_foreign
from drivers.ds.making import clear, leftovers, making, settle, target_of, unlink
from drivers.ds.measure import measure
from drivers.ds.paths import inside, name_of
from drivers.ds.pour import Checksums, chunks, pour
from drivers.ds.unpack import unpacked
from drivers.tm.blank import blank_steps
from drivers.tm.steps import Step, perform
from onecore.wire.messages import Doc

_FILE_TYPES = (3, 4, 5)
"""Kernels, initial RAM disks and context files: kept byte by byte."""


def stat(ctx: Context, args: Doc) -> Doc:
    """Format and virtual size (MB, rounded up) of what the image's path leads to, without registering it."""
    image, datastore = args["image"], args["datastore"]
    with origin(_path(image), ctx.home, datastore["attrs"]) as found:
        form, size = measure(ctx, found, _path(image), _unpacks(image, datastore), _is_disk(image))
    return {"format": form, "size_mb": -(-size // MB)}


def register(ctx: Context, args: Doc) -> Doc:
    """Copy the image's path (file or http URL) into the datastore: unpacked, its checksums and its header checked."""
    image, datastore = args["image"], args["datastore"]
    target = target_of(args, datastore)
    with making(target) as made:
        _copy(ctx, image, datastore, made)
        return _checked(ctx, image, made, target)


def mkfs(ctx: Context, args: Doc) -> Doc:
    """Make an empty image of `size_mb` in `format`, with file system `fs` or none."""
    image, datastore = args["image"], args["datastore"]
    target, form, size = target_of(args, datastore), image.get("format") or "raw", int(image["size_mb"])
    what = f"image {image['id']}"
    if form not in ("raw", "qcow2"):
        raise Permanent(f"{what}: FORMAT {form!r} is neither raw nor qcow2")
    need(datastore, size * MB, what)
    with making(target) as made:
        perform(ctx, ctx.host({}), blank_steps(what, made, size, form, image.get("fs", "")))
        settle(made, target)
    return {"source": target, "format": form, "size_mb": size}


def clone(ctx: Context, args: Doc) -> Doc:
    """Copy an image's file into the target datastore (its own when none is given)."""
    image, into = args["image"], args.get("target") or args["datastore"]
    source, form = inside(args["datastore"], image["source"]), image["format"]
    if not os.path.exists(source):
        raise Permanent(f"image {image['id']}: its file {source} is missing")
    target, size = target_of(args, into), os.stat(source).st_blocks * 512
    need(into, size, f"a copy of image {image['id']}")
    argv = ("cp", "--sparse=always", "--reflink=auto", "--", source)
    with making(target) as made:
        perform(ctx, ctx.host({}), [Step(f"copying image {image['id']}", (*argv, made), grows=made, total=size)])
        settle(made, target)
    return {"source": target, "format": form, "size_mb": int(image["size_mb"])}


def remove(ctx: Context, args: Doc) -> Doc:
    """Remove the image's file, also one of which nobody was told; none there is fine, one elsewhere is refused."""
    image, datastore = args["image"], args["datastore"]
    path = ""
    if image.get("source"):
        path = inside(datastore, image["source"])
    elif image.get("made"):
        path = target_of(args, datastore)
    for name in (path, *leftovers(path)) if path else ():
        unlink(name)
    if path:
        clear(path)
    return {}


def monitor(ctx: Context, args: Doc) -> Doc:
    """The datastore's room in MB."""
    found = room(args["datastore"])
    return {"total_mb": found.total // MB, "used_mb": -(-found.used // MB), "free_mb": found.free // MB}


def _copy(ctx: Context, image: Doc, datastore: Doc, made: str) -> None:
    what, sums = _path(image), Checksums(image["attrs"])
    free = room(datastore).free
    full = (f"{name_of(datastore)} is full: {_path(image)} needs more than the {free // MB} MB that are free in "
            f"{datastore['base_path']}")
    with origin(_path(image), ctx.home, datastore["attrs"]) as found:
        if found.length > free:
            raise Permanent(full)
        pieces = chunks(ctx, found, f"copying {_path(image)}", sums.add)
        first = next(pieces, b"")
        how = packing(first) if _unpacks(image, datastore) else ""
        whole = chain([first], pieces)
        if how in ("", "zstd"):
            pour(whole, made, free, full)
        else:
            pour(unpacked(how, whole, what), made, free, full)
    sums.check(what)
    if how == "zstd":
        _unpack_zstd(ctx, made, free, what)


def _unpack_zstd(ctx: Context, made: str, free: int, what: str) -> None:
    """Python has no zstd: its tool unpacks, held to the room there is."""
    packed = leftovers(made)[0]
    os.rename(made, packed)
    argv = ("prlimit", f"--fsize={free}", "zstd", "-d", "-q", "-f", "-o", made, packed)
    perform(ctx, ctx.host({}), [Step(f"{what}: unpacking", argv, grows=made)])
    unlink(packed)


def _checked(ctx: Context, image: Doc, made: str, target: str) -> Doc:
    """Refuse what hosts must not open; else the file gets its name."""
    what, size = _path(image), os.path.getsize(made)
    if not size:
        raise Permanent(f"{what}: the file is empty")
    form = "raw"
    if _is_disk(image):
        with open(made, "rb") as file:
            look = inspect(file.read(HEAD))
        refuse_foreign(look, what, image.get("format", ""))
        form, size = look.form, look.virtual_size or size
    if form == "qcow2":
        perform(ctx, ctx.host({}), [Step(what, ("qemu-img", "info", "-f", "qcow2", "--", made))])
    settle(made, target)
    return {"source": target, "format": form, "size_mb": -(-size // MB)}


def _path(image: Doc) -> str:
    return str(image.get("path", "")).strip()


def _is_disk(image: Doc) -> bool:
    return int(image.get("type", 0)) not in _FILE_TYPES


def _unpacks(image: Doc, datastore: Doc) -> bool:
    return _is_disk(image) and str(datastore["attrs"].get("NO_DECOMPRESS", "")).upper() != "YES"


ACTIONS: dict[str, Action] = {
    "stat": stat, "register": register, "mkfs": mkfs, "clone": clone, "remove": remove, "monitor": monitor,
}
