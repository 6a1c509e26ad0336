"""This process's sockets to libvirt, found among its descriptors: shut down, they end calls that nothing else ends.

libvirt's library keeps its socket to itself, closes none while a call waits on it, and a call may wait for ever.
"""
from __future__ import annotations

import os
import socket
import stat
from urllib.parse import parse_qs, urlsplit

_DESCRIPTORS = "/proc/self/fd"
_ANY = "/libvirt/"


def path_of(uri: str) -> str:
    """The path of the socket that URI names; '' when it leaves that to libvirt."""
    return parse_qs(urlsplit(uri).query).get("socket", [""])[0]


def inodes() -> frozenset[int]:
    """What tells the process's sockets of now from those of later."""
    return frozenset(_sockets())


def plugged(path: str, before: frozenset[int]) -> list[socket.socket]:
    """Handles of our own for the connections to PATH ('': to libvirt wherever it listens) made after BEFORE."""
    handles = (_handle(fd) for inode, fd in _sockets().items() if inode not in before)
    found = []
    for handle in filter(None, handles):
        if _leads_to(handle, path):
            found.append(handle)
        else:
            handle.close()
    return found


def _sockets() -> dict[int, int]:
    """Descriptors by inode."""
    found = {}
    for name in os.listdir(_DESCRIPTORS):
        try:
            known = os.fstat(int(name))
        except OSError:
            continue
        if stat.S_ISSOCK(known.st_mode):
            found[known.st_ino] = int(name)
    return found


def _handle(fd: int) -> socket.socket | None:
    try:
        return socket.socket(fileno=os.dup(fd))
    except OSError:
        return None


def _leads_to(handle: socket.socket, path: str) -> bool:
    """A relay's listener may have been bound under a longer name than it has now."""
    try:
        peer = handle.getpeername() if handle.family == socket.AF_UNIX else b""
    except OSError:
        return False
    return isinstance(peer, str) and (peer.startswith(path) if path else _ANY in peer)
