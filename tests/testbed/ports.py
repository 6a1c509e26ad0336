"""Ports for the servers of tests, below those that the kernel gives to connections: nobody else takes one meanwhile."""
from __future__ import annotations

import random
import socket

FIRST, LAST = 20000, 32000


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    while True:
        port = random.randrange(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
