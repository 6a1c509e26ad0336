"""Connections to libvirt: one a URI, kept, made anew when dead; no call on one can hold its caller for ever.

libvirt's calls cannot be interrupted and a stopped libvirtd never answers, so each runs in a thread of its own that is
left behind, with its connection, when the time is up or the command is cancelled.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

import libvirt

from drivers.base import Context, DriverError, Temporary
from drivers.vm.errors import in_words, is_lost

DEFAULT_URI = "qemu:///system"
OPEN_SECONDS = 10.0
"""How long a connection may take to be made."""
ANSWER_SECONDS = 10.0
"""How long a question may take that libvirt can answer at once."""
_POLL = 0.1
_KEEPALIVE = (5, 3)
_TICK = 2.0
_STOPS = 4

T = TypeVar("T")


class Call(Generic[T]):
    """A function on its way in a thread of its own."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="libvirt-call", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most SECONDS; true when the function ended."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What the function gave; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


@cache
def start_event_loop() -> threading.Thread:
    """libvirt's event loop, in a thread: keepalive and callbacks of all connections live on it.

    There is one a process, and it has to run before the first connection is made: libvirt holds it in a global.
    """
    libvirt.virEventRegisterDefaultImpl()
    libvirt.registerErrorHandler(lambda *_: None, None)
    thread = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
    thread.start()
    return thread


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            time.sleep(_POLL)


def answer(question: Callable[[], T]) -> T:
    """What libvirt answers; Temporary when it takes longer than ANSWER_SECONDS."""
    asked = Call(question)
    if not asked.wait(ANSWER_SECONDS):
        raise Temporary("libvirt does not answer")
    return asked.result()


class Connections:
    """The process's connections by URI."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Any] = {}

    def get(self, uri: str) -> Any:
        """A live connection to URI; Temporary when there is none to be had within OPEN_SECONDS."""
        with self._lock:
            known = self._open.get(uri)
        if known is not None and known.isAlive():
            return known
        made = open_connection(uri)
        with self._lock:
            self._open[uri] = made
        return made

    def drop(self, uri: str, connection: Any) -> None:
        """Forget CONNECTION, which does not answer; it is not closed, that could hang too."""
        with self._lock:
            if self._open.get(uri) is connection:
                del self._open[uri]

    def close(self) -> None:
        """Close what answers."""
        with self._lock:
            known = list(self._open.values())
            self._open.clear()
        for connection in known:
            Call(connection.close).wait(1.0)


def open_connection(uri: str) -> Any:
    """A new connection with keepalive; Temporary when it cannot be made in time."""
    start_event_loop()
    made = Call(lambda: _keep_alive(libvirt.open(uri)))
    if not made.wait(OPEN_SECONDS):
        raise Temporary(f"libvirt at {uri} does not answer")
    try:
        return made.result()
    except libvirt.libvirtError as error:
        raise Temporary(f"libvirt at {uri}: {error.get_error_message() or error}") from None


def _keep_alive(connection: Any) -> Any:
    try:
        connection.setKeepAlive(*_KEEPALIVE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    return connection


def connections(ctx: Context) -> Connections:
    """This process's connections."""
    return ctx.keep("libvirt", Connections)


def uri_of(ctx: Context) -> str:
    """The URI that the settings name for KVM hosts."""
    return str(settings(ctx).get("uri") or DEFAULT_URI)


def settings(ctx: Context) -> dict[str, Any]:
    """The section `kvm` of the driver settings."""
    found = ctx.settings.get("kvm")
    return dict(found) if found else {}


def call(ctx: Context, doing: str, function: Callable[[Any], T], on_stop: Callable[[Any], object] | None = None,
         tick: Callable[[Any], object] | None = None) -> T:
    """Run FUNCTION(connection) until it ends, the command's time is up, or it is cancelled.

    DOING names it in errors; libvirt's become Temporary or Permanent.  ON_STOP(connection) ends the work in libvirtd
    when it is left early; TICK(connection) is called every few seconds of a long one.
    """
    uri, pool = uri_of(ctx), connections(ctx)
    connection = pool.get(uri)
    under_way = Call(lambda: function(connection))
    try:
        _wait(ctx, under_way, lambda: Call(lambda: tick(connection)).wait(1.0) if tick else None)
    except DriverError:
        if not _stopped(under_way, lambda: Call(lambda: on_stop(connection)).wait(1.0) if on_stop else None):
            pool.drop(uri, connection)
        raise
    try:
        return under_way.result()
    except libvirt.libvirtError as error:
        if is_lost(error):
            pool.drop(uri, connection)
        raise in_words(error, doing) from error


def _wait(ctx: Context, under_way: Call[T], tick: Callable[[], object]) -> None:
    ticked = ctx.now()
    while not under_way.wait(_POLL):
        ctx.check()
        if ctx.now() - ticked >= _TICK:
            ticked = ctx.now()
            tick()


def _stopped(under_way: Call[T], stop: Callable[[], object]) -> bool:
    """Stop the work until it ends, and once more for what it may have made at the last moment; false: it goes on."""
    for _ in range(_STOPS):
        stop()
        if under_way.wait(1.0):
            stop()
            return True
    return False
