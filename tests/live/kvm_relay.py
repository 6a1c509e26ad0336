"""A relay before libvirt's socket that a test can close and open again: libvirtd away, without ending anybody's."""
from __future__ import annotations

import socket
import threading
from pathlib import Path

TARGET = "/run/libvirt/libvirt-sock"


class Relay:
    """Listens on PATH and passes what comes to libvirt while it is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listening: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self.uri = f"qemu+unix:///system?socket={path}"

    def open(self) -> None:
        """Take connections from now on."""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._path))
        self._listening.listen()
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        """Break all connections and take no more."""
        if self._listening is not None:
            self._path.unlink()
            self._listening.close()
            self._listening = None
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._ends = []

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                near = listening.accept()[0]
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(TARGET)
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pass, args=(one, other), daemon=True).start()


def _pass(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
