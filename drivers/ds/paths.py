"""Which files of the front-end may become images, and where a datastore may write."""
from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from drivers.base import Permanent
from onecore.wire.messages import Doc

SYSTEM = ("/etc", "/proc", "/sys", "/dev", "/run", "/boot")
"""Never sources of images; the home of onecore itself (database, keys, logs, other users' images) is added to them."""
PRIVATE = frozenset({".ssh", ".gnupg", ".one", ".aws", ".kube"})
"""Directories of keys, wherever they lie."""


def restricted(path: str, home: Path, attrs: Doc) -> str:
    """The rule that forbids the (resolved) PATH as an image, or the empty text.

    The datastore's SAFE_DIRS are exceptions from SYSTEM and from its RESTRICTED_DIRS (words, both), never from the
    home's own files nor from directories of keys.
    """
    own = str(home.resolve())
    if _below(path, own):
        return own
    for name in PRIVATE.intersection(path.split("/")):
        return name
    if any(_below(path, safe) for safe in _dirs(attrs, "SAFE_DIRS")):
        return ""
    return next((bad for bad in (*SYSTEM, *_dirs(attrs, "RESTRICTED_DIRS")) if _below(path, bad)), "")


@contextmanager
def opened(path: str, home: Path, attrs: Doc) -> Iterator[BinaryIO]:
    """The file at PATH for reading; Permanent, naming it, when it is not there, no regular file, or not allowed.

    What was opened is judged, not the name: a link that is changed meanwhile leads nowhere else.
    """
    if not path.startswith("/"):
        raise Permanent(f"{path!r} is neither an absolute path nor an http or https URL")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Permanent(f"{path}: {error.strerror}") from None
    try:
        rule = restricted(os.readlink(f"/proc/self/fd/{fd}"), home, attrs)
        if rule:
            raise Permanent(f"{path}: files below {rule} may not become images (RESTRICTED_DIRS, SAFE_DIRS)")
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Permanent(f"{path}: not a regular file")
        with open(fd, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(fd)


def base(datastore: Doc) -> str:
    """The datastore's directory, made if it is missing; raises Permanent."""
    path = str(datastore["base_path"])
    if not path.startswith("/") or path.strip("/") == "":
        raise Permanent(f"{name_of(datastore)}: BASE_PATH {path!r} is not an absolute directory")
    try:
        os.makedirs(path, mode=0o711, exist_ok=True)
    except OSError as error:
        raise Permanent(f"{name_of(datastore)}: {path}: {error.strerror}") from None
    return path


def inside(datastore: Doc, source: str) -> str:
    """SOURCE if it lies directly in the datastore's directory; else Permanent."""
    directory, _, name = source.rpartition("/")
    if name in ("", ".", "..") or os.path.realpath(directory) != os.path.realpath(str(datastore["base_path"])):
        raise Permanent(f"{name_of(datastore)}: {source!r} is not a file of this datastore ({datastore['base_path']})")
    return source


def name_of(datastore: Doc) -> str:
    """The datastore in messages."""
    return f"datastore {datastore['id']} ({datastore['name']})"


def _dirs(attrs: Doc, name: str) -> list[str]:
    return [os.path.realpath(word) for word in str(attrs.get(name, "")).split() if word.startswith("/")]


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
