"""Where a new image's file comes to be: under a temporary name, then, complete and on stable storage, under its own.

Each attempt has a temporary name of its own: an older one that is on its way out does not touch a newer one's file.
The name follows from the number that the image has for it, so that whoever makes it again makes one file, and whoever
removes it finds one of which nobody was told.
"""
from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape, glob

from drivers.base import Permanent
from drivers.ds.paths import base
from onecore.wire.messages import Doc


def target_of(args: Doc, datastore: Doc) -> str:
    """The path of the file of an image (of a `copy`, where one is made): unlike any other's."""
    words = ("image", datastore["id"], (args.get("copy") or args["image"]).get("made") or args["_"]["op"])
    return f"{base(datastore)}/{hashlib.sha256(repr(words).encode()).hexdigest()[:32]}"


@contextmanager
def making(target: str) -> Iterator[str]:
    """A temporary name beside TARGET; whatever ends the block, nothing temporary of this attempt or before is left."""
    clear(target)
    made = f"{target}.{secrets.token_hex(4)}.tmp"
    try:
        yield made
    finally:
        for name in (made, *leftovers(made)):
            unlink(name)


def leftovers(path: str) -> tuple[str, ...]:
    """What a driver that was killed may leave beside the file PATH."""
    return f"{path}.zst", f"{path}.raw", f"{path}.tmp"


def clear(target: str) -> None:
    """What attempts that were killed left of the file TARGET that they made is gone."""
    for name in glob(f"{escape(target)}.{'[0-9a-f]' * 8}.tmp*"):
        unlink(name)


def settle(made: str, target: str) -> None:
    """The finished file, on stable storage, under its own name."""
    with open(made, "rb") as file:
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    os.rename(made, target)
    directory = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def unlink(path: str) -> None:
    """Remove a file; none there is fine.  Raises Permanent."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Permanent(f"{path}: {error.strerror}") from None
