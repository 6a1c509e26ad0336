"""uvicorn's HTTP protocol and what it lacks: a limit on a request's head, an end for requests that are never whole."""
from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of request line and headers."""
SWEEP = 60.0
"""Seconds: a request that is the same and not whole at two sweeps ends with its connection."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _in_head = False
    _head = 0
    _seen: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._in_head = True

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def unfinished(self) -> object:
        """The request that is not whole yet, None when there is none."""
        if self._in_head:
            return self.scope or self
        cycle = self.cycle
        return cycle if cycle is not None and cycle.more_body and not cycle.response_complete else None

    def sweep(self) -> None:
        """Close the connection when it is in the same request as at the last sweep."""
        now = self.unfinished()
        if now is not None and now is self._seen:
            self.transport.abort()
        self._seen = now


def sweep(connections: Iterable[Any]) -> None:
    """Sweep all of them."""
    for connection in list(connections):
        if isinstance(connection, Protocol):
            connection.sweep()
