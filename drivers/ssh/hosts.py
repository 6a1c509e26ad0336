"""All hosts that this process reaches over SSH: a lane each, and the one thread that looks after them."""
from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers.hand import parcel
from drivers.ssh.connect import connect
from drivers.ssh.connection import Connection
from drivers.ssh.hand import PROGRAM
from drivers.ssh.lane import Lane, Log
from drivers.ssh.place import Place
from drivers.ssh.settings import Target, parse, target
from onecore.wire.messages import Doc

_BEAT = 1.0


class Hosts:
    """Lanes by who is reached where.  `section` are the settings `[drivers.ssh]`."""

    def __init__(self, home: Path, section: Mapping[str, Any] | None, now: Callable[[], float], log: Log) -> None:
        self._home = home
        self._settings = parse(section)
        self._now = now
        self._log = log
        self._lock = threading.Lock()
        self._lanes: dict[Target, Lane] = {}
        self._paths: dict[tuple[Target, tuple[str, ...]], str] = {}
        self._place: Place | None = None
        self._closed = threading.Event()

    def lane(self, host: Doc) -> Lane:
        """The way to HOST; Permanent when its attributes are wrong."""
        goal = target(host, self._settings)
        with self._lock:
            if not self._lanes:
                threading.Thread(target=self._beat, name="ssh-beat", daemon=True).start()
            if goal not in self._lanes:
                self._lanes[goal] = Lane(goal, self._make, self._settings.connect_timeout, self._now, self._log)
            return self._lanes[goal]

    def relay_path(self, goal: Target, sockets: Sequence[str]) -> str:
        """Where this process's socket for SOCKETS of a host lies."""
        with self._lock:
            self._place = self._place or Place()
            key = (goal, tuple(sockets))
            return self._paths.setdefault(key, str(self._place.path / f"{len(self._paths)}.sock"))

    def close(self) -> None:
        """End all connections."""
        self._closed.set()
        with self._lock:
            lanes, place, self._place = list(self._lanes.values()), self._place, None
        for lane in lanes:
            lane.close()
        if place is not None:
            place.close()

    def _make(self, lane: Lane) -> Connection:
        """A connection with its hand at work; called in a thread of its own."""
        transport = connect(lane.target, self._settings, self._home)
        connection = Connection(lane.target, transport, self._settings.connect_timeout, self._now, lane.lost)
        lane.watch(connection)
        try:
            greeting = connection.greet()
        except BaseException as error:
            connection.fail(str(error))
            raise
        server = transport.remote_version.removeprefix("SSH-2.0-")
        self._log("info", f"{lane.target}: connected as {lane.target.user} to {server}, Python {greeting['python']}, "
                          f"hand {parcel.version(PROGRAM.entry, PROGRAM.modules)}")
        return connection

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT):
            with self._lock:
                lanes = list(self._lanes.values())
            for lane in lanes:
                try:
                    lane.beat(self._now())
                except Exception:
                    traceback.print_exc()
