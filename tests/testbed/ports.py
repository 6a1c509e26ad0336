"""Ports for the servers of tests, below those that the kernel gives to connections: nobody else takes one meanwhile."""
from __future__ import annotations

import random
import socket

FIRST, LAST = 20000, 32000
_taken: list[socket.socket] = []
"""Names that tell other processes which ports this one chose, until it ends: a server may be long in taking its own."""


def free_port() -> int:
    """A TCP port of loopback that nobody uses now, and nobody else was given."""
    while True:
        port, name = random.randrange(FIRST, LAST), socket.socket(socket.AF_UNIX)
        if _is_taken(name, port) or not is_free(port):
            name.close()
            continue
        _taken.append(name)
        return port


def _is_taken(name: socket.socket, port: int) -> bool:
    """Whether another has a port's name, which NAME gets otherwise: one without a file, gone with its process."""
    try:
        name.bind(f"\0onecore-test-port-{port}")
    except OSError:
        return True
    return False


def is_free(port: int) -> bool:
    """Whether nobody uses it now."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
