"""Dummy datastores: images that are names and sizes.  A path that begins with /missing is not there."""
from __future__ import annotations

from drivers.base import Action, Context, Permanent
from drivers.dummy.shelf import shelf
from drivers.dummy.stage import act, stage
from onecore.wire.messages import Doc

_SIZE_MB = 1024
_FORMATS = ("raw", "qcow2")


def stat(ctx: Context, args: Doc) -> Doc:
    """The image's SIZE attribute in MB, or 1024."""
    act(ctx, "ds.stat", {})
    _look(args["image"])
    return _facts(args["image"])


def register(ctx: Context, args: Doc) -> Doc:
    """A source for the image."""
    act(ctx, "ds.register", {})
    _look(args["image"])
    return _made(args["image"])


def mkfs(ctx: Context, args: Doc) -> Doc:
    """A source for an empty image."""
    act(ctx, "ds.mkfs", {})
    return _made(args["image"])


def clone(ctx: Context, args: Doc) -> Doc:
    """A source for the copy."""
    act(ctx, "ds.clone", {})
    return {**_made(args["image"]), "source": _source(args.get("copy") or args["image"])}


def remove(ctx: Context, args: Doc) -> Doc:
    """As if its file were removed; what was written on it is."""
    act(ctx, "ds.remove", {})
    shelf(ctx, "tm").drop_image(args["image"].get("source") or _source(args["image"]))
    return {}


def monitor(ctx: Context, args: Doc) -> Doc:
    """The script's `disk_mb`, all of it free."""
    act(ctx, "ds.monitor", {})
    return capacity(stage(ctx).script().disk_mb)


def capacity(disk_mb: int) -> Doc:
    """A datastore of DISK_MB that nothing uses."""
    return {"total_mb": disk_mb, "used_mb": 0, "free_mb": disk_mb}


def _look(image: Doc) -> None:
    path = str(image.get("path") or "")
    if path.startswith("/missing"):
        raise Permanent(f"{path}: no such file")


def _made(image: Doc) -> Doc:
    return {"source": _source(image), **_facts(image)}


def _source(image: Doc) -> str:
    return f"dummy-{image['id']}"


def _facts(image: Doc) -> Doc:
    """Of a file that nobody looks at: what the template says of it."""
    attributes = image.get("attrs") or {}
    told, form = str(attributes.get("SIZE", "")), str(attributes.get("FORMAT", ""))
    size = int(told) if told.isascii() and told.isdigit() and len(told) < 16 else _SIZE_MB
    return {"size_mb": image.get("size_mb") or size,
            "format": image.get("format") or (form if form in _FORMATS else "raw")}


ACTIONS: dict[str, Action] = {
    "stat": stat, "register": register, "mkfs": mkfs, "clone": clone, "remove": remove, "monitor": monitor,
}
