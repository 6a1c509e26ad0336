"""The far end of a relay: connects to a socket of this host and carries bytes both ways until either side ends."""
from __future__ import annotations

import os
import socket
import threading

from drivers.hand.wire import SILENCE, Doc, Wire

_CHUNK = 64 * 1024


def relay(argument: Doc, wire: Wire) -> None:
    """The program that joins the driver and the first of `sockets` that is there."""
    try:
        near = _connected(argument["sockets"])
    except OSError as error:
        wire.send({"error": str(error)})
        return
    threading.Thread(target=_carry_back, args=(near, wire), daemon=True).start()
    try:
        while True:
            near.sendall(wire.receive()[1])
    except (EOFError, OSError):
        near.close()


def _connected(paths: list[str]) -> socket.socket:
    """A connection to the first path that is there; writing to who does not read gives up in time."""
    path = next((each for each in paths if os.path.exists(each)), None)
    if path is None:
        raise FileNotFoundError(f"no {' nor '.join(paths)}")
    near = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    near.settimeout(SILENCE)
    near.connect(path)
    return near


def _carry_back(near: socket.socket, wire: Wire) -> None:
    """What the socket says goes to the driver; its end is the end of the program."""
    try:
        reading = near.dup()
        reading.setblocking(True)
        while True:
            data = reading.recv(_CHUNK)
            if not data:
                break
            wire.send(None, data)
    except OSError:
        pass
    os._exit(0)
