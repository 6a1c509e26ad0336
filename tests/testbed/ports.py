"""Ports for the servers of tests, below those that the kernel gives to connections: nobody else takes one meanwhile."""
from __future__ import annotations

import random
import socket

FIRST, LAST = 20000, 32000


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    while not is_free(port := random.randrange(FIRST, LAST)):
        pass
    return port


def is_free(port: int) -> bool:
    """Whether nobody uses it now."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
